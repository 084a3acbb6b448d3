"""What the stream promises to threads: who parks rests, who is woken is woken in the instant.

Times are virtual, so "at once" is 0 s. They do not know how wake-ups are ordered: nobody may.
"""

import time
from collections.abc import Callable

from harness import (
    Deadlock,
    Elapsed,
    Failed,
    InFlight,
    LeakBound,
    Livelock,
    MaxInFlight,
    Parked,
    Simulation,
    scenario,
)
from harness.snapshot import assert_returned_to_baseline, snapshot
from scenarios.event_stream.policy import TOPIC, Event
from scenarios.event_stream.token import CancelToken

from .broken import (
    AckTakesBoth,
    AutoAdvance,
    CancelsWithoutJoining,
    DeafOncePark,
    EagerCallback,
    EndsOnClose,
    EventFirst,
    LatestAtFirstRecv,
    LeakedCallback,
    LeakedWatcher,
    NotifyFirst,
    NotifyOne,
    NoWakeUp,
    NumberedEarly,
    Poll,
    Serialised,
    SlowPoll,
    Spin,
    TimedWait,
    WakesWhoIsSeen,
    WatcherHoldsMutex,
)
from .reference import Consumers, Receiver, Streamer, WatchedStreamer

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
    },
)
def idle_receivers_park(sim: Simulation, cls: type[Streamer]) -> None:
    """Eight receivers of an empty log, each in its own recv, do nothing at all for 200 ms."""
    stream = cls()
    receivers = [stream.new_receiver("news", name) for name in NAMES]

    with sim.storm(Elapsed(0.200), LeakBound()) as storm:
        for receiver in receivers:
            storm.spawn(receiver.recv, name=receiver.name)
        sim.settle()
        Parked(8, in_=Receiver.recv).verify(stays=0.200)
        for receiver in receivers:
            Parked(1, in_=receiver.recv).verify()
        stream.new_sender("news").send("fid-1", 42, NEWS)

    assert [event.id for event, _ in storm.results()] == [1] * 8


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyOne: Deadlock,
        NotifyFirst: Deadlock,
    },
)
def one_event_reaches_every_name(sim: Simulation, cls: type[Streamer]) -> None:
    """Three names wait for one topic; one event is delivered to all of them at once."""
    stream = cls()

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name in NAMES[:3]:
            storm.spawn(stream.new_receiver("news", name).recv, name=name)
        sim.settle()
        stream.new_sender("news").send("fid-1", 42, NEWS)

    assert [event.foreign_id for event, _ in storm.results()] == ["fid-1"] * 3


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
        LeakedWatcher: LeakBound,
        WatcherHoldsMutex: Deadlock,
    },
)
def event_wakes_a_parked_receiver(sim: Simulation, cls: type[Streamer]) -> None:
    """A receiver that can be cancelled has waited for 50 ms: it has its event in 0 s."""
    stream = cls(clock=time.monotonic)
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.050), LeakBound()) as storm:
        storm.spawn(receiver.recv, CancelToken())
        sim.advance(0.050)
        stream.new_sender("news").send("fid-1", 42, NEWS)

    ((event, _),) = storm.results()
    assert event == Event(1, "fid-1", 42, NEWS, created_at=0.050)


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NoWakeUp: Deadlock,
        DeafOncePark: Deadlock,
    },
)
def cancel_wakes_a_parked_receiver(sim: Simulation, cls: type[Streamer]) -> None:
    """A receiver that has waited for 20 ms ends in 0 s when it is cancelled, and leaves nothing."""
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.020), LeakBound()) as storm:
        storm.spawn(receiver.recv, token)
        sim.advance(0.020)
        token.cancel()

    assert [str(error) for error in storm.errors()] == ["the token was cancelled"]
    assert token.callbacks == 0


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
    },
)
def event_may_come_at_any_moment(sim: Simulation, cls: type[Streamer]) -> None:
    """Wherever between its look at the log and its wait an event comes, the receiver gets it."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        storm.spawn(stream.send, "fid-1", 42, NEWS)

    (event, _), sent = storm.results()
    assert event == sent


@scenario(
    Streamer,
    catches={
        Poll: Elapsed,
        SlowPoll: Elapsed,
        WakesWhoIsSeen: Deadlock,
        NoWakeUp: Deadlock,
        LeakedWatcher: LeakBound,
        DeafOncePark: Deadlock,
    },
)
def cancel_may_come_at_any_moment(sim: Simulation, cls: type[Streamer]) -> None:
    """Wherever between its look at the token and its wait it is cancelled, the receiver ends."""
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receiver.recv, token)
        storm.spawn(token.cancel)

    assert [str(error) for error in storm.errors()] == ["the token was cancelled", "None"]
    assert token.callbacks == 0


@scenario(
    Streamer,
    catches={
        EventFirst: Failed,
    },
)
def cancel_beats_a_ready_event(sim: Simulation, cls: type[Streamer]) -> None:
    """A cancelled receiver gets nothing though an event is ready; a cancelled sender sends."""
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")
    token.cancel()
    stream.new_sender("news").send("fid-1", 42, NEWS, token)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receiver.recv, token)
        storm.spawn(receiver.recv)

    assert [str(error) for error in storm.errors()] == ["the token was cancelled", "None"]
    assert storm.results()[1][0].foreign_id == "fid-1"


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NoWakeUp: Deadlock,
        DeafOncePark: Deadlock,
        WatcherHoldsMutex: Deadlock,
    },
)
def spurious_wake_ups_change_nothing(sim: Simulation, cls: type[Streamer]) -> None:
    """Events of another topic wake a receiver for nothing: it parks again, and still hears."""
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")
    sender = stream.new_sender("sport")

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receiver.recv, token)
        sim.settle()
        sender.send("fid-1", 1, {TOPIC: "sport"})
        sender.send("fid-2", 2, {})
        sim.settle()
        Parked(1, in_=receiver.recv).verify()
        token.cancel()

    assert [str(error) for error in storm.errors()] == ["the token was cancelled"]


@scenario(
    Streamer,
    catches={
        EagerCallback: MaxInFlight,
    },
)
def ready_events_start_no_helper(sim: Simulation, cls: type[Streamer]) -> None:
    """A hundred events that are ready are received without a single helper."""
    stream = cls()
    helpers = sim.in_flight("helpers")
    token = CountedToken(helpers)
    receiver = stream.new_receiver("news", "consumer-a")

    def consume() -> list[int]:
        return [take(receiver, token).id for _ in range(100)]

    for number in range(100):
        stream.send(f"fid-{number}", 42, NEWS)
    with sim.storm(MaxInFlight(helpers, 0), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume)

    assert storm.results() == [list(range(1, 101))]


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: MaxInFlight,
        SlowPoll: MaxInFlight,
        NotifyFirst: Deadlock,
        NoWakeUp: MaxInFlight,
        LeakedCallback: MaxInFlight,
        LeakedWatcher: MaxInFlight,
        EagerCallback: MaxInFlight,
        WatcherHoldsMutex: Deadlock,
    },
)
def hundred_deliveries_leave_no_helper(sim: Simulation, cls: type[Streamer]) -> None:
    """A receiver that parks a hundred times has one helper at a time, and none in the end."""
    stream = cls()
    helpers = sim.in_flight("helpers")
    token = CountedToken(helpers)
    receiver = stream.new_receiver("news", "consumer-a")

    def consume() -> list[int]:
        return [take(receiver, token).id for _ in range(100)]

    with sim.storm(MaxInFlight(helpers, 1, reached=True), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume)
        for number in range(100):
            sim.settle()
            stream.send(f"fid-{number}", 42, NEWS)

    assert storm.results() == [list(range(1, 101))]
    assert (helpers.value, token.callbacks) == (0, 0)


@scenario(Streamer)
def other_topics_are_skipped(sim: Simulation, cls: type[Streamer]) -> None:
    """Another topic's event, and one without a topic, are passed over without a wait."""
    stream = cls()
    stream.send("fid-1", 1, {TOPIC: "sport"})
    stream.send("fid-2", 2, {})
    stream.send("fid-3", 3, NEWS)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(stream.new_receiver("news", "consumer-a").recv)
        storm.spawn(stream.new_receiver("", "consumer-b").recv)

    assert [event.id for event, _ in storm.results()] == [3, 1]
    assert stream.parked == 0


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        NotifyOne: Parked,
        NotifyFirst: Parked,
        NoWakeUp: Deadlock,
        DeafOncePark: Deadlock,
        WatcherHoldsMutex: Deadlock,
        Serialised: Parked,
    },
)
def each_topic_has_its_own_events(sim: Simulation, cls: type[Streamer]) -> None:
    """Two topics, a receiver each: an event ends the one and not the other."""
    stream, token = cls(), CancelToken()
    news = stream.new_receiver("news", "consumer-a")
    sport = stream.new_receiver("sport", "consumer-b")

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(news.recv, token)
        storm.spawn(sport.recv)
        sim.settle()
        stream.send("fid-1", 42, {TOPIC: "sport"})
        sim.settle()
        Parked(1, in_=news.recv).verify()
        Parked(0, in_=sport.recv).verify()
        token.cancel()

    assert [str(error) for error in storm.errors()] == ["the token was cancelled", "None"]


@scenario(
    Streamer,
    catches={
        LatestAtFirstRecv: Deadlock,
    },
)
def latest_is_fixed_at_creation(sim: Simulation, cls: type[Streamer]) -> None:
    """A receiver from the latest gets what is sent after its creation, and nothing older."""
    stream = cls()
    for number in (1, 2):
        stream.send(f"fid-{number}", 42, NEWS)
    first = stream.new_receiver("news", "consumer-a", from_latest=True)
    stream.send("fid-3", 42, NEWS)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(take, first, None)
    assert [event.id for event in storm.results()] == [3]

    first.close()
    # The name has a cursor now, which wins: it does not begin behind this one.
    stream.send("fid-4", 42, NEWS)
    second = stream.new_receiver("news", "consumer-a", from_latest=True)
    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(take, second, None)
    assert [event.id for event in storm.results()] == [4]


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        TimedWait: Parked,
        NotifyFirst: Deadlock,
    },
)
def latest_waits_for_the_next(sim: Simulation, cls: type[Streamer]) -> None:
    """Five old events: a receiver from the latest rests for 50 ms, and has the sixth in 0 s."""
    stream = cls()
    for number in range(1, 6):
        stream.send(f"fid-{number}", 42, NEWS)
    receiver = stream.new_receiver("news", "consumer-a", from_latest=True)

    with sim.storm(Elapsed(0.050), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        sim.settle()
        Parked(1, in_=receiver.recv).verify(stays=0.050)
        stream.send("fid-6", 42, NEWS)

    assert [event.id for event, _ in storm.results()] == [6]


@scenario(
    Streamer,
    catches={
        LatestAtFirstRecv: Deadlock,
    },
)
def latest_of_an_empty_log_is_its_start(sim: Simulation, cls: type[Streamer]) -> None:
    """A receiver from the latest of an empty log stands at 0, which is as if it had never been."""
    stream = cls()
    first = stream.new_receiver("news", "consumer-a", from_latest=True)
    stream.send("fid-1", 42, NEWS)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(first.recv)
    assert [event.id for event, _ in storm.results()] == [1]

    # It was not acknowledged: for the second of the name, 1 is one of the old events.
    second = stream.new_receiver("news", "consumer-a", from_latest=True)
    stream.send("fid-2", 42, NEWS)
    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(second.recv)
    assert [event.id for event, _ in storm.results()] == [2]


@scenario(
    Streamer,
    catches={
        AckTakesBoth: Deadlock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyOne: Deadlock,
        NotifyFirst: Deadlock,
    },
)
def names_are_independent(sim: Simulation, cls: type[Streamer]) -> None:
    """Two names each see all ten events in the order of the log, while they are being sent."""
    stream = cls()
    seen: dict[str, list[int]] = {"consumer-a": [], "consumer-b": []}

    def consume(name: str) -> None:
        receiver = stream.new_receiver("news", name)
        for _ in range(10):
            seen[name].append(take(receiver, None).id)

    def produce() -> None:
        for number in range(10):
            stream.send(f"fid-{number}", 42, NEWS)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume, "consumer-a")
        storm.spawn(consume, "consumer-b")
        storm.spawn(produce)

    assert seen == {"consumer-a": list(range(1, 11)), "consumer-b": list(range(1, 11))}


@scenario(
    Streamer,
    catches={
        NumberedEarly: Failed,
    },
)
def ids_follow_the_log(sim: Simulation, cls: type[Streamer]) -> None:
    """Three senders at once: the ids have no gap, and receivers get them in that order."""
    stream = cls()
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name in ("x", "y", "z"):
            storm.spawn(stream.new_sender("news").send, name, 42, NEWS)

    received = [take(receiver, None) for _ in range(3)]
    assert [event.id for event in received] == [1, 2, 3]
    assert sorted(storm.results(), key=lambda event: event.id) == received


@scenario(
    Streamer,
    catches={
        AutoAdvance: Failed,
    },
)
def unacknowledged_event_comes_again(sim: Simulation, cls: type[Streamer]) -> None:
    """An event comes again until it is acknowledged, twice or once; a second receiver goes on."""
    stream = cls()
    for number in (1, 2, 3, 4):
        stream.send(f"fid-{number}", 42, NEWS)

    def consume() -> list[int]:
        receiver = stream.new_receiver("news", "consumer-a")
        (first, _), (again, ack) = receiver.recv(), receiver.recv()
        ack()
        ack()
        receiver.close()
        following, _ = receiver.recv()
        other, _ = stream.new_receiver("news", "consumer-a").recv()
        return [first.id, again.id, following.id, other.id]

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume)

    assert storm.results() == [[1, 1, 2, 2]]


@scenario(
    Streamer,
    catches={
        EndsOnClose: Parked,
        Spin: Livelock,
        Poll: Parked,
        SlowPoll: Parked,
        TimedWait: Parked,
        NotifyFirst: Deadlock,
    },
)
def close_wakes_nobody(sim: Simulation, cls: type[Streamer]) -> None:
    """Receiver and sender are closed while one waits: it waits on, and both work as before."""
    stream = cls()
    receiver, sender = stream.new_receiver("news", "consumer-a"), stream.new_sender("news")

    with sim.storm(Elapsed(0.010), LeakBound()) as storm:
        storm.spawn(receiver.recv)
        sim.settle()
        receiver.close()
        sender.close()
        sim.settle()
        Parked(1, in_=receiver.recv).verify(stays=0.010)
        sender.send("fid-1", 42, NEWS)

    ((event, ack),) = storm.results()
    ack()
    assert (event.id, sender.send("fid-2", 42, NEWS).id) == (1, 2)
    assert take(receiver, None).id == 2


@scenario(
    Streamer,
    catches={
        Spin: Livelock,
        Poll: Failed,
        SlowPoll: Failed,
        NotifyOne: Failed,
        NotifyFirst: (Failed, Parked, Deadlock),
        Serialised: Failed,
    },
)
def send_wakes_each_receiver_once(sim: Simulation, cls: type[Streamer]) -> None:
    """Three wait, two of them for another topic: a send wakes each once, and two park again."""
    stream = cls()
    wakings = Wakings(stream)
    topics = {"consumer-a": "news", "consumer-b": "sport", "consumer-c": "sport"}

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name, topic in topics.items():
            storm.spawn(stream.new_receiver(topic, name).recv)
        sim.settle()
        Parked(3, in_=Receiver.recv).verify()
        stream.send("fid-1", 42, NEWS)
        sim.settle()
        assert wakings.count == 3
        Parked(2, in_=Receiver.recv).verify()
        stream.send("fid-2", 42, {TOPIC: "sport"})

    assert [event.id for event, _ in storm.results()] == [1, 2, 2]
    assert wakings.count == 3 + 2


@scenario(Streamer)
def late_ack_moves_back(sim: Simulation, cls: type[Streamer]) -> None:
    """The ack of an older event moves a cursor back, unless the stream is told to be monotonic."""

    def consume(stream: Streamer) -> int:
        receiver = stream.new_receiver("news", "consumer-a")
        for number in range(3):
            stream.send(f"fid-{number}", 42, NEWS)
        _, first = receiver.recv()
        first()
        _, second = receiver.recv()
        second()
        first()
        return receiver.recv()[0].id

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(consume, cls())
        storm.spawn(consume, cls(monotonic_ack=True))

    assert storm.results() == [2, 3]


@scenario(
    Streamer,
    catches={
        AckTakesBoth: Deadlock,
        Spin: Livelock,
        Poll: Elapsed,
        SlowPoll: Elapsed,
        NotifyFirst: Deadlock,
    },
)
def ack_never_waits_for_a_receiver(sim: Simulation, cls: type[Streamer]) -> None:
    """An ack while another receiver of the name looks and parks: nobody waits for the other."""
    stream = cls()
    stream.send("fid-1", 42, NEWS)
    receiver = stream.new_receiver("news", "consumer-a")
    _, ack = receiver.recv()

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(ack)
        storm.spawn(stream.new_receiver("news", "consumer-a").recv)
        sim.settle()
        stream.send("fid-2", 42, NEWS)

    assert storm.results()[1][0].id in {1, 2}


@scenario(
    WatchedStreamer,
    catches={
        LeakedWatcher: LeakBound,
    },
)
def early_baseline_sees_the_watcher(sim: Simulation, cls: type[WatchedStreamer]) -> None:
    """Who was alive before the receiver was made is alive when it has ended, and nobody else."""
    baseline = snapshot()
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.020), LeakBound()) as storm:
        storm.spawn(receiver.recv, token)
        sim.advance(0.020)
        stream.send("fid-1", 42, NEWS)

    assert [event.id for event, _ in storm.results()] == [1]
    assert_returned_to_baseline(baseline)


@scenario(
    WatchedStreamer,
    catches={
        LeakedWatcher: LeakBound,
    },
)
def watcher_wakes_a_parked_receiver(sim: Simulation, cls: type[WatchedStreamer]) -> None:
    """A receiver whose helper is a thread ends in 0 s too, at whatever moment it is cancelled."""
    baseline = snapshot()
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(receiver.recv, token)
        storm.spawn(token.cancel)

    assert [str(error) for error in storm.errors()] == ["the token was cancelled", "None"]
    assert_returned_to_baseline(baseline)


@scenario(
    Consumers,
    catches={
        CancelsWithoutJoining: Elapsed,
    },
)
def closed_consumers_are_gone(sim: Simulation, cls: type[Consumers]) -> None:
    """Close ends three consumers that each work for 10 ms, and then nobody is left."""
    stream = Streamer()
    handled: list[int] = []

    def work(name: str, event: Event) -> None:
        time.sleep(0.010)
        handled.append(event.id)

    consumers = cls(stream, "news", work)
    with sim.storm(Elapsed(0.010), LeakBound()) as storm:
        for name in NAMES[:3]:
            consumers.start(name)
        sim.settle()
        Parked(3, in_=Receiver.recv).verify()
        stream.send("fid-1", 42, NEWS)
        sim.settle()
        storm.spawn(consumers.close)

    assert handled == [1] * 3
    assert consumers.alive == 0


class Wakings:
    """How often anybody has gone on who was parked in a stream. Any thread."""

    def __init__(self, stream: Streamer) -> None:
        self.count = 0
        # On the inside: whoever looks from outside does not see a wake-up that was in vain.
        changed = stream._changed  # noqa: SLF001
        self._wait = changed.wait
        changed.wait = self._counted  # type: ignore[method-assign] # counted as it is called

    def _counted(self, timeout: float | None = None) -> bool:
        is_notified = self._wait(timeout)
        self.count += 1
        return is_notified


class CountedToken(CancelToken):
    """A token that counts who waits for it."""

    def __init__(self, helpers: InFlight) -> None:
        super().__init__()
        self._helpers = helpers

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Count a helper until it is stopped."""
        forget = super().on_cancel(callback)
        self._helpers.enter()

        def stop() -> None:
            forget()
            self._helpers.leave()

        return stop


def take(receiver: Receiver, token: CancelToken | None) -> Event:
    """Receive an event and acknowledge it."""
    event, ack = receiver.recv(token)
    ack()
    return event
