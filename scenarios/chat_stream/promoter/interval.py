"""A fake setting: one number that changes while somebody reads it.

Fault model. A read and a subscription take a trip each; a read answers what was set when it came
in, and whoever is subscribed hears every change at once. Nothing is lost.
"""

import asyncio
from collections.abc import Callable


class Interval:
    """The seconds between two looks for pending chats. One loop."""

    def __init__(self, seconds: float, trip: float = 0.0) -> None:
        """Start with a value, which is read in `trip` seconds."""
        self.seconds = seconds
        self.trip = trip
        self.listeners: list[Callable[[float], None]] = []

    async def interval(self) -> float:
        """Return the value."""
        seconds = self.seconds
        await asyncio.sleep(self.trip)
        return seconds

    async def subscribe(self, on_change: Callable[[float], None]) -> Callable[[], None]:
        """Have `on_change` called with every new value."""
        await asyncio.sleep(self.trip)
        self.listeners.append(on_change)
        return lambda: self.listeners.remove(on_change)

    def change(self, seconds: float) -> None:
        """Set a new value."""
        self.seconds = seconds
        for listener in list(self.listeners):
            listener(seconds)
