"""Queued messages on their way into the history, and the worker that answers them."""
