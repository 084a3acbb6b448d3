"""The invariants J1 to J9 of the pool, each a check with a name, judged when the storm has settled.

Each looks at the store, at the book of the fleet and at nothing inside a node but its copies.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness import StormView, Violation

from . import policy, scripts
from .fleet import BOOKED, POOL, Fleet

Judge = Callable[[], Violation | None]


def _judge(fleet: Fleet, name: str, promise: str, broken: Iterable[str]) -> Violation | None:
    # The book is no code under test.
    with fleet.sim.no_points():
        rows = [("seen", each) for each in broken]
    return Violation(name, f"{rows[0][1]}, allowed: {promise}.", rows[:12]) if rows else None


@dataclass(frozen=True, slots=True)
class NoJobLost:
    """J1: every job that was accepted, and not stopped for good, runs at its only owner.

    How soon it must do so again after a death, the storm says by when it ends.
    """

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        promise = "each job runs at one active worker that owns it"
        return lambda: _judge(self.fleet, "NoJobLost", promise, self._lost())

    def _lost(self) -> Iterator[str]:
        active, jobs = self.fleet.active(), self.fleet.jobs()
        for key in self.fleet.live_jobs():
            owned_by = [each for each in policy.owners(jobs, key) if each in active]
            runs_at = {run.worker for run in self.fleet.running(key)}
            if not runs_at & set(owned_by):
                owner = " and ".join(owned_by) or "nobody"
                place = " and ".join(sorted(runs_at)) or "nowhere"
                yield f"'{key}' is owned by {owner} and runs {place}"


@dataclass(frozen=True, slots=True)
class SingleAdmission:
    """J2: of all who dispatch one key, exactly one succeeds, and the others hear that it exists."""

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(
            self.fleet, "SingleAdmission", "one success for each key", self._broken()
        )

    def _broken(self) -> Iterator[str]:
        accepted = self.fleet.accepted
        for key in sorted({*accepted, *self.fleet.refused}):
            if accepted.count(key) != 1:
                yield f"'{key}' was accepted {accepted.count(key)} times"


@dataclass(frozen=True, slots=True)
class SingleOwner:
    """J3: no job has two active owners, and none runs at two places, but for `overlap` seconds."""

    fleet: Fleet
    overlap: float = 0.0

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        promise = f"one owner, and {self.overlap} s at two places"
        return lambda: _judge(self.fleet, "SingleOwner", promise, self._broken())

    def _broken(self) -> Iterator[str]:
        active, jobs = self.fleet.active(), self.fleet.jobs()
        for key in self.fleet.live_jobs():
            owned_by = [each for each in policy.owners(jobs, key) if each in active]
            if len(owned_by) > 1:
                yield f"'{key}' is owned by {' and '.join(owned_by)}"
            longest = max_overlap(self.fleet, key)
            if longest > self.overlap:
                yield f"'{key}' ran at two places for {longest:.3f} s"


def max_overlap(fleet: Fleet, key: str) -> float:
    """Return for how many seconds a job ran at two places."""
    now = fleet.sim.now()
    spans = [(run.since, now if run.until is None else run.until) for run in fleet.runs_of(key)]
    overlaps = [
        min(first[1], second[1]) - max(first[0], second[0])
        for index, first in enumerate(spans)
        for second in spans[:index]
    ]
    return round(max(overlaps, default=0.0), 9)


@dataclass(frozen=True, slots=True)
class CleanedOnce:
    """J4: a dead worker is locked once, each of its jobs requeued once, and it is deleted once.

    Args:
        fleet: the fleet.
        worker: the worker.
        jobs: those of its jobs that have to move.
        locks: how often its lock may be taken: more than once where who held it dies.
    """

    fleet: Fleet
    worker: str
    jobs: Sequence[str] = ()
    locks: int = 1

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        promise = f"{self.locks} taken locks, one requeue of each job, and one deletion"
        return lambda: _judge(self.fleet, "CleanedOnce", promise, self._broken())

    def _broken(self) -> Iterator[str]:
        locks = len(self.fleet.locked(self.worker))
        if locks > self.locks:
            yield f"the clean-up lock of '{self.worker}' was taken {locks} times"
        requeues = self.fleet.requeues(self.worker)
        for key in sorted({*requeues, *self.jobs}):
            if requeues[key] != 1:
                yield f"'{key}' of '{self.worker}' was requeued {requeues[key]} times"
        deletions = self.fleet.deletions(self.worker)
        if deletions > 1:
            yield f"'{self.worker}' was deleted {deletions} times"
        if self.worker in {**self.fleet.table(scripts.WORKERS), **self.fleet.jobs()}:
            yield f"'{self.worker}' was not deleted"


@dataclass(frozen=True, slots=True)
class LocksFree:
    """J5: no clean-up lock is left when all is quiet."""

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(self.fleet, "LocksFree", "none", self._left())

    def _left(self) -> Iterator[str]:
        for worker in sorted(self.fleet.table(scripts.LOCKS)):
            yield f"the clean-up lock of '{worker}' is left"


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """J6: streams, consumers, subscriptions and entries are those of the nodes and workers up."""

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(
            self.fleet, "NothingLeft", "what belongs to nodes that are up", self._left()
        )

    def _left(self) -> Iterator[str]:
        fleet, data = self.fleet, self.fleet.store.data
        nodes = {node.id for node in fleet.up()}
        workers = {worker for node in fleet.up() for worker in node.workers}
        allowed = {
            f"{POOL}:{scripts.EVENTS}",
            *(scripts.node_stream(POOL, each) for each in nodes),
            *(scripts.worker_stream(POOL, each) for each in workers),
        }
        streams = {key for key in data.keys(f"{POOL}:*") if data.type(key) == "stream"}
        yield from (f"the stream '{each}' is left" for each in sorted(streams - allowed))
        for row in data.xinfo_consumers(f"{POOL}:{scripts.EVENTS}", scripts.GROUP):
            if row["name"] not in nodes:
                yield f"the consumer '{row['name']}' is left"
        yield from self._entries_left(nodes, workers)
        for table in scripts.TABLES:
            ((_, listeners),) = data.pubsub_numsub(f"{POOL}:{table}")
            wanted = sum(table in node.replicas for node in fleet.up())
            # One may be the book of the fleet.
            found = listeners - (table in BOOKED)
            if found != wanted:
                yield f"'{table}' has {found} subscriptions for {wanted} copies"
        for node in fleet.up():
            if node.open_streams > 1 + len(fleet.nodes):
                yield f"'{node.id}' holds {node.open_streams} streams open"

    def _entries_left(self, nodes: set[str], workers: set[str]) -> Iterator[str]:
        fleet = self.fleet
        for node in sorted(set(fleet.table(scripts.NODES)) - nodes):
            yield f"'{node}' is left in '{scripts.NODES}'"
        for key, guard in sorted(fleet.table(scripts.PENDING).items()):
            if guard.partition(" ")[2].partition("/")[0] not in nodes:
                yield f"the guard of '{key}' is left"
        known = workers & set(fleet.table(scripts.WORKERS))
        for table in (scripts.WORKERS, scripts.BEATS, scripts.LOCKS, scripts.JOBS):
            for worker in sorted(set(fleet.table(table)) - known):
                yield f"'{worker}' is left in '{table}'"


@dataclass(frozen=True, slots=True)
class GuardsFall:
    """J7: a guard is gone a grace after it expired, and only its owner removes it before."""

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(
            self.fleet, "GuardsFall", "its owner or its time ends a guard", self._broken()
        )

    def _broken(self) -> Iterator[str]:
        fleet = self.fleet
        grace_ns = policy.ns(fleet.timing.grace)
        for key, guard in sorted(fleet.table(scripts.PENDING).items()):
            until_ns = policy.stamp(guard)
            if until_ns is not None and fleet.now_ns() > until_ns + grace_ns:
                yield f"the guard of '{key}' was void for more than {fleet.timing.grace} s"
        yield from fleet.stolen_guards()


@dataclass(frozen=True, slots=True)
class CopiesFollow:
    """J8: every copy shows what the store has, though somebody watches each and never looks."""

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(self.fleet, "CopiesFollow", "what the store has", self._behind())

    def _behind(self) -> Iterator[str]:
        for node in self.fleet.up():
            for table, copy in node.replicas.items():
                if copy.content != self.fleet.table(table):
                    yield f"'{node.id}' has {copy.content} in '{table}'"
                if copy.watchers > self.fleet.watchers(table):
                    yield f"'{node.id}' has {copy.watchers} watchers of '{table}'"


@dataclass(frozen=True, slots=True)
class PayloadsKept:
    """J9: a payload goes with the stop of its job, never with a worker."""

    fleet: Fleet

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(self.fleet, "PayloadsKept", "the payloads of all jobs", self._lost())

    def _lost(self) -> Iterator[str]:
        payloads = self.fleet.table(scripts.PAYLOADS)
        for key in self.fleet.live_jobs():
            if key not in payloads:
                yield f"the payload of '{key}' is gone"
        for key in sorted(self.fleet.stopped & set(payloads)):
            yield f"the payload of '{key}' is left"
