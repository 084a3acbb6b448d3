"""What the stream promises to tasks: who parks rests, who is woken is woken in the instant.

Times are virtual, so "at once" is 0 s. They do not know how wake-ups are ordered: nobody may.
"""

import asyncio
import threading
import time

from harness import (
    AsyncSimulation,
    Deadlock,
    Elapsed,
    EndsCancelled,
    Failed,
    LeakBound,
    Livelock,
    Parked,
    cancel_each,
    scenario,
)
from harness.snapshot import async_assert_returned_to_baseline, snapshot
from scenarios.event_stream.policy import TOPIC, Event

from .broken import (
    AutoAdvance,
    CancelsWithoutJoining,
    DeafOncePark,
    EagerWatcher,
    EndsOnClose,
    LatestAtFirstRecv,
    LeakedWatcher,
    NotifyFirst,
    NotifyOne,
    NumberedEarly,
    Poll,
    SendsFromAnywhere,
    Serialised,
    SlowPoll,
    Spin,
    TimedWait,
)
from .reference import Consumers, Receiver, Streamer

NEWS = {TOPIC: "news"}
NAMES = tuple(f"consumer-{letter}" for letter in "abcdefgh")


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        TimedWait: Parked,
        NotifyOne: Deadlock,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def idle_receivers_park(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Eight receivers of an empty log, each in its own recv, do nothing at all for 200 ms."""
    stream = cls()
    receivers = [stream.new_receiver("news", name) for name in NAMES]

    async with sim.storm(Elapsed(0.200), LeakBound()) as storm:
        for receiver in receivers:
            storm.spawn(receiver.recv, name=receiver.name)
        await sim.settle()
        await Parked(8, in_=Receiver.recv).async_verify(stays=0.200)
        for receiver in receivers:
            await Parked(1, in_=receiver.recv).async_verify()
        await stream.new_sender("news").send("fid-1", 42, NEWS)

    assert [event.id for event, _ in storm.results()] == [1] * 8


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyOne: Deadlock,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def one_event_reaches_every_name(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Three names wait for one topic; one event is delivered to all of them at once."""
    stream = cls()

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name in NAMES[:3]:
            storm.spawn(stream.new_receiver("news", name).recv, name=name)
        await sim.settle()
        await stream.send("fid-1", 42, NEWS)

    assert [event.foreign_id for event, _ in storm.results()] == ["fid-1"] * 3


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def event_wakes_a_parked_receiver(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A receiver has waited for 50 ms: it has its event in 0 s."""
    stream = cls(clock=time.monotonic)
    receiver = stream.new_receiver("news", "consumer-a")

    async with sim.storm(Elapsed(0.050), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        await sim.advance(0.050)
        await stream.send("fid-1", 42, NEWS)

    ((event, _),) = storm.results()
    assert event == Event(1, "fid-1", 42, NEWS, created_at=0.050)


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def event_may_come_at_any_moment(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Whether a receiver or a sender is first, and whoever goes on when, the event is received."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        storm.spawn(stream.send, "fid-1", 42, NEWS)

    (event, _), sent = storm.results()
    assert event == sent


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
        DeafOncePark: EndsCancelled,
    },
)
async def cancel_wakes_a_parked_receiver(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A receiver that has waited for 20 ms ends in 0 s when it is cancelled, and leaves nothing."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async with sim.storm(Elapsed(0.020), EndsCancelled(), LeakBound()) as storm:
        storm.spawn(receiver.recv, name="consumer-a")
        await sim.advance(0.020)
        task_called("consumer-a").cancel()

    assert isinstance(storm.errors()[0], asyncio.CancelledError)


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Failed,
        SlowPoll: Failed,
        LeakedWatcher: LeakBound,
        DeafOncePark: EndsCancelled,
    },
)
async def cancel_takes_the_condition_back(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A receiver that is cancelled while a task holds the condition ends when that lets go."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async def hold() -> None:
        async with stream._changed:
            await asyncio.sleep(0.100)

    async with sim.storm(Elapsed(0.100), EndsCancelled(), LeakBound()) as storm:
        storm.spawn(receiver.recv, name="consumer-a")
        await sim.settle()
        storm.spawn(hold)
        await sim.settle()
        task = task_called("consumer-a")
        task.cancel()
        await sim.advance(0.099)
        assert not task.done()

    assert isinstance(storm.errors()[0], asyncio.CancelledError)


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
        DeafOncePark: EndsCancelled,
        AutoAdvance: Failed,
    },
)
async def cancelled_consumer_loses_nothing(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Whichever await a consumer is cancelled at, the next one of its name goes on there."""
    stream = cls()
    handled: list[int] = []
    sim.inject(cancel_each("consumer-a"))

    async def consume() -> None:
        receiver = stream.new_receiver("news", "consumer")
        while len(handled) < 2:
            event, ack = await receiver.recv()
            await asyncio.sleep(0)
            handled.append(event.id)
            ack()

    async def produce() -> None:
        for number in (1, 2):
            await stream.send(f"fid-{number}", 42, NEWS)
            await asyncio.sleep(0)

    async with sim.storm(Elapsed(0.0), EndsCancelled(), LeakBound()) as storm:
        storm.spawn(consume, name="consumer-a")
        storm.spawn(produce)
    async with sim.storm(Elapsed(0.0), LeakBound()):
        storm.spawn(consume, name="consumer-b")

    storm.errors()
    assert handled == [1, 2]


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        LeakedWatcher: LeakBound,
        DeafOncePark: EndsCancelled,
    },
)
async def spurious_wake_ups_change_nothing(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Events of another topic wake a receiver for nothing: it parks again, and still hears."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async with sim.storm(Elapsed(0.0), EndsCancelled(), LeakBound()) as storm:
        storm.spawn(receiver.recv, name="consumer-a")
        await sim.settle()
        await stream.send("fid-1", 1, {TOPIC: "sport"})
        await stream.send("fid-2", 2, {})
        await sim.settle()
        await Parked(1, in_=receiver.recv).async_verify()
        task_called("consumer-a").cancel()

    assert isinstance(storm.errors()[0], asyncio.CancelledError)


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
        EagerWatcher: Failed,
    },
)
async def ready_events_start_no_task(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A hundred events that are ready are received without a single task beside the receiver's."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")
    helpers: list[str] = []

    async def consume() -> list[int]:
        ids = []
        for _ in range(100):
            before = asyncio.all_tasks()
            ids.append((await take(receiver)).id)
            helpers.extend(task.get_name() for task in asyncio.all_tasks() - before)
        return ids

    for number in range(100):
        await stream.send(f"fid-{number}", 42, NEWS)
    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume)

    assert storm.results() == [list(range(1, 101))]
    assert helpers == []


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: Failed,
        EagerWatcher: Failed,
    },
)
async def hundred_deliveries_start_no_task(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A receiver that parks a hundred times has no task beside its own, and none in the end."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async def consume() -> list[int]:
        return [(await take(receiver)).id for _ in range(100)]

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        before = asyncio.all_tasks()
        storm.spawn(consume, name="consumer-a")
        for number in range(100):
            await sim.settle()
            assert [task.get_name() for task in asyncio.all_tasks() - before] == ["consumer-a"]
            await stream.send(f"fid-{number}", 42, NEWS)

    assert storm.results() == [list(range(1, 101))]


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
    },
)
async def other_topics_are_skipped(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Another topic's event, and one without a topic, are passed over without a wait."""
    stream = cls()
    await stream.send("fid-1", 1, {TOPIC: "sport"})
    await stream.send("fid-2", 2, {})
    await stream.send("fid-3", 3, NEWS)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(stream.new_receiver("news", "consumer-a").recv)
        storm.spawn(stream.new_receiver("", "consumer-b").recv)

    assert [event.id for event, _ in storm.results()] == [3, 1]


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        NotifyOne: Parked,
        NotifyFirst: Parked,
        LeakedWatcher: LeakBound,
        DeafOncePark: EndsCancelled,
        Serialised: Parked,
    },
)
async def each_topic_has_its_own_events(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Two topics, a receiver each: an event ends the one and not the other."""
    stream = cls()
    news = stream.new_receiver("news", "consumer-a")
    sport = stream.new_receiver("sport", "consumer-b")

    async with sim.storm(Elapsed(0.0), EndsCancelled(), LeakBound()) as storm:
        storm.spawn(news.recv, name="consumer-a")
        storm.spawn(sport.recv, name="consumer-b")
        await sim.settle()
        await stream.send("fid-1", 42, {TOPIC: "sport"})
        await sim.settle()
        await Parked(1, in_=news.recv).async_verify()
        await Parked(0, in_=sport.recv).async_verify()
        task_called("consumer-a").cancel()

    assert isinstance(storm.errors()[0], asyncio.CancelledError)


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
        LatestAtFirstRecv: Deadlock,
    },
)
async def latest_is_fixed_at_creation(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A receiver from the latest gets what is sent after its creation, and nothing older."""
    stream = cls()
    for number in (1, 2):
        await stream.send(f"fid-{number}", 42, NEWS)
    first = stream.new_receiver("news", "consumer-a", from_latest=True)
    await stream.send("fid-3", 42, NEWS)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(take, first)
    assert [event.id for event in storm.results()] == [3]

    first.close()
    # The name has a cursor now, which wins: it does not begin behind this one.
    await stream.send("fid-4", 42, NEWS)
    second = stream.new_receiver("news", "consumer-a", from_latest=True)
    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(take, second)
    assert [event.id for event in storm.results()] == [4]


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        TimedWait: Parked,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def latest_waits_for_the_next(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Five old events: a receiver from the latest rests for 50 ms, and has the sixth in 0 s."""
    stream = cls()
    for number in range(1, 6):
        await stream.send(f"fid-{number}", 42, NEWS)
    receiver = stream.new_receiver("news", "consumer-a", from_latest=True)

    async with sim.storm(Elapsed(0.050), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        await sim.settle()
        await Parked(1, in_=receiver.recv).async_verify(stays=0.050)
        await stream.send("fid-6", 42, NEWS)

    assert [event.id for event, _ in storm.results()] == [6]


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
        LatestAtFirstRecv: Deadlock,
    },
)
async def latest_of_an_empty_log_is_its_start(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A receiver from the latest of an empty log stands at 0, which is as if it had never been."""
    stream = cls()
    first = stream.new_receiver("news", "consumer-a", from_latest=True)
    await stream.send("fid-1", 42, NEWS)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(first.recv)
    assert [event.id for event, _ in storm.results()] == [1]

    # It was not acknowledged: for the second of the name, 1 is one of the old events.
    second = stream.new_receiver("news", "consumer-a", from_latest=True)
    await stream.send("fid-2", 42, NEWS)
    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(second.recv)
    assert [event.id for event, _ in storm.results()] == [2]


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyOne: Deadlock,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def names_are_independent(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Two names each see all ten events in the order of the log, while they are being sent."""
    stream = cls()

    async def consume(name: str) -> list[int]:
        receiver = stream.new_receiver("news", name)
        return [(await take(receiver)).id for _ in range(10)]

    async def produce() -> None:
        for number in range(10):
            await stream.send(f"fid-{number}", 42, NEWS)
            await asyncio.sleep(0)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume, "consumer-a")
        storm.spawn(consume, "consumer-b")
        storm.spawn(produce)

    assert storm.results() == [list(range(1, 11)), list(range(1, 11)), None]


@scenario(
    Streamer,
    catches={
        NumberedEarly: Failed,
        LeakedWatcher: LeakBound,
    },
)
async def ids_follow_the_log(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Three senders at once: the ids have no gap, and receivers get them in that order."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async def receive() -> list[Event]:
        return [await take(receiver) for _ in range(3)]

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name in ("x", "y", "z"):
            storm.spawn(stream.new_sender("news").send, name, 42, NEWS)
    sent = sorted(storm.results(), key=lambda event: event.id)
    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receive)

    assert [event.id for event in sent] == [1, 2, 3]
    assert storm.results() == [sent]


@scenario(
    Streamer,
    catches={
        EndsOnClose: Parked,
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        TimedWait: Parked,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def close_wakes_nobody(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Receiver and sender are closed while one waits: it waits on, and both work as before."""
    stream = cls()
    receiver, sender = stream.new_receiver("news", "consumer-a"), stream.new_sender("news")

    async with sim.storm(Elapsed(0.010), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        await sim.settle()
        receiver.close()
        sender.close()
        await sim.settle()
        await Parked(1, in_=receiver.recv).async_verify(stays=0.010)
        await sender.send("fid-1", 42, NEWS)

    ((event, ack),) = storm.results()
    ack()
    assert (event.id, (await sender.send("fid-2", 42, NEWS)).id) == (1, 2)
    assert (await take(receiver)).id == 2


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
        AutoAdvance: Failed,
    },
)
async def unacknowledged_event_comes_again(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """An event comes again until it is acknowledged, twice or once; a second receiver goes on."""
    stream = cls()
    for number in (1, 2, 3):
        await stream.send(f"fid-{number}", 42, NEWS)

    async def consume() -> list[int]:
        receiver = stream.new_receiver("news", "consumer-a")
        (first, _), (again, ack) = await receiver.recv(), await receiver.recv()
        ack()
        ack()
        receiver.close()
        other, _ = await stream.new_receiver("news", "consumer-a").recv()
        return [first.id, again.id, other.id]

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume)

    assert storm.results() == [[1, 1, 2]]


@scenario(
    Streamer,
    catches={
        LeakedWatcher: LeakBound,
    },
)
async def late_ack_moves_back(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """The ack of an older event moves a cursor back, unless the stream is told to be monotonic."""

    async def consume(stream: Streamer) -> int:
        receiver = stream.new_receiver("news", "consumer-a")
        for number in range(3):
            await stream.send(f"fid-{number}", 42, NEWS)
        _, first = await receiver.recv()
        first()
        _, second = await receiver.recv()
        second()
        first()
        return (await receiver.recv())[0].id

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume, cls())
        storm.spawn(consume, cls(monotonic_ack=True))

    assert storm.results() == [2, 3]


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def early_baseline_sees_the_watcher(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """Who was alive before the receiver was made is alive when it has ended, and nobody else."""
    baseline = snapshot()
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    async with sim.storm(Elapsed(0.020)) as storm:
        storm.spawn(receiver.recv)
        await sim.advance(0.020)
        await stream.send("fid-1", 42, NEWS)

    assert [event.id for event, _ in storm.results()] == [1]
    await async_assert_returned_to_baseline(baseline)


@scenario(
    Streamer,
    catches={
        SendsFromAnywhere: Deadlock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
    },
)
async def event_from_a_thread_wakes_the_loop(sim: AsyncSimulation, cls: type[Streamer]) -> None:
    """A thread that sends wakes a receiver whose loop has nothing to run."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")
    loop = asyncio.get_running_loop()

    def send() -> None:
        stream.send_from_thread(loop, "fid-1", 42, NEWS)

    async with sim.storm(Elapsed(0.050), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        await sim.advance(0.050)
        threading.Thread(target=send, name="sender").start()

    assert [event.id for event, _ in storm.results()] == [1]


@scenario(
    Consumers,
    catches={
        CancelsWithoutJoining: Elapsed,
    },
)
async def closed_consumers_are_gone(sim: AsyncSimulation, cls: type[Consumers]) -> None:
    """Close ends three consumers that work: each tidies up for 10 ms, and then nobody is left."""
    stream = Streamer()
    tidied: list[str] = []

    async def work(name: str, _: Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.010)
            tidied.append(name)

    consumers = cls(stream, "news", work)
    async with sim.storm(Elapsed(0.010), LeakBound()) as storm:
        for name in NAMES[:3]:
            consumers.start(name)
        await sim.settle()
        await Parked(3, in_=Receiver.recv).async_verify()
        await stream.send("fid-1", 42, NEWS)
        await sim.settle()
        storm.spawn(consumers.close)

    assert sorted(tidied) == list(NAMES[:3])
    assert consumers.alive == 0


def task_called(name: str) -> asyncio.Task[object]:
    """Return the only task of that name."""
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


async def take(receiver: Receiver) -> Event:
    """Receive an event and acknowledge it."""
    event, ack = await receiver.recv()
    ack()
    return event
