"""Finds the Python interpreters of this machine and gives each an environment; knows nothing of the engine."""
