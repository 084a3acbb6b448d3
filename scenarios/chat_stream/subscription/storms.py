"""What a subscription promises: each message once, however late its notification comes.

Figures stand with their reason. `SILENCE` is how long a storm listens on after all has come: in
virtual time it costs nothing, and whatever is still on its way arrives in it.
"""

import asyncio
import logging

from harness import (
    AsyncFakePool,
    AsyncSimulation,
    Behaviour,
    Calls,
    Elapsed,
    Exactly,
    Failed,
    LeakBound,
    LogCapture,
    MaxInFlight,
    TransientError,
    scenario,
)
from scenarios.chat_stream.bus import NotifyBus
from scenarios.chat_stream.messages import Event, Kind, Message, Notify, Part, Role, Status
from scenarios.chat_stream.store import FakeStore
from scenarios.chat_stream.viewer import Viewer

from . import policy, reference
from .broken import (
    DropsWhenFull,
    ForgetsAtOnce,
    KeepsEverything,
    LastGoesBack,
    LoadsBeforeListening,
    LookupFromLast,
    NoFloor,
    NothingDelivered,
    NotifiesFirst,
    OverwritesEviction,
    PreFix,
    ProducerLock,
    RefreshRemembers,
    RunningBeforeBuffering,
    Serialised,
    TrustsCache,
    TrustsOverwrittenCache,
    UntaggedParts,
    WarnsOfEach,
)
from .merge import DurableCache, Merge
from .reference import BusError, ChatStream

CHAT = "chat-1"
SILENCE = 0.200


# --- the merge ------------------------------------------------------------------------------------


@scenario(Merge, catches={PreFix: Exactly}, matrix=False)
async def out_of_order(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """The grid: two publishers overlap, everything takes 0 to 3 ms, and each message comes once.

    Seed 40·i + j of `--seeds 0:1920` is round j of the i-th of 48 binaries that ran side by side.
    """
    wire = sim.pool("database", latency=(0.0, 0.003))
    # The first version asks less often, which is not what the grid is to count.
    await overlap(sim, cls, wire, Calls(wire, at_most=1 + 3, id="messages"))


@scenario(
    Merge,
    catches={
        PreFix: (Exactly, Calls),
        LookupFromLast: Exactly,
        NothingDelivered: Exactly,
        TrustsCache: Calls,
    },
)
async def overlapping_publishers_lose_nothing(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """The same for every other form of the merge, and one query for each notification."""
    wire = sim.pool("database", latency=(0.0, 0.003))
    await overlap(sim, cls, wire, Calls(wire, 1 + 3, id="messages"))


async def overlap(
    sim: AsyncSimulation, cls: type[Merge], wire: AsyncFakePool, asked: Calls
) -> None:
    """Have one publisher publish two messages while another publishes one with a higher id."""

    def lag() -> float:
        return 0.001 * sim.draw(4)

    store = FakeStore(wire)
    bus = NotifyBus[Notify](draw=sim.draw, reorder=3, sending=lag, delivery=lag)
    stream = ChatStream(store, bus, merge=cls, pick=lambda ready: ready[sim.draw(len(ready))])
    store.commit(CHAT, *(store.insert() for _ in range(4)))
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=2)
    synthetic, promoted, answer = (
        store.insert(role) for role in (Role.TOOL, Role.USER, Role.ASSISTANT)
    )

    async def publish(*messages: Message) -> None:
        for message in messages:
            await asyncio.sleep(lag())
            store.commit(CHAT, message)
            await asyncio.sleep(lag())
            await stream.publish_message(CHAT, message)

    async with sim.storm(
        Exactly([5, 6, 7], viewer.ids),
        asked,
        MaxInFlight(wire, 1),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish, synthetic, promoted)
        storm.spawn(publish, answer)
        await sim.advance(SILENCE)
        await subscription.close()

    assert subscription.snapshot_ids() == [3, 4]
    assert bus.listeners == 0


@scenario(Merge, catches={PreFix: Exactly, LookupFromLast: Exactly, NothingDelivered: Exactly})
async def late_message_arrives(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """6 is published after 7, and the database lags behind: the cache has it, and it arrives."""
    wire = sim.pool("database", latency=0.005)
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    store.set_status(CHAT, Status.REQUIRES_ACTION)
    store.commit(CHAT, Message(3), Message(4))
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)
    store.visible = lambda _message: False
    stream.cache(CHAT).append(Message(4))

    async def publishers() -> None:
        stream.cache(CHAT).append(Message(5))
        stream.cache(CHAT).append(Message(7))
        await bus.notify(CHAT, Notify(after=4))
        await sim.advance(SILENCE)
        stream.cache(CHAT).append(Message(6))
        await bus.notify(CHAT, Notify(after=5))

    async with sim.storm(
        Exactly([5, 7, 6], viewer.ids), MaxInFlight(wire, 1), Elapsed(2 * SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publishers)
        await sim.advance(2 * SILENCE)
        await subscription.close()

    assert subscription.snapshot[0].value is Status.REQUIRES_ACTION
    assert subscription.snapshot_ids() == [3, 4]
    # Each before the database is asked, at the instant at which it was announced: before its four
    # queries the snapshot took four times 5 ms.
    assert viewer.ids() == [5, 7, 6]
    assert viewer.times == [4 * 0.005, 4 * 0.005, 4 * 0.005 + SILENCE]
    assert asked(store)[:4] == ["status", "status", "messages", "queue"]


@scenario(Merge, catches={NoFloor: Exactly})
async def late_notify_stays_above_the_floor(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """Who has everything up to 100 gets 101 alone, though the notification speaks of 96."""
    wire = sim.pool("database")
    bus = NotifyBus[Notify]()
    stream = ChatStream(FakeStore(wire), bus, merge=cls)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=100)
    for number in range(96, 102):
        stream.cache(CHAT).append(Message(number))

    async with sim.storm(
        Exactly([101], viewer.ids), MaxInFlight(wire, 1), Elapsed(SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(bus.notify, CHAT, Notify(after=95))
        await sim.advance(SILENCE)
        await subscription.close()


@scenario(Merge, catches={PreFix: (Exactly, Calls), TrustsCache: (Exactly, Calls)})
async def database_fills_what_the_cache_lacks(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """8 is in the cache and 6, of another replica, is not: both arrive, for one query."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=5)
    stream.cache(CHAT).append(Message(8))
    store.commit(CHAT, Message(6))

    async with sim.storm(
        Exactly([6, 8], viewer.ids),
        Calls(wire, 2, id="messages"),
        MaxInFlight(wire, 1),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(bus.notify, CHAT, Notify(after=5))
        await sim.advance(SILENCE)
        await subscription.close()

    assert store.lookups == [5, 5]


@scenario(Merge, catches={PreFix: Calls, TrustsCache: Calls, NothingDelivered: Exactly})
async def each_notify_costs_one_query(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """Three messages cost the snapshot's query and three more, one at a time; each arrives once."""
    wire = sim.pool("database", latency=0.005)
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)

    async def publish() -> None:
        for _ in range(3):
            message = store.insert()
            store.commit(CHAT, message)
            await stream.publish_message(CHAT, message)

    async with sim.storm(
        Exactly([2, 3, 4], viewer.ids),
        Calls(wire, 1 + 3, id="messages"),
        MaxInFlight(wire, 1, reached=True),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish)
        await sim.advance(SILENCE)
        await subscription.close()

    assert sum(notify.is_durable for notify in bus.sent) == 3
    assert subscription.notifies.high_water <= policy.NOTIFY_QUEUE
    assert subscription.output.high_water <= policy.OUTPUT_QUEUE


@scenario(Merge, catches={PreFix: Calls, TrustsCache: Calls})
async def cached_message_arrives(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """A message that is in the cache alone arrives, once."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    stream = ChatStream(store, NotifyBus[Notify](), merge=cls)
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)

    async with sim.storm(
        Exactly([2], viewer.ids),
        Calls(wire, 2, id="messages"),
        MaxInFlight(wire, 1),
        Elapsed(SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(stream.publish_message, CHAT, store.insert())
        await sim.advance(SILENCE)
        await subscription.close()

    # It is there at the instant of its publication.
    assert viewer.times == [0.0]


@scenario(Merge)
async def missed_message_is_read(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """A message of another replica is not in the cache, and is read above the id before it."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)
    store.commit(CHAT, store.insert())

    async with sim.storm(
        Exactly([2], viewer.ids),
        Calls(wire, 2, id="messages"),
        MaxInFlight(wire, 1, reached=True),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(bus.notify, CHAT, Notify(after=1))
        await sim.advance(SILENCE)
        await subscription.close()

    assert store.lookups == [0, 1]


@scenario(Merge, catches={RefreshRemembers: Exactly})
async def edited_message_arrives_again(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """An edit drops what came after it, and the edited message arrives under its old id."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    stream = ChatStream(store, NotifyBus[Notify](), merge=cls)
    store.commit(CHAT, store.insert(text="hello"))
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)
    edited = Message(1, text="hello there")
    store.edit(CHAT, edited)

    async with sim.storm(
        Exactly([1], viewer.ids), Calls(wire, 2, id="messages"), MaxInFlight(wire, 1), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(stream.publish_edit, CHAT, edited)
        await sim.advance(SILENCE)
        await subscription.close()

    assert viewer.values(Kind.MESSAGE) == [edited]
    assert store.lookups == [0, 0]


@scenario(Merge, catches={LastGoesBack: Failed, PreFix: Exactly, TrustsCache: Failed})
async def cache_out_of_id_order(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """5, 7, 6 are drained in one pass: the next high notification looks above 7, and no lower."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = ChatStream(store, bus, merge=cls)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=4)
    for number in (5, 7, 6):
        stream.cache(CHAT).append(Message(number))

    async def notify() -> None:
        await bus.notify(CHAT, Notify(after=4))
        await sim.advance(SILENCE)
        await bus.notify(CHAT, Notify(after=8))

    async with sim.storm(
        Exactly([5, 7, 6], viewer.ids), MaxInFlight(wire, 1), Elapsed(2 * SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(notify)
        await sim.advance(2 * SILENCE)
        await subscription.close()

    assert store.lookups == [4, 4, 7]


@scenario(Merge)
async def first_message_of_all_is_not_announced(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """Message 1 notifies "after 0", which means none: it comes with the next, and not before."""
    store = FakeStore(sim.pool("database"))
    stream = ChatStream(store, NotifyBus[Notify](), merge=cls)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)

    async def publish() -> None:
        await stream.publish_message(CHAT, store.insert())
        await sim.advance(SILENCE)
        await stream.publish_message(CHAT, store.insert())

    async with sim.storm(Exactly([1, 2], viewer.ids), LeakBound()) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish)
        await sim.advance(2 * SILENCE)
        await subscription.close()

    assert viewer.times == [SILENCE, SILENCE]


@scenario(
    Merge,
    catches={
        PreFix: Exactly,
        LookupFromLast: Exactly,
        NothingDelivered: Exactly,
        TrustsCache: Exactly,
    },
)
async def failed_query_leaves_a_hole(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """6 is cached, the query that would find 5 fails, and 5 waits for a notification below it.

    This is the hole that the plain form has left: the notification of 7 does not bring 5, that of 5
    does. `hardened` has forms without it.
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
            seen.append(viewer.ids())

    async with sim.storm(
        Exactly([6, 7, 5], viewer.ids), MaxInFlight(wire, 1), Elapsed(3 * SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(notify)
        await sim.advance(3 * SILENCE)
        await subscription.close()

    assert seen == [[6], [6, 7], [6, 7, 5]]


# --- the cache ------------------------------------------------------------------------------------


@scenario(DurableCache, catches={OverwritesEviction: Failed})
async def cache_knows_what_it_dropped(sim: AsyncSimulation, cls: type[DurableCache]) -> None:
    """5, 7 and 6 were dropped from a full cache: it does not claim to have all above 6."""
    cache = cls()
    for number in (5, 7, 6, *range(8, 8 + policy.CACHE_SIZE)):
        cache.append(Message(number))
    await sim.settle()

    assert cache.lookup(6) == []
    assert cache.lookup(5) == []
    assert [message.id for message in cache.lookup(7)] == list(range(8, 8 + policy.CACHE_SIZE))


@scenario(DurableCache)
async def cache_has_what_it_claims(sim: AsyncSimulation, cls: type[DurableCache]) -> None:
    """One message more than there is room for: all but the first are there, and claimed."""
    cache = cls()
    for number in range(1, policy.CACHE_SIZE + 2):
        cache.append(Message(number))
    await sim.settle()

    assert cache.lookup(0) == []
    assert len(cache.lookup(1)) == policy.CACHE_SIZE


# --- the stream -----------------------------------------------------------------------------------


@scenario(ChatStream, catches={LoadsBeforeListening: Exactly})
async def nothing_is_lost_while_subscribing(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """A message is committed and announced at any moment of a subscription: it comes once."""
    wire = sim.pool("database", latency=0.001)
    store = FakeStore(wire)
    stream = cls(store, NotifyBus[Notify]())
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    snapshot: list[int] = []

    async def subscriber() -> None:
        subscription = await stream.subscribe(CHAT)
        snapshot.extend(subscription.snapshot_ids())
        asyncio.get_running_loop().call_later(SILENCE, subscription.cancel)
        await viewer.watch(subscription)

    async def publisher() -> None:
        await asyncio.sleep(0.0005 * sim.draw(9))
        message = store.insert()
        store.commit(CHAT, message)
        await stream.publish_message(CHAT, message)

    async with sim.storm(
        Exactly([1, 2], lambda: snapshot + viewer.ids()),
        MaxInFlight(wire, 1, reached=True),
        # Status twice, messages, queue; then it listens on.
        Elapsed(4 * 0.001 + SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(subscriber)
        storm.spawn(publisher)


@scenario(ChatStream, catches={TrustsOverwrittenCache: Exactly})
async def evicted_messages_are_read(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """5, 7, 6 were dropped from the cache, out of order: who is at 6 gets 7 from the database."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = cls(store, bus, cache_size=3)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT, after=6)
    for number in (5, 7, 6, 8, 9, 10):
        store.commit(CHAT, Message(number))
        stream.cache(CHAT).append(Message(number))

    async with sim.storm(
        Exactly([7, 8, 9, 10], viewer.ids), MaxInFlight(wire, 1), Elapsed(SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(bus.notify, CHAT, Notify(after=6))
        await sim.advance(SILENCE)
        await subscription.close()


@scenario(ChatStream, catches={DropsWhenFull: Exactly})
async def burst_waits_for_room(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Twelve notifications come while the merge waits for the database: the bus waits, too."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    bus = NotifyBus[Notify]()
    stream = cls(store, bus)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)
    held = sim.gate("database")
    wire.block_until(held)
    retries = [f"attempt {number}" for number in range(12)]

    async def burst() -> None:
        await bus.notify(CHAT, Notify(after=1))
        await held.wait_for(1)
        for retry in retries:
            await bus.notify(CHAT, Notify(retry=retry))
        await sim.advance(SILENCE)
        held.open()

    async with sim.storm(
        Exactly(retries, lambda: viewer.values(Kind.RETRY)),
        MaxInFlight(wire, 1, reached=True),
        Elapsed(2 * SILENCE),
        LeakBound(),
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(burst)
        await sim.advance(2 * SILENCE)
        await subscription.close()

    assert viewer.values(Kind.RETRY) == retries
    assert subscription.notifies.high_water == policy.NOTIFY_QUEUE


@scenario(ChatStream, catches={NotifiesFirst: Exactly})
async def cache_is_filled_before_the_notify(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """The database lags behind, and the notification finds its message in the cache."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    stream = cls(store, NotifyBus[Notify]())
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)
    store.visible = lambda _message: False

    async with sim.storm(
        Exactly([2], viewer.ids), MaxInFlight(wire, 1), Elapsed(SILENCE), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(stream.publish_message, CHAT, store.insert())
        await sim.advance(SILENCE)
        await subscription.close()


@scenario(ChatStream)
async def prompt_notifies_lose_nothing(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Replicas publish in the order of their ids over a prompt bus: even the old merge would do."""
    await two_replicas(sim, cls, NotifyBus[Notify](), SILENCE)


@scenario(ChatStream, catches={ProducerLock: Exactly, TrustsOverwrittenCache: Exactly})
async def reordered_notifies_lose_nothing(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """The same over a bus that is late, overtakes and repeats: only the merge can help."""
    bus = NotifyBus[Notify](
        draw=sim.draw, reorder=3, delivery=lambda: 0.010 * sim.draw(4), duplicates=True
    )
    await two_replicas(sim, cls, bus, SILENCE)


async def two_replicas(
    sim: AsyncSimulation, cls: type[ChatStream], bus: NotifyBus[Notify], silence: float
) -> None:
    """Have two replicas publish three messages one after the other; one has a subscriber."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    here, elsewhere = cls(store, bus), cls(store, bus)
    store.commit(CHAT, store.insert())
    viewer = Viewer()
    subscription = await here.subscribe(CHAT)

    async def commit() -> Message:
        message = store.insert()
        store.commit(CHAT, message)
        return message

    async def publish() -> None:
        for stream in (elsewhere, here, elsewhere):
            await stream.commit_and_publish(CHAT, commit)
            await sim.advance(0.010)

    async with sim.storm(
        Exactly([2, 3, 4], viewer.ids), MaxInFlight(wire, 1), Elapsed(silence), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, subscription)
        storm.spawn(publish)
        await sim.advance(silence)
        await subscription.close()


@scenario(ChatStream, catches={Serialised: MaxInFlight})
async def subscribers_do_not_wait_for_each_other(
    sim: AsyncSimulation, cls: type[ChatStream]
) -> None:
    """Three subscribe to a slow database at once, and a publisher needs none of its time."""
    wire = sim.pool("database", latency=1.0)
    store = FakeStore(wire)
    stream = cls(store, NotifyBus[Notify]())
    published: list[float] = []

    async def subscriber() -> None:
        subscription = await stream.subscribe(CHAT)
        await subscription.close()

    async def publisher() -> None:
        await stream.publish_message("chat-2", store.insert())
        published.append(sim.now())

    async with sim.storm(
        MaxInFlight(wire, 3, reached=True), Elapsed(4 * 1.0), LeakBound()
    ) as storm:
        storm.spawn(subscriber, copies=3)
        storm.spawn(publisher)

    assert published == [0.0]


@scenario(ChatStream)
async def lost_bus_ends_the_stream(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """The connection of the bus breaks twice: one error event, then the end, nothing is left."""
    store = FakeStore(sim.pool("database"))
    bus = NotifyBus[Notify]()
    stream = cls(store, bus)
    viewer = Viewer()
    subscription = await stream.subscribe(CHAT)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(viewer.watch, subscription)
        bus.lose(BusError("the listener was closed"))
        subscription.take_error(BusError("and again"))

    assert viewer.events == [Event(Kind.ERROR, "the listener was closed")]
    assert bus.listeners == 0


@scenario(ChatStream, catches={DropsWhenFull: Failed})
async def absent_reader_can_be_cancelled(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Nobody reads: output, notifications and bus fill up one after the other; close frees all."""
    store = FakeStore(sim.pool("database"))
    bus = NotifyBus[Notify]()
    stream = cls(store, bus)
    subscription = await stream.subscribe(CHAT)
    with sim.no_points():
        for number in range(policy.OUTPUT_QUEUE):
            assert subscription.output.try_put(Event(Kind.RETRY, f"attempt {number}"))

    async def flood() -> None:
        # One is in the hands of the merge, ten are queued, one is in the hands of the bus.
        for number in range(1 + policy.NOTIFY_QUEUE + 1):
            await bus.notify(CHAT, Notify(retry=f"later {number}"))

    async with sim.storm(Elapsed(SILENCE), LeakBound()) as storm:
        storm.spawn(flood)
        await sim.advance(SILENCE)
        assert len(subscription.output) == policy.OUTPUT_QUEUE
        assert len(subscription.notifies) == policy.NOTIFY_QUEUE
        assert bus.held == 1
        storm.spawn(subscription.close)

    assert bus.listeners == 0
    assert bus.held == 0


@scenario(ChatStream, catches={KeepsEverything: Failed, WarnsOfEach: Failed})
async def slow_subscriber_loses_and_is_told_of(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Nobody reads: 128 local events wait, the others are dropped; one warning in ten seconds."""
    stream = cls(FakeStore(sim.pool("database")), NotifyBus[Notify]())
    subscription = await stream.subscribe(CHAT)

    async def parts(number: int) -> None:
        for _ in range(number):
            stream.publish_part(CHAT, "bla")

    with LogCapture(reference.logger.name, logging.WARNING) as log:
        async with sim.storm(LeakBound()) as storm:
            with sim.no_points():
                await parts(policy.OUTPUT_QUEUE)
                await sim.settle()
                # One is in the hands of the merge, which has nowhere to put it.
                await parts(1)
                await sim.settle()
                await parts(policy.SUBSCRIBER_QUEUE)
            storm.spawn(parts, 3)
            await sim.settle()
            assert (len(subscription.local), stream.dropped) == (policy.SUBSCRIBER_QUEUE, 3)
            await sim.advance(9.999)
            await parts(1)
            assert len(log.records) == 1
            await sim.advance(0.001)
            await parts(1)
            await subscription.close()

    assert stream.dropped == 5
    assert len(log.records) == 2


@scenario(ChatStream)
async def snapshot_survives_a_failing_database(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Status hangs, messages fail: the stale status after 5 s, an error item, and it lives on."""
    wire = sim.pool("database")
    store = FakeStore(wire)
    stream = cls(store, NotifyBus[Notify]())
    store.set_status(CHAT, Status.RUNNING)
    store.queue(CHAT, "and then?")
    wire.script("status", Behaviour(), Behaviour(hang=True))
    wire.script("messages", Behaviour(error=TransientError("the database is away")))
    viewer = Viewer()
    message = Message(7)

    async def subscriber() -> None:
        subscription = await stream.subscribe(CHAT, after=6)
        store.commit(CHAT, message)
        assert subscription.snapshot == [
            Event(Kind.STATUS, Status.RUNNING),
            Event(Kind.QUEUE, ("and then?",)),
            Event(Kind.ERROR, "the database is away"),
        ]
        asyncio.get_running_loop().call_later(SILENCE, subscription.cancel)
        asyncio.get_running_loop().create_task(stream.publish_message(CHAT, message))
        await viewer.watch(subscription)

    async with sim.storm(
        Exactly([7], viewer.ids), Elapsed(policy.REREAD_TIMEOUT + SILENCE), LeakBound()
    ) as storm:
        storm.spawn(subscriber)


# --- the history ----------------------------------------------------------------------------------


@scenario(ChatStream, catches={RunningBeforeBuffering: Exactly, LoadsBeforeListening: Exactly})
async def joiner_misses_no_part(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Who joins a chat that says it is running finds every part, in the snapshot or after it."""
    store = FakeStore(sim.pool("database"))
    stream = cls(store, NotifyBus[Notify]())
    viewer = Viewer()
    writer, reader = await stream.subscribe(CHAT), await stream.subscribe(CHAT)
    joined: list[Event] = []

    async def answer() -> None:
        await anext(writer)
        for text in ("Hel", "lo"):
            stream.publish_part(CHAT, text)
            await asyncio.sleep(0)

    async def joiner() -> None:
        assert await anext(reader) == Event(Kind.STATUS, Status.RUNNING)
        late = await stream.subscribe(CHAT)
        joined.extend(late.snapshot)
        asyncio.get_running_loop().call_later(SILENCE, late.cancel)
        await viewer.watch(late)

    def parts() -> list[object]:
        return [event.value for event in joined + viewer.events if event.kind is Kind.PART]

    async with sim.storm(
        Exactly([Part("Hel"), Part("lo")], parts), Elapsed(SILENCE), LeakBound()
    ) as storm:
        storm.spawn(joiner)
        storm.spawn(answer)
        storm.spawn(stream.begin, CHAT)
        await sim.advance(SILENCE)
        await writer.close()
        await reader.close()


@scenario(ChatStream, catches={LoadsBeforeListening: Failed})
async def joiner_is_told_of_a_retry(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """An answer is tried again: who watches hears why, who joins reads it, until it has ended."""
    store = FakeStore(sim.pool("database"))
    stream = cls(store, NotifyBus[Notify]())
    viewer = Viewer()
    watching = await stream.subscribe(CHAT)
    snapshots: list[list[Event]] = []

    async def join() -> None:
        subscription = await stream.subscribe(CHAT)
        snapshots.append([event for event in subscription.snapshot if event.kind is Kind.RETRY])
        await subscription.close()

    async with sim.storm(
        Exactly(["overloaded"], lambda: viewer.values(Kind.RETRY)), Elapsed(0.0), LeakBound()
    ) as storm:
        storm.spawn(viewer.watch, watching)
        await stream.begin(CHAT)
        await stream.publish_retry(CHAT, "overloaded")
        await join()
        await stream.finish(CHAT)
        storm.spawn(join)
        await sim.settle()
        await watching.close()

    assert snapshots == [[Event(Kind.RETRY, "overloaded")], []]


@scenario(ChatStream, catches={ForgetsAtOnce: Failed, LoadsBeforeListening: Failed})
async def short_answer_can_still_be_joined(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """An answer ends before anybody came, uncommitted: its parts are kept for 5 s, 35 s at most."""
    store = FakeStore(sim.pool("database"))
    stream = cls(store, NotifyBus[Notify]())
    stream.start_janitor()
    await sim.advance(0.001)

    async with sim.storm(LeakBound()) as storm:
        await stream.begin(CHAT)
        stream.publish_part(CHAT, "42")
        await stream.finish(CHAT)
        late = await stream.subscribe(CHAT)
        await late.close()
        # The first sweep that finds it idle for 5 s is the first of all, at 30 s.
        await sim.advance(policy.JANITOR_INTERVAL - 0.002)
        assert stream.chats == [CHAT]
        await sim.advance(0.002)
        assert stream.chats == []
        storm.spawn(stream.close)

    assert Event(Kind.PART, Part("42")) in late.snapshot


@scenario(ChatStream)
async def idle_state_is_kept_for_35_seconds_at_most(
    sim: AsyncSimulation, cls: type[ChatStream]
) -> None:
    """A chat that ends a moment less than 5 s before a sweep is kept until the one after it."""
    store = FakeStore(sim.pool("database"))
    stream = cls(store, NotifyBus[Notify]())
    stream.start_janitor()
    subscription = await stream.subscribe("chat-watched")
    end = policy.JANITOR_INTERVAL - policy.RETENTION + 0.001

    async with sim.storm(Elapsed(end + 35.0), LeakBound()) as storm:
        await stream.begin(CHAT)
        await sim.advance(end)
        await stream.finish(CHAT)
        await sim.advance(35.0 - 0.002)
        assert stream.chats == [CHAT, "chat-watched"]
        await sim.advance(0.002)
        # Who is watched or at work is not idle, however long it lasts.
        assert stream.chats == ["chat-watched"]
        await subscription.close()
        storm.spawn(stream.close)


@scenario(ChatStream, catches={UntaggedParts: Failed, LoadsBeforeListening: Failed})
async def committed_parts_are_not_replayed(sim: AsyncSimulation, cls: type[ChatStream]) -> None:
    """Who joins a long answer gets its last parts; who joins after its commit, no part of it."""
    store = FakeStore(sim.pool("database"))
    stream = cls(store, NotifyBus[Notify](), part_buffer=10)
    answer = store.insert(Role.ASSISTANT, "a long one")
    snapshots: list[list[Event]] = []

    async def join() -> None:
        subscription = await stream.subscribe(CHAT)
        snapshots.append(subscription.snapshot)
        await subscription.close()

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        await stream.begin(CHAT)
        for number in range(10 + 6):
            stream.publish_part(CHAT, str(number))
        await join()
        store.commit(CHAT, answer)
        storm.spawn(stream.publish_message, CHAT, answer)
        await sim.settle()
        await stream.finish(CHAT)
        storm.spawn(join)

    status = Event(Kind.STATUS, Status.WAITING)
    parts = [Event(Kind.PART, Part(str(number))) for number in range(6, 16)]
    assert snapshots == [[status, *parts], [status, Event(Kind.MESSAGE, answer)]]


def asked(store: FakeStore) -> list[str]:
    """Return what the database was asked for, in order."""
    return [event.key for event in store.wire.events if event.kind == "arrived"]
