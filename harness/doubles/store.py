"""A shared store as a Redis server is one, for threads and for asyncio: as lossy as a test wants.

Fault model: a command may take long, fail before it was applied, or be applied and its reply lost;
a message to a subscriber may be late, overtake the one ahead of it or come twice; a subscription
may be lost with all that is under way; a client may be cut off, stand still for a while, or crash,
at any command. The store's clock and those of the nodes may differ. What never happens: a command
that is applied by halves, or in between the commands of a script; two replies to one command; a
message that is lost while its subscription lives; data that are lost. That is enough for everything
that a client of one server can get wrong by itself.

    client ──latency, 'store'──► applied in one step ──'store.reply'──► client
                                      │ publish
                                      └──'store.message'──► mailbox of each subscription

The quoted names are those of the sites at which rules are asked, with the client as their `lane`
and the command with its first key as their `key` ("hset jobs"; of a message: the channel). Each
command is one scheduling point, before it is applied.

A client that stands still neither sends nor gets anything meanwhile; what it computes nobody sees.
A client that crashes takes with it every thread or task that is called like it, or `<its name>/…`;
another one that uses its connection is gone with the next use. A command refused by a cut, a crash
or a fault is counted, but not in `events`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NoReturn, Self

from harness.core.clock import to_ns
from harness.errors import HarnessError
from harness.faults import (
    PASS,
    Cancel,
    Consultable,
    Crash,
    Delay,
    Fail,
    Hang,
    Pass,
    Pause,
    Verdict,
)

from .behaviour import Behaviour, Draw, Latency
from .client import Client
from .clocks import SkewedClock
from .database import Database
from .desk import Disturb
from .in_flight import InFlight
from .server import Bell, Command, Link, Mailbox, Message, Server, StoreEvent
from .streams import StoreError
from .waiting import ring

Kill = Callable[[str], None]
Quiet = Callable[[], AbstractContextManager[None]]


class _Common:
    """What both flavours of a store share: the server, its books, and what a test does to it."""

    def __init__(
        self,
        name: str,
        *,
        latency: Latency,
        message_latency: float,
        clock: SkewedClock | None,
        faults: Consultable | None,
        draw: Draw | None,
        actor: Callable[[], str] | None,
        disturb: Disturb | None,
        kill: Kill | None,
    ) -> None:
        self.name = name
        self._server = Server(
            name, clock=clock, message_latency=message_latency, faults=faults, actor=actor
        )
        self._latency = Behaviour(latency=latency)
        # Most latencies are fixed, and have just been checked.
        self._seconds = None if isinstance(latency, tuple) else latency
        self._draw = draw or random.Random(0).randrange  # no secret depends on it
        self._disturb = disturb or self._refuse
        self._kill = kill or self._refuse
        self._lock = threading.Lock()

    # --- what a test does to it -------------------------------------------------------------------

    def disconnect(self, client: str) -> None:
        """Drop the subscriptions and blocked reads of a client; it may connect again at once."""
        self._change(partial(self._server.disconnect, self._server.known(client)))

    def cut(self, client: str) -> None:
        """Cut a client off, until `mend`: it loses its subscriptions, and every command fails."""
        self._server.known(client).is_cut = True
        self.disconnect(client)

    def mend(self, client: str) -> None:
        """Let a client that was cut off connect again."""
        self._server.known(client).is_cut = False

    def pause(self, client: str, seconds: float) -> None:
        """Have a client stand still: nothing reaches it or comes from it for `seconds`."""
        self._server.known(client).paused_until_ns = time.monotonic_ns() + to_ns(seconds)

    def crash(self, client: str) -> None:
        """Have a client be gone, with every thread or task called `client` or `client/…`.

        No clean-up of theirs runs. Whoever calls this lives on. A client of the same name that is
        made later is a new one.
        """
        self._crash(self._server.known(client))

    # --- books ------------------------------------------------------------------------------------

    @property
    def data(self) -> Database:
        """The data themselves, for a test to look at and to set up: no command, and no point."""
        return self._server.database

    @property
    def clock(self) -> SkewedClock:
        """The server's own clock."""
        return self._server.clock

    @property
    def gauge(self) -> InFlight:
        """The gauge of commands under way; one that blocks is."""
        return self._server.gauge

    @property
    def in_flight(self) -> int:
        """How many commands are under way."""
        return self.gauge.value

    @property
    def total(self) -> int:
        """How many commands were sent."""
        return self.calls()

    def calls(
        self, id: str | None = None, lane: str | None = None, method: str | None = None
    ) -> int:  # the words of the checks
        """Count the commands that were sent; None means any.

        Args:
            id: with this first key (or this name of a script).
            lane: by this client.
            method: of this name: `hset`, `run`, ….
        """
        return self._server.calls(id, lane, method)

    @property
    def events(self) -> list[StoreEvent]:
        """The commands that were applied, oldest first; the last 100,000."""
        return list(self._server.events)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.name!r}: {self.in_flight} in flight, {self.total} in all>"

    # --- inside -----------------------------------------------------------------------------------

    def _change(self, action: Callable[[], object]) -> None:
        with self._lock:
            action()
            bells = self._server.take_bells()
        for bell in bells:
            bell()

    def _crash(self, link: Link) -> None:
        self._change(partial(self._server.crash, link))
        self._kill(link.name)

    def _subscribe_now(self, link: Link, channels: tuple[str, ...]) -> Command:
        return Command(
            "subscribe", channels[0], channels[1:], lambda _: self._server.subscribe(link, channels)
        )

    def _seconds_under_way(self) -> float:
        """Return for how long a command is under way to the server."""
        if self._seconds is None:
            return self._latency.delay(self._draw).seconds
        return self._seconds

    def _pause_here(self, link: Link, seconds: float) -> None:
        link.paused_until_ns = time.monotonic_ns() + to_ns(seconds)

    def _refuse(self, what: object) -> NoReturn:
        message = (
            f"{what!r} was to crash at {self.name!r} outside a simulated run: real threads and "
            "tasks cannot be stopped from outside. Run it under harness.explore, or use Fail, "
            "Hang or cut()."
        )
        raise HarnessError(message)


class Store(_Common):
    """A store for threads. Any thread.

    Args:
        name: how it is called in reports, and the first word of its sites.
        latency: seconds until a command is applied, or a span `(low, high)`.
        message_latency: seconds that a message is under way to a subscriber.
        clock: the store's own clock, for what it lets vanish and calls idle.
        faults: what else may strike (`harness.faults.Faults`); None for nothing.
        draw: `draw(n)` gives 0 ≤ i < n for latency spans.
        actor: tells the spawn path of who calls, for faults; None for the thread's name.
        disturb: takes the current thread out where a client crashes; without it that is refused.
        kill: takes out all others that are called like a client; as above.
        quiet: has no scheduling points inside its block: what the server does is one step.

    Raises:
        HarnessError: an argument out of range.
    """

    def __init__(
        self,
        name: str = "store",
        *,
        latency: Latency = 0.0,
        message_latency: float = 0.0,
        clock: SkewedClock | None = None,
        faults: Consultable | None = None,
        draw: Draw | None = None,
        actor: Callable[[], str] | None = None,
        disturb: Disturb | None = None,
        kill: Kill | None = None,
        quiet: Quiet = nullcontext,
    ) -> None:
        super().__init__(
            name,
            latency=latency,
            message_latency=message_latency,
            clock=clock,
            faults=faults,
            draw=draw,
            actor=actor,
            disturb=disturb,
            kill=kill,
        )
        self._quiet = quiet

    def client(self, name: str) -> Client:
        """Return a client; two of one name share their connection, their faults and their end."""
        return Client(self._server.link(name), self._serve, self._subscribe)

    def _subscribe(self, link: Link, channels: tuple[str, ...]) -> Subscription:
        return Subscription(self, self._serve(link, self._subscribe_now(link, channels)))

    def _serve(self, link: Link, command: Command) -> Any:
        self._server.arrive(link, command)
        with self._server.gauge:
            self._stand(link)
            time.sleep(self._seconds_under_way())
            self._meet("", link, command)
            outcome = self._apply(link, command)
            self._meet(".reply", link, command)
        if isinstance(outcome, (StoreError, ConnectionError)):
            raise outcome.with_traceback(None)
        return outcome

    def _meet(self, stage: str, link: Link, command: Command) -> None:
        """Meet what strikes a command at one of its sites, and its client."""
        self._suffer(link, self._server.consult(stage, link, command))
        self._stand(link)
        self._server.refuse_if_cut(link)

    def _apply(self, link: Link, command: Command) -> Any:
        bell = threading.Event()
        with self._lock, self._quiet():
            try:
                reply = self._server.apply(link, command)
            except StoreError as exc:
                reply = exc
            must_wait = command.block is not None and not reply
            blocked = self._server.block(link, command, bell.set) if must_wait else None
            bells = self._server.take_bells()
        for each in bells:
            each()
        if blocked is None:
            return reply
        bell.wait(command.block or None)
        with self._lock:
            self._server.give_up(blocked)
        return blocked.outcome[0] if blocked.outcome else reply

    def _stand(self, link: Link) -> None:
        """Stand still with a client that does, and go with one that is gone."""
        while (left := link.pause_left()) and not link.is_dead:
            time.sleep(left)
        if link.is_dead:
            self._disturb(Crash())

    def _suffer(self, link: Link, verdict: Verdict) -> None:
        match verdict:
            case Pass():
                pass
            case Delay(seconds):
                time.sleep(seconds)
            case Pause(seconds):
                self._pause_here(link, seconds)
            case Crash():
                self._crash(link)
            case Fail():
                raise verdict.make().with_traceback(None)
            case Hang():
                threading.Event().wait()
            case Cancel():
                message = f"{self.name!r}: cancelled by a fault"
                raise concurrent.futures.CancelledError(message)
            case _:
                raise _misplaced(verdict)


class Subscription:
    """The messages of some channels since it was made, in order. One thread takes, any may close.

    Leaving it as a context manager closes it.
    """

    def __init__(self, store: Store, mailbox: Mailbox) -> None:
        self._store = store
        self._mailbox = mailbox

    def get(self, timeout: float | None = None) -> Message | None:
        """Return the next message, or None after `timeout` seconds or once it is closed.

        Raises:
            ConnectionError: the subscription was lost, with whatever was under way.
        """
        store, mailbox = self._store, self._mailbox
        deadline_ns = None if timeout is None else time.monotonic_ns() + to_ns(timeout)
        time.sleep(0)
        while True:
            store._stand(mailbox.link)  # noqa: SLF001 - two halves of one thing
            bell = threading.Event()
            with store._lock:  # noqa: SLF001 - as above
                if mailbox.is_closed and not mailbox.is_lost:
                    return None
                message = mailbox.take()
                if message is not None:
                    return message
                patience = _patience(mailbox, deadline_ns)
                if patience == 0:
                    return None
                mailbox.bells.append(bell.set)
            bell.wait(patience)
            with store._lock:  # noqa: SLF001 - as above
                _take_back(mailbox, bell.set)

    def close(self) -> None:
        """Unsubscribe; `get` returns None from now on, also for who waits in it."""
        store = self._store
        store._change(partial(store._server.close, self._mailbox))  # noqa: SLF001 - as above

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncStore(_Common):
    """A store for asyncio: its clients' methods return awaitables. One loop.

    Args:
        name: how it is called in reports, and the first word of its sites.
        latency: seconds until a command is applied, or a span `(low, high)`.
        message_latency: seconds that a message is under way to a subscriber.
        clock: the store's own clock, for what it lets vanish and calls idle.
        faults: what else may strike (`harness.faults.Faults`); None for nothing.
        draw: `draw(n)` gives 0 ≤ i < n for latency spans.
        actor: tells the spawn path of who calls, for faults; None for the task's name.
        disturb: takes the current task out where a client crashes; without it that is refused.
        kill: takes out all others that are called like a client; as above.
        quiet: has no scheduling points inside its block: what the server does is one step.

    Raises:
        HarnessError: an argument out of range.
    """

    def __init__(
        self,
        name: str = "store",
        *,
        latency: Latency = 0.0,
        message_latency: float = 0.0,
        clock: SkewedClock | None = None,
        faults: Consultable | None = None,
        draw: Draw | None = None,
        actor: Callable[[], str] | None = None,
        disturb: Disturb | None = None,
        kill: Kill | None = None,
        quiet: Quiet = nullcontext,
    ) -> None:
        super().__init__(
            name,
            latency=latency,
            message_latency=message_latency,
            clock=clock,
            faults=faults,
            draw=draw,
            actor=actor,
            disturb=disturb,
            kill=kill,
        )
        self._quiet = quiet

    def client(self, name: str) -> Client:
        """Return a client; two of one name share their connection, their faults and their end."""
        return Client(self._server.link(name), self._serve, self._subscribe)

    async def _subscribe(self, link: Link, channels: tuple[str, ...]) -> AsyncSubscription:
        mailbox = await self._serve(link, self._subscribe_now(link, channels))
        return AsyncSubscription(self, mailbox)

    async def _serve(self, link: Link, command: Command) -> Any:
        self._server.arrive(link, command)
        with self._server.gauge:
            # Few are: a coroutine for each of the others would cost more than all else here.
            if link.is_struck:
                await self._stand(link)
            await asyncio.sleep(self._seconds_under_way())
            await self._meet("", link, command)
            outcome = await self._apply(link, command)
            await self._meet(".reply", link, command)
        if isinstance(outcome, (StoreError, ConnectionError)):
            raise outcome.with_traceback(None)
        return outcome

    async def _meet(self, stage: str, link: Link, command: Command) -> None:
        """Meet what strikes a command at one of its sites, and its client."""
        verdict = self._server.consult(stage, link, command)
        if verdict is not PASS:
            await self._suffer(link, verdict)
        if link.is_struck:
            await self._stand(link)
        self._server.refuse_if_cut(link)

    async def _apply(self, link: Link, command: Command) -> Any:
        with self._quiet():
            try:
                reply = self._server.apply(link, command)
            except StoreError as exc:
                reply = exc
            bells = self._server.take_bells()
        for each in bells:
            each()
        if command.block is None or reply:
            return reply
        bell: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        blocked = self._server.block(link, command, partial(ring, bell))
        try:
            await _wait(bell, command.block or None)
        finally:
            self._server.give_up(blocked)
        return blocked.outcome[0] if blocked.outcome else reply

    async def _stand(self, link: Link) -> None:
        """Stand still with a client that does, and go with one that is gone."""
        while (left := link.pause_left()) and not link.is_dead:
            await asyncio.sleep(left)
        if link.is_dead:
            await self._go()

    async def _go(self) -> None:
        outcome: Any = self._disturb(Crash())
        if inspect.isawaitable(outcome):
            await outcome

    async def _suffer(self, link: Link, verdict: Verdict) -> None:
        match verdict:
            case Pass():
                pass
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Pause(seconds):
                self._pause_here(link, seconds)
            case Crash():
                self._crash(link)
            case Fail():
                raise verdict.make().with_traceback(None)
            case Hang():
                await asyncio.get_running_loop().create_future()
            case Cancel():
                task = asyncio.current_task()
                assert task is not None, "a command is awaited in a task"
                task.cancel()
                await asyncio.sleep(0)
            case _:
                raise _misplaced(verdict)


class AsyncSubscription:
    """The messages of some channels since it was made, in order. One task takes, any may close.

    Leaving it as a context manager closes it.
    """

    def __init__(self, store: AsyncStore, mailbox: Mailbox) -> None:
        self._store = store
        self._mailbox = mailbox

    async def get(self, timeout: float | None = None) -> Message | None:
        """Return the next message, or None after `timeout` seconds or once it is closed.

        Raises:
            ConnectionError: the subscription was lost, with whatever was under way.
        """
        mailbox = self._mailbox
        deadline_ns = None if timeout is None else time.monotonic_ns() + to_ns(timeout)
        await asyncio.sleep(0)
        while True:
            if mailbox.link.is_struck:
                await self._store._stand(mailbox.link)  # noqa: SLF001 - two halves of one thing
            if mailbox.is_closed and not mailbox.is_lost:
                return None
            message = mailbox.take()
            if message is not None:
                return message
            patience = _patience(mailbox, deadline_ns)
            if patience == 0:
                return None
            bell: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            ring_it = partial(ring, bell)
            mailbox.bells.append(ring_it)
            try:
                await _wait(bell, patience)
            finally:
                _take_back(mailbox, ring_it)

    def close(self) -> None:
        """Unsubscribe; `get` returns None from now on, also for who waits in it."""
        store = self._store
        store._change(partial(store._server.close, self._mailbox))  # noqa: SLF001 - as above

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


def _patience(mailbox: Mailbox, deadline_ns: int | None) -> float | None:
    """Return for how long to wait at a mailbox: until its next message or the deadline."""
    left = None if deadline_ns is None else max(0, deadline_ns - time.monotonic_ns()) / 1e9
    bounds = [bound for bound in (mailbox.due_in(), left) if bound is not None]
    return min(bounds, default=None)


def _take_back(mailbox: Mailbox, bell: Bell) -> None:
    if bell in mailbox.bells:
        mailbox.bells.remove(bell)


async def _wait(bell: asyncio.Future[bool], seconds: float | None) -> None:
    """Wait until `bell` rings, or for `seconds`."""
    if seconds is None:
        await bell
        return
    alarm = asyncio.get_running_loop().call_later(seconds, ring, bell)
    try:
        await bell
    finally:
        alarm.cancel()


def _misplaced(verdict: Verdict) -> HarnessError:
    return HarnessError(
        f"verdict={verdict!r} cannot strike a command of a store: Cancel, Crash, Delay, Fail, Hang "
        "and Pause can."
    )
