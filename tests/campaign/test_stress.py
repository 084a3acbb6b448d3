"""Whatever workers do, each shard is counted once, and only what kills its worker is blamed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.campaign import stress as module
from harness.campaign.executors import Done, Executing
from harness.campaign.ledger import Ledger, Plan
from harness.campaign.outcomes import Outcome, not_run
from harness.campaign.stress import CHUNK_SECONDS, Campaign, Tally, planned
from harness.campaign.units import Unit
from harness.campaign.workers import Chunk, Runner
from harness.errors import HarnessError
from tests.campaign.making import kept, outcome, plan, units, written


class Scripted(Executor):
    """An executor that runs at once, loses a chunk, or falls with all it has, as it is told."""

    def __init__(self, script: list[str], ran: Counter[Unit], micros: int = 1_000) -> None:
        self.script = script
        self.ran = ran
        self.micros = micros
        self.waiting: list[Future[Any]] = []
        self.held: list[tuple[Future[Any], Chunk]] = []

    def submit(  # type: ignore[override]  # the one way in which it is called
        self, function: Callable[[Mapping[str, Any]], Done], data: Mapping[str, Any]
    ) -> Future[Done]:
        """Do what the script says next; run once it is at its end."""
        future: Future[Done] = Future()
        act = self.script.pop(0) if self.script else "run"
        if act == "refuse":
            raise BrokenProcessPool("it has fallen before")
        if act == "wait":
            # It is under way until another falls, or until one looks again.
            self.waiting.append(future)
        elif act == "hold":
            self.held.append((future, Chunk.from_json(data)))
        elif act == "fall":
            self.waiting.append(future)
            self.fall()
        elif act == "lose":
            future.set_exception(ConnectionError("a worker is gone"))
        elif act == "cancel":
            future.cancel()
        else:
            chunk = Chunk.from_json(data)
            self.ran.update(chunk.units)
            future.set_result([self.outcome(unit).to_json() for unit in chunk.units])
        return future

    def finish(self) -> None:
        """Have one that is held come back, unless somebody has cancelled it."""
        if self.held:
            future, chunk = self.held.pop(0)
            if not future.cancelled():
                future.set_result([self.outcome(unit).to_json() for unit in chunk.units])

    def fall(self) -> None:
        """Lose all that is under way."""
        for each in self.waiting:
            each.set_exception(BrokenProcessPool("a process was ended"))
        self.waiting.clear()

    def outcome(self, unit: Unit) -> Outcome:
        """Return what a shard comes to, without running it."""
        return outcome(unit, micros=self.micros)


def alone(poison: frozenset[int]) -> type[Runner]:
    """Return a runner that runs nothing: shards with these numbers end it."""

    class Alone(Runner):
        def run_alone(self, chunk: Chunk, unit: Unit, *, tries: int = 2) -> Outcome | None:
            return (
                not_run(unit, "SIGKILL", is_crash=True)
                if unit.index in poison
                else outcome(unit, micros=9_000_000)
            )

    return Alone


class Kept:
    """What a file does, without one."""

    def __init__(self) -> None:
        self.outcomes: dict[Unit, Outcome] = {}

    def done(self) -> set[tuple[str, int]]:
        """Nothing has been run before."""
        return set()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep each once."""
        for each in outcomes:
            assert each.unit not in self.outcomes
            self.outcomes[each.unit] = each


def ran(folder: Path, made: Plan, executor: Scripted, slots: int = 2, **given: Any) -> Tally:
    """Run a campaign in a file of a folder."""
    with Ledger(folder / "campaign.sqlite") as ledger:
        campaign = Campaign(planned(made, ledger, resume=True), ledger, ["storms.py"], **given)
        return dealt(campaign, executor, slots)


def dealt(campaign: Campaign, executor: Scripted, slots: int) -> Tally:
    """Run a campaign; what is under way when one looks again falls."""

    def looked() -> int:
        executor.fall()
        return slots

    return campaign.run(Executing(lambda: executor, looked))


ACTS = st.lists(st.sampled_from(["run", "run", "wait", "fall", "lose", "cancel", "refuse"]))


@given(ACTS, st.integers(1, 3), st.sampled_from([1, 900_000, 5_000_000]), st.booleans())
@settings(max_examples=30)
def test_nothing_is_lost_or_counted_twice(
    script: list[str], slots: int, micros: int, has_poison: bool
) -> None:
    """However chunks are cut, and however many workers fall, the same is written down."""
    made, poison = plan(), frozenset({2} if has_poison else ())
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "Runner", alone(poison))
    patch.setattr(module, "FALLS_MAX", 1_000)
    patch.setattr(module, "ERRORS_MAX", 1_000, raising=False)
    patch.setattr(module, "GLANCE_SECONDS", 0.0)
    patch.setattr(module, "LAST_SECONDS", 0.0)
    ledger = Kept()
    campaign = Campaign(made, cast("Ledger", ledger), ["storms.py"])
    tally = dealt(campaign, Scripted(script, Counter(), micros), slots)
    patch.undo()

    found = ledger.outcomes
    assert found.keys() == set(units(made))
    for unit, each in found.items():
        assert each == not_run(unit, "SIGKILL", is_crash=True) or (
            replace(each, micros=0) == outcome(unit, micros=0)
        )
    assert {each.unit.index for each in found.values() if each.is_crash} <= poison
    assert (tally.done, tally.shards) == (15, 15)


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    """A campaign goes on where it was, and ends at once if nothing is left."""
    made = plan()
    done = units(made)[:7]
    written(tmp_path / "campaign.sqlite", made, [outcome(unit) for unit in done])

    counts: Counter[Unit] = Counter()
    first = ran(tmp_path, made, Scripted([], counts))
    second = ran(tmp_path, made, Scripted([], counts))

    assert counts == Counter(units(made)[7:])
    assert (first.done, second.done, second.schedules) == (15, 15, 0)


@pytest.mark.parametrize("shares", [1, 2, 4, 20])
def test_shares_are_apart_and_together_all(tmp_path: Path, shares: int) -> None:
    """Static shares need nobody who deals them out."""
    counts: Counter[Unit] = Counter()
    files = []
    for number in range(1, shares + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        files.append(folder / "campaign.sqlite")
        tally = ran(folder, plan(share=(number, shares)), Scripted([], counts))
        assert tally.done == tally.shards

    assert counts == Counter(units(plan()))
    assert kept(*files) == [outcome(unit, micros=0) for unit in units(plan())]


def test_all_first_shards_come_first(tmp_path: Path) -> None:
    """A campaign that is stopped early has seen something of every cell."""
    counts: Counter[Unit] = Counter()

    ran(tmp_path, plan(), Scripted([], counts), slots=1)

    assert [unit.index for unit in counts] == sorted([0, 1, 2, 3, 4] * 3)


def test_chunks_are_of_seconds(tmp_path: Path) -> None:
    """Where shards take an eighth of a second, a chunk has many; where they take ten, one each."""
    sizes = {}
    for micros in (125_000, 10_000_000):
        folder = tmp_path / str(micros)
        folder.mkdir()
        chunks: list[int] = []

        class Watching(Scripted):
            """Keeps how many shards each chunk has."""

            def submit(  # type: ignore[override]  # as above
                self, function: Callable[[Mapping[str, Any]], Done], data: Mapping[str, Any]
            ) -> Future[Done]:
                chunks.append(len(data["units"]))  # noqa: B023 - called in this turn only
                return super().submit(function, data)

        ran(folder, plan(20_000), Watching([], Counter(), micros), slots=1)
        sizes[micros] = chunks

    assert max(sizes[125_000]) == CHUNK_SECONDS * 8
    assert sum(sizes[125_000]) == sum(sizes[10_000_000]) == 3 * 84
    assert set(sizes[10_000_000]) == {1}


def test_news_come_at_once_and_once_a_cell(tmp_path: Path) -> None:
    """Of what is not as declared; a variant that is caught is no news."""

    class Failing(Scripted):
        """Violates where it must hold."""

        def outcome(self, unit: Unit) -> Outcome:
            made = super().outcome(unit)
            return replace(made, violating={"MaxInFlight": 1}, verdict="MaxInFlight")

    news: list[str] = []
    tally = ran(
        tmp_path,
        plan(),
        Failing([], Counter()),
        news=lambda cell, _outcome: news.append(cell.name),
    )

    assert news == ["cold_key[SingleFlight]", "full"]
    assert len(tally.wrong) == 2
    assert tally.violating == 15


def test_workers_that_never_begin_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few falls with nothing done between: it would never end."""
    monkeypatch.setattr(module, "Runner", alone(frozenset()))

    with pytest.raises(HarnessError, match="workers end as soon as they begin, 4 times in a row"):
        ran(tmp_path, plan(5_000), Scripted(["fall"] * 100, Counter()), slots=1)


def test_workers_that_fail_whatever_they_are_given_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the first said: it is not run here instead, silently; what was done is kept."""
    monkeypatch.setattr(module, "Runner", alone(frozenset()))
    executor = Scripted(["run", *["lose"] * 1_000], Counter())

    with pytest.raises(HarnessError) as caught:
        ran(tmp_path, plan(50_000), executor, slots=1)

    assert str(caught.value) == (
        "workers fail whatever they are given, 11 times in a row, first with ConnectionError: "
        "a worker is gone. Give them the files, the interpreter and the packages of this process. "
        "What was found is kept: go on with --resume."
    )
    assert len(kept(tmp_path / "campaign.sqlite")) > 1


def test_who_cannot_be_told_to_stop_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster nobody looks into a folder: what is under way comes back, and is kept."""
    executor = Scripted(["hold"] * 2, Counter())
    monkeypatch.setattr(module, "wait", lambda *_what: executor.finish())

    def interrupt(_tally: Tally) -> None:
        raise KeyboardInterrupt

    with Ledger(tmp_path / "campaign.sqlite") as ledger:
        campaign = Campaign(planned(plan(), ledger, resume=True), ledger, [], told=interrupt)
        tally = campaign.run(Executing(lambda: executor, lambda: 1))

    assert (tally.why_stopped, tally.done) == ("interrupted", 2)
    assert len(kept(tmp_path / "campaign.sqlite")) == 2


def test_a_chunk_that_has_waited_has_the_less_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over when the campaign is, however late a worker begins with it."""
    sent: list[float | None] = []

    class Watching(Scripted):
        """Keeps when chunks must be over."""

        def submit(  # type: ignore[override]  # as above
            self, function: Callable[[Mapping[str, Any]], Done], data: Mapping[str, Any]
        ) -> Future[Done]:
            sent.append(data["end"])
            return super().submit(function, data)

    clock = SimpleNamespace(monotonic=lambda: 7.0, time=lambda: 1_000.0)
    monkeypatch.setattr(module, "time", clock)
    with Ledger(tmp_path / "campaign.sqlite") as ledger:
        campaign = Campaign(planned(plan(), ledger, resume=True), ledger, [])
        campaign.run(Executing(lambda: Watching([], Counter()), lambda: 2), seconds=60.0)

    # A process of its own: chunks are run where nothing else is.
    runner = Runner()
    try:
        late = runner.run(Chunk(1, (units(plan())[0],), plan().settings, (), time.time()))
    finally:
        runner.close()

    assert set(sent) == {1_060.0}
    assert late == []


@pytest.mark.parametrize(
    ("changed", "resume", "why"),
    [
        ({}, False, "holds a campaign already. Go on with --resume, or name another file."),
        ({"versions": "pypy"}, True, "was begun with cpython, and this is pypy: what they find"),
        ({"share": (1, 2)}, True, "is of shard 1/1, not 1/2. Name a file for each shard."),
        (
            {"settings": {**plan().settings, "schedules": 500}},
            True,
            "was begun with schedules=1000, not 500. Leave schedules out to go on with it, or",
        ),
        (
            {"cells": plan().cells[:2]},
            True,
            "was begun with other scenarios: storms.py::full is not there now. Name the same",
        ),
        (
            {"cells": (*plan().cells[:2], replace(plan().cells[2], caught_by=("Calls",)))},
            True,
            "was begun with other scenarios: storms.py::full was declared holds then, Calls now.",
        ),
    ],
)
def test_a_file_of_another_campaign_is_refused(
    tmp_path: Path, changed: dict[str, Any], resume: bool, why: str
) -> None:
    """One line says in what it differs; what it holds stays."""
    path = written(tmp_path / "campaign.sqlite", plan(), [outcome(units(plan())[0])])

    with Ledger(path) as ledger, pytest.raises(HarnessError) as caught:
        planned(plan(**changed), ledger, resume=resume)

    assert str(caught.value).startswith(f"{path} {why}")
    assert len(kept(path)) == 1
