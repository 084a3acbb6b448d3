"""What the review of the original asked of its tests: when to count, whom to join, whom to look at.

A count that is taken too late hides a leak; a scope that only cancels hides one from the next; and
a dump of all stacks shows that somebody parks, not who. Each is shown to hide it, and ours not to.
"""

import threading
from collections.abc import Callable

import pytest

from harness import Parked, Simulation, Violation, explore
from harness.snapshot import assert_returned_to_baseline, snapshot
from scenarios.event_stream.policy import TOPIC
from scenarios.event_stream.threads.broken import LeakedWatcher, NoWakeUp, SlowPoll, TimedWait
from scenarios.event_stream.threads.reference import Receiver, Streamer, WatchedStreamer
from scenarios.event_stream.token import CancelToken

NEWS = {TOPIC: "news"}


def count_late(sim: Simulation, cls: type[WatchedStreamer]) -> None:
    """Count threads when receiver and watcher are there, and again when the receiver has ended."""
    sim.background("watch-*")
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")
    with sim.storm() as storm:
        storm.spawn(receiver.recv, token)
        sim.settle()
        before = len(snapshot().alive)
        stream.send("fid-1", 42, NEWS)
    assert len(snapshot().alive) <= before


def look_early(sim: Simulation, cls: type[WatchedStreamer]) -> None:
    """Take the snapshot before anything is made, and compare who is alive."""
    sim.background("watch-*")
    baseline = snapshot()
    stream, token = cls(), CancelToken()
    receiver = stream.new_receiver("news", "consumer-a")
    with sim.storm() as storm:
        storm.spawn(receiver.recv, token)
        sim.settle()
        stream.send("fid-1", 42, NEWS)
    assert_returned_to_baseline(baseline)


@pytest.mark.parametrize(
    ("look", "cls", "verdict"),
    [
        (count_late, WatchedStreamer, "holds"),
        # One thread has gone, the receiver; one has come to stay, its watcher: N + 2, then N + 1.
        (count_late, LeakedWatcher, "holds"),
        (look_early, WatchedStreamer, "holds"),
        (look_early, LeakedWatcher, "LeakBound"),
    ],
)
def test_a_late_baseline_hides_the_leak_that_an_early_one_shows(
    look: Callable[[Simulation, type[WatchedStreamer]], None],
    cls: type[WatchedStreamer],
    verdict: str,
) -> None:
    """The same leak, by the same watcher: only the moment of the first look differs."""
    found = explore(lambda sim: look(sim, cls), schedules=20)

    assert found.verdict == verdict


@pytest.mark.parametrize(("cls", "verdict"), [(Streamer, "holds"), (NoWakeUp, "Deadlock")])
def test_who_is_cancelled_and_not_joined_is_judged_all_the_same(
    cls: type[Streamer], verdict: str
) -> None:
    """A test that ends by cancelling leaves no receiver to the next: a run sees who is left."""

    def forgets_to_join(_: Simulation) -> None:
        stream, token = cls(), CancelToken()
        for name in ("consumer-a", "consumer-b"):
            receiver = stream.new_receiver("news", name)
            threading.Thread(target=swallow, args=(receiver, token), name=name).start()
        token.cancel()

    # A receiver that starts after the cancellation never parks: not every schedule shows it.
    assert explore(forgets_to_join, schedules=50).verdict == verdict


def swallow(receiver: Receiver, token: CancelToken) -> None:
    """Receive and throw away what comes, also a cancellation."""
    try:
        receiver.recv(token)
    except Exception:
        return


# Real threads, no simulated world: each receiver by itself, never a count of text.


@pytest.mark.parametrize("cls", [Streamer, TimedWait, SlowPoll])
def test_each_real_receiver_is_judged_by_itself(cls: type[Streamer]) -> None:
    """Seven receivers that park do not hide the eighth, which polls or waits with a time-out."""
    good, other = Streamer(), cls()
    receivers = [good.new_receiver("news", f"consumer-{letter}") for letter in "abcdefg"]
    receivers.append(other.new_receiver("news", "consumer-h"))
    threads = [threading.Thread(target=each.recv, name=each.name) for each in receivers]
    for thread in threads:
        thread.start()
    try:
        for receiver in receivers[:-1]:
            Parked(1, in_=receiver.recv).verify(timeout=10.0)
        if cls is Streamer:
            Parked(8, in_=Receiver.recv).verify(timeout=10.0, stays=0.100)
        else:
            # Where it is looked at, it stands in its own frame, or moves, or has a time-out.
            with pytest.raises(Violation, match=r"parked in 'Receiver\.recv'"):
                Parked(1, in_=receivers[-1].recv).verify(timeout=0.200, stays=0.100)
    finally:
        for stream in (good, other):
            stream.send("fid-1", 42, NEWS)
        for thread in threads:
            thread.join()
