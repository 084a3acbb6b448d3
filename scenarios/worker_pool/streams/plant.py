"""The readers and sinks of one storm, their subscribers, and a book of who got what."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness import AsyncSimulation, AsyncStore, Fail, Hang, InFlight
from scenarios.worker_pool.strike import Strike

from . import policy
from .policy import Timing
from .reference import Event, Sink

GROUP = "workers"
GRACE = CHECK = 1.0
BLOCK = 2 * GRACE
RETRY = GRACE / 2
#: As the defaults, but with one look in a grace: each costs steps.
TIMING = Timing(grace=GRACE, check=CHECK, block=BLOCK, retry=RETRY)
#: What a reader or sink that is up has going.
STANDING = ("read", "check", "keep-alive", "subscriber")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the book: a subscriber got an event, or knows that it is acknowledged."""

    at: float
    what: str
    sink: str
    event: Event


class Probe:
    """A client that counts the claims and acknowledgements under way. One loop."""

    def __init__(self, client: Any, plant: "Plant") -> None:
        self._client = client
        self._plant = plant

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def xautoclaim(self, *args: Any) -> Any:
        """Claim."""
        with self._plant.claims:
            return await self._client.xautoclaim(*args)

    async def xack(self, *args: Any) -> Any:
        """Acknowledge."""
        with self._plant.acks:
            return await self._client.xack(*args)


class Plant:
    """Sinks over one store, and their book. One loop.

    Args:
        sim: the simulation.
        cls: the class of its sinks.
        streams: the streams that they share.
        timing: how patient they are.
        **options: of the store.
    """

    def __init__(
        self,
        sim: AsyncSimulation,
        cls: type[Sink] = Sink,
        *,
        streams: tuple[str, ...] = ("events",),
        timing: Timing = TIMING,
        **options: Any,
    ) -> None:
        self.sim = sim
        self.streams = streams
        self.timing = timing
        self.store: AsyncStore = sim.store("store", **options)
        self.claims = InFlight("claims")
        self.acks = InFlight("acknowledgements")
        self.sinks: dict[str, Sink] = {}
        self.down: dict[str, float] = {}
        self.paused: dict[str, tuple[float, float]] = {}
        self.book: list[Entry] = []
        # Kept, or they might be collected.
        self._subscribers: list[asyncio.Task[None]] = []
        self._cls = cls

    # --- what a storm does ------------------------------------------------------------------------

    def client(self, name: str) -> Any:
        """Return a client whose tasks may outlive a storm."""
        for role in STANDING:
            self.sim.background(f"{name}/{role}")
        return Probe(self.store.client(name), self)

    async def open(self, name: str, **settings: Any) -> Sink:
        """Open a sink that nobody has subscribed to."""
        client = self.client(name)
        sink = self._cls(client, name, self.streams, self.timing, group=GROUP, **settings)
        await sink.open()
        self.sinks[name] = sink
        return sink

    def serve(self, name: str, *, acks: bool = True, takes: float = 0.0) -> None:
        """Have somebody get the events of a sink, and acknowledge each after a while."""
        work = self._serve(self.sinks[name], acks=acks, takes=takes)
        self._subscribers.append(asyncio.create_task(work, name=f"{name}/subscriber"))

    async def add(self, *kinds: str, stream: str = "events") -> None:
        """Add events to a stream."""
        producer = self.store.client("producer")
        for kind in kinds:
            await producer.xadd(stream, {"kind": kind})

    def crash(self, name: str) -> None:
        """Have a sink be gone, with its subscriber."""
        self.down[name] = self.sim.now()
        self.store.crash(name)

    def pause(self, name: str, seconds: float) -> None:
        """Have a sink stand still."""
        self.paused[name] = self.sim.now(), self.sim.now() + seconds
        self.store.pause(name, seconds)

    def bury_strays(self, count: int) -> None:
        """Leave consumers in the group that died before they said that they live."""
        for stream in self.streams:
            self.store.data.xgroup_create(stream, GROUP, mkstream=True)
            for number in range(count):
                name = f"stray-{number}"
                self.store.data.xgroup_createconsumer(stream, GROUP, name)
                # Counts as heard of a grace before it is seen.
                self.down[name] = self.sim.now() - self.timing.grace

    def fail(self, name: str, key: str, site: str = "store") -> None:
        """Have the first command of one sink that is called `key` fail."""
        strike = Strike(Fail(ConnectionError("lost")), site, name, (key,))
        self.sim.inject(strike, at_most=1, certain=True)

    def hang(self, *commands: tuple[str, str]) -> None:
        """Have commands never reach the store.

        Args:
            *commands: the sink, and how the command is called.
        """
        for name, key in commands:
            self.sim.inject(Strike(Hang(), "store", name, (key,)), at_most=None, certain=True)

    async def _serve(self, sink: Sink, *, acks: bool, takes: float) -> None:
        subscription = sink.subscribe()
        while event := await subscription.get():
            self._note("got", sink, event)
            if takes:
                await asyncio.sleep(takes)
            if acks:
                try:
                    await sink.ack(event)
                except ConnectionError:
                    continue
                self._note("acked", sink, event)

    def _note(self, what: str, sink: Sink, event: Event) -> None:
        self.book.append(Entry(self.sim.now(), what, sink.name, event))

    # --- what came of it --------------------------------------------------------------------------

    def got(self, name: str) -> list[float]:
        """Return when a subscriber got events."""
        return [each.at for each in self.book if (each.what, each.sink) == ("got", name)]

    def kinds(self, what: str, name: str) -> list[str]:
        """Return the kinds of the events that a subscriber got, or acknowledged."""
        mine = (each for each in self.book if (each.what, each.sink) == (what, name))
        return [each.event.fields["kind"] for each in mine]

    def pending(self) -> int:
        """Return how many events are owed."""
        rows = (self.store.data.xpending(stream, GROUP) for stream in self.streams)
        return sum(row["pending"] for row in rows)

    def consumers(self) -> list[str]:
        """Return the consumers of all streams."""
        data = self.store.data
        found = {row["name"] for each in self.streams for row in data.xinfo_consumers(each, GROUP)}
        return sorted(found)

    def registered(self, name: str) -> list[float]:
        """Return when a sink registered."""
        return [
            event.at
            for event in self.store.events
            if event.key.startswith("register") and event.client == name
        ]

    def was_silent(self, name: str, at: float) -> bool:
        """Tell whether a sink had stood still for long enough to count as dead."""
        since, until = self.paused.get(name, (at, at))
        return at - since >= policy.STALE_GRACES * self.timing.grace and at <= until

    def up(self) -> list[Sink]:
        """Return the sinks that have neither crashed nor closed."""
        return [sink for name, sink in self.sinks.items() if name not in self.down and sink.is_open]

    def from_store(self, keep: Callable[[Any], bool]) -> list[Any]:
        """Return the commands that the store has applied and that are of interest."""
        return [event for event in self.store.events if keep(event)]
