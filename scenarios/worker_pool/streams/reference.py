"""Events from streams: a reader shows all of them to everybody, sinks of one name share them.

    stream ──read──► source ──► buffer of each subscriber ──get──► subscriber
                       ▲                                               │ ack (sinks)
                       └── claimed: read by somebody, not acknowledged ┘

A sink delivers each event at least once: what a consumer owes for a grace is claimed by the sink
that holds the lease, and a dead consumer is deleted only when it owes nothing any more. Nobody
holds a lock while he waits for a subscriber. It does not know what an event means, nor how the
store is reached.

Departs: from the streams that it is modelled on in that the group itself is the list of consumers,
a sink registers and a consumer is deleted in one step of the store, and who has no keep-alive gets
one that is a grace old.
"""

# ruff: noqa: FBT001, FBT002, PLR0917 - the signatures of redis-py, and rows of arguments
import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import policy
from .policy import Timing

log = logging.getLogger(__name__)


class Database(Protocol):
    """What a script may do."""

    def hget(self, name: str, key: str) -> str | None:
        """Return the value of a field."""
        ...

    def hset(self, name: str, key: str, value: str) -> int:
        """Set a field."""
        ...

    def hdel(self, name: str, *keys: str) -> int:
        """Delete fields."""
        ...

    def xgroup_createconsumer(self, name: str, groupname: str, consumername: str) -> int:
        """Make a consumer."""
        ...

    def xgroup_delconsumer(self, name: str, groupname: str, consumername: str) -> int:
        """Delete a consumer, and what it owes."""
        ...

    def xpending_range(
        self, name: str, groupname: str, min: str, max: str, count: int, consumername: str
    ) -> Sequence[Any]:
        """Return what a consumer owes."""
        ...


class Client(Protocol):
    """What readers and sinks need of a client of the store."""

    def run(self, script: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Run a script in one step."""
        ...

    def set(
        self,
        name: str,
        value: str,
        ex: int | None = None,
        px: int | None = None,
        nx: bool = False,
    ) -> Awaitable[Any]:
        """Set a text."""
        ...

    def hsetnx(self, name: str, key: str, value: str) -> Awaitable[Any]:
        """Set a field unless there is one."""
        ...

    def hgetall(self, name: str) -> Awaitable[Any]:
        """Return all fields."""
        ...

    def xrevrange(
        self, name: str, max: str = "+", min: str = "-", count: int | None = None
    ) -> Awaitable[Any]:
        """Return entries, newest first."""
        ...

    def xread(
        self, streams: Mapping[str, str], count: int | None = None, block: int | None = None
    ) -> Awaitable[Any]:
        """Read behind an id."""
        ...

    def xgroup_create(
        self, name: str, groupname: str, id: str = "$", mkstream: bool = False
    ) -> Awaitable[Any]:
        """Make a group."""
        ...

    def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: Mapping[str, str],
        count: int | None = None,
        block: int | None = None,
    ) -> Awaitable[Any]:
        """Read for a group."""
        ...

    def xautoclaim(
        self,
        name: str,
        groupname: str,
        consumername: str,
        min_idle_time: int,
        start_id: str = "0-0",
        count: int | None = None,
    ) -> Awaitable[Any]:
        """Take over what is pending for too long."""
        ...

    def xack(self, name: str, groupname: str, *ids: str) -> Awaitable[Any]:
        """Acknowledge."""
        ...

    def xinfo_consumers(self, name: str, groupname: str) -> Awaitable[Any]:
        """Return the consumers of a group."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a stream. Two are equal if they are the same entry."""

    stream: str
    id: str
    fields: Mapping[str, str] = field(compare=False)


# --- scripts --------------------------------------------------------------------------------------


def register(
    db: Database, streams: tuple[str, ...], group: str, beats: str, consumer: str, beat: str
) -> None:
    """Make a consumer of every stream, with its keep-alive: a script."""
    for stream in streams:
        db.xgroup_createconsumer(stream, group, consumer)
    db.hset(beats, consumer, beat)


def say_alive(db: Database, beats: str, consumer: str, beat: str) -> None:
    """Note that a consumer was heard of, unless it was since: what was held up says little."""
    if int(beat) > int(db.hget(beats, consumer) or "0"):
        db.hset(beats, consumer, beat)


def bury(
    db: Database, streams: tuple[str, ...], group: str, beats: str, consumer: str, beat: str
) -> bool:
    """Delete a consumer that was not heard of since `beat` and owes nothing: a script."""
    if db.hget(beats, consumer) != beat:
        return False
    if any(db.xpending_range(each, group, "-", "+", 1, consumer) for each in streams):
        return False
    for stream in streams:
        db.xgroup_delconsumer(stream, group, consumer)
    db.hdel(beats, consumer)
    return True


# --- subscribers ----------------------------------------------------------------------------------


class Subscription:
    """What one subscriber has not got yet. Any tasks of one loop.

    Args:
        room: how many events may wait before `drained` does.
    """

    # invariant: a closed subscription is empty

    def __init__(self, room: int) -> None:
        self._room = room
        self._events: deque[Event] = deque()
        self._is_closed = False
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    async def get(self) -> Event | None:
        """Return the next event; None once it is closed."""
        while not self._events:
            if self._is_closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        self._left.set()
        return event

    def push(self, event: Event) -> None:
        """Add an event, whether there is room or not."""
        if not self._is_closed:
            self._events.append(event)
            self._arrived.set()

    async def drained(self) -> None:
        """Wait until there is no more than there is room for."""
        while len(self._events) > self._room:
            self._left.clear()
            await self._left.wait()

    def has(self, event: Event) -> bool:
        """Tell whether an event waits to be got."""
        return event in self._events

    def drop(self, event: Event) -> None:
        """Take an event back that nobody has got yet."""
        if event in self._events:
            self._events.remove(event)
            self._left.set()

    def close(self) -> None:
        """Hand out nothing any more; who waits is told."""
        self._is_closed = True
        self._events.clear()
        self._arrived.set()
        self._left.set()


class Source:
    """What readers and sinks have in common: subscribers, tasks, and how they end. One loop.

    Args:
        store: a client of the store.
        name: how it is called; its tasks are called `<name>/…`.
        streams: the streams.
        timing: how patient it is.
        uniform: draws how long a refused read waits.
    """

    # invariant: a task here never waits for itself, and holds no lock while it waits

    def __init__(
        self,
        store: Client,
        name: str,
        streams: Iterable[str],
        timing: Timing | None = None,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = name
        self._store = store
        self._streams = tuple(streams)
        self._timing = timing or Timing()
        self._uniform = uniform
        self._subscriptions: list[Subscription] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_reading = False

    def subscribe(self) -> Subscription:
        """Have events delivered; the first subscriber has the reading begin."""
        subscription = Subscription(self._timing.buffer)
        if self._is_closed:
            subscription.close()
            return subscription
        self._subscriptions.append(subscription)
        self._begin()
        return subscription

    @property
    def is_open(self) -> bool:
        """Whether it delivers, or will."""
        return not self._is_closed

    async def close(self) -> None:
        """End, whatever subscribers do. Callers share one close; what nobody got is dropped."""
        self._is_closed = True
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"{self.name}/closing")
        await asyncio.shield(self._ending)

    def _begin(self) -> None:
        """Begin to read, once."""
        if not self._is_reading:
            self._is_reading = True
            self._start_reading()

    def _start_reading(self) -> None:
        self._spawn("read", self._read())

    def _spawn(self, role: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=f"{self.name}/{role}"))

    async def _end(self) -> None:
        await self._stop_tasks()
        self._close_subscriptions()

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _close_subscriptions(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    async def _fail(self) -> None:
        """End from inside: a task of its own calls this, and nobody waits for that task."""
        self._is_closed = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._close_subscriptions()

    async def _read(self) -> None:
        while True:
            try:
                found = await self._read_once()
            except ConnectionError:
                await asyncio.sleep(self._uniform(0.0, self._timing.retry))
                continue
            except Exception:  # whatever the store says, this read will never come to anything
                log.exception("%s reads no more: its stream is gone", self.name)
                await self._fail()
                return
            await self._deliver_all(found)

    async def _read_once(self) -> list[Event]:
        """Return what one read finds."""
        raise NotImplementedError

    async def _deliver_all(self, events: list[Event]) -> None:
        for event in events:
            await self._deliver(event)

    async def _deliver(self, event: Event) -> None:
        """Give an event to every subscriber, and wait until they have room again."""
        for subscription in self._subscriptions:
            subscription.push(event)
        await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        for subscription in list(self._subscriptions):
            await subscription.drained()


def _events(reply: Iterable[Any] | None) -> list[Event]:
    """Return the events of a reply, the streams one after the other."""
    return [Event(stream, id, fields) for stream, entries in reply or () for id, fields in entries]


# --- reader ---------------------------------------------------------------------------------------


class Reader(Source):
    """Shows every subscriber all that is added after it was opened. One loop; see `Source`.

    Args:
        *args: as `Source`.
        oldest: begin with the oldest event, not behind the newest.
        **settings: as `Source`.
    """

    # invariant: a cursor passes an event only when every subscriber was given it

    def __init__(self, *args: Any, oldest: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._oldest = oldest
        self._cursors = dict.fromkeys(self._streams, "0-0")

    async def open(self) -> None:
        """Find out where to begin. Reading begins with the first subscriber."""
        if not self._oldest:
            for stream in self._streams:
                newest = await self._store.xrevrange(stream, count=1)
                if newest:
                    self._cursors[stream] = newest[0][0]

    async def _read_once(self) -> list[Event]:
        timing = self._timing
        block = policy.ms(timing.block)
        return _events(await self._store.xread(dict(self._cursors), timing.batch, block))

    async def _deliver(self, event: Event) -> None:
        await super()._deliver(event)
        self._cursors[event.stream] = event.id


# --- sink -----------------------------------------------------------------------------------------


class Sink(Source):
    """One consumer of the sinks of one group: every event goes to one of them. One loop.

    Args:
        store: a client of the store.
        name: how this sink is called, and its consumer: nobody else's name, now or before.
        streams: the streams; the same for all sinks of a group.
        timing: how patient it is.
        group: the name that the sinks share.
        wants: tells which events subscribers get; others are acknowledged at once.
        clock: nanoseconds of its clock.
        uniform: draws how long a refused read waits.
    """

    # invariant: of an event that is here and not got yet there is one copy for each subscriber

    def __init__(
        self,
        store: Client,
        name: str,
        streams: Iterable[str],
        timing: Timing | None = None,
        *,
        group: str,
        wants: Callable[[Event], bool] = lambda _: True,
        clock: Callable[[], int] = time.time_ns,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        super().__init__(store, name, streams, timing, uniform=uniform)
        self._group = group
        self._wants = wants
        self._clock = clock
        self._beats = f"{group}:keep-alive"
        self._lease = f"{group}:lease"
        self._last_beat_ns = 0
        # What was read or claimed, and is not with the subscribers yet.
        self._in_hand: list[Event] = []

    async def open(self) -> None:
        """Join the group. Reading begins with the first subscriber."""
        for stream in self._streams:
            try:
                await self._store.xgroup_create(stream, self._group, mkstream=True)
            except Exception as exc:
                if not str(exc).startswith("BUSYGROUP"):
                    raise
        await self._register()
        self._spawn("keep-alive", self._every(self._timing.grace, self._beat))

    async def ack(self, event: Event) -> None:
        """Say that an event is dealt with: it is delivered to nobody again.

        Raises:
            ConnectionError: the store did not say that it knows.
        """
        for subscription in self._subscriptions:
            subscription.drop(event)
        await self._settle(event)

    async def _settle(self, event: Event) -> None:
        await self._store.xack(event.stream, self._group, event.id)

    def _start_reading(self) -> None:
        super()._start_reading()
        self._spawn("check", self._check())

    async def _register(self) -> None:
        beat_ns = self._clock()
        names = (self._streams, self._group, self._beats, self.name)
        await self._store.run(register, *names, str(beat_ns))
        self._last_beat_ns = beat_ns

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except ConnectionError as exc:
                log.warning("%s: %s; it is tried again in %g s", self.name, exc, seconds)

    async def _beat(self) -> None:
        beat_ns = self._clock()
        await self._store.run(say_alive, self._beats, self.name, str(beat_ns))
        self._last_beat_ns = max(beat_ns, self._last_beat_ns)

    # --- reading ----------------------------------------------------------------------------------

    async def _read_once(self) -> list[Event]:
        timing = self._timing
        if self._must_register():
            await self._register()
        wanted = dict.fromkeys(self._streams, ">")
        block = policy.ms(timing.block)
        return _events(
            await self._store.xreadgroup(self._group, self.name, wanted, timing.batch, block)
        )

    def _must_register(self) -> bool:
        """Tell whether the others take it for dead."""
        return policy.is_stale(str(self._last_beat_ns), self._clock(), self._timing.grace)

    async def _deliver_all(self, events: list[Event]) -> None:
        self._in_hand += events
        for event in events:
            self._in_hand.remove(event)
            if self._wants(event):
                await self._deliver(event)
            else:
                await self._pass_over(event)

    async def _pass_over(self, event: Event) -> None:
        """Acknowledge an event that nobody here wants, or leave it to the next claim."""
        try:
            await self._settle(event)
        except ConnectionError as exc:
            log.warning("%s passed %s over: %s", self.name, event.id, exc)

    # --- the dead, and what they owe --------------------------------------------------------------

    async def _check(self) -> None:
        while True:
            try:
                if await self._take_lease():
                    await self._claim()
                    await self._bury_dead()
            except ConnectionError as exc:
                log.warning("%s could not check: %s", self.name, exc)
            except Exception:  # as where it reads: the reading may wait for subscribers meanwhile
                log.exception("%s reads no more: its stream is gone", self.name)
                await self._fail()
                return
            await asyncio.sleep(self._timing.check)

    async def _take_lease(self) -> bool:
        lease_ms = policy.ms(self._timing.lease)
        return bool(await self._store.set(self._lease, self.name, px=lease_ms, nx=True))

    async def _claim(self) -> None:
        """Take over all that was owed for a grace, page by page."""
        for stream in self._streams:
            start = "0-0"
            while True:
                start, entries, _ = await self._claim_page(stream, start)
                found = [Event(stream, id, fields) for id, fields in entries]
                await self._deliver_all([each for each in found if not self._has(each)])
                if start == "0-0":
                    break

    def _claim_page(self, stream: str, start: str) -> Awaitable[Any]:
        timing = self._timing
        grace_ms = policy.ms(timing.grace)
        return self._store.xautoclaim(stream, self._group, self.name, grace_ms, start, timing.batch)

    def _has(self, event: Event) -> bool:
        """Tell whether an event is here, and nobody has got it yet."""
        return event in self._in_hand or any(each.has(event) for each in self._subscriptions)

    async def _bury_dead(self) -> None:
        """Delete the consumers that are dead and owe nothing; the others wait for a claim."""
        beats = await self._store.hgetall(self._beats)
        for consumer in await self._candidates(beats):
            beat = beats.get(consumer)
            if beat is None:
                await self._doubt(consumer)
            elif consumer != self.name and self._is_stale(beat):
                await self._bury(consumer, beat)

    async def _doubt(self, consumer: str) -> None:
        """Note that a consumer has no keep-alive: a grace will tell.

        It was made a moment ago, or its sink died before it said that it lives.
        """
        first_ns = self._clock() - policy.ns(self._timing.grace)
        await self._store.hsetnx(self._beats, consumer, str(first_ns))

    async def _candidates(self, beats: Mapping[str, str]) -> list[str]:
        """Return who may be dead: the consumers of the group, whether heard of or not."""
        found: set[str] = set()
        for stream in self._streams:
            rows = await self._store.xinfo_consumers(stream, self._group)
            found.update(row["name"] for row in rows)
        return sorted(found)

    def _is_stale(self, beat: str) -> bool:
        return policy.is_stale(beat, self._clock(), self._timing.grace)

    async def _bury(self, consumer: str, beat: str) -> None:
        names = (self._streams, self._group, self._beats, consumer)
        if await self._store.run(bury, *names, beat):
            log.info("%s deleted %s, which is dead", self.name, consumer)
