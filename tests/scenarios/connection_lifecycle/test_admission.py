"""Budget, importer and pool seam with real threads and a real loop; storms are in `scenarios/`."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import AsyncFakePool, Behaviour, FakePool, InFlight, TransientError
from scenarios.connection_lifecycle.admission import policy
from scenarios.connection_lifecycle.admission.aio import AsyncBudget, AsyncImporter
from scenarios.connection_lifecycle.admission.policy import Retry, Shared, TwoCaps
from scenarios.connection_lifecycle.admission.reference import (
    Budget,
    Importer,
    SharedPool,
    Streams,
    UnavailableError,
)
from scenarios.connection_lifecycle.admission.swapped import Pool
from scenarios.connection_lifecycle.reader.reference import FetchError, ResponseError
from scenarios.connection_lifecycle.scope import Scope

AT_ONCE = Retry(step=0.0)


@given(st.integers(1, 99), st.integers(0, 99))
def test_streams_leave_what_they_do_not_need_and_never_nothing(capacity: int, streams: int) -> None:
    """Two tokens for each stream are kept, down to the last token."""
    limit = Shared(capacity).limit(streams)

    assert limit == max(1, capacity - 2 * streams)


@pytest.mark.parametrize("capacity", [0, -1])
def test_no_capacity_is_no_limit(capacity: int) -> None:
    """However many are in, there is room."""
    assert policy.has_room(10_000, Shared(capacity).limit(3))


@pytest.mark.parametrize(
    ("idle", "streaming", "limits"),
    [(3, 1, (3, 1)), (3, 5, (3, 3)), (3, 0, (3, 3)), (0, 2, (0, 2)), (0, 0, (0, 0))],
)
def test_the_cap_while_streaming_is_never_the_larger_one(
    idle: int, streaming: int, limits: tuple[int, int]
) -> None:
    """And a cap of zero is none."""
    caps = TwoCaps(idle, streaming)

    assert (caps.limit(0), caps.limit(1)) == limits


def test_workers_are_as_many_as_files_within_the_cap() -> None:
    """At least one, so that an import of nothing ends."""
    assert [policy.workers(files, 6) for files in (0, 1, 6, 20)] == [1, 1, 6, 6]
    assert policy.workers(3, 0) == 1


def test_a_token_given_back_twice_counts_once() -> None:
    """By hand and at the end of the block."""
    budget = Budget(Shared(2))

    with budget.acquire() as token:
        token.release()
        assert budget.held == 0
        with budget.acquire():
            token.release()
            assert budget.held == 1

    assert budget.held == 0


def test_a_set_scope_gets_no_token() -> None:
    """A token that is free goes to somebody who wants it."""
    budget, scope = Budget(Shared(1)), Scope()
    scope.cancel(KeyError("gone"))

    with pytest.raises(KeyError, match="gone"):
        budget.acquire(scope)

    assert (budget.held, budget.waiting) == (0, 0)


def test_a_stream_counts_once_however_often_it_is_added() -> None:
    """Two layers register the same stream."""
    streams = Streams()
    streams.add("film")
    streams.add("film")
    assert streams.active == 1

    streams.remove("film")
    streams.remove("film")

    assert streams.active == 0


def test_outcomes_stand_in_the_order_of_the_files() -> None:
    """What was fetched, and why the rest was not."""
    origin = FakePool("origin", payload=str.encode)
    origin.set("dead", Behaviour(error=TransientError))
    origin.set("missing", Behaviour(error=ResponseError(423)))
    importer = Importer(lambda: origin, connections=2, budget=Budget(Shared(1)), retry=AT_ONCE)

    first, second, third = importer.first_segments(["good", "dead", "missing"])

    assert first == b"good"
    assert isinstance(second, FetchError)
    assert isinstance(third, FetchError)
    assert [origin.calls(id=each) for each in ("good", "dead", "missing")] == [1, 3, 1]


def test_an_import_of_nothing_returns_nothing() -> None:
    """And asks nobody."""
    assert Importer(lambda: FakePool("origin")).first_segments([]) == []


def test_tasks_import_as_threads_do() -> None:
    """One policy, two flavours."""

    async def fetch() -> list[bytes | Exception]:
        origin = AsyncFakePool("origin", payload=str.encode)
        budget = AsyncBudget(Shared(1))
        importer = AsyncImporter(lambda: origin, connections=2, budget=budget)
        return await importer.first_segments(["a", "b", "c"])

    assert asyncio.run(fetch()) == [b"a", b"b", b"c"]


def test_a_closed_pool_is_handed_to_nobody() -> None:
    """Nor is one before the first swap."""
    pools, opened = SharedPool[Pool](), InFlight("open pools")
    with pytest.raises(UnavailableError):
        pools.get()
    pools.swap(lambda: Pool(FakePool("origin"), opened))
    assert pools.get().is_open

    pools.close()

    with pytest.raises(UnavailableError):
        pools.get()
    assert opened.value == 0
