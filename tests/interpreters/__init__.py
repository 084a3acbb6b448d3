"""Finds the interpreters of this machine and gives each an environment; knows no engine."""
