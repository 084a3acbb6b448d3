"""What the neighbours of the stream promise: they wait without looking again, and leave nothing.

Each storm is a line of the table of related history.
"""

import time

from harness import (
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Failed,
    InFlight,
    LeakBound,
    MaxInFlight,
    Parked,
    Simulation,
    scenario,
)
from scenarios.event_stream.token import CancelToken

from .broken import (
    ClosesItself,
    DeafWhileWaiting,
    KeyedByText,
    LeaksOnError,
    PollsUntilStopped,
    ReadyEachTime,
    RolesSerialised,
    SenderForEachEvent,
    SleepsBetweenAttempts,
    SlotNotOver,
    SpinsUntilStopped,
    StopsOnce,
)
from .reference import (
    Claims,
    Errors,
    LoggedTopic,
    Outbox,
    Publisher,
    Roles,
    Runner,
    Scheduler,
)


@scenario(
    Runner,
    catches={
        SpinsUntilStopped: Parked,
        PollsUntilStopped: Parked,
    },
)
def stop_rests_until_all_have_ended(sim: Simulation, cls: type[Runner]) -> None:
    """A process takes a second to end: whoever stops it rests, and goes on in that instant."""

    def slow(token: CancelToken) -> None:
        token.wait()
        time.sleep(1.0)

    runner = cls({"slow": slow, "quick": idle})
    with sim.storm(Elapsed(1.0), LeakBound()) as storm:
        runner.run()
        sim.settle()
        storm.spawn(runner.stop)
        sim.settle()
        # Not until the very end of that second: then it is to go on.
        Parked(1, in_=runner.stop).verify(stays=0.999)

    assert runner.alive == 0


@scenario(
    Runner,
    catches={
        PollsUntilStopped: Elapsed,
        StopsOnce: LeakBound,
    },
)
def stop_may_come_while_it_starts(sim: Simulation, cls: type[Runner]) -> None:
    """Run and stop at once, then stop again: nothing runs any more."""
    runner = cls({"one": idle, "two": idle})

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(runner.run)
        storm.spawn(runner.stop)
        sim.settle()
        storm.spawn(runner.stop, name="again")

    assert runner.alive == 0


@scenario(
    Outbox,
    catches={
        SenderForEachEvent: MaxInFlight,
    },
)
def batch_opens_a_sender_for_each_topic(sim: Simulation, cls: type[Outbox]) -> None:
    """A thousand events on three topics: three senders are opened, at once, and all are closed."""
    broker = Broker(sim.in_flight("senders"))
    batch = [(f"topic-{number % 3}", f"fid-{number}") for number in range(1_000)]

    with sim.storm(MaxInFlight(broker.senders, 3, reached=True), Elapsed(0.0)) as storm:
        storm.spawn(cls(broker.connect).publish, batch)

    assert broker.sent == [payload for _, payload in batch]
    assert (broker.senders.total, broker.senders.value) == (3, 0)


@scenario(
    Outbox,
    catches={
        LeaksOnError: Failed,
    },
)
def failed_batch_leaves_no_sender(sim: Simulation, cls: type[Outbox]) -> None:
    """The second event cannot be sent: the batch fails, and both senders are closed."""
    broker = Broker(sim.in_flight("senders"), fails_at=2)

    with sim.storm(MaxInFlight(broker.senders, 2, reached=True), Elapsed(0.0)) as storm:
        storm.spawn(cls(broker.connect).publish, [("a", "fid-1"), ("b", "fid-2"), ("c", "fid-3")])

    assert isinstance(storm.errors()[0], ConnectionError)
    assert (broker.sent, broker.senders.value) == (["fid-1"], 0)


@scenario(
    Publisher,
    catches={
        SleepsBetweenAttempts: Elapsed,
    },
)
def cancel_ends_a_retry(sim: Simulation, cls: type[Publisher]) -> None:
    """A publisher that is cancelled 20 ms into its pause answers in that instant."""
    broker, token = sim.pool("broker"), CancelToken()
    broker.set_default(Behaviour(error=ConnectionError))

    with sim.storm(Calls(broker, 1), Elapsed(0.020), LeakBound()) as storm:
        storm.spawn(cls(broker.call).publish, "fid-1", token)
        sim.advance(0.020)
        token.cancel()

    assert [str(error) for error in storm.errors()] == ["the token was cancelled"]


@scenario(Publisher)
def pause_of_nothing_takes_nothing(sim: Simulation, cls: type[Publisher]) -> None:
    """Without a delay five attempts take no time; with 100 ms, they take four pauses."""
    broker = sim.pool("broker")
    broker.set_default(Behaviour(error=ConnectionError))

    with sim.storm(Calls(broker, 5), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(cls(broker.call, delay=0.0).publish, "fid-1", CancelToken())
    assert isinstance(storm.errors()[0], ConnectionError)

    with sim.storm(Calls(broker, 10), Elapsed(4 * 0.100), LeakBound()) as storm:
        storm.spawn(cls(broker.call).publish, "fid-1", CancelToken())
    assert isinstance(storm.errors()[0], ConnectionError)


@scenario(
    LoggedTopic,
    catches={
        ClosesItself: Failed,
    },
)
def close_is_passed_on_once(sim: Simulation, cls: type[LoggedTopic]) -> None:
    """A wrapper closes what it wraps once, and passes on what that raises."""
    broker = Broker(sim.in_flight("senders"), fails_to_close=True)
    noted: list[str] = []

    def use() -> None:
        topic = cls(broker.connect("news"), noted.append)
        topic.send("fid-1")
        topic.close()

    with sim.storm(MaxInFlight(broker.senders, 1, reached=True), Elapsed(0.0)) as storm:
        storm.spawn(use)

    assert [type(error) for error in storm.errors()] == [ConnectionError]
    assert (noted, broker.senders.value) == (["fid-1"], 0)


@scenario(
    Scheduler,
    catches={
        SlotNotOver: Calls,
    },
)
def filter_is_asked_once_a_slot(sim: Simulation, cls: type[Scheduler]) -> None:
    """Five slots that nobody wants: the filter is asked five times, and nothing runs."""
    wanted = sim.pool("filter", payload=lambda _: False)
    runs = sim.pool("runs")
    token = CancelToken()
    scheduler = cls(0.100, lambda _: runs.call(), wanted=lambda _: wanted.call())

    with sim.storm(Calls(wanted, 5), Calls(runs, 0), Elapsed(0.550), LeakBound()) as storm:
        storm.spawn(scheduler.loop, token)
        # Half a period behind the fifth slot.
        sim.advance(0.550)
        token.cancel()


@scenario(
    Claims,
    catches={
        ReadyEachTime: Deadlock,
    },
)
def five_claims_signal_once(sim: Simulation, cls: type[Claims]) -> None:
    """Five partitions are claimed at once: one of them is told, and nobody has to wait."""
    claims = cls()

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(claims.ready.get)
        for number in range(5):
            storm.spawn(claims.claim, f"partition-{number}", name=f"claim-{number}")

    assert str(storm.results()[0]).startswith("partition-")
    assert claims.ready.empty()


@scenario(
    Errors,
    catches={
        KeyedByText: Failed,
    },
)
def errors_reach_their_threshold(sim: Simulation, cls: type[Errors]) -> None:
    """Five errors of a run count to five whatever they say, those of another apart."""
    errors = cls()

    def fail(run: str) -> list[int]:
        texts = [f"attempt {number} of {run} failed" for number in range(5)]
        return [errors.add("outbox", run, ConnectionError(text)) for text in texts]

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(fail, "run-1")
        storm.spawn(fail, "run-2")

    assert storm.results() == [[1, 2, 3, 4, 5]] * 2
    errors.clear("outbox", "run-1")
    errors.clear("outbox", "run-2")
    assert len(errors) == 0


@scenario(
    Roles,
    catches={
        DeafWhileWaiting: Deadlock,
    },
)
def cancelled_caller_leaves_at_once(sim: Simulation, cls: type[Roles]) -> None:
    """A caller waits for a role that another one holds for ever: it leaves when it is cancelled."""
    roles, token = cls(), CancelToken()
    give_back = roles.take("leader", CancelToken())

    with sim.storm(Elapsed(0.020), LeakBound()) as storm:
        storm.spawn(roles.take, "leader", token)
        sim.advance(0.020)
        token.cancel()

    assert [str(error) for error in storm.errors()] == ["the token was cancelled"]
    give_back()
    roles.take("leader", CancelToken())
    assert token.callbacks == 0


@scenario(Roles, catches={RolesSerialised: Failed})
def roles_are_independent(sim: Simulation, cls: type[Roles]) -> None:
    """Two callers take a role for 10 ms in turn; who comes at 5 ms for another has it at once."""
    roles = cls()
    leaders = sim.in_flight("leaders")

    def hold(role: str, gauge: InFlight) -> float:
        give_back = roles.take(role, CancelToken())
        taken = sim.now()
        with gauge:
            time.sleep(0.010)
        give_back()
        return taken

    # Two in a row as leader; the other role is given back by then.
    with sim.storm(Elapsed(2 * 0.010), MaxInFlight(leaders, 1, reached=True), LeakBound()) as storm:
        storm.spawn(hold, "leader", leaders, copies=2)
        sim.advance(0.005)
        storm.spawn(hold, "scribe", sim.in_flight("scribes"))

    *leading, writing = storm.results()
    assert (sorted(leading), writing) == ([0.0, 0.010], 0.005)


def idle(token: CancelToken) -> None:
    """Do nothing until cancelled."""
    token.wait()


class Broker:
    """Hands out senders and counts those that are open; one thread at a time.

    The `fails_at`-th payload cannot be sent; a close may fail, and has given back what it held.
    """

    def __init__(
        self, senders: InFlight, *, fails_at: int | None = None, fails_to_close: bool = False
    ) -> None:
        self.senders = senders
        self.sent: list[str] = []
        self._fails_at = fails_at
        self._fails_to_close = fails_to_close

    def connect(self, _: str) -> "Broker":
        """Open a sender."""
        self.senders.enter()
        return self

    def send(self, payload: str) -> None:
        """Send a payload."""
        if len(self.sent) + 1 == self._fails_at:
            message = f"{payload} could not be sent"
            raise ConnectionError(message)
        self.sent.append(payload)

    def close(self) -> None:
        """Close a sender."""
        self.senders.leave()
        if self._fails_to_close:
            message = "the broker is gone"
            raise ConnectionError(message)
