"""The stream for threads: one mutex, one condition, and a token that cancels a wait."""
