"""The portfolio: the plain run, then turns; whoever sees everything ends it, if it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.core.access import ACQUIRE, RELEASE
from harness.search.exhaustive import MAX_WIDTH, Exhaustive
from harness.search.portfolio import EXHAUSTIVE_RUNS, PCT_EVERY, Portfolio
from harness.testing import Ask, Move, Touch
from tests.search.driving import first_violation, played, touches


def many() -> Sequence[Iterator[Move]]:
    """Return actors with more traces than anybody will run."""
    return tuple(touches(*["ledger"] * 6) for _ in range(4))


def members_of(runs: int) -> list[str]:
    """Return whose turn it was, run by run."""
    portfolio = Portfolio(seed=1)
    return [portfolio.member for _ in played(portfolio, many, runs)]


def test_the_plain_run_comes_first() -> None:
    """What fails without any unusual order is found by the first run."""
    portfolio = Portfolio(seed=1)
    [plain] = played(portfolio, many, 1)

    assert portfolio.member == "plain"
    assert set(plain.ran.choices) == {0}


def test_members_take_turns_one_run_each() -> None:
    """Exhaustive search, SURW, URW and POS; on every tenth turn PCT, d = 2 and 3 by turns."""
    plain, *turns = members_of(81)

    pct = turns[PCT_EVERY - 1 :: PCT_EVERY]
    others = [member for member in turns if not member.startswith("pct")]
    assert plain == "plain"
    assert pct == ["pct:2", "pct:3"] * 4
    assert others == ["exhaustive", "surw", "urw", "pos"] * 18


def test_exhaustive_search_leaves_after_its_share() -> None:
    """Then the others go on."""
    turns = members_of(2_000)

    made = Counter(turns)
    assert made["exhaustive"] == EXHAUSTIVE_RUNS
    assert "exhaustive" not in turns[EXHAUSTIVE_RUNS * 5 :]
    assert set(turns[-20:]) == {"surw", "urw", "pos", "pct:2", "pct:3"}


def test_once_all_has_been_seen_nobody_goes_on() -> None:
    """Three writers have six traces; the rest of the runs would show nothing new."""
    portfolio = Portfolio(seed=1)
    runs = list(played(portfolio, lambda: [touches("ledger") for _ in range(3)], 1_000))

    assert len(portfolio.exhaustive.traces) == 6
    assert not portfolio.exhaustive.incomplete
    assert len(runs) < 40


def test_who_could_not_see_everything_does_not_end_it() -> None:
    """A choice among many that exhaustive search leaves out is still drawn by the others."""

    def draw() -> Iterator[Move]:
        drawn = yield Ask(10 * MAX_WIDTH)
        assert drawn != 3

    portfolio = Portfolio(seed=1)
    found = first_violation(played(portfolio, lambda: (draw(),), 5_000))

    assert portfolio.exhaustive.incomplete
    assert found is not None


def test_what_no_log_tells_is_seen_by_the_others() -> None:
    """What a library keeps for itself is found all the same: its runs contradict the search."""

    def script() -> Sequence[Iterator[Move]]:
        kept: list[int] = []

        def compute(thing: str) -> Iterator[Move]:
            yield Touch(thing)
            if not kept:
                yield Touch(thing)
                kept.append(1)
            assert len(kept) < 2

        return compute("left"), compute("right")

    alone, portfolio = Exhaustive(), Portfolio(seed=1)
    runs = list(played(portfolio, script, 100))

    assert first_violation(played(alone, script, 1_000)) is None
    assert not alone.incomplete, "else there is nothing to contradict"
    assert "no log tells" in portfolio.exhaustive.incomplete
    assert len(runs) == 100
    assert first_violation(runs) is not None


def test_a_census_is_shared_and_counts_every_run() -> None:
    """SURW and URW know of what any member has met."""
    portfolio = Portfolio(seed=1)
    runs = sum(one.ran.complete for one in played(portfolio, many, 50))

    assert portfolio._census.runs == runs


def test_pct_tells_for_each_depth_what_its_bound_rests_on() -> None:
    """Runs, actors and decisions; nothing before it had a turn."""
    early, late = Portfolio(seed=1), Portfolio(seed=1)
    for _ in played(early, many, 5):
        pass
    for _ in played(late, many, 200):
        pass

    assert early.pct == {}
    assert {depth: actors for depth, (_, actors, _) in late.pct.items()} == {2: 4, 3: 4}
    assert all(0 < runs <= 10 for runs, _, _ in late.pct.values())


def test_a_portfolio_finds_what_one_member_finds_at_once() -> None:
    """It costs at most so many times more as there are members."""

    def section(first: str, second: str) -> Iterator[Move]:
        yield Touch(first, ACQUIRE)
        yield Touch(second, ACQUIRE)
        yield Touch(second, RELEASE)
        yield Touch(first, RELEASE)

    def philosophers() -> Sequence[Iterator[Move]]:
        return tuple(section(f"fork {n}", f"fork {(n + 1) % 4}") for n in range(4))

    found = [first_violation(played(Portfolio(seed), philosophers, 500)) for seed in range(10)]

    assert None not in found
