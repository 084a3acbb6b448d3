"""What the queue promises: one fetch for a crowd, an answer for each, and nobody left behind.

The table has crowds of sixty-four, which cost as much to run as everything else together; here most
are of eight or fewer and say the same, and a test runs those of the table. Time is virtual: six
seconds are six seconds, to the nanosecond.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Self

from harness import (
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    Failed,
    LeakBound,
    MaxInFlight,
    Scope,
    Simulation,
    Unhandled,
    scenario,
)
from scenarios.request_queue.error_log import BLOCKS_KEPT, BLOCKS_MAX, TRIM_EVERY, ErrorLog

from . import broken
from .reference import Bucket, Environ, RequestQueue
from .visitors import BLANK, PAGE, Patient, Site, fetch


@scenario(RequestQueue, catches={broken.PlainRemoval: Failed}, matrix=False)
def crowd_of_8(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Eight requests for one page: one fetches, and the others are sent back for it.

    Not of the matrix: a smaller crowd with every variant stands among the storms below, and
    of this size there is only what was leaked upstream.
    """
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=8)
        sim.settle()
        assert site.queue.in_course == 8

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 7}
    assert site.queue.in_course == 0


@scenario(RequestQueue, catches={broken.PlainRemoval: Failed}, matrix=False)
def crowd_of_8_gives_up(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The fetch takes ten seconds: seven give up after six, and the gauge falls to one.

    Not of the matrix: a smaller crowd with every variant stands among the storms below, and
    of this size there is only what was leaked upstream.
    """
    origin = sim.pool("origin", latency=10.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(10.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=8)
        sim.advance(8.0)
        assert site.queue.in_course == 1

    assert Counter(storm.results()) == {(200, 10.0): 1, (504, 6.0): 7}
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def one_fetch_for_a_few(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Four requests for one page: one fetches, and the others leave when it has."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=4)

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 3}
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Calls,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def second_crowd_is_served_as_the_first(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Who comes when the line has gone finds the bucket as the first crowd found it."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 1, reached=True), Elapsed(3.0 + 2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=2)
        sim.advance(3.0)
        storm.spawn(site.get, "/queue-load", copies=2)

    assert Counter(storm.results()) == {
        (200, 2.0): 1,
        (302, 2.0): 1,
        (200, 5.0): 1,
        (302, 5.0): 1,
    }
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.HeavyLoadIsGone: Failed,
        broken.WaitsHalfAsLongAgain: Failed,
        broken.WaitsForEver: Failed,
        broken.WaitsOneTickLonger: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def line_gives_up_after_six_seconds(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The fetch takes ten seconds: the line leaves after six, and the gauge falls to one."""
    origin = sim.pool("origin", latency=10.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(10.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=3)
        sim.advance(6.5)
        assert site.queue.in_course == 1

    assert Counter(storm.results()) == {(200, 10.0): 1, (504, 6.0): 2}
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.HeavyLoadIsGone: Failed,
        broken.WaitsHalfAsLongAgain: Elapsed,
        broken.WaitsForEver: Deadlock,
        broken.WaitsOneTickLonger: Elapsed,
        broken.EverythingIsFine: Failed,
        broken.KeyedByPath: Calls,
        broken.Serialised: Elapsed,
    },
)
def line_behind_a_held_bucket(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Nobody ever has the token: whoever waits gives up in time, and none stays."""
    origin = sim.pool("origin")
    site = Site(cls, origin, acquire_timeout=0.005)
    assert site.queue.bucket("/queue-load").acquire_or_join() is None

    with sim.storm(Calls(origin, 0), Elapsed(0.005), LeakBound()) as storm:
        storm.spawn(site.get, "/queue-load", copies=3)

    assert storm.results() == [(504, 0.005)] * 3
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Failed,
        broken.HashesTheQuery: Calls,
        broken.EverythingIsFine: Failed,
    },
)
def redirected_request_leaves_the_register(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A bucket is held for 5 ms: the one request that waits is sent back, and leaves no entry."""
    origin = sim.pool("origin")
    site = Site(cls, origin)
    bucket = site.queue.bucket("/queue-test")
    assert bucket.acquire_or_join() is None

    with sim.storm(Calls(origin, 0), Elapsed(0.005), LeakBound()) as storm:
        storm.spawn(site.get, "/queue-test?page=2")
        sim.advance(0.005)
        bucket.release()

    assert storm.results() == [(302, 0.005)]
    assert site.headers[0]["location"] == "/queue-test?page=2"
    assert site.queue.in_course == 0
    assert bucket.is_free


def failing(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that waits for its turn and fails."""
    site.queue.wait_turn(environ)
    message = f"no page at {environ['PATH_INFO']}"
    raise LookupError(message)


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.EverythingIsFine: Failed,
    },
)
def failing_page_leaves_the_register(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A handler that raises after its turn has come: 500 with the error, and no entry is left."""
    recorded: list[BaseException] = []
    site = Site(cls, sim.pool("origin"), failing, record=recorded.append)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/panic-test")

    assert storm.results() == [(500, 0.0)]
    assert site.texts[0].startswith("no page at /panic-test\n")
    assert "in failing" in site.texts[0]
    assert [type(each) for each in recorded] == [LookupError]
    assert site.queue.in_course == 0
    assert site.queue.bucket("/panic-test").is_free


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: MaxInFlight,
    },
)
def pages_may_fail_at_once(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Three pages fail at the same instant: each is told, each is recorded, and none stays."""
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=1.0, error=ConnectionError("no route")))
    recorded: list[BaseException] = []
    site = Site(cls, origin, record=recorded.append)
    pages = iter(["/", "/bench", "/queue-test"])

    with sim.storm(MaxInFlight(origin, 3, reached=True), Elapsed(1.0), LeakBound()) as storm:
        for page in pages:
            storm.spawn(site.get, page)

    assert storm.results() == [(500, 1.0)] * 3
    assert len(recorded) == 3
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.ForgetsAfterRecovery: Failed,
        broken.ForgetsWhenTheClientLeaves: Failed,
        broken.DetachedRelease: LeakBound,
    },
)
def gauge_is_down_while_an_error_is_recorded(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Whoever reads the gauge in the midst of the recovery sees no request that has ended."""
    seen: list[int] = []
    site: Site = Site(
        cls, sim.pool("origin"), failing, record=lambda _: seen.append(site.queue.in_course)
    )

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/panic-test", Scope("client"))

    storm.results()
    assert seen == [0]


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.EverythingIsFine: Failed,
        broken.AnswersOnlyWhatIsRecorded: Unhandled,
    },
)
def error_of_the_recovery_undoes_nothing(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The record of an error fails in its turn: the client is told all the same, no entry stays."""

    def full(_: BaseException) -> None:
        message = "no space left on device"
        raise OSError(message)

    site = Site(cls, sim.pool("origin"), failing, record=full)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/panic-test")

    assert site.queue.in_course == 0
    assert site.queue.bucket("/panic-test").is_free
    assert storm.results() == [(500, 0.0)]


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsNoClosed: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.Serialised: Calls,
    },
)
def answer_of_the_recovery_may_get_lost(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The client is out of reach when the recovery answers: an error of the server's, no entry."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, unreachable=True)

    with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)

    assert [type(error) for error in storm.errors()] == [ConnectionResetError] * 3
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


def in_pieces(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that is fetched and sent in two pieces."""
    site.queue.wait_turn(environ)
    yield PAGE
    site.origin.call(environ["PATH_INFO"])
    yield PAGE


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsNoClosed: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.Serialised: Calls,
    },
)
def answer_may_be_closed_half_way(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The client leaves when half of its answer is out: the server closes it, no entry stays."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, in_pieces)

    with sim.storm(Calls(origin, 0), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get_half, "/bench")

    assert storm.results() == [(200, 0.0)]
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.GoneIsHeavyLoad: Failed,
        broken.EverythingIsFine: Failed,
        broken.ServesItsLineFromTheEnd: Failed,
        broken.DetachedRelease: LeakBound,
        broken.ForgetsWhenTheClientLeaves: Failed,
        broken.Serialised: Failed,
    },
)
def who_leaves_is_told_nothing(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Two of four who wait leave after a second: the gauge falls by two, the others are served."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)
    client = Scope("client")

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", name="winner")
        sim.settle()
        for number in (1, 2):
            storm.spawn(site.get, "/queue-load", Patient(site, number), name="waiter")
            sim.settle()
        storm.spawn(site.get, "/queue-load", client, copies=2, name="leaver")
        sim.advance(1.0)
        assert site.queue.in_course == 5
        client.set()
        sim.settle()
        assert site.queue.in_course == 3

    assert storm.results() == [(200, 2.0), *[(302, 2.0)] * 2, *[(BLANK, 1.0)] * 2]
    assert site.left == site.joined == [1, 2]
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Failed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.ForgetsWhenTheClientLeaves: (Calls, MaxInFlight),
        broken.Serialised: Calls,
    },
)
def who_has_left_may_win_a_free_bucket(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A request whose client has left before it asks is the first: it fetches, with the token."""
    origin = sim.pool("origin", latency=2.0)
    site, client = Site(cls, origin), Scope("client")
    client.set()

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/bench", client)
        sim.advance(1.0)
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 2.0), (302, 2.0)]
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


def asking_again(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that asks for its turn again when it has been fetched."""
    fetch(site, environ)
    site.queue.wait_turn(environ)
    return [PAGE]


@scenario(RequestQueue, catches={broken.ForgetsThatItAsked: Elapsed})
def request_may_ask_twice(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A request whose handler waits for its turn twice has it the second time at once."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, asking_again)

    with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 2.0)]
    assert site.queue.in_course == 0


def in_parts(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page of two parts, which ask for their turn at once."""
    part = threading.Thread(target=site.queue.wait_turn, args=[environ], name="part")
    part.start()
    fetch(site, environ)
    part.join()
    return [PAGE]


@scenario(
    RequestQueue,
    catches={
        broken.LooksThenEnters: (Calls, Unhandled),
        broken.ForgetsThatItAsked: (Calls, Unhandled),
    },
)
def parts_of_a_request_do_not_wait_for_each_other(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Two parts of one request ask at once: one has the turn, and the other goes on with it."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, in_parts)

    with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 2.0)]
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.ForgetsWhenTheClientLeaves: Failed,
        broken.ForgetsThatItAsked: Failed,
    },
)
def gauge_counts_who_works_for_nobody(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The client leaves while its page is fetched: the request is in course until it has ended."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, asking_again)
    client = Scope("client")

    with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", client)
        sim.advance(1.0)
        client.set()
        assert site.queue.in_course == 1

    assert storm.results() == [(200, 2.0)]
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Failed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.FiftyOneBuckets: (Calls, MaxInFlight),
        broken.FiftyThreeBuckets: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def paths_of_one_bucket_share_a_fetch(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Two paths whose hashes meet: one of them is fetched, and the other is sent back."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load")
        storm.spawn(site.get, "/x15")

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 1}
    assert site.queue.in_course == 0
    assert site.queue.bucket("/x15").is_free


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.HashesTheQuery: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def query_makes_no_other_page(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The same path with three queries is one page; each is sent back to where it wanted to go."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)
    queries = [f"/bench?page={number}" for number in (1, 2, 3)]

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        for query in queries:
            storm.spawn(site.get, query)

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 2}
    sent_back = [each["location"] for each in site.headers if "location" in each]
    assert set(sent_back) < set(queries)
    assert len(set(sent_back)) == 2
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Failed,
        broken.ReleasesAtOnce: (Calls, Failed),
        broken.KeyedByPath: Calls,
        broken.HeavyLoadIsGone: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def fetch_may_end_when_patience_does(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The fetch takes six seconds, and so does patience: either answer is right, and none stays."""
    origin = sim.pool("origin", latency=6.0)
    site = Site(cls, origin)

    with sim.storm(Calls(origin, 1), Elapsed(6.0), LeakBound()) as storm:
        storm.spawn(site.get, "/queue-load", copies=3)

    assert storm.results().count((200, 6.0)) == 1
    assert set(storm.results()) <= {(200, 6.0), (302, 6.0), (504, 6.0)}
    assert site.queue.in_course == 0
    assert site.queue.bucket("/queue-load").is_free


def working_on(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that is answered at once, and a part of it that asks for its turn meanwhile."""
    part = threading.Thread(target=site.queue.wait_turn, args=[environ], name="part", daemon=True)
    part.start()
    site.working.append(part)
    return [PAGE]


@scenario(
    RequestQueue,
    catches={broken.EntersAfterItsEnd: Failed, broken.ForgetsAfterRecovery: Failed},
)
def part_that_outlives_its_request_keeps_nothing(sim: Simulation, cls: type[RequestQueue]) -> None:
    """A thread of a handler asks while its request ends, or later: no entry and no token stays."""
    origin = sim.pool("origin")
    site = Site(cls, origin, working_on)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 0.0)]
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


@scenario(
    RequestQueue,
    catches={broken.Serialised: MaxInFlight},
)
def static_files_pass_by(sim: Simulation, cls: type[RequestQueue]) -> None:
    """What is exempt, and what the middleware does not stand before, is not held up by anything."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(MaxInFlight(origin, 6, reached=True), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/favicon.ico", copies=2)
        storm.spawn(site.get, "/njump/static/logo.png", copies=2)
        storm.spawn(site.get_unqueued, "/bench", copies=2)
        sim.settle()
        assert site.queue.in_course == 0

    assert storm.results() == [(200, 2.0)] * 6


@scenario(
    RequestQueue,
    catches={broken.Serialised: Elapsed},
)
def metrics_tell_the_size_of_the_register(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Three requests are in course: the page of metrics says so, and is not to be stored."""
    site = Site(cls, sim.pool("origin", latency=2.0))

    with sim.storm(Elapsed(2.0), LeakBound()) as storm:
        for page in ("/bench", "/panic-test", "/"):
            storm.spawn(site.get, page)
        sim.settle()
        storm.spawn(site.get, "/debug/metrics")
        sim.advance(1.0)

    assert storm.results()[3] == (200, 0.0)
    assert site.texts[0].splitlines()[-1] == "queue_in_course_size 3"
    assert site.headers[0]["content-type"].startswith("text/plain; version=0.0.4")
    assert site.headers[0]["cache-control"] == "no-store"


def half_sent(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that fails when half of it is out."""
    site.queue.wait_turn(environ)
    yield PAGE
    message = "the other half is lost"
    raise LookupError(message)


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.Serialised: Failed,
    },
)
def half_an_answer_is_broken_off(sim: Simulation, cls: type[RequestQueue]) -> None:
    """An error after the first byte goes on to the server, which alone can cut the connection."""
    site = Site(cls, sim.pool("origin"), half_sent)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert isinstance(storm.errors()[0], LookupError)
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


def hurried(site: Site, environ: Environ) -> Iterable[bytes]:
    """A page that has four seconds for its turn, and fetches however long that takes."""
    site.queue.wait_turn(environ, timeout=4.0)
    site.origin.call(environ["PATH_INFO"])
    return [PAGE]


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight, Failed),
        broken.ReleasesWithTheDeadline: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.GoneIsHeavyLoad: Failed,
        broken.WaitsOneTickLonger: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
def token_outlives_the_handlers_deadline(sim: Simulation, cls: type[RequestQueue]) -> None:
    """Who waits gives up after the four seconds of its handler, and says nothing about the load."""
    origin = sim.pool("origin", latency=10.0)
    site = Site(cls, origin, hurried)

    with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(10.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/bench", copies=2)
        sim.advance(5.0)
        storm.spawn(site.get, "/bench")

    assert Counter(storm.results()) == {(200, 10.0): 1, (BLANK, 4.0): 1, (BLANK, 9.0): 1}
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


@scenario(
    RequestQueue,
    catches={
        broken.DetachedRelease: LeakBound,
        broken.ForgetsWhenTheClientLeaves: Failed,
    },
)
def winner_leaves_no_thread(sim: Simulation, cls: type[RequestQueue]) -> None:
    """The client stays connected when it has its page: nothing of the request stays with it."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", Scope("client"))

    assert storm.results() == [(200, 2.0)]
    assert site.queue.in_course == 0


# --- buckets --------------------------------------------------------------------------------------


@scenario(Bucket, catches={broken.LastComesFirst: Failed, broken.LosesTheToken: Deadlock})
def line_is_served_in_order(sim: Simulation, cls: type[Bucket]) -> None:
    """One release wakes the whole line, one after the other, in the order in which they came."""
    bucket = cls()
    served: list[str] = []
    turns = {name: bucket.acquire_or_join() for name in ("holder", "first", "second", "third")}

    def waiter(name: str) -> None:
        turn = turns[name]
        assert turn is not None
        turn.bell.wait()
        served.append(name)
        bucket.leave(turn)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name in ("third", "second", "first"):
            storm.spawn(waiter, name)
        bucket.release()

    assert served == ["first", "second", "third"]
    assert bucket.is_free


@scenario(Bucket, catches={broken.LineBarges: Failed, broken.LastComesFirst: Failed})
def token_goes_to_who_waits(sim: Simulation, cls: type[Bucket]) -> None:
    """Who comes at the instant of a release does not go before who waits."""
    bucket = cls()
    assert bucket.acquire_or_join() is None
    first = bucket.acquire_or_join()
    assert first is not None

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(bucket.release)
        storm.spawn(lambda: bucket.acquire_or_join() is None, name="newcomer")

    assert storm.results() == [None, False]
    assert first.is_granted


def pass_through(bucket: Bucket) -> None:
    """Have the token for an instant."""
    turn = bucket.acquire_or_join()
    if turn is None:
        bucket.release()
    else:
        turn.bell.wait()
        bucket.leave(turn)


@scenario(
    Bucket, catches={broken.TriesThenJoins: Deadlock, broken.LosesTheToken: (Failed, Deadlock)}
)
def token_is_taken_or_waited_for(sim: Simulation, cls: type[Bucket]) -> None:
    """Three threads want the token for an instant: each has it, and it is free in the end."""
    bucket = cls()

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(pass_through, bucket, copies=3)

    assert bucket.is_free


# --- log of errors --------------------------------------------------------------------------------


class Disk:
    """A file in memory, each access of which takes a while. Any thread."""

    def __init__(self, blocks: int) -> None:
        self.text = "---- error ----\nan old one\n" * blocks

    def open(self, mode: str, *, encoding: str) -> "Disk":
        """Open it for appending."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def write(self, text: str) -> None:
        """Append to it."""
        time.sleep(0)
        self.text += text

    def read_text(self, encoding: str) -> str:
        """Return all of it."""
        time.sleep(0)
        return self.text

    def write_text(self, text: str, encoding: str) -> None:
        """Replace all of it."""
        time.sleep(0)
        self.text = text


@scenario(ErrorLog, catches={broken.UnlockedLog: Failed})
def errors_at_once_are_each_written_down(sim: Simulation, cls: type[ErrorLog]) -> None:
    """Three pages fail while the log is cut to its fifty latest: each is in it, once."""
    pages = ["/", "/bench", "/queue-test"]
    disk = Disk(blocks=BLOCKS_MAX)
    log = cls(disk)  # type: ignore[arg-type]  # what it uses of a path
    site = Site(RequestQueue, sim.pool("origin"), failing, record=log)
    with sim.no_points():
        for _ in range(TRIM_EVERY - 2):
            log(LookupError("before"))

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for page in pages:
            storm.spawn(site.get, page)

    assert storm.results() == [(500, 0.0)] * 3
    # The second of the three cut the log, behind itself; the third came after that.
    assert disk.text.count("---- error ----") == BLOCKS_KEPT + 1
    assert [disk.text.count(f"LookupError: no page at {page}\n") for page in pages] == [1] * 3
