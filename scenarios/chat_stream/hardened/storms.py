"""What the hardened forms promise where the plain one has its hole: nothing stays lost.

Figures stand with their reason; `SILENCE` as in `subscription`.
"""

import asyncio

from harness import (
    AsyncSimulation,
    Behaviour,
    Calls,
    Elapsed,
    Exactly,
    Failed,
    LeakBound,
    MaxInFlight,
    TransientError,
    scenario,
)
from scenarios.chat_stream.bus import NotifyBus
from scenarios.chat_stream.messages import Hint, Kind, Message, Notify, Snapshot, Status
from scenarios.chat_stream.store import FakeStore
from scenarios.chat_stream.subscription.reference import ChatStream
from scenarios.chat_stream.viewer import Viewer

from . import policy
from .broken import (
    ForgetsFailure,
    NeverPolls,
    PaidByAsking,
    ReadsInParts,
    Serialised,
    TrustsHint,
    Ungated,
)
from .reference import RememberingMerge, SyncedSubscription

CHAT = "chat-1"
SILENCE = 0.200


# --- the merge that remembers ---------------------------------------------------------------------


@scenario(RememberingMerge, catches={ForgetsFailure: Failed})
async def failed_query_is_made_good(sim: AsyncSimulation, cls: type[RememberingMerge]) -> None:
    """6 is cached and the query for 5 fails: the notification of 7 brings 5, which it knows not of.

    The plain form waits for another notification of 5: `failed_query_leaves_a_hole`.
    """
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    store.commit(CHAT, Message(4))
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=3)
    store.commit(CHAT, Message(5), Message(6), Message(7))
    stream.cache(CHAT).append(Message(6))
    wire.script("messages", Behaviour(error=TransientError))
    seen: list[list[int]] = []

    async def notify() -> None:
        for after in (4, 6, 4):
            await bus.notify(CHAT, Notify(after=after))
            await sim.advance(SILENCE)
            seen.append(sorted(viewer.ids()))

    async with sim.storm(
        Exactly([5, 6, 7], viewer.ids), MaxInFlight(wire, 1), Elapsed(3 * SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(notify)
        await sim.advance(3 * SILENCE)
        await subscription.close()

    assert seen == [[6], [5, 6, 7], [5, 6, 7]]


@scenario(RememberingMerge, catches={ForgetsFailure: Exactly, PaidByAsking: Exactly})
async def failed_queries_are_made_good(sim: AsyncSimulation, cls: type[RememberingMerge]) -> None:
    """Two queries in a row fail: the third looks where the first did."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    store.commit(CHAT, Message(4))
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=3)
    store.commit(CHAT, *map(Message, range(5, 10)))
    stream.cache(CHAT).append(Message(6))
    stream.cache(CHAT).append(Message(8))
    wire.script("messages", Behaviour(error=TransientError), Behaviour(error=TransientError))

    async def notify() -> None:
        for after in (4, 7, 8):
            await bus.notify(CHAT, Notify(after=after))

    async with sim.storm(
        Exactly([5, 6, 7, 8, 9], viewer.ids),
        Calls(wire, 1 + 3, id="messages"),
        MaxInFlight(wire, 1, reached=True),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(notify)
        await sim.advance(SILENCE)
        await subscription.close()

    assert store.lookups == [3, 4, 4, 4]


@scenario(RememberingMerge)
async def nothing_is_owed_without_a_failure(
    sim: AsyncSimulation, cls: type[RememberingMerge]
) -> None:
    """No query fails: each looks where the plain form would, one for each notification."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    stream = ChatStream(store, NotifyBus[Notify](), merge=cls)
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)

    async def publish() -> None:
        for _ in range(2):
            message = store.insert()
            store.commit(CHAT, message)
            await stream.publish_message(CHAT, message)
            await sim.advance(SILENCE / 2)

    async with sim.storm(
        Exactly([2, 3], viewer.ids),
        MaxInFlight(wire, 1, reached=True),
        Elapsed(SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish)
        await sim.advance(SILENCE)
        await subscription.close()

    assert store.lookups == [0, 1, 2]


# --- the subscription by version ------------------------------------------------------------------


@scenario(SyncedSubscription, catches={NeverPolls: Exactly, TrustsHint: Exactly})
async def lost_hints_are_made_good(sim: AsyncSimulation, cls: type[SyncedSubscription]) -> None:
    """Hints are late, overtake, come twice or not at all: each message comes once, by a poll."""
    wire = sim.pool("database", latency=0.010)
    store = FakeStore(wire)
    bus = NotifyBus[Hint](
        draw=sim.draw,
        reorder=3,
        delivery=lambda: 0.001 * sim.draw(4),
        duplicates=True,
        drops=True,
    )
    subscription = cls(store, bus, CHAT)
    await subscription.open()
    viewer = Viewer()

    async def publish() -> None:
        message = store.insert()
        await asyncio.sleep(0.005 * sim.draw(8))
        store.commit(CHAT, message)
        await bus.notify(CHAT, Hint(store.version(CHAT)))

    async with sim.storm(
        Exactly([1, 2, 3], viewer.ids),
        MaxInFlight(wire, 1, reached=True),
        Elapsed(2 * policy.POLL_INTERVAL),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish, copies=3)
        await sim.advance(2 * policy.POLL_INTERVAL)
        await subscription.close()

    assert subscription.version == 3
    assert bus.listeners == 0
    # By the next poll: the last is committed at 35 ms; six hints may follow, one after the other,
    # each 3 ms on its way, of which the last begins the interval anew; then a read takes 10 ms,
    # and 20 ms where it is made in two parts.
    assert max(viewer.times) <= policy.POLL_INTERVAL + 0.035 + 6 * 0.003 + 2 * 0.010


@scenario(SyncedSubscription, catches={NeverPolls: Exactly})
async def failed_read_is_made_good(sim: AsyncSimulation, cls: type[SyncedSubscription]) -> None:
    """The one read that a hint causes fails, and no other hint comes: a poll makes it good."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Hint]()
    subscription = cls(store, bus, CHAT)
    await subscription.open()
    viewer = Viewer()
    await sim.settle()
    store.commit(CHAT, store.insert())
    wire.script("snapshot", Behaviour(error=TransientError))

    async with sim.storm(
        Exactly([1], viewer.ids),
        MaxInFlight(wire, 1, reached=True),
        Elapsed(policy.POLL_INTERVAL + SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(bus.notify, CHAT, Hint(1))
        await sim.advance(policy.POLL_INTERVAL + SILENCE)
        await subscription.close()

    assert viewer.times[-1] == policy.POLL_INTERVAL


@scenario(SyncedSubscription, catches={TrustsHint: Exactly, NeverPolls: Exactly})
async def lagging_replica_is_read_again(
    sim: AsyncSimulation, cls: type[SyncedSubscription]
) -> None:
    """A read goes to a replica that has not heard of what the hint speaks of: it is made again."""
    wire = sim.pool("database")
    store = Lagging(wire)
    bus = NotifyBus[Hint]()
    store.commit(CHAT, store.insert())
    subscription = cls(store, bus, CHAT)
    await subscription.open()
    viewer = Viewer()
    await sim.settle()
    store.commit(CHAT, store.insert())
    store.hold(CHAT)
    store.commit(CHAT, store.insert())

    async def notify() -> None:
        await bus.notify(CHAT, Hint(3))
        await sim.advance(SILENCE)
        store.catch_up()

    async with sim.storm(
        Exactly([1, 2, 3], viewer.ids),
        MaxInFlight(wire, 1),
        Elapsed(policy.POLL_INTERVAL + SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(notify)
        await sim.advance(policy.POLL_INTERVAL + SILENCE)
        await subscription.close()


@scenario(SyncedSubscription, catches={ReadsInParts: Failed, TrustsHint: (Exactly, Failed)})
async def promoted_message_is_in_one_place(
    sim: AsyncSimulation, cls: type[SyncedSubscription]
) -> None:
    """A queued message is promoted while all is read: it is queued or in the history, never both.

    Each event of the queue is followed by the message or preceded by it, and none is torn.
    """
    wire = sim.pool("database", latency=0.001)
    store = FakeStore(wire)
    bus = NotifyBus[Hint]()
    store.queue(CHAT, "and then?")
    subscription = cls(store, bus, CHAT)
    viewer = Viewer()

    async def promote() -> None:
        await asyncio.sleep(0.0005 * sim.draw(5))
        store.promote(CHAT)
        await bus.notify(CHAT, Hint(store.version(CHAT)))

    async with sim.storm(
        Exactly([1], viewer.ids), MaxInFlight(wire, 1, reached=True), LeakBound()
    ) as storm:
        storm.spawn(promote)
        await subscription.open()
        storm.spawn(viewer.watch, subscription)
        await sim.advance(SILENCE)
        await subscription.close()

    # What the subscriber knows after each event of the queue: one place, or the other.
    assert viewer.values(Kind.QUEUE) in ([("and then?",), ()], [()])
    assert viewer.events[-1].kind is Kind.QUEUE
    assert [event.kind for event in viewer.events].index(Kind.MESSAGE) == len(viewer.events) - 2


@scenario(SyncedSubscription, catches={Ungated: Calls, ReadsInParts: Calls})
async def stale_hints_cost_no_read(sim: AsyncSimulation, cls: type[SyncedSubscription]) -> None:
    """Three hints are new and ten are not: one read for the snapshot, and three more."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Hint]()
    subscription = cls(store, bus, CHAT)
    await subscription.open()
    viewer = Viewer()
    await sim.settle()

    async def publish() -> None:
        for _ in range(3):
            store.commit(CHAT, store.insert())
            await bus.notify(CHAT, Hint(store.version(CHAT)))
            await sim.advance(0.010)
        for number in range(10):
            await bus.notify(CHAT, Hint(1 + number % 3))
            await sim.advance(0.001)

    async with sim.storm(
        Exactly([1, 2, 3], viewer.ids),
        Calls(wire, 1 + 3, id="snapshot"),
        Elapsed(SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish)
        await sim.advance(SILENCE)
        await subscription.close()


@scenario(SyncedSubscription, catches={Serialised: MaxInFlight, ReadsInParts: Elapsed})
async def subscribers_read_side_by_side(
    sim: AsyncSimulation, cls: type[SyncedSubscription]
) -> None:
    """Four subscribers read their snapshots from a slow database at once, in the time of one."""
    wire = sim.pool("database", latency=1.0)
    store = FakeStore(wire)
    bus = NotifyBus[Hint]()
    store.set_status(CHAT, Status.RUNNING)
    statuses: list[object] = []

    async def subscriber() -> None:
        subscription = cls(store, bus, CHAT)
        await subscription.open()
        statuses.append((await anext(subscription)).value)
        await subscription.close()

    async with sim.storm(MaxInFlight(wire, 4, reached=True), Elapsed(1.0), LeakBound()) as storm:
        storm.spawn(subscriber, copies=4)

    assert statuses == [Status.RUNNING] * 4


class Lagging(FakeStore):
    """A replica of a store, which may stand still for a while. One loop."""

    held: Snapshot | None = None

    def hold(self, chat: str) -> None:
        """Answer from now on what is there now."""
        self.held = self.now(chat, 0)

    def catch_up(self) -> None:
        """Answer what is there again."""
        self.held = None

    async def snapshot(self, chat: str, after: int) -> Snapshot:
        """Return all of a chat, or what was there when it was held."""
        await super().snapshot(chat, after)
        return self.held or self.now(chat, after)
