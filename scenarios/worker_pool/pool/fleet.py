"""The nodes of one pool in a storm, and a book of what was asked of them and what ran where."""

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Any

from harness import (
    AsyncSimulation,
    AsyncStore,
    Crash,
    Delay,
    Fail,
    InFlight,
    Pause,
    SkewedClock,
)
from scenarios.worker_pool.strike import Strike

from . import policy, scripts
from .policy import Timing
from .reference import JobExistsError, Node, Worker

POOL = "pool"
#: The defaults, but that nobody looks for events of its own accord: that costs steps.
TIMING = Timing(block=120.0)
#: As `TIMING`, where an event that nobody acknowledged has to come again: once in a grace.
RETURNING = replace(TIMING, block=20.0)
#: As `TIMING`, where nobody dies.
CALM = replace(TIMING, ttl=600.0)

#: The tables whose changes the book has: who held a lock, or a guard.
BOOKED = (scripts.LOCKS, scripts.PENDING)

#: What a node that is up has going; whatever else of its outlives a storm is a leak.
STANDING = (
    *(scripts.WORKERS, scripts.SHUTDOWN, scripts.PENDING),
    *("events", "replies", "dead nodes", "dead workers", "stale guards", "keep-alive"),
    *("*/events", "*/keep-alive"),
)


@dataclass(slots=True)
class Run:
    """One job, from the start of its handler to its stop or the end of its node."""

    key: str
    worker: str
    node: str
    since: float
    until: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return self.until is None


class Duty:
    """The handler of one worker: it writes down what runs. One loop."""

    def __init__(self, fleet: "Fleet", node: str, worker: str) -> None:
        self._fleet = fleet
        self._node = node
        self._worker = worker

    async def start(self, key: str, payload: str) -> None:
        """Start a job: it may take a while, or fail."""
        fleet = self._fleet
        with fleet.starting:
            if fleet.start_takes:
                await fleet.sim.advance(fleet.start_takes)
            fleet.attempts[key] += 1
            if fleet.failures[key] > 0:
                fleet.failures[key] -= 1
                message = f"{key} does not start"
                raise RuntimeError(message)
            fleet.note(Run(key, self._worker, self._node, fleet.sim.now()))

    async def stop(self, key: str) -> None:
        """Stop a job."""
        for run in self._fleet.running(key):
            if run.worker == self._worker:
                run.until = self._fleet.sim.now()


class Fleet:
    """Nodes over one store, and their book. One loop.

    Args:
        sim: the simulation.
        cls: the class of its nodes.
        timing: how patient they are.
        start_takes: seconds that a handler takes to start a job.
        **options: of the store.
    """

    def __init__(
        self,
        sim: AsyncSimulation,
        cls: type[Node],
        *,
        timing: Timing = TIMING,
        start_takes: float = 0.0,
        **options: Any,
    ) -> None:
        # Whoever keeps the book is no code under test.
        with sim.no_points():
            self.sim = sim
            self.timing = timing
            self.store: AsyncStore = sim.store("store", **options)
            self.starting = InFlight("starting jobs")
            self.start_takes = start_takes
            # Seconds by which the clock of a node is ahead.
            self.skews: dict[str, float] = {}
            self.nodes: dict[str, Node] = {}
            self.down: set[str] = set()
            self.runs: list[Run] = []
            self._runs_of: defaultdict[str, list[Run]] = defaultdict(list)
            self.attempts: Counter[str] = Counter()
            self.failures: Counter[str] = Counter()
            self.accepted: list[str] = []
            self.refused: list[str] = []
            self.stopped: set[str] = set()
            # When the lock of each worker was taken, by its token.
            self._locked: defaultdict[str, dict[str, float]] = defaultdict(dict)
            # The guards that are set, and of each key those that were removed, oldest first.
            self._guards: dict[str, str] = {}
            self._removed_guards: defaultdict[str, list[str]] = defaultdict(list)
            self._cls = cls
            for table in BOOKED:
                self.store.data.subscribe(f"{POOL}:{table}", self._note_change)

    # --- what a storm does ------------------------------------------------------------------------

    async def node(self, name: str, *, client_only: bool = False) -> Node:
        """Open a node; somebody watches each of its copies and never looks."""
        self.down.discard(name)
        client = self.store.client(name)
        clock = SkewedClock(name, skew=self.skews.get(name, 0.0)).now_ns
        node = self._cls(client, POOL, name, self.timing, client_only=client_only, clock=clock)
        await node.open()
        self.nodes[name] = node
        for copy in node.replicas.values():
            copy.watch()
        return node

    async def worker(self, name: str, worker: str) -> Worker:
        """Add a worker to a node."""
        return await self.nodes[name].add_worker(worker, Duty(self, name, worker))

    async def open(self, **workers: str) -> None:
        """Open nodes that stay up, each with a worker.

        Args:
            **workers: `node_1="w1"` opens `node-1` with the worker `w1`; an empty text is none.
        """
        # Nothing is asked of them yet.
        with self.sim.no_points():
            for word, worker in workers.items():
                name = word.replace("_", "-")
                for role in STANDING:
                    self.sim.background(f"{name}/{role}")
                await self.node(name)
                if worker:
                    await self.worker(name, worker)
            await self.sim.settle()

    def seat(self, name: str, worker: str, *keys: str) -> None:
        """Have jobs run at a worker, as if they had long been dispatched."""
        with self.sim.no_points():
            self.bury(worker, *keys)
            for key in keys:
                self.nodes[name].workers[worker].jobs[key] = payload_of(key)
                self.note(Run(key, worker, name, self.sim.now()))

    def bury(self, worker: str, *keys: str, made: bool = False, lock_age: float = 0.0) -> None:
        """List jobs as those of a worker.

        Args:
            worker: the worker.
            *keys: the jobs.
            made: it is on the list of workers, too, and was last heard of an hour ago.
            lock_age: for so many seconds somebody who died has held its clean-up lock.
        """
        long_ago = self.now_ns() - policy.ns(3600.0)
        if made:
            self.set(scripts.BEATS, worker, str(long_ago))
            self.set(scripts.WORKERS, worker, str(long_ago))
        if lock_age:
            self.set(scripts.LOCKS, worker, f"{self.now_ns() - policy.ns(lock_age)} dead/1")
        self.set(scripts.JOBS, worker, json.dumps(keys))
        for key in keys:
            self.set(scripts.PAYLOADS, key, payload_of(key))
        self.accepted += keys
        self._locked.clear()

    def keys_for(self, worker: str, count: int) -> list[str]:
        """Return keys of jobs that belong to a worker, as things are now."""
        with self.sim.no_points():
            active = self.active()
            names = (f"job-{number}" for number in itertools.count(1))
            mine = (key for key in names if policy.pick(key, active) == worker)
            return list(itertools.islice(mine, count))

    async def dispatch(self, name: str, *keys: str) -> None:
        """Dispatch jobs by a node, one after the other."""
        for key in keys:
            try:
                await self.nodes[name].dispatch(key, payload_of(key))
            except JobExistsError:
                self.refused.append(key)
            else:
                self.accepted.append(key)

    async def stop(self, name: str, key: str) -> None:
        """Stop a job for good."""
        self.stopped.add(key)
        await self.nodes[name].stop_job(key)

    def end(self, key: str) -> None:
        """Have a job have been stopped for good, though its owner still lists it."""
        self.stopped.add(key)
        scripts.drop(self.store.data, POOL, scripts.PAYLOADS, key)

    def crash(self, name: str) -> None:
        """Have a node be gone, with its workers and whatever they run."""
        self._note_crash(name)
        self.store.crash(name)

    def halt(self, name: str, worker: str) -> None:
        """Have a worker stand still for ever, though its node lives and its jobs run."""
        for task in self.nodes[name].workers[worker].tasks:
            task.cancel()

    def crash_at(self, site: str, name: str, *keys: str) -> None:
        """Have a node be gone at its first command that is called like one of `keys`.

        Args:
            site: `store` before the command is applied, `store.reply` after.
            name: the node; empty for whichever is the first.
            *keys: commands, such as `run lock`.
        """
        strike = Strike(Crash(), site, name, keys, tell=self._note_crash)
        self.sim.inject(strike, at_most=1, certain=True)

    def pause_at(self, name: str, key: str, seconds: float) -> None:
        """Have a node stand still as it is about to send its first command of a kind."""
        strike = Strike(Pause(seconds), "store", name, (key,))
        self.sim.inject(strike, at_most=1, certain=True)

    def fail(self, site: str, name: str, key: str) -> None:
        """Have the first command of a node that is called `key` fail.

        Args:
            site: `store` before the command is applied, `store.reply` after.
            name: the node.
            key: the command, such as `run admit`.
        """
        strike = Strike(Fail(ConnectionError("lost")), site, name, (key,))
        self.sim.inject(strike, at_most=1, certain=True)

    def late_command(self, key: str, seconds: float) -> None:
        """Have every command of a kind reach the store late."""
        strike = Strike(Delay(seconds), "store", keys=(key,))
        self.sim.inject(strike, at_most=None, certain=True)

    def late_reply(self, key: str, seconds: float) -> None:
        """Have the store's first reply to a command be late."""
        strike = Strike(Delay(seconds), "store.reply", keys=(key,))
        self.sim.inject(strike, at_most=1, certain=True)

    def lag(self, name: str, seconds: float) -> None:
        """Have every message to a node be late."""
        strike = Strike(Delay(seconds), "store.message", name)
        self.sim.inject(strike, at_most=None, certain=True)

    async def close(self) -> None:
        """Close every node that is up."""
        for name, node in self.nodes.items():
            if name not in self.down:
                await node.close()

    def _note_crash(self, name: str) -> None:
        self.down.add(name)
        with self.sim.no_points():
            for run in self.runs:
                if run.node == name and run.is_on:
                    run.until = self.sim.now()

    # --- what came of it --------------------------------------------------------------------------

    def note(self, run: Run) -> None:
        """Write down that a job was started."""
        self.runs.append(run)
        self._runs_of[run.key].append(run)

    def running(self, key: str) -> list[Run]:
        """Return where a job runs now."""
        return [run for run in self._runs_of[key] if run.is_on]

    def runs_of(self, key: str) -> list[Run]:
        """Return all runs of a job, oldest first."""
        return list(self._runs_of[key])

    def started(self, key: str) -> list[float]:
        """Return when a job was started, each time."""
        return [run.since for run in self._runs_of[key]]

    def place(self, key: str) -> str:
        """Return the worker at which a job runs, several with a plus between; empty for none."""
        return "+".join(sorted(run.worker for run in self.running(key)))

    def belong(self, keys: list[str]) -> dict[str, str]:
        """Return the worker that each key belongs to, as things are now."""
        return {key: policy.pick(key, self.active()) or "" for key in keys}

    def table(self, name: str) -> dict[str, str]:
        """Return a table of the store."""
        return self.store.data.hgetall(f"{POOL}:{name}")

    def set(self, table: str, key: str, value: str) -> None:
        """Set an entry of a table, as if some node had long done so."""
        scripts.put(self.store.data, POOL, table, key, value)

    def jobs(self) -> dict[str, tuple[str, ...]]:
        """Return who owns what."""
        return policy.lists(self.table(scripts.JOBS))

    def active(self) -> tuple[str, ...]:
        """Return the active workers."""
        tables = (scripts.WORKERS, scripts.BEATS, scripts.LOCKS)
        workers, beats, locks = (self.table(each) for each in tables)
        return policy.active(workers, beats, locks, self.now_ns(), self.timing.ttl_ns)

    def now_ns(self) -> int:
        """Return what the clocks of the nodes say."""
        return self.store.clock.now_ns()

    def up(self) -> list[Node]:
        """Return the nodes that are neither crashed nor closed."""
        return [
            node
            for name, node in self.nodes.items()
            if name not in self.down and not node.is_closing
        ]

    def live_jobs(self) -> list[str]:
        """Return the jobs that were started and not stopped for good."""
        return [key for key in self.accepted if key not in self.stopped]

    def watchers(self, table: str) -> int:
        """Return how many watch a copy: whoever never looks, and the node where it must."""
        return 1 + (table in (scripts.WORKERS, scripts.SHUTDOWN))

    def locked(self, worker: str) -> list[float]:
        """Return when the clean-up lock of a worker was taken, each time."""
        return list(self._locked[worker].values())

    def deletions(self, worker: str) -> int:
        """Return how often a worker was deleted."""
        return sum(
            event.command == "run"
            and event.arguments[1:2] == (worker,)
            and (event.key == "erase" or (event.key == "discharge" and event.reply))
            for event in self.store.events
        )

    def requeues(self, worker: str) -> Counter[str]:
        """Return how often each job was published again because `worker` gave it up."""
        events = self.store.data.xrange(f"{POOL}:{scripts.EVENTS}")
        return Counter(event["key"] for _, event in events if event.get("from") == worker)

    def stolen_guards(self) -> list[str]:
        """Return the guards that somebody else removed before their time."""
        behind_ns = self.now_ns() - policy.ns(self.sim.now())
        stolen = []
        removed = {key: iter(guards) for key, guards in self._removed_guards.items()}
        for event in self.store.events:
            if (event.command, event.key) != ("run", "drop") or not event.reply:
                continue
            _, table, key, *_ = event.arguments
            if table != scripts.PENDING:
                continue
            # Not what the caller took it for: what it was.
            guard = next(removed[key])
            is_void = (policy.stamp(guard) or 0) < behind_ns + policy.ns(event.at)
            if not guard.partition(" ")[2].startswith(f"{event.client}/") and not is_void:
                stolen.append(f"the guard of '{key}' was removed by '{event.client}'")
        return stolen

    def _note_change(self, channel: str, message: str) -> None:
        _, key, value = json.loads(message)
        if channel == f"{POOL}:{scripts.LOCKS}":
            if value is not None:
                # Who renews it has held it since.
                token = value.partition(" ")[2]
                self._locked[key].setdefault(token, self.sim.now())
        elif value is None:
            self._removed_guards[key].append(self._guards.pop(key))
        else:
            self._guards[key] = value


def payload_of(key: str) -> str:
    """Return the payload of a job."""
    return f"payload of {key}"
