"""The stream for tasks: one condition of one loop, and `task.cancel()` to end a wait."""
