"""What the queue promises: one fetch for a crowd, an answer for each, and nobody left behind.

The table has crowds of sixty-four, which cost as much to run as everything else together; here most
are of eight or fewer and say the same, and a test runs those of the table. Time is virtual: six
seconds are six seconds, to the nanosecond.
"""

import asyncio
from collections import Counter

from harness import (
    AsyncSimulation,
    Behaviour,
    Calls,
    Deadlock,
    Elapsed,
    EndsCancelled,
    Failed,
    LeakBound,
    MaxInFlight,
    Unhandled,
    cancel_each,
    scenario,
)

from . import broken
from .reference import Bucket, RequestQueue, Scope, Send
from .visitors import BLANK, Site, fetch, respond


@scenario(RequestQueue, catches={broken.PlainRemoval: Failed}, matrix=False)
async def crowd_of_64(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """Sixty-four requests for one page: one fetches, and the others are sent back for it.

    Not of the matrix: a smaller crowd with every variant stands among the storms below, and
    of this size there is only what was leaked upstream.
    """
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    async with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=64)
        await sim.settle()
        assert site.queue.in_course == 64

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 63}
    assert site.answered == site.arrived
    assert site.queue.in_course == 0


@scenario(RequestQueue, catches={broken.PlainRemoval: Failed}, matrix=False)
async def crowd_of_8_gives_up(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """The fetch takes ten seconds: seven give up after six, and the gauge falls to one.

    Not of the matrix: a smaller crowd with every variant stands among the storms below, and
    of this size there is only what was leaked upstream.
    """
    origin = sim.pool("origin", latency=10.0)
    site = Site(cls, origin)

    async with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(10.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=8)
        await sim.advance(8.0)
        assert site.queue.in_course == 1

    assert Counter(storm.results()) == {(200, 10.0): 1, (504, 6.0): 7}
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.LooksThenEnters: Failed,
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.ServesItsLineFromTheEnd: Failed,
        broken.Serialised: Calls,
    },
)
async def one_fetch_for_a_few(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """Four requests for one page: one fetches, and the others leave when it has."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    async with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=4)

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 3}
    assert site.answered == site.arrived
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Calls,
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
async def second_crowd_is_served_as_the_first(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """Who comes when the line has gone finds the bucket as the first crowd found it."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    async with sim.storm(
        Calls(origin, 2), MaxInFlight(origin, 1, reached=True), Elapsed(3.0 + 2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=2)
        await sim.advance(3.0)
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
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.HeavyLoadIsGone: Failed,
        broken.WaitsHalfAsLongAgain: Failed,
        broken.WaitsForEver: Failed,
        broken.WaitsOneTickLonger: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
async def line_gives_up_after_six_seconds(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """The fetch takes ten seconds: the line leaves after six, and the gauge falls to one."""
    origin = sim.pool("origin", latency=10.0)
    site = Site(cls, origin)

    async with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(10.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", copies=3)
        await sim.advance(6.5)
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
async def line_behind_a_held_bucket(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """Nobody ever has the token: whoever waits gives up in time, and none stays."""
    origin = sim.pool("origin")
    site = Site(cls, origin, acquire_timeout=0.005)
    assert site.queue.bucket("/queue-load").try_acquire()

    async with sim.storm(Calls(origin, 0), Elapsed(0.005), LeakBound()) as storm:
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
async def redirected_request_leaves_the_register(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """A bucket is held for 5 ms: the one request that waits is sent back, and leaves no entry."""
    origin = sim.pool("origin")
    site = Site(cls, origin)
    bucket = site.queue.bucket("/queue-test")
    assert bucket.try_acquire()

    async with sim.storm(Calls(origin, 0), Elapsed(0.005), LeakBound()) as storm:
        storm.spawn(site.get, "/queue-test?page=2")
        await sim.advance(0.005)
        bucket.release()

    assert storm.results() == [(302, 0.005)]
    assert site.headers[0]["location"] == "/queue-test?page=2"
    assert site.queue.in_course == 0
    assert bucket.is_free


async def failing(site: Site, scope: Scope, send: Send) -> None:
    """A page that waits for its turn and fails."""
    await site.queue.wait_turn(scope)
    message = f"no page at {scope['path']}"
    raise LookupError(message)


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.EverythingIsFine: Failed,
    },
)
async def failing_page_leaves_the_register(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """A handler that raises after its turn has come: 500 with the error, and no entry is left."""
    recorded: list[BaseException] = []
    site = Site(cls, sim.pool("origin"), failing, record=recorded.append)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
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
async def pages_may_fail_at_once(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """Four pages fail at the same instant: each is told, each is recorded, and none stays."""
    origin = sim.pool("origin")
    origin.set_default(Behaviour(latency=1.0, error=ConnectionError("no route")))
    recorded: list[BaseException] = []
    site = Site(cls, origin, record=recorded.append)
    pages = iter(["/", "/bench", "/queue-test", "/panic-test"])

    async with sim.storm(MaxInFlight(origin, 4, reached=True), Elapsed(1.0), LeakBound()) as storm:
        for page in pages:
            storm.spawn(site.get, page)

    assert storm.results() == [(500, 1.0)] * 4
    assert len(recorded) == 4
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.ForgetsAfterRecovery: Failed,
        broken.ForgetsWhenTheClientLeaves: Failed,
    },
)
async def gauge_is_down_while_an_error_is_recorded(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """Whoever reads the gauge in the midst of the recovery sees no request that has ended."""
    seen: list[int] = []
    site: Site = Site(
        cls, sim.pool("origin"), failing, record=lambda _: seen.append(site.queue.in_course)
    )

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/panic-test")

    storm.results()
    assert seen == [0]


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.EverythingIsFine: Failed,
        broken.DetachedRelease: Failed,
        broken.AnswersOnlyWhatIsRecorded: Unhandled,
    },
)
async def error_of_the_recovery_undoes_nothing(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """The record of an error fails in its turn: the client is told all the same, no entry stays."""

    def full(_: BaseException) -> None:
        message = "no space left on device"
        raise OSError(message)

    site = Site(cls, sim.pool("origin"), failing, record=full)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/panic-test", copies=2)

    assert site.queue.in_course == 0
    assert site.queue.bucket("/panic-test").is_free
    assert storm.results() == [(500, 0.0)] * 2


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.Serialised: Calls,
    },
)
async def answer_of_the_recovery_may_get_lost(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """The client is out of reach when the recovery answers: an error of the server's, no entry."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, unreachable=True)

    async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)

    assert [type(error) for error in storm.errors()] == [ConnectionResetError] * 3
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.ForgetsAfterRecovery: Failed,
        broken.ForgetsWhenTheClientLeaves: Failed,
    },
)
async def recovery_may_be_cancelled_while_it_sends(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """A request is cancelled while its recovery sends: the gauge is down then, and all is free."""
    site = Site(cls, sim.pool("origin"), failing, slow=True)
    sim.inject(cancel_each("unlucky"))

    async with sim.storm(Elapsed(0.0), EndsCancelled(), LeakBound()) as storm:
        storm.spawn(site.get, "/panic-test", name="unlucky")

    # Cancelled before its answer, between the head and the body of it, or not at all.
    assert site.gauges in ([], [0], [0, 0])
    assert (storm.errors() == [None]) is (site.gauges == [0, 0])
    assert site.queue.in_course == 0
    assert site.queue.bucket("/panic-test").is_free


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsNoCancelled: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: MaxInFlight,
        broken.KeyedByPath: MaxInFlight,
        broken.Serialised: Elapsed,
    },
)
async def request_may_be_cancelled_anywhere(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """A request is cancelled at each of its awaits: no entry, no token and no task stays behind."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)
    sim.inject(cancel_each("unlucky"))

    async with sim.storm(
        MaxInFlight(origin, 1, reached=True), Elapsed(at_most=2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", name="unlucky")
        storm.spawn(site.get, "/queue-load", copies=2)

    assert {status for status, _ in filter(None, storm.results())} <= {200, 302}
    assert site.queue.in_course == 0
    assert site.queue.bucket("/queue-load").is_free


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.GoneIsHeavyLoad: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Failed,
    },
)
async def who_leaves_is_told_nothing(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """Two of four who wait leave after a second: the gauge falls by two, the others are served."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    async with sim.storm(
        Calls(origin, 1), MaxInFlight(origin, 1, reached=True), Elapsed(2.0), LeakBound()
    ) as storm:
        storm.spawn(site.get, "/queue-load", name="winner")
        await sim.settle()
        storm.spawn(site.get, "/queue-load", copies=2, name="waiter")
        storm.spawn(site.get, "/queue-load", 1.0, copies=2, name="leaver")
        await sim.advance(0.5)
        assert site.queue.in_course == 5
        await sim.advance(1.0)
        assert site.queue.in_course == 3

    assert storm.results() == [(200, 2.0), *[(302, 2.0)] * 2, *[(BLANK, 1.0)] * 2]
    assert site.queue.in_course == 0


async def asking_again(site: Site, scope: Scope, send: Send) -> None:
    """A page that asks for its turn again when it has been fetched."""
    await fetch(site, scope, respond_later)
    await site.queue.wait_turn(scope)
    await respond(send)


async def respond_later(_message: object) -> None:
    """Send nothing."""


@scenario(RequestQueue, catches={broken.ForgetsThatItAsked: Elapsed})
async def request_may_ask_twice(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """A request whose handler waits for its turn twice has it the second time at once."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, asking_again)

    async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 2.0)]
    assert site.queue.in_course == 0


async def in_parts(site: Site, scope: Scope, send: Send) -> None:
    """A page of two parts, which ask for their turn at once."""
    await asyncio.gather(site.queue.wait_turn(scope), site.queue.wait_turn(scope))
    await site.origin.call(scope["path"])
    await respond(send)


@scenario(
    RequestQueue,
    catches={broken.LooksThenEnters: Calls, broken.ForgetsThatItAsked: Calls},
)
async def parts_of_a_request_do_not_wait_for_each_other(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """Two parts of one request ask at once: one has the turn, and the other goes on with it."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, in_parts)

    async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 2.0)]
    assert site.queue.in_course == 0


async def fetched_by_parts(site: Site, scope: Scope, send: Send) -> None:
    """A page of two parts, which each ask for their turn and then fetch."""

    async def part() -> None:
        await site.queue.wait_turn(scope)
        await site.origin.call(scope["path"])

    await asyncio.gather(part(), part())
    await respond(send)


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Failed,
        broken.LooksThenEnters: Calls,
        broken.ForgetsThatItAsked: Calls,
        broken.EverythingIsFine: Failed,
    },
)
async def second_part_goes_on_while_the_first_waits(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """The bucket is held, one part of a request stands in line, and the other fetches at once.

    Whoever asks again is let through, with the token or without it: the guard is of the request.
    """
    origin = sim.pool("origin", latency=0.5)
    site = Site(cls, origin, fetched_by_parts)
    bucket = site.queue.bucket("/bench")
    assert bucket.try_acquire()

    async with sim.storm(Calls(origin, 1), Elapsed(1.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")
        await sim.advance(1.0)
        bucket.release()

    assert storm.results() == [(302, 1.0)]
    assert origin.arrivals() == [0.0]
    assert site.queue.in_course == 0
    assert bucket.is_free


@scenario(
    RequestQueue,
    catches={
        broken.ForgetsWhenTheClientLeaves: Failed,
        broken.ForgetsThatItAsked: Elapsed,
    },
)
async def gauge_counts_who_works_for_nobody(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """The client leaves while its page is fetched: the request is in course until it has ended."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, asking_again)

    async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", 1.0)
        await sim.advance(1.5)
        assert site.queue.in_course == 1

    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.KeepsTheToken: Failed,
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.FiftyOneBuckets: (Calls, MaxInFlight),
        broken.FiftyThreeBuckets: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
async def paths_of_one_bucket_share_a_fetch(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """Two paths whose hashes meet: one of them is fetched, and the other is sent back."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    async with sim.storm(
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
        broken.ReleasesAtOnce: (Calls, MaxInFlight),
        broken.KeyedByPath: (Calls, MaxInFlight),
        broken.HashesTheQuery: (Calls, MaxInFlight),
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
async def query_makes_no_other_page(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """The same path with three queries is one page; each is sent back to where it wanted to go."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)
    queries = [f"/bench?page={number}" for number in (1, 2, 3)]

    async with sim.storm(
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
        broken.ReleasesAtOnce: Calls,
        broken.KeyedByPath: Calls,
        broken.HeavyLoadIsGone: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
async def fetch_may_end_when_patience_does(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """The fetch takes six seconds, and so does patience: either answer is right, and none stays."""
    origin = sim.pool("origin", latency=6.0)
    site = Site(cls, origin)

    async with sim.storm(Calls(origin, 1), Elapsed(6.0), LeakBound()) as storm:
        storm.spawn(site.get, "/queue-load", copies=3)

    assert storm.results().count((200, 6.0)) == 1
    assert set(storm.results()) <= {(200, 6.0), (302, 6.0), (504, 6.0)}
    assert site.queue.in_course == 0
    assert site.queue.bucket("/queue-load").is_free


async def working_on(site: Site, scope: Scope, send: Send) -> None:
    """A page that is answered at once, and a part of it that asks for its turn a second later."""

    async def part() -> None:
        await asyncio.sleep(1.0)
        await site.queue.wait_turn(scope)

    site.working.append(asyncio.create_task(part()))
    await respond(send)


@scenario(
    RequestQueue,
    catches={
        broken.EntersAfterItsEnd: Failed,
        broken.LooksThenEnters: Failed,
        broken.ForgetsThatItAsked: Failed,
    },
)
async def part_that_outlives_its_request_enters_nothing(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """A task of a handler asks when its request has been answered: no entry, and no token."""
    origin = sim.pool("origin")
    site = Site(cls, origin, working_on)

    async with sim.storm(Elapsed(0.0), LeakBound(1)) as storm:
        storm.spawn(site.get, "/bench")

    await sim.advance(2.0)
    assert storm.results() == [(200, 0.0)]
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


@scenario(
    RequestQueue,
    catches={broken.Serialised: MaxInFlight},
)
async def static_files_pass_by(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """What is exempt, and what the middleware does not stand before, is not held up by anything."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin)

    async with sim.storm(MaxInFlight(origin, 6, reached=True), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/favicon.ico", copies=2)
        storm.spawn(site.get, "/njump/static/logo.png", copies=2)
        storm.spawn(site.get_unqueued, "/bench", copies=2)
        await sim.settle()
        assert site.queue.in_course == 0

    assert storm.results() == [(200, 2.0)] * 6


@scenario(
    RequestQueue,
    catches={broken.Serialised: Elapsed},
)
async def metrics_tell_the_size_of_the_register(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """Three requests are in course: the page of metrics says so, and is not to be stored."""
    site = Site(cls, sim.pool("origin", latency=2.0))

    async with sim.storm(Elapsed(2.0), LeakBound()) as storm:
        for page in ("/bench", "/panic-test", "/"):
            storm.spawn(site.get, page)
        await sim.settle()
        storm.spawn(site.get, "/debug/metrics")
        await sim.advance(1.0)

    assert storm.results()[3] == (200, 0.0)
    assert site.texts[0].splitlines()[-1] == "queue_in_course_size 3"
    assert site.headers[0]["content-type"].startswith("text/plain; version=0.0.4")
    assert site.headers[0]["cache-control"] == "no-store"


async def half_sent(site: Site, scope: Scope, send: Send) -> None:
    """A page that fails when half of it is out."""
    await site.queue.wait_turn(scope)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    message = "the other half is lost"
    raise LookupError(message)


@scenario(
    RequestQueue,
    catches={broken.PlainRemoval: Failed, broken.ForgetsRedirectsOnly: Failed},
)
async def half_an_answer_is_broken_off(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """An error after the first byte goes on to the server, which alone can cut the connection."""
    site = Site(cls, sim.pool("origin"), half_sent)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert isinstance(storm.errors()[0], LookupError)
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


async def hurried(site: Site, scope: Scope, send: Send) -> None:
    """A page that gives its turn and its fetch four seconds together."""
    async with asyncio.timeout(4.0):
        await fetch(site, scope, send)


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Elapsed,
    },
)
async def earlier_deadline_is_the_handlers_own(
    sim: AsyncSimulation, cls: type[RequestQueue]
) -> None:
    """Two handlers give up after four seconds: one fetches, the other waits for a held bucket."""
    site = Site(cls, sim.pool("origin", latency=10.0), hurried)
    assert site.queue.bucket("/").try_acquire()

    async with sim.storm(Elapsed(4.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")
        storm.spawn(site.get, "/")

    assert storm.results() == [(500, 4.0)] * 2
    assert site.queue.in_course == 0
    assert site.queue.bucket("/bench").is_free


async def grouped(site: Site, scope: Scope, send: Send) -> None:
    """A page that asks for its turn inside a task group."""
    async with asyncio.TaskGroup() as group:
        group.create_task(site.queue.wait_turn(scope))
    await site.origin.call(scope["path"])
    await respond(send)


@scenario(
    RequestQueue,
    catches={
        broken.PlainRemoval: Failed,
        broken.ForgetsNoCancelled: Failed,
        broken.ForgetsErrorsOnly: Failed,
        broken.ForgetsRedirectsOnly: Failed,
        broken.KeepsTheToken: Elapsed,
        broken.ReleasesAtOnce: Calls,
        broken.KeyedByPath: Calls,
        broken.EverythingIsFine: Failed,
        broken.Serialised: Calls,
    },
)
async def signal_may_come_in_a_group(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """A handler that waits inside a task group is sent back like any other."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, grouped)

    async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench", copies=3)

    assert Counter(storm.results()) == {(200, 2.0): 1, (302, 2.0): 2}
    assert site.queue.in_course == 0


@scenario(
    RequestQueue,
    catches={broken.DetachedRelease: LeakBound, broken.ForgetsWhenTheClientLeaves: LeakBound},
)
async def winner_leaves_no_task(sim: AsyncSimulation, cls: type[RequestQueue]) -> None:
    """The client stays connected when it has its page: nothing of the request stays with it."""
    origin = sim.pool("origin", latency=2.0)
    site = Site(cls, origin, lingers=True)

    async with sim.storm(Calls(origin, 1), Elapsed(2.0), LeakBound()) as storm:
        storm.spawn(site.get, "/bench")

    assert storm.results() == [(200, 2.0)]


# --- buckets --------------------------------------------------------------------------------------


@scenario(Bucket, catches={broken.LastComesFirst: Failed, broken.LosesTheToken: Deadlock})
async def line_is_served_in_order(sim: AsyncSimulation, cls: type[Bucket]) -> None:
    """One release wakes the whole line, one after the other, in the order in which they came."""
    bucket = cls()
    served: list[str] = []
    assert bucket.try_acquire()

    async def waiter(name: str) -> None:
        turn = bucket.join()
        await turn
        served.append(name)
        bucket.leave(turn)

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        for name in ("first", "second", "third"):
            storm.spawn(waiter, name)
            await sim.settle()
        bucket.release()

    assert served == ["first", "second", "third"]
    assert bucket.is_free


@scenario(Bucket, catches={broken.LineBarges: Failed, broken.LosesTheToken: Failed})
async def token_goes_to_who_waits(sim: AsyncSimulation, cls: type[Bucket]) -> None:
    """Who comes at the instant of a release does not go before who waits."""
    bucket = cls()
    assert bucket.try_acquire()
    turn = bucket.join()

    bucket.release()
    assert not bucket.try_acquire()
    await turn
    bucket.leave(turn)
    assert bucket.is_free


@scenario(Bucket, catches={broken.LosesTheToken: (Failed, Deadlock)})
async def token_of_who_leaves_goes_on(sim: AsyncSimulation, cls: type[Bucket]) -> None:
    """The first in line leaves just when the token comes to it: the second has it then."""
    bucket = cls()
    assert bucket.try_acquire()
    first, second = bucket.join(), bucket.join()

    bucket.release()
    bucket.leave(first)
    await second
    bucket.leave(second)
    assert bucket.is_free


@scenario(Bucket)
async def place_may_be_given_up(sim: AsyncSimulation, cls: type[Bucket]) -> None:
    """Who leaves the line before its turn takes nothing along."""
    bucket = cls()
    assert bucket.try_acquire()
    turn = bucket.join()

    bucket.leave(turn)
    bucket.release()
    await asyncio.sleep(0)
    assert turn.cancelled()
    assert bucket.is_free
