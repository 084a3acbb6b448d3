"""Pure decisions: tape, clock, kernel, history.

It does not know threads, asyncio, wall time or global randomness.
"""
