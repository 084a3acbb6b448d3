"""Who reads a subscription in a storm, and writes down what came, and when."""

import asyncio
from collections.abc import AsyncIterator

from .messages import Event, Kind, Message


class Viewer:
    """One reader of one subscription. One loop."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self.events: list[Event] = []
        self.times: list[float] = []

    async def watch(self, subscription: AsyncIterator[Event]) -> None:
        """Read until the subscription ends."""
        async for event in subscription:
            self.events.append(event)
            self.times.append(asyncio.get_running_loop().time())

    def values(self, kind: Kind) -> list[object]:
        """Return what came of one kind, in order."""
        return [event.value for event in self.events if event.kind is kind]

    def ids(self) -> list[int]:
        """Return the ids of the messages that came, in order."""
        return [event.value.id for event in self.events if isinstance(event.value, Message)]
