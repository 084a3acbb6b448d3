"""The coordinator of speed tests with real threads and a real loop; storms are in `scenarios/`."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.connection_lifecycle.scope import Scope
from scenarios.connection_lifecycle.speed_test import policy
from scenarios.connection_lifecycle.speed_test.aio import AsyncSpeedTests
from scenarios.connection_lifecycle.speed_test.policy import Account, Provider
from scenarios.connection_lifecycle.speed_test.reference import (
    ShutdownError,
    SpeedTestError,
    SpeedTests,
)

SECRET = "correct horse"  # noqa: S105 - of nobody
NEWS = Provider("news", Account("news.example", user="me", password=SECRET))


class Line:
    """A client that counts its closes and measures one megabyte per second."""

    def __init__(self) -> None:
        """Be open."""
        self.closes = 0

    def close(self) -> None:
        """Count a close."""
        self.closes += 1


def measure(_line: Line, _scope: Scope) -> dict[str, float]:
    """Return the speed of two providers."""
    return {"elsewhere": 9.0 * policy.MEGABYTE, "news": 1.0 * policy.MEGABYTE}


@pytest.mark.parametrize(
    "other",
    [
        replace(NEWS, id="other"),
        *(
            replace(NEWS, account=replace(NEWS.account, **change))
            for change in (
                {"host": "other.example"},
                {"port": 119},
                {"user": "you"},
                {"password": ""},
                {"tls": False},
                {"connections": 5},
            )
        ),
    ],
)
def test_whatever_a_connection_is_made_with_makes_another_key(other: Provider) -> None:
    """Two that differ in it must not share a client."""
    assert policy.key_of(other) != policy.key_of(NEWS)


def test_a_key_has_no_secret_and_no_name() -> None:
    """A display name does not part two, and a password cannot be read off a key."""
    assert policy.key_of(replace(NEWS, display_name="mine")) == policy.key_of(NEWS)
    assert SECRET not in policy.key_of(NEWS)


def test_at_its_expiry_a_client_is_neither_fresh_nor_swept() -> None:
    """It is handed out before, swept after, and left alone in between."""
    states = [
        (policy.is_fresh(now, 300.0), policy.is_expired(now, 300.0))
        for now in (299.0, 300.0, 301.0)
    ]

    assert states == [(True, False), (False, False), (False, True)]


@given(st.integers(0, 10_000), st.floats(0.0, 1e6), st.floats(0.001, 1e3))
def test_ticks_are_counted_upwards(last: int, elapsed: float, period: float) -> None:
    """No tick comes twice, whatever a division makes of the time."""
    assert policy.next_tick(last, elapsed, period) > last


def test_missed_ticks_are_skipped() -> None:
    """A janitor that was held up for three periods sweeps once."""
    assert policy.next_tick(1, 3.5, 1.0) == 4


def test_a_client_is_kept_and_closed_at_the_end() -> None:
    """Two requests one after the other use one client, closed once by two shutdowns."""
    lines: list[Line] = []

    def build(_provider: Provider, _scope: Scope) -> Line:
        lines.append(Line())
        return lines[-1]

    tests = SpeedTests(build, measure)

    assert [tests.run(NEWS), tests.run(NEWS)] == [1.0, 1.0]
    assert tests.size == 1
    tests.shutdown()
    tests.shutdown()

    assert [line.closes for line in lines] == [1]
    assert tests.size == 0
    with pytest.raises(ShutdownError):
        tests.run(NEWS)


def test_what_a_test_raises_is_the_cause() -> None:
    """Of an exception of its own for each caller."""

    def build(_provider: Provider, _scope: Scope) -> Line:
        raise ConnectionError("no route")

    tests = SpeedTests(build, measure)

    with pytest.raises(SpeedTestError, match="news could not be measured") as caught:
        tests.run(NEWS)

    tests.shutdown()
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_tasks_share_as_threads_do() -> None:
    """One dial for three tasks, and one close."""
    dials: list[str] = []
    closes: list[str] = []

    class AsyncLine:
        async def close(self) -> None:
            await asyncio.sleep(0)
            closes.append("closed")

    async def build(provider: Provider) -> AsyncLine:
        await asyncio.sleep(0)
        dials.append(provider.id)
        return AsyncLine()

    async def measured(_line: AsyncLine) -> dict[str, float]:
        await asyncio.sleep(0)
        return {"news": 2.0 * policy.MEGABYTE}

    async def main() -> list[float]:
        tests = AsyncSpeedTests(build, measured)
        speeds = await asyncio.gather(*(tests.run(NEWS) for _ in range(3)))
        await tests.shutdown()
        return speeds

    assert asyncio.run(main()) == [2.0, 2.0, 2.0]
    assert (dials, closes) == (["news"], ["closed"])
