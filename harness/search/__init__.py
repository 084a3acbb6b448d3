"""Strategies: which tape is tried next. It does not know what a run does with the choices."""
