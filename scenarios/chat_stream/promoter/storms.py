"""What promoter and worker promise: each text once and in its turn, and no chat is forgotten.

Figures stand with their reason; `SILENCE` as in `subscription`.
"""

import asyncio

from harness import (
    AsyncFakePool,
    AsyncSimulation,
    Elapsed,
    Exactly,
    Failed,
    LeakBound,
    MaxInFlight,
    scenario,
)
from scenarios.chat_stream.bus import NotifyBus
from scenarios.chat_stream.messages import Call, Notify, Role, Status
from scenarios.chat_stream.store import FakeStore
from scenarios.chat_stream.subscription.broken import PreFix
from scenarios.chat_stream.subscription.merge import Merge
from scenarios.chat_stream.subscription.reference import ChatStream
from scenarios.chat_stream.viewer import Viewer

from . import policy
from .broken import (
    CancelsAcquire,
    CheckedBeforeTheLock,
    KeepsAcquired,
    KeepsPlace,
    NoWake,
    ReadOverwrites,
    ReadsThenSubscribes,
    Serialised,
    TrustsNotify,
)
from .interval import Interval
from .reference import ArchivedError, NotQueuedError, Promoter, Worker

CHAT = "chat-1"
SILENCE = 0.200
HOUR = 3600.0
CALLS = (
    Call("search"),
    Call("clock", is_resolved=True),
    Call("think", is_dynamic=False),
    Call("read"),
)


class Scene:
    """One replica: a database, a bus, a stream and who answers. One loop."""

    def __init__(
        self,
        sim: AsyncSimulation,
        *,
        bus: NotifyBus[Notify] | None = None,
        merge: type[Merge] = Merge,
        thinking: float = 0.0,
        interval: float = HOUR,
    ) -> None:
        """Set it up.

        Args:
            sim: the run.
            bus: brings notifications; a prompt one by default.
            merge: of the subscriptions.
            thinking: seconds that an answer takes.
            interval: seconds between two looks of a worker.
        """
        self.sim = sim
        self.store = FakeStore(sim.pool("database"))
        self.bus = bus if bus is not None else NotifyBus[Notify]()
        self.stream = ChatStream(self.store, self.bus, merge=merge)
        self.model: AsyncFakePool = sim.pool("model", latency=thinking)
        self.settings = Interval(interval)
        self.wake = asyncio.Event()

    def worker(self, cls: type[Worker], *, batch: int = policy.BATCH) -> Worker:
        """Return a worker of this replica."""
        return cls(
            self.store,
            self.stream,
            self.bus,
            self.settings,
            wake=self.wake,
            answer=self.model.call,
            batch=batch,
        )

    def promoter(self, cls: type[Promoter]) -> Promoter:
        """Return a promoter of this replica."""
        return cls(self.store, self.stream, self.wake)

    async def poke(self) -> None:
        """Wake the worker at some moment, as another replica would."""
        await asyncio.sleep(0.001 * self.sim.draw(4))
        self.wake.set()

    async def work(self, worker: Worker, seconds: float) -> None:
        """Have a worker work for a while, then stop it."""
        run = asyncio.ensure_future(worker.run())
        await self.sim.advance(seconds)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    def texts(self, role: Role) -> list[str]:
        """Return what one side has said, by id."""
        return [each.text for each in self.store.history(CHAT) if each.role is role]


@scenario(Merge, catches={PreFix: Exactly})
async def promotion_races_the_answer(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """A chat that waits for two tools is promoted, and answered before all of that is published.

    Of four calls one has its result, and one is the worker's own: two are answered. Results 1 and
    2, the text 3 and its answer 4 are published in any order, and arrive once each.
    """
    bus = NotifyBus[Notify](draw=sim.draw, sending=lambda: 0.001 * sim.draw(3))
    scene = Scene(sim, bus=bus, merge=cls)
    row = scene.store.row(CHAT)
    row.status, row.calls, row.queue = Status.REQUIRES_ACTION, list(CALLS), ["and then?"]
    viewer = Viewer()
    subscription = await scene.stream.subscribe(CHAT)

    async with sim.storm(
        Exactly([1, 2, 3, 4], viewer.ids),
        MaxInFlight(scene.model, 1, reached=True),
        Elapsed(SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(scene.work, scene.worker(Worker), SILENCE)
        storm.spawn(scene.promoter(Promoter).promote, CHAT, "and then?")
        storm.spawn(scene.poke)
        await sim.advance(SILENCE)
        await subscription.close()

    roles = [message.role for message in scene.store.history(CHAT)]
    assert roles == [Role.TOOL, Role.TOOL, Role.USER, Role.ASSISTANT]
    assert scene.texts(Role.TOOL) == ["no result for search", "no result for read"]
    assert scene.store.row(CHAT).status is Status.WAITING


@scenario(Promoter, catches={CheckedBeforeTheLock: Failed})
async def queued_text_is_promoted_once(sim: AsyncSimulation, cls: type[Promoter]) -> None:
    """Three promote the same text at once: one does, two are told that it is not queued."""
    scene = Scene(sim)
    scene.store.queue(CHAT, "and then?")
    promoter = scene.promoter(cls)

    async with sim.storm(
        MaxInFlight(scene.store.wire, 1, reached=True), Elapsed(0.0), LeakBound()
    ) as storm:
        storm.spawn(promoter.promote, CHAT, "and then?", copies=3)

    refused = [error for error in storm.errors() if error is not None]
    assert scene.texts(Role.USER) == ["and then?"]
    assert [type(error) for error in refused] == [NotQueuedError] * 2


@scenario(Promoter)
async def archived_chat_takes_nothing(sim: AsyncSimulation, cls: type[Promoter]) -> None:
    """A chat is archived: its queue stays, its history stays, and nothing is published."""
    scene = Scene(sim)
    scene.store.queue(CHAT, "and then?")
    scene.store.row(CHAT).archived = True

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(scene.promoter(cls).promote, CHAT, "and then?")

    assert [type(error) for error in storm.errors()] == [ArchivedError]
    assert (scene.store.history(CHAT), scene.bus.sent) == ([], [])
    assert not scene.wake.is_set()


@scenario(Promoter, catches={KeepsPlace: Failed})
async def promoted_text_comes_first(sim: AsyncSimulation, cls: type[Promoter]) -> None:
    """B is promoted while the chat is running: it is interrupted, and goes on with B, A, C.

    What is asserted is the history once all has settled; the queue right after the promotion is
    nobody's to rely on.
    """
    scene = Scene(sim, thinking=1.0)
    scene.store.queue(CHAT, "A", "B", "C")
    scene.store.set_status(CHAT, Status.PENDING)

    async def promote() -> None:
        await sim.advance(0.5)
        await scene.promoter(cls).promote(CHAT, "B")

    async with sim.storm(
        MaxInFlight(scene.model, 1, reached=True),
        # Interrupted at 0.5 s; then three answers, each begun when the one before was done.
        Elapsed(0.5 + 3 * 1.0 + SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(scene.work, scene.worker(Worker), 0.5 + 3 * 1.0 + SILENCE)
        storm.spawn(promote)

    assert scene.texts(Role.USER) == ["B", "A", "C"]
    assert len(scene.texts(Role.ASSISTANT)) == 3


@scenario(Worker, catches={NoWake: Failed})
async def next_run_starts_at_once(sim: AsyncSimulation, cls: type[Worker]) -> None:
    """Two texts wait, and the worker looks once an hour: the second run starts when the first ends.

    The worker begins with the chat pending, and each answer takes a second.
    """
    scene = Scene(sim, thinking=1.0)
    scene.store.queue(CHAT, "A", "B")
    scene.store.set_status(CHAT, Status.PENDING)

    async with sim.storm(
        MaxInFlight(scene.model, 1, reached=True), Elapsed(3 * 1.0 + SILENCE), LeakBound()
    ) as storm:
        storm.spawn(scene.work, scene.worker(cls), 3 * 1.0 + SILENCE)

    assert scene.model.arrivals() == [0.0, 1.0, 2.0]


@scenario(Worker, catches={ReadsThenSubscribes: Failed, ReadOverwrites: Failed})
async def changed_interval_is_heard(sim: AsyncSimulation, cls: type[Worker]) -> None:
    """The interval falls from an hour to a second while the worker starts: it is heard."""
    trip = 0.001
    scene = Scene(sim)
    scene.settings.trip = trip

    async def change() -> None:
        await asyncio.sleep(sim.draw(6) * trip / 2)
        scene.settings.change(1.0)

    async def enqueue() -> None:
        await sim.advance(0.5)
        scene.store.set_status(CHAT, Status.PENDING)

    async with sim.storm(Elapsed(3.0), LeakBound()) as storm:
        storm.spawn(scene.work, scene.worker(cls), 3.0)
        storm.spawn(change)
        storm.spawn(enqueue)

    # Nobody wakes the worker: it looked when it had the setting, or when that changed at last, and
    # it looks again a second later.
    looked = scene.model.arrivals()
    assert len(looked) == 1
    assert 1.0 + 2 * trip <= looked[0] <= 1.0 + 5 * trip / 2
    assert scene.settings.listeners == []


@scenario(Worker, catches={TrustsNotify: Failed})
async def late_pending_does_not_interrupt(sim: AsyncSimulation, cls: type[Worker]) -> None:
    """The "pending" of a promotion arrives after its run has begun: the run goes on to its end."""
    bus = NotifyBus[Notify](
        draw=sim.draw,
        sending=lambda: 0.001 * sim.draw(3),
        delivery=lambda: 0.001 * sim.draw(3),
    )
    scene = Scene(sim, bus=bus, thinking=1.0)
    scene.store.queue(CHAT, "and then?")

    async with sim.storm(
        MaxInFlight(scene.model, 1, reached=True), Elapsed(1.0 + SILENCE), LeakBound()
    ) as storm:
        storm.spawn(scene.work, scene.worker(cls), 1.0 + SILENCE)
        storm.spawn(scene.promoter(Promoter).promote, CHAT, "and then?")
        storm.spawn(scene.poke)

    assert scene.texts(Role.ASSISTANT) == [CHAT]


@scenario(Worker, catches={CancelsAcquire: Failed, KeepsAcquired: Failed})
async def stopped_worker_leaves_no_chat(sim: AsyncSimulation, cls: type[Worker]) -> None:
    """A worker is stopped at any moment of its query, or right after it: the chat is free again."""
    scene = Scene(sim, thinking=1.0)
    scene.store.set_status(CHAT, Status.PENDING)
    run = asyncio.ensure_future(scene.worker(cls).run())

    async def stop() -> None:
        for _ in range(sim.draw(5)):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(stop)

    assert run.cancelled()
    assert scene.store.row(CHAT).status is Status.PENDING
    assert scene.store.row(CHAT).worker == ""


@scenario(Worker, catches={Serialised: MaxInFlight})
async def chats_are_answered_side_by_side(sim: AsyncSimulation, cls: type[Worker]) -> None:
    """Four chats are pending: three are taken at once, and one a second later."""
    scene = Scene(sim, thinking=0.5, interval=policy.ACQUIRE_INTERVAL)
    for number in range(4):
        scene.store.set_status(f"chat-{number}", Status.PENDING)

    async with sim.storm(
        MaxInFlight(scene.model, 3, reached=True), Elapsed(1.0 + 0.5 + SILENCE), LeakBound()
    ) as storm:
        storm.spawn(scene.work, scene.worker(cls, batch=3), 1.0 + 0.5 + SILENCE)

    assert scene.model.arrivals() == [0.0] * 3 + [1.0]
    assert all(scene.store.history(f"chat-{number}") for number in range(4))
