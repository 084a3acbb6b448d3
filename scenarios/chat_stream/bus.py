"""A fake bus of notifications, as a database's NOTIFY: asynchronous, and at most once.

Fault model. What is sent reaches whoever is subscribed at that moment. On its way it may be late,
overtake up to `reorder` others, come twice or not at all, each as the run draws it; a connection
that is lost tells its subscribers and brings nothing any more. What comes is never altered, and one
subscriber gets one notification at a time: the next waits until it has taken this one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

N = TypeVar("N")

Draw = Callable[[int], int]
OnError = Callable[[Exception], None]


@dataclass(slots=True)
class _Listener(Generic[N]):
    """One subscriber: what is on its way to it, and the task that brings it while there is any."""

    on_notify: Callable[[N], Awaitable[None]]
    on_error: OnError
    pending: list[N] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class NotifyBus(Generic[N]):
    """Brings notifications from anybody to everybody who is subscribed. One loop."""

    # invariant: a listener with something pending has a task, unless it is lost

    def __init__(
        self,
        *,
        draw: Draw = lambda _options: 0,
        reorder: int = 1,
        sending: Callable[[], float] = lambda: 0.0,
        delivery: Callable[[], float] = lambda: 0.0,
        duplicates: bool = False,
        drops: bool = False,
    ) -> None:
        """Make a bus that is first in, first out, and at once, unless told otherwise.

        Args:
            draw: `draw(n)` gives 0 ≤ i < n; 0 is what a good bus would do.
            reorder: how many of the oldest may be the next to arrive; 1 is first in, first out.
            sending: seconds that it takes to send one.
            delivery: seconds that one is on its way.
            duplicates: one may come twice.
            drops: one may get lost.
        """
        self._draw = draw
        self._reorder = reorder
        self._sending = sending
        self._delivery = delivery
        self._duplicates = duplicates
        self._drops = drops
        self._listeners: dict[tuple[str, int], _Listener[N]] = {}
        self._numbers = count(1)
        self._held = 0
        self.sent: list[N] = []

    @property
    def listeners(self) -> int:
        """How many are subscribed."""
        return len(self._listeners)

    @property
    def held(self) -> int:
        """How many are at a subscriber that has no room for them."""
        return self._held

    async def subscribe(
        self, chat: str, on_notify: Callable[[N], Awaitable[None]], on_error: OnError
    ) -> Callable[[], None]:
        """Have `on_notify` awaited for each notification of a chat that is sent from now on."""
        await asyncio.sleep(0)
        key = (chat, next(self._numbers))
        self._listeners[key] = _Listener(on_notify, on_error)

        def unsubscribe() -> None:
            listener = self._listeners.pop(key, None)
            if listener is not None:
                listener.pending.clear()

        return unsubscribe

    async def notify(self, chat: str, notify: N) -> None:
        """Send a notification to all who are subscribed when it has been sent."""
        await asyncio.sleep(self._sending())
        self.sent.append(notify)
        for (of, _), listener in list(self._listeners.items()):
            if of == chat:
                self._send(listener, notify)

    def lose(self, error: Exception) -> None:
        """Lose the connection: all subscribers are told, and hear nothing any more."""
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener.pending.clear()
            listener.on_error(error)

    def _send(self, listener: _Listener[N], notify: N) -> None:
        if self._drops and self._draw(2):
            return
        copies = 1 + (self._draw(2) if self._duplicates else 0)
        listener.pending += [notify] * copies
        if listener.task is None:
            loop = asyncio.get_running_loop()
            listener.task = loop.create_task(self._bring(listener), name="bus")

    async def _bring(self, listener: _Listener[N]) -> None:
        while listener.pending:
            await asyncio.sleep(self._delivery())
            # Whoever unsubscribed meanwhile has nothing pending.
            if listener.pending:
                window = min(self._reorder, len(listener.pending))
                notify = listener.pending.pop(self._draw(window) if window > 1 else 0)
                self._held += 1
                await listener.on_notify(notify)
                self._held -= 1
        listener.task = None
