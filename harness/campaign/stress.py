"""Runs a campaign: deals out its shards in chunks, keeps what comes back, and stops when told to.

    shards not yet done ─► chunks of some seconds ─► workers ─► ledger
             ▲                                         │
             └──── what was under way when one died ◄──┘   suspects: each alone, one after the other

How many shards a chunk has is measured as it goes, and changes no result: what a shard does was
decided when its cell was cut. All first shards are dealt before all second ones, so that a campaign
that is stopped early has seen something of every cell. It does not know what a verdict is made of.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from harness.errors import HarnessError

from .executors import Done, Workers
from .ledger import Ledger, Plan
from .merge import Declared
from .outcomes import Found, Outcome
from .units import Cut, Unit
from .workers import STOP, Chunk, Runner, settings_of

#: Seconds of work that a chunk is to have.
CHUNK_SECONDS: Final = 2.0
#: Chunks for each worker that are dealt out at a time: one to run, and one to go on with.
AHEAD: Final = 2
#: How often one looks up from waiting.
GLANCE_SECONDS: Final = 0.25
#: How often all workers may fall with nothing done between.
FALLS_MAX: Final = 3
#: How often workers may fail in a row with nothing done between, or, if more are at it, how many.
ERRORS_MAX: Final = 10
#: Seconds in which workers that were told to stop must have done so.
LAST_SECONDS: Final = 10.0


@dataclass(slots=True)
class Tally:
    """What a campaign has come to so far. One thread.

    Args:
        shards: how many it is to run in all.
        done: how many of them have been run, earlier ones included.
        schedules: how many runs were made since it was begun or resumed.
        violating: how many of those violated.
        crashed: shards that end the process that runs them.
        wrong: cells of which a shard does not pass.
        seconds: how long shards took in the workers.
        why_stopped: why it ended before its end, empty if it did not.
    """

    shards: int
    done: int = 0
    schedules: int = 0
    violating: int = 0
    crashed: int = 0
    wrong: dict[str, Found | None] = field(default_factory=dict)
    seconds: float = 0.0
    why_stopped: str = ""


Told = Callable[[Tally], object]
News = Callable[[Declared, Outcome], object]


class Campaign:
    """One campaign, from a plan to a file. One thread.

    Args:
        plan: what is to be run.
        ledger: where it is kept.
        files: the files of its scenarios.
        told: is told how far it is, after each chunk and between.
        news: is told of the first shard of each cell that does not pass.

    invariant: every shard of this share is done, dealt out, or still to come.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        files: Sequence[str],
        *,
        told: Told = lambda _tally: None,
        news: News = lambda _cell, _outcome: None,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.files = tuple(files)
        self.told = told
        self.news = news
        self.cut = Cut.of(settings_of(plan.settings))
        self.cells = {cell.key: cell for cell in plan.cells}
        done = ledger.done()
        mine = len(range(plan.share[0] - 1, len(self.cut.shards) * len(plan.cells), plan.share[1]))
        self.tally = Tally(mine, sum(1 for _ in self._share()) - sum(1 for _ in self._left(done)))
        self._coming = self._left(done)
        self._again: deque[Unit] = deque()
        self._under_way: dict[Future[Done], Chunk] = {}
        self._numbers = 0
        self._falls = 0
        self._errors: list[BaseException] = []
        self._pace = _Pace()
        self._end: float | None = None

    def _share(self) -> Iterator[Unit]:
        """Yield the shards of this share, first ones first."""
        first, of = self.plan.share
        place = 0
        for index in range(len(self.cut.shards)):
            for cell in self.plan.cells:
                if place % of == first - 1:
                    yield self.cut.unit(index, cell.scenario, cell.class_name, cell.case)
                place += 1

    def _left(self, done: set[tuple[str, int]]) -> Iterator[Unit]:
        return (unit for unit in self._share() if (unit.cell, unit.index) not in done)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be run."""
        return self.tally.done >= self.tally.shards

    # --- dealing out ------------------------------------------------------------------------------

    def run(self, workers: Workers, seconds: float | None = None) -> Tally:
        """Run all that is left, or as much as the time allows; keep all that was found.

        Args:
            workers: where.
            seconds: how long it may take; None for as long as it likes.

        Raises:
            HarnessError: the file cannot be written, or the code has changed.
        """
        if seconds is not None:
            self._end = time.monotonic() + seconds
        try:
            while self._deal(workers):
                self._take(workers, GLANCE_SECONDS)
                self.told(self.tally)
        except KeyboardInterrupt:
            self.tally.why_stopped = "interrupted"
            self._stop(workers)
        except BaseException:
            self._tell_to_stop(workers)
            raise
        return self.tally

    def _deal(self, workers: Workers) -> bool:
        """Have every worker something to do; tell whether anything is under way."""
        if self._left_seconds() == 0:
            if self._under_way or self._next() is not None:
                self.tally.why_stopped = "the time is up"
            self._stop(workers)
            return False
        ahead = AHEAD * workers.slots()
        while len(self._under_way) < ahead:
            units = self._pace.chunk(iter(self._next, None))
            if not units:
                break
            self._submit(workers, units)
        return bool(self._under_way)

    def _next(self) -> Unit | None:
        """Return the next shard to deal out, None if there is none."""
        return self._again.popleft() if self._again else next(self._coming, None)

    def _submit(self, workers: Workers, units: Sequence[Unit]) -> None:
        self._numbers += 1
        chunk = Chunk(
            self._numbers,
            tuple(units),
            self.plan.settings,
            self.files,
            None if self._end is None else time.time() + self._end - time.monotonic(),
            workers.folder,
        )
        try:
            self._under_way[workers.submit(chunk)] = chunk
        except BrokenExecutor:
            self._again.extend(units)
            self._recover(workers, [], all_fell=True)

    def _left_seconds(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    # --- what comes back --------------------------------------------------------------------------

    def _take(self, workers: Workers, seconds: float) -> None:
        """Keep what has come back; find out what workers have died of."""
        wait(self._under_way, seconds, FIRST_COMPLETED)
        broken, all_fell = self._taken()
        if all_fell:
            # A pool that has lost one process ends all others, and fails what they were at.
            wait(self._under_way, LAST_SECONDS)
            broken += self._taken()[0]
        errors = len(self._errors)
        if errors >= ERRORS_MAX and errors >= AHEAD * workers.slots():
            raise _failing(self._errors)
        if broken:
            self._recover(workers, broken, all_fell=all_fell)

    def _taken(self) -> tuple[list[Chunk], bool]:
        """Keep what came of chunks; return those of which nothing did, and if all workers fell."""
        broken, all_fell = [], False
        # Not what `wait` returns: a future that is cancelled is done before `wait` says so.
        for future in [each for each in self._under_way if each.done()]:
            chunk = self._under_way.pop(future)
            exc = None if future.cancelled() else future.exception()
            if future.cancelled() or exc is not None:
                broken.append(chunk)
                all_fell = all_fell or isinstance(exc, BrokenExecutor)
                if exc is not None and not isinstance(exc, BrokenExecutor):
                    self._errors.append(exc)
            else:
                self._falls = 0
                self._errors.clear()
                self._keep(chunk, [Outcome.from_json(each) for each in future.result()])
        return broken, all_fell

    def _keep(self, chunk: Chunk, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes down, and deal out again what was not run."""
        self.ledger.add(outcomes)
        returned = {outcome.unit for outcome in outcomes}
        self._again.extend(unit for unit in chunk.units if unit not in returned)
        for outcome in outcomes:
            self._pace.learn(outcome)
            self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        tally, cell = self.tally, self.cells[outcome.unit.cell]
        tally.done += not outcome.unfinished
        tally.schedules += outcome.schedules
        tally.violating += sum(outcome.violating.values())
        tally.crashed += outcome.is_crash
        tally.seconds += outcome.seconds
        if not outcome.passes(cell.caught_by) and cell.key not in tally.wrong:
            tally.wrong[cell.key] = next(iter(outcome.unaccounted(cell.caught_by)), None)
            self.news(cell, outcome)

    def _recover(self, workers: Workers, broken: list[Chunk], *, all_fell: bool) -> None:
        """Go on without the workers that are gone: suspects alone, all others again."""
        if all_fell:
            broken = [*broken, *self._under_way.values()]
            self._under_way.clear()
            self._falls += 1
            if self._falls > FALLS_MAX:
                raise HarnessError(
                    f"workers end as soon as they begin, {self._falls} times in a row. "
                    "Try --workers 1, and look at what they write to stderr."
                )
        suspects = workers.suspects(broken, all_fell=all_fell)
        alone = Runner()
        try:
            for chunk in broken:
                for place, unit in enumerate(chunk.units):
                    if (chunk.number, place) in suspects:
                        self._suspect(alone, chunk, unit)
                    else:
                        self._again.append(unit)
        finally:
            alone.close()

    def _suspect(self, alone: Runner, chunk: Chunk, unit: Unit) -> None:
        outcome = alone.run_alone(chunk, unit)
        if outcome is None:
            self._again.append(unit)
            return
        self._keep(replace(chunk, units=(unit,)), [outcome])
        self.told(self.tally)

    # --- the end ----------------------------------------------------------------------------------

    def _stop(self, workers: Workers) -> None:
        """Have workers stop after their current run, and keep what they have found."""
        if workers.folder:
            self._tell_to_stop(workers)
        # Who cannot be told ends with the chunk: to cancel it would lose what it has come to.
        end = time.monotonic() + LAST_SECONDS
        while self._under_way and time.monotonic() < end:
            wait(self._under_way, GLANCE_SECONDS, FIRST_COMPLETED)
            self._taken()
        self._tell_to_stop(workers)

    def _tell_to_stop(self, workers: Workers) -> None:
        for future in self._under_way:
            future.cancel()
        if workers.folder:
            Path(workers.folder, STOP).touch()


def _failing(errors: Sequence[BaseException]) -> HarnessError:
    said = " ".join(str(errors[0]).split()).rstrip(".")
    return HarnessError(
        f"workers fail whatever they are given, {len(errors)} times in a row, first with "
        f"{type(errors[0]).__name__}: {said}. Give them the files, the interpreter and the "
        "packages of this process. What was found is kept: go on with --resume."
    )


class _Pace:
    """How long shards take, as far as they have been run: by cell and what they run."""

    def __init__(self) -> None:
        self._taken: defaultdict[object, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def learn(self, outcome: Outcome) -> None:
        """Note how long a shard took."""
        if outcome.problem or outcome.unfinished:
            return
        unit = outcome.unit
        for name in ((unit.cell, unit.strategy), unit.strategy):
            taken = self._taken[name]
            taken[0] += outcome.seconds
            taken[1] += 1

    def chunk(self, units: Iterable[Unit]) -> list[Unit]:
        """Take shards until they are work enough; one alone where nothing is known yet."""
        chosen, expected = [], 0.0
        for unit in units:
            chosen.append(unit)
            expected += self._expected(unit)
            if expected >= CHUNK_SECONDS:
                break
        return chosen

    def _expected(self, unit: Unit) -> float:
        for name in ((unit.cell, unit.strategy), unit.strategy):
            if name in self._taken:
                seconds, shards = self._taken[name]
                return seconds / shards
        return CHUNK_SECONDS


def planned(plan: Plan, ledger: Ledger, *, resume: bool) -> Plan:
    """Return the plan to follow: that of the file if it has one, else this one, written down.

    Raises:
        HarnessError: the file holds a campaign that is not to be resumed, or another one.
    """
    kept = ledger.plan
    if kept is None or not ledger.has_begun:
        ledger.begin(plan)
        return plan
    if not resume:
        raise HarnessError(
            f"{ledger.path} holds a campaign already. Go on with --resume, or name another file."
        )
    if kept.versions != plan.versions:
        raise HarnessError(
            f"{ledger.path} was begun with {kept.versions}, and this is {plan.versions}: what they "
            "find cannot be counted together. Use the same, or name another file."
        )
    for name, value in plan.settings.items():
        if kept.settings.get(name) != value:
            raise HarnessError(
                f"{ledger.path} was begun with {name}={kept.settings.get(name)!r}, not {value!r}. "
                f"Leave {name} out to go on with it, or name another file."
            )
    if kept.share != plan.share:
        raise HarnessError(
            f"{ledger.path} is of shard {kept.share[0]}/{kept.share[1]}, not "
            f"{plan.share[0]}/{plan.share[1]}. Name a file for each shard."
        )
    differing = _differing(kept.cells, plan.cells)
    if differing:
        raise HarnessError(
            f"{ledger.path} was begun with other scenarios: {differing}. "
            "Name the same paths, or another file."
        )
    return kept


def _differing(kept: Iterable[Declared], found: Iterable[Declared]) -> str:
    before, now = {each.key: each for each in kept}, {each.key: each for each in found}
    for key in sorted(before.keys() ^ now.keys()):
        return f"{key} {'is not there now' if key in before else 'was not there then'}"
    for key, cell in before.items():
        if cell != now[key]:
            return f"{key} was declared {cell.expected} then, {now[key].expected} now"
    return ""
