"""What a time limit promises: an answer or a page, never both, and no handler that lives on."""

import time
from collections.abc import Mapping
from typing import Final

from harness import (
    Elapsed,
    Failed,
    FakePool,
    InFlight,
    LeakBound,
    MaxInFlight,
    Scope,
    Simulation,
    scenario,
)

from . import broken
from .policy import PAGE
from .reference import Answer, Deadline, TimeLimit

ANSWER: Final = b"<!doctype html>the page\n"


class Wire:
    """A connection that notices when two write at once. Any thread."""

    def __init__(self, gauge: InFlight | None = None) -> None:
        self.heads: list[tuple[int, dict[str, str]]] = []
        self.text = b""
        self._gauge = gauge or InFlight("wire")

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of an answer."""
        self.heads.append((status, dict(headers)))

    def write(self, data: bytes) -> None:
        """Take a piece of the body, which takes a while."""
        with self._gauge:
            time.sleep(0)
            self.text += data


class Fetching:
    """A handler that fetches its page, heeds its deadline and writes the page in two pieces."""

    def __init__(self, origin: FakePool) -> None:
        self._origin = origin

    def __call__(self, answer: Answer, deadline: Deadline) -> None:
        """Serve one request."""
        self._origin.call("page", cancel=deadline)
        answer.write(ANSWER[:8])
        answer.write(ANSWER[8:])


@scenario(TimeLimit, catches={broken.Serialised: (Elapsed, MaxInFlight)})
def handlers_work_side_by_side(sim: Simulation, cls: type[TimeLimit]) -> None:
    """Three handlers answer in time: each client has its page, and the limit is not felt."""
    origin = sim.pool("origin", latency=2.0)
    limit = cls(Fetching(origin))
    wires = [Wire() for _ in range(3)]

    with sim.storm(MaxInFlight(origin, 3, reached=True), Elapsed(2.0), LeakBound()) as storm:
        for wire in wires:
            storm.spawn(limit, wire, name="client")

    assert [wire.text for wire in wires] == [ANSWER] * 3
    assert [wire.heads for wire in wires] == [[(200, {})]] * 3


@scenario(
    TimeLimit,
    catches={
        broken.TellsNobody: LeakBound,
        broken.WaitsForTheHandler: Elapsed,
        broken.ParksTheError: Failed,
        broken.Serialised: MaxInFlight,
    },
)
def late_handler_ends(sim: Simulation, cls: type[TimeLimit]) -> None:
    """Handlers need fifteen seconds: after ten each client has a retry page, and they stop."""
    origin = sim.pool("origin", latency=15.0)
    recorded: list[BaseException] = []
    limit = cls(Fetching(origin), record=recorded.append)
    wires = [Wire(), Wire()]

    with sim.storm(MaxInFlight(origin, 2, reached=True), Elapsed(10.0), LeakBound()) as storm:
        for wire in wires:
            storm.spawn(limit, wire, name="client")

    assert [wire.text for wire in wires] == [PAGE] * 2
    assert wires[0].heads[0][1]["cache-control"] == "no-store"
    # Their fetches were cancelled, and they say so.
    assert len(recorded) == 2


@scenario(
    Answer,
    catches={
        broken.WritesThePageUnlocked: (Failed, MaxInFlight),
        broken.SendsThePageAlways: Failed,
    },
)
def answer_may_come_at_the_deadline(sim: Simulation, cls: type[Answer]) -> None:
    """The handler writes at the instant of the deadline: the answer, the page, or a piece of one.

    Never two of them.
    """
    origin = sim.pool("origin", latency=10.0)
    gauge = sim.in_flight("wire")
    limit = TimeLimit(Fetching(origin), answer=cls)
    wire = Wire(gauge)

    with sim.storm(MaxInFlight(gauge, 1), Elapsed(10.0), LeakBound()) as storm:
        storm.spawn(limit, wire)

    assert wire.text in {ANSWER, ANSWER[:8], PAGE}
    assert len(wire.heads) == 1


def half_hearted(answer: Answer, deadline: Deadline) -> None:
    """Write a half after two seconds, and the other after twelve."""
    time.sleep(2.0)
    answer.write(ANSWER[:8])
    time.sleep(10.0)
    answer.write(ANSWER[8:])


@scenario(
    Answer,
    catches={
        broken.SendsThePageAlways: Failed,
    },
)
def half_an_answer_is_cut(sim: Simulation, cls: type[Answer]) -> None:
    """The answer has begun when the time is over: no page follows, and no other half."""
    recorded: list[BaseException] = []
    limit = TimeLimit(half_hearted, record=recorded.append, answer=cls)
    wire = Wire()

    with sim.storm(Elapsed(10.0), LeakBound(1)) as storm:
        storm.spawn(limit, wire)

    sim.advance(5.0)
    assert wire.text == ANSWER[:8]
    assert len(wire.heads) == 1
    assert recorded == []


@scenario(
    TimeLimit,
    catches={
        broken.AnswersWhoHasLeft: Failed,
        broken.TellsNobody: LeakBound,
    },
)
def client_may_leave(sim: Simulation, cls: type[TimeLimit]) -> None:
    """The client leaves after a second: the caller returns, nothing is sent, the handler stops."""
    limit = cls(Fetching(sim.pool("origin", latency=5.0)))
    wire = Wire()
    client = Scope("client")

    with sim.storm(Elapsed(1.0), LeakBound()) as storm:
        storm.spawn(limit, wire, client)
        sim.advance(1.0)
        client.set()

    assert wire.heads == []
    assert wire.text == b""


def failing(answer: Answer, deadline: Deadline) -> None:
    """Fail after two seconds."""
    time.sleep(2.0)
    message = "no page"
    raise LookupError(message)


@scenario(TimeLimit, catches={broken.LosesTheError: Failed})
def error_is_raised_in_the_caller(sim: Simulation, cls: type[TimeLimit]) -> None:
    """A handler fails in time: its caller sees the error, so that whoever recovers there does."""
    recorded: list[BaseException] = []
    limit = cls(failing, record=recorded.append)
    wire = Wire()

    with sim.storm(Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(limit, wire)

    assert isinstance(storm.errors()[0], LookupError)
    assert wire.heads == []
    assert recorded == []


@scenario(TimeLimit, catches={broken.ParksTheError: Failed, broken.WaitsForTheHandler: Elapsed})
def late_error_is_recorded(sim: Simulation, cls: type[TimeLimit]) -> None:
    """A handler fails when nobody waits for it: that is written down, and the page stays."""
    recorded: list[BaseException] = []
    limit = cls(failing, limit=1.0, record=recorded.append)
    wire = Wire()

    with sim.storm(Elapsed(1.0), LeakBound(1)) as storm:
        storm.spawn(limit, wire)

    sim.advance(2.0)
    assert [type(each) for each in recorded] == [LookupError]
    assert wire.text == PAGE


@scenario(TimeLimit, catches={broken.ParksTheError: Failed, broken.LosesTheError: Failed})
def error_is_told_exactly_once(sim: Simulation, cls: type[TimeLimit]) -> None:
    """A handler fails at the instant of the deadline: it is raised or recorded, and not both."""
    recorded: list[BaseException] = []
    limit = cls(failing, limit=2.0, record=recorded.append)
    wire = Wire()

    with sim.storm(Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(limit, wire)

    raised = [error for error in storm.errors() if error is not None]
    assert [type(each) for each in raised + recorded] == [LookupError]


@scenario(
    TimeLimit,
    catches={broken.WaitsForTheHandler: Elapsed, broken.Serialised: (Elapsed, MaxInFlight)},
)
def deaf_handlers_are_abandoned(sim: Simulation, cls: type[TimeLimit]) -> None:
    """Three handlers heed nothing: the clients leave in time, and just these three live on."""
    working = sim.in_flight("handlers")

    def deaf(answer: Answer, deadline: Deadline) -> None:
        with working:
            time.sleep(15.0)

    limit = cls(deaf)
    wires = [Wire() for _ in range(3)]
    with sim.storm(MaxInFlight(working, 3, reached=True), Elapsed(10.0), LeakBound(3)) as storm:
        for wire in wires:
            storm.spawn(limit, wire, name="client")

    assert [wire.text for wire in wires] == [PAGE] * 3
    assert working.value == 3
    sim.advance(5.0)
    sim.settle()
    assert working.value == 0


def long_winded(answer: Answer, deadline: Deadline) -> None:
    """Say how long the answer will be, and then need too long for it."""
    answer.headers["content-length"] = "1000"
    answer.headers["x-page"] = "the real one"
    deadline_is_over(deadline)


def deadline_is_over(deadline: Deadline) -> None:
    """Poll, as a handler does that computes."""
    while not deadline.is_set():
        time.sleep(1.0)


@scenario(
    Answer,
    catches={
        broken.SharesTheHeaders: Failed,
    },
)
def page_has_headers_of_its_own(sim: Simulation, cls: type[Answer]) -> None:
    """The handler had set headers for an answer that never came: the page goes without them."""
    limit = TimeLimit(long_winded, limit=2.5, answer=cls)
    wire = Wire()

    with sim.storm(Elapsed(2.5), LeakBound(1)) as storm:
        storm.spawn(limit, wire)

    sim.advance(1.0)
    ((status, headers),) = wire.heads
    assert status == 200
    assert sorted(headers) == ["cache-control", "content-type"]


def endless(answer: Answer, deadline: Deadline) -> None:
    """Write for ever."""
    while True:
        time.sleep(1.0)
        answer.write(b".")


@scenario(Answer, catches={broken.DropsWithoutAWord: LeakBound, broken.SendsThePageAlways: Failed})
def writer_without_end_ends(sim: Simulation, cls: type[Answer]) -> None:
    """A handler that only ever writes learns by its next write that nobody listens any more."""
    limit = TimeLimit(endless, limit=2.5, answer=cls)
    wire = Wire()

    with sim.storm(Elapsed(2.5 + 1.0), LeakBound()) as storm:
        storm.spawn(limit, wire)
        storm.spawn(time.sleep, 3.5)

    assert wire.text == b".."
    assert len(wire.heads) == 1
