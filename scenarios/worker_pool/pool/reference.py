"""A pool of workers that share jobs through a store, and survive the death of any of them.

    dispatch ──guard + start event──► pool stream ──any node──► stream of a worker
       ▲                                                           │ owns the job, starts it
       └────────── stream of the node ◄──── answer + ack ──────────┘

A job exists while it has a payload, and has at most one owner among the active workers. Whoever is
not heard of for a time to live is dead: one node takes the clean-up lock, has its jobs started
elsewhere, and deletes it. All that must not be torn apart happens in one step of the store
(`scripts.py`). It does not know what a job does, nor how the store is reached.

Departs: from the pool that it is modelled on in that a guard and its event, or an acknowledgement
and its answer, are one step; that a request is registered before its event is out; and that leaving
workers are cleaned up under the lock of dead ones.
"""

# ruff: noqa: FBT001, FBT002, FBT003, PLR0917 - the signatures of redis-py, and rows of arguments
import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from . import policy, replica, scripts
from .policy import Timing
from .replica import Replica

log = logging.getLogger(__name__)

#: What one node has copies of, and what one without workers.
COPIED = (scripts.WORKERS, scripts.SHUTDOWN, scripts.PENDING)
COPIED_BY_CLIENTS = (scripts.SHUTDOWN,)
#: What a node without workers does.
CLIENT_ROLES = frozenset({"replies", "shutdown", "keep-alive"})


class PoolClosedError(Exception):
    """The node is closed, or the pool is shutting down."""


class ClientOnlyError(Exception):
    """The node was made without workers."""


class JobExistsError(Exception):
    """There is a job of this key, or one is being started."""


class DispatchError(Exception):
    """The job was not started, or nobody said so in time."""


class Client(replica.Store, Protocol):
    """What the pool needs of a client of the store, beyond what a replica does."""

    def xread(
        self, streams: Mapping[str, str], count: int | None = None, block: int | None = None
    ) -> Awaitable[Any]:
        """Read behind an id."""
        ...

    def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: Mapping[str, str],
        count: int | None = None,
        block: int | None = None,
    ) -> Awaitable[Any]:
        """Read for a group."""
        ...

    def xautoclaim(
        self,
        name: str,
        groupname: str,
        consumername: str,
        min_idle_time: int,
        start_id: str = "0-0",
        count: int | None = None,
    ) -> Awaitable[Any]:
        """Take over what is pending for too long."""
        ...

    def xadd(
        self,
        name: str,
        fields: Mapping[str, str],
        id: str = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
    ) -> Awaitable[Any]:
        """Append to a stream."""
        ...

    def xack(self, name: str, groupname: str, *ids: str) -> Awaitable[Any]:
        """Acknowledge."""
        ...


class Handler(Protocol):
    """What a worker does with jobs: the user's. One task at a time."""

    async def start(self, key: str, payload: str) -> None:
        """Start a job; an error means that it did not start."""
        ...

    async def stop(self, key: str) -> None:
        """Stop a job."""
        ...


class Worker:
    """One worker of a node: what it runs, and its two tasks. Made by `Node.add_worker`; one loop.

    Attributes:
        id: how it is called.
        jobs: payloads of the jobs that it runs, by their keys.
    """

    # invariant: a key is in `jobs` from the end of its handler's start to the beginning of its stop

    def __init__(self, id: str, handler: Handler) -> None:
        self.id = id
        self.handler = handler
        self.jobs: dict[str, str] = {}
        self.turn = asyncio.Lock()
        self.tasks: list[asyncio.Task[None]] = []


class Outlet:
    """A handle of the stream of some node, for answers. One loop.

    Args:
        owner: the node that holds it open.
        name: the name of the stream.
    """

    def __init__(self, owner: "Node", name: str) -> None:
        self.name = name
        owner.open_streams += 1


class Node:
    """One node of a pool. One loop.

    Args:
        store: its client of the store.
        pool: the pool.
        id: how it is called; its tasks are called `<id>/…`.
        timing: how patient it is.
        client_only: it starts and stops jobs, and has no workers: it neither routes nor cleans up.
        clock: nanoseconds of its clock.
        uniform: draws the jitter of retries.

    Attributes:
        id: how it is called.
        replicas: its copies, by the names of the tables.
        open_streams: how many handles of streams it holds.
    """

    # invariant: whoever waits for an answer is in `_replies` before its event can be seen

    def __init__(
        self,
        store: Client,
        pool: str,
        id: str,
        timing: Timing | None = None,
        *,
        client_only: bool = False,
        clock: Callable[[], int] = time.time_ns,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.id = id
        self._client_only = client_only
        self._store = store
        self._pool = pool
        self._timing = timing or Timing()
        self._ttl_ns = self._timing.ttl_ns
        self._patience = self._timing.patience
        self._block_ms = round(self._timing.block * 1000)
        self._run = _bound_to(pool, store.run)
        self._clock = clock
        self._uniform = uniform
        self._numbers = itertools.count(1)
        self._replies: dict[str, asyncio.Future[str]] = {}
        self._workers: dict[str, Worker] = {}
        self._orphans: dict[str, int] = {}
        self._outlets: dict[str, Outlet] = {}
        self.open_streams = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        copied = COPIED_BY_CLIENTS if client_only else COPIED
        self.replicas = {table: self._make_replica(table) for table in copied}

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Join the pool.

        Raises:
            PoolClosedError: the pool is shutting down.
        """
        for copy in self.replicas.values():
            await copy.open()
        if not await self._join():
            await self._close_replicas()
            raise PoolClosedError(self._pool)
        timing = self._timing
        roles: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            ("events", self._read_events),
            ("replies", self._read_replies),
            ("workers", self._watch_workers),
            ("shutdown", self._watch_shutdown),
            ("dead nodes", partial(self._every, timing.ttl, self._sweep_nodes)),
            ("dead workers", partial(self._every, timing.ttl, self._sweep_workers)),
            ("stale guards", partial(self._every, timing.grace, self._sweep_guards)),
            ("keep-alive", partial(self._every, timing.ttl / 2, self._attend)),
        ]
        for role, run in roles:
            if not self._client_only or role in CLIENT_ROLES:
                self._spawn(role, run())

    async def close(self) -> None:
        """Stop all jobs here, have them started elsewhere, and leave. Callers share one close."""
        await asyncio.shield(self._end(keep_jobs=True))

    async def shutdown(self) -> None:
        """Stop all jobs of all nodes for good, and delete the pool."""
        await self._run(scripts.put, scripts.SHUTDOWN, "shutdown", self.id)
        await asyncio.shield(self._end(keep_jobs=False))
        # Whoever is not gone by then is dead, or deaf.
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._timing.ttl):
                while await self._has_nodes():
                    await asyncio.sleep(self._timing.ttl / 10)
        await self._run(scripts.wipe)

    @property
    def workers(self) -> dict[str, Worker]:
        """The workers of this node, by their ids."""
        return dict(self._workers)

    @property
    def is_closing(self) -> bool:
        """Whether it takes no more calls."""
        return self._ending is not None

    async def _join(self) -> bool:
        return bool(await self._run(scripts.join, self.id, self._clock()))

    def _end(self, *, keep_jobs: bool) -> asyncio.Task[None]:
        if self._ending is None:
            ending = self._leave(keep_jobs=keep_jobs)
            self._ending = asyncio.create_task(ending, name=f"{self.id}/closing")
        return self._ending

    async def _leave(self, *, keep_jobs: bool) -> None:
        if keep_jobs:
            await self._retire(list(self._workers.values()))
        else:
            for worker in list(self._workers.values()):
                await self._discard(worker)
        await _cancel(self._tasks)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(PoolClosedError(self._pool))
        with suppress(ConnectionError):
            await self._take_out(self.id)
        await self._close_replicas()

    async def _take_out(self, node: str) -> None:
        await self._run(scripts.leave, node)

    async def _close_replicas(self) -> None:
        for copy in self.replicas.values():
            await copy.close()

    async def _has_nodes(self) -> bool:
        (nodes,) = await self._survey(scripts.NODES)
        ttl_ns, now_ns = self._ttl_ns, self._clock()
        return any(policy.is_fresh(beat, now_ns, ttl_ns) for beat in nodes.values())

    # --- workers ----------------------------------------------------------------------------------

    async def add_worker(self, id: str, handler: Handler) -> Worker:
        """Add a worker to this node.

        Raises:
            ClientOnlyError: the node takes none.
            PoolClosedError: the node is closed, or the pool is shutting down.
        """
        self._check_open()
        if self._client_only:
            raise ClientOnlyError(self.id)
        if not await self._enlist(id):
            raise PoolClosedError(self._pool)
        worker = self._workers[id] = Worker(id, handler)
        roles = {
            "events": self._work(worker),
            "keep-alive": self._every(self._timing.ttl / 2, partial(self._beat, worker)),
        }
        worker.tasks = [
            asyncio.create_task(role, name=f"{self.id}/{id}/{name}") for name, role in roles.items()
        ]
        self._bind(worker)
        return worker

    async def remove_worker(self, worker: Worker) -> None:
        """Stop a worker's jobs, have them started elsewhere, and delete it."""
        await self._retire([worker])

    async def _enlist(self, id: str) -> bool:
        return bool(await self._run(scripts.enlist, id, self._clock()))

    def _bind(self, worker: Worker) -> None:
        """Do nothing: a worker lives as long as its node, whoever added it."""

    async def _beat(self, worker: Worker) -> None:
        if not await self._run(scripts.beat, worker.id, self._clock()):
            # It was taken for dead, and its jobs are others' by now.
            self._spawn(f"evict {worker.id}", self._evict(worker))

    async def _evict(self, worker: Worker) -> None:
        if self._workers.pop(worker.id, None) is not None:
            log.info("worker %s was taken for dead: it stops %d jobs", worker.id, len(worker.jobs))
            await self._halt(worker)

    async def _halt(self, worker: Worker) -> None:
        """End the tasks of a worker, and stop its jobs; the store is told nothing.

        A start that is under way ends before, and is answered.
        """
        async with worker.turn:
            await _cancel(worker.tasks)
            for key in list(worker.jobs):
                del worker.jobs[key]
                await worker.handler.stop(key)

    async def _retire(self, workers: list[Worker]) -> None:
        """Have workers leave: none of them gets a job of another, and each stops before it gives.

        What cannot be given away stays listed as theirs, for whoever cleans up after them.
        """
        tokens = [await self._lock(worker.id, leaving=True) for worker in workers]
        for worker in workers:
            self._workers.pop(worker.id, None)
            await self._halt(worker)
        for worker, token in zip(workers, tokens, strict=True):
            if token is not None:
                await self._hand_over(worker.id, token)

    async def _hand_over(self, worker: str, token: str) -> None:
        """Have the jobs of a leaving worker started elsewhere, then delete it."""
        await self._empty(worker, token)

    async def _discard(self, worker: Worker) -> None:
        """Stop the jobs of a worker for good, and delete it."""
        self._workers.pop(worker.id, None)
        keys = list(worker.jobs)
        await self._halt(worker)
        with suppress(ConnectionError):
            for key in keys:
                await self._run(scripts.release, worker.id, key, True)
            await self._run(scripts.erase, worker.id)

    # --- dispatch ---------------------------------------------------------------------------------

    async def dispatch(self, key: str, payload: str = "") -> None:
        """Start a job on some worker.

        Raises:
            PoolClosedError: the node is closed.
            JobExistsError: there is one of this key, or one is being started.
            DispatchError: it did not start, or nobody said so in time: then it still may.
            ConnectionError: the store cannot be reached: it may have started.
        """
        self._check_open()
        await self._dispatch({"key": key, "payload": payload})

    async def stop_job(self, key: str) -> None:
        """Stop a job for good, wherever it runs.

        Raises:
            PoolClosedError: the node is closed.
            DispatchError: there is no such job, or nobody said in time that it stopped; it still
                may.
            ConnectionError: the store cannot be reached.
        """
        self._check_open()
        event = self._address({"type": "stop", "key": key})
        reply = self._register(event)
        try:
            if await self._run(scripts.publish, event) is None:
                raise PoolClosedError(self._pool)
            await self._answered(reply, key)
        finally:
            self._replies.pop(event["request"], None)

    async def _dispatch(
        self, event: dict[str, str], requeued: tuple[str, str] | None = None
    ) -> None:
        event = self._address({**event, "type": "start"})
        guard = f"{self._clock() + policy.ns(self._patience)} {event['request']}"
        # Before anybody can see the event: its answer may be here at once.
        reply = self._register(event)
        refusal = ""
        try:
            refusal = await self._admit(event, guard, requeued)
            _raise_refused(refusal, event["key"])
            await self._answered(reply, event["key"])
        finally:
            self._replies.pop(event["request"], None)
            if not refusal:
                # If the store cannot be reached it is void soon, and swept.
                with suppress(ConnectionError):
                    await self._drop_guard(event["key"], guard)

    def _address(self, event: dict[str, str]) -> dict[str, str]:
        return {**event, "request": f"{self.id}/{next(self._numbers)}", "node": self.id}

    def _register(self, event: dict[str, str]) -> asyncio.Future[str]:
        reply = self._replies[event["request"]] = asyncio.get_running_loop().create_future()
        return reply

    async def _admit(
        self, event: dict[str, str], guard: str, requeued: tuple[str, str] | None
    ) -> str:
        """Take the guard of a key and publish its event; return why not, empty if it was done."""
        now_ns = self._clock()
        return str(await self._run(scripts.admit, event, now_ns, guard, requeued))

    async def _drop_guard(self, key: str, guard: str) -> None:
        await self._run(scripts.drop, scripts.PENDING, key, guard)

    async def _answered(self, reply: asyncio.Future[str], key: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                error = await reply
        except TimeoutError:
            message = f"no answer about {key!r} in {self._patience} s"
            raise DispatchError(message) from None
        if error:
            raise DispatchError(error)

    # --- events of the pool -----------------------------------------------------------------------

    async def _read_events(self) -> None:
        """Route what comes, and what nobody acknowledged in time."""
        while True:
            try:
                # What was claimed does not wait for what is new.
                for look in (self._claim, self._read_new):
                    for event_id, event in await look():
                        await self._route(event_id, event)
            except Exception as exc:
                # Which class an error of the server has, only its client knows.
                if not policy.passes(exc):
                    raise
                await self._rest(exc)

    async def _claim(self) -> list[tuple[str, dict[str, str]]]:
        stream, idle_ms = f"{self._pool}:{scripts.EVENTS}", round(self._timing.grace * 1000)
        found: list[tuple[str, dict[str, str]]] = []
        cursor = ""
        while cursor != "0-0":
            cursor, events, _ = await self._store.xautoclaim(
                stream, scripts.GROUP, self.id, idle_ms, cursor or "0-0", policy.BATCH
            )
            found += events
        return found

    async def _read_new(self) -> list[tuple[str, dict[str, str]]]:
        stream = f"{self._pool}:{scripts.EVENTS}"
        found = await self._store.xreadgroup(
            scripts.GROUP, self.id, {stream: ">"}, policy.BATCH, self._block_ms
        )
        return found[0][1] if found else []

    async def _route(self, event_id: str, event: dict[str, str]) -> None:
        """Hand an event to a worker; without one, leave it pending: it comes again."""
        if self._is_too_old(event_id):
            log.info("dropped the old event %s", event_id)
            await self._store.xack(f"{self._pool}:{scripts.EVENTS}", scripts.GROUP, event_id)
            return
        key = event["key"]
        if event["type"] == "stop":
            worker = await self._owner(key)
        else:
            worker = (await self._choose([key]))[key]
        if worker:
            await self._send(scripts.worker_stream(self._pool, worker), {**event, "id": event_id})
        elif worker is not None:
            await self._answer(event_id, event, f"there is no job {key!r}")

    def _is_too_old(self, event_id: str) -> bool:
        since_ms = int(event_id.partition("-")[0])
        return self._clock() - since_ms * 1_000_000 > policy.ns(self._timing.event_ttl)

    async def _choose(self, keys: Iterable[str]) -> dict[str, str | None]:
        """Return the worker that each of the keys belongs to now, None without any worker."""
        workers, beats, locks = await self._survey(scripts.WORKERS, scripts.BEATS, scripts.LOCKS)
        alive = policy.active(workers, beats, locks, self._clock(), self._ttl_ns)
        return {key: policy.pick(key, alive) for key in keys}

    async def _owner(self, key: str) -> str | None:
        """Return the active owner of a job; None if it has none now, empty if there is no job."""
        workers, beats, locks, jobs, payloads = await self._survey(
            scripts.WORKERS, scripts.BEATS, scripts.LOCKS, scripts.JOBS, scripts.PAYLOADS
        )
        alive = policy.active(workers, beats, locks, self._clock(), self._ttl_ns)
        owned_by = [each for each in policy.owners(policy.lists(jobs), key) if each in alive]
        if owned_by:
            return owned_by[0]
        return None if key in payloads else ""

    async def _send(self, stream: str, event: dict[str, str]) -> None:
        # Only if there is such a stream: one that was destroyed stays so.
        await self._store.xadd(stream, event, nomkstream=True)

    async def _answer(self, event_id: str, event: dict[str, str], error: str) -> None:
        """Acknowledge an event of the pool, and tell the node that waits for it."""
        stream = self._outlet(event["node"])
        await self._run(scripts.answer, event_id, stream.name, event["request"], error)

    def _outlet(self, node: str) -> "Outlet":
        """Return the handle of a node's stream: the same one each time."""
        if node not in self._outlets:
            self._outlets[node] = Outlet(self, scripts.node_stream(self._pool, node))
        return self._outlets[node]

    # --- events of a node and of its workers ------------------------------------------------------

    async def _read_replies(self) -> None:
        stream, after = scripts.node_stream(self._pool, self.id), "0-0"
        while True:
            for event_id, reply in await self._read(stream, after):
                after = event_id
                if reply["type"] == "return":
                    self._resolve(reply["request"], reply["error"])

    def _resolve(self, request: str, error: str) -> None:
        reply = self._replies.get(request)
        # Whoever waited may have given up in this very instant.
        if reply is not None and not reply.done():
            reply.set_result(error)

    async def _work(self, worker: Worker) -> None:
        stream, after = scripts.worker_stream(self._pool, worker.id), "0-0"
        while True:
            for event_id, event in await self._read(stream, after):
                after = event_id
                # An event that is not acknowledged comes again.
                await self._try(partial(self._serve, worker, event))

    async def _serve(self, worker: Worker, event: dict[str, str]) -> None:
        if event["type"] == "start":
            await self._start(worker, event)
        elif event["type"] == "stop":
            await self._stop(worker, event)

    async def _start(self, worker: Worker, event: dict[str, str]) -> None:
        key, payload = event["key"], event["payload"]
        async with worker.turn:
            owning = await self._take(worker, key, payload)
            if owning in ("gone", "owned"):
                log.info("worker %s refused %r: %s", worker.id, key, owning)
                return
            error = ""
            if self._must_start(worker, key, owning):
                error = await self._run_handler(worker, key, payload)
            if error:
                await self._withdraw(worker, key, is_new=owning == "first")
            await self._answer(event["id"], event, error)

    async def _take(self, worker: Worker, key: str, payload: str) -> str:
        """Own a job; see `scripts.take`."""
        now_ns, ttl_ns = self._clock(), self._ttl_ns
        return str(await self._run(scripts.take, worker.id, key, payload, now_ns, ttl_ns))

    async def _withdraw(self, worker: Worker, key: str, *, is_new: bool) -> None:
        """Own a job no longer that did not start; one that never ran is none."""
        await self._run(scripts.release, worker.id, key, is_new)

    def _must_start(self, worker: Worker, key: str, owning: str) -> bool:
        """Tell whether a job is still to be started: the event may come twice."""
        return key not in worker.jobs

    async def _run_handler(self, worker: Worker, key: str, payload: str) -> str:
        """Start a job that the worker owns; return the error."""
        try:
            await worker.handler.start(key, payload)
        except Exception as exc:
            # The user's: told to whoever dispatched.
            return repr(exc)
        worker.jobs[key] = payload
        return ""

    async def _stop(self, worker: Worker, event: dict[str, str]) -> None:
        key = event["key"]
        async with worker.turn:
            if key not in worker.jobs:
                # Another owns it by now: it is routed again.
                return
            del worker.jobs[key]
            await worker.handler.stop(key)
            await self._run(scripts.release, worker.id, key, True)
            await self._answer(event["id"], event, "")

    # --- changes of the pool ----------------------------------------------------------------------

    async def _watch_workers(self) -> None:
        changed = self.replicas[scripts.WORKERS].watch()
        while True:
            await changed.wait()
            changed.clear()
            await self._try(self._adjust)

    async def _adjust(self) -> None:
        """Stop the workers that were deleted; give away the jobs that belong elsewhere now."""
        if not self._workers:
            return
        await self._evict_deleted()
        await self._rebalance()

    async def _evict_deleted(self) -> None:
        copy = self.replicas[scripts.WORKERS].content
        missing = [worker for worker in self._workers.values() if worker.id not in copy]
        if not missing:
            return
        # The copy may be behind, and not know yet whom we have just added.
        (known,) = await self._survey(scripts.WORKERS)
        for worker in missing:
            if worker.id not in known:
                await self._evict(worker)

    async def _rebalance(self) -> None:
        for worker in list(self._workers.values()):
            targets = await self._choose(list(worker.jobs)) if worker.jobs else {}
            for key, target in targets.items():
                if target not in (None, worker.id):
                    await self._move(worker, key)

    async def _move(self, worker: Worker, key: str) -> None:
        """Have a job run where it belongs; it stops before it is given away."""
        async with worker.turn:
            payload = worker.jobs.pop(key, None)
            if payload is None:
                return
            await worker.handler.stop(key)
        try:
            await self._give(worker, key)
        except _RefusedError as exc:
            # It was held up, taken for dead meanwhile, and the job is another's, or no more.
            log.info("job %r is no longer with %s: %s", key, worker.id, exc)
        except (DispatchError, JobExistsError, ConnectionError) as exc:
            log.info("job %r stays with %s: %s", key, worker.id, exc)
            await self._restart(worker, key, payload)

    async def _give(self, worker: Worker, key: str) -> None:
        await self._dispatch({"key": key, "from": worker.id}, (worker.id, ""))

    async def _restart(self, worker: Worker, key: str, payload: str) -> None:
        async with worker.turn:
            if await self._take(worker, key, payload) not in ("gone", "owned"):
                await self._run_handler(worker, key, payload)

    async def _watch_shutdown(self) -> None:
        copy = self.replicas[scripts.SHUTDOWN]
        changed = copy.watch()
        while True:
            await changed.wait()
            changed.clear()
            if copy.content:
                # Not here: closing ends this task, too.
                self._end(keep_jobs=False)
                return

    # --- the dead ---------------------------------------------------------------------------------

    async def _sweep_nodes(self) -> None:
        (nodes,) = await self._survey(scripts.NODES)
        now_ns, ttl_ns = self._clock(), self._ttl_ns
        for node, heard in sorted(nodes.items()):
            if not policy.is_fresh(heard, now_ns, ttl_ns):
                log.info("node %s is dead", node)
                await self._take_out(node)

    async def _sweep_workers(self) -> None:
        """Clean up after the dead workers, and after those who left nobody to own a job."""
        workers, beats, locks, jobs, payloads = await self._survey(
            scripts.WORKERS, scripts.BEATS, scripts.LOCKS, scripts.JOBS, scripts.PAYLOADS
        )
        now_ns, ttl_ns = self._clock(), self._ttl_ns
        alive = policy.active(workers, beats, locks, now_ns, ttl_ns)
        for worker in self._candidates(workers, beats, jobs):
            if worker not in alive and not policy.is_fresh(locks.get(worker), now_ns, ttl_ns):
                await self._clean_up(worker, locks.get(worker))
        await self._sweep_orphans(payloads, jobs, now_ns)

    def _candidates(
        self, workers: policy.Table, beats: policy.Table, jobs: policy.Table
    ) -> list[str]:
        return sorted({*workers, *jobs})

    async def _clean_up(self, worker: str, stale: str | None) -> None:
        """Have the jobs of a dead worker started elsewhere, then delete it.

        Args:
            worker: the worker.
            stale: the entry of a lock that somebody left behind.
        """
        token = await self._lock(worker, leaving=False, stale=stale)
        if token is None:
            return
        log.info("worker %s is stale", worker)
        log.info("node %s took the clean-up lock of worker %s", self.id, worker)
        await self._empty(worker, token)

    async def _lock(self, worker: str, *, leaving: bool, stale: str | None = None) -> str | None:
        """Take the clean-up lock of a worker; return the token, None if it is not to be had."""
        token = f"{self.id}/{next(self._numbers)}"
        now_ns, ttl_ns = self._clock(), self._ttl_ns
        taken = await self._run(scripts.lock, worker, token, now_ns, ttl_ns, leaving)
        return token if taken else None

    async def _empty(self, worker: str, token: str) -> None:
        """Requeue the jobs of a locked worker; delete it if that worked, else let the lock expire.

        It expires because it is renewed no longer: whoever sweeps next tries again.
        """
        workers, beats, locks, jobs = await self._survey(
            scripts.WORKERS, scripts.BEATS, scripts.LOCKS, scripts.JOBS
        )
        keys = policy.lists(jobs).get(worker, ())
        alive = policy.active(workers, beats, locks, self._clock(), self._ttl_ns)
        if keys and not alive:
            return
        renewing = self._renew(worker, token)
        task = asyncio.create_task(renewing, name=f"{self.id}/renew {worker}")
        try:
            done = [await self._requeue(worker, key, token) for key in keys]
        finally:
            await _cancel([task])
        if all(done):
            await self._delete(worker, token)
        else:
            await self._give_up(worker, token)

    async def _give_up(self, worker: str, token: str) -> None:
        """Leave a lock to expire: jobs that do not start now are not tried again at once."""

    async def _renew(self, worker: str, token: str) -> None:
        """Keep a clean-up lock for as long as the work takes."""

        async def renew() -> None:
            await self._run(scripts.renew, worker, token, self._clock())

        await self._every(self._timing.ttl / 2, renew)

    async def _requeue(self, worker: str, key: str, token: str) -> bool:
        """Have one job of a locked worker started elsewhere; tell whether it is off its list.

        What fails is tried again, a few times and ever later: the lock is renewed meanwhile.
        """
        for retry in range(1 + self._timing.retries):
            if retry:
                await asyncio.sleep(policy.backoff(self._timing, retry, self._uniform))
            try:
                refusal = await self._requeue_once(worker, key, token)
            except (DispatchError, JobExistsError, ConnectionError) as exc:
                log.info("requeue of %r failed: %s", key, exc)
                continue
            if refusal == "lost":
                return False
            log.info("requeued %r of worker %s", key, worker)
            return True
        return False

    async def _requeue_once(self, worker: str, key: str, token: str) -> str:
        """Return why the job needs no start, empty if it was started.

        Raises:
            DispatchError: it did not start.
            JobExistsError: it is being started by somebody else.
            ConnectionError: the store cannot be reached.
        """
        try:
            await self._dispatch({"key": key, "from": worker}, (worker, token))
        except _RefusedError as exc:
            if exc.refusal == "missing":
                await self._strike_missing(worker, key, token)
            elif exc.refusal == "moved":
                await self._forget(worker, key, token)
            return exc.refusal
        await self._forget(worker, key, token)
        return ""

    async def _strike_missing(self, worker: str, key: str, token: str) -> None:
        """Strike a job off that somebody stopped: nothing is left but its place on the list."""
        await self._forget(worker, key, token)

    async def _forget(self, worker: str, key: str, token: str) -> None:
        await self._run(scripts.forget, worker, token, key)

    async def _delete(self, worker: str, token: str) -> None:
        if await self._run(scripts.discharge, worker, token):
            log.info("deleted worker %s", worker)

    async def _sweep_orphans(self, payloads: policy.Table, jobs: policy.Table, now_ns: int) -> None:
        """Start the jobs that nobody owned for a while: whoever owned them failed to give them."""
        owned = set[str]().union(*policy.lists(jobs).values())
        orphans = sorted(set(payloads) - owned)
        self._orphans = {key: self._orphans.get(key, now_ns) for key in orphans}
        for key, since_ns in list(self._orphans.items()):
            if now_ns - since_ns < self._timing.orphan_ns:
                continue
            try:
                await self._dispatch({"key": key}, ("", ""))
            except _RefusedError as exc:
                log.info("job %r is no orphan any more: %s", key, exc)
            except (DispatchError, JobExistsError) as exc:
                log.info("job %r is still an orphan: %s", key, exc)

    async def _sweep_guards(self) -> None:
        """Delete the guards that are void, each if it still is what it was."""
        now_ns = self._clock()
        for key, guard in sorted(self.replicas[scripts.PENDING].content.items()):
            until = policy.stamp(guard)
            if until is not None and now_ns > until:
                await self._drop_guard(key, guard)

    async def _attend(self) -> None:
        await self._run(scripts.attend, self.id, self._clock())

    # --- inside -----------------------------------------------------------------------------------

    def _make_replica(self, table: str) -> Replica:
        return Replica(self._store, self._pool, table, self.id)

    def _check_open(self) -> None:
        if self.is_closing:
            raise PoolClosedError(self._pool)

    async def _survey(self, *tables: str) -> tuple[dict[str, str], ...]:
        found: tuple[dict[str, str], ...] = await self._run(scripts.survey, *tables)
        return found

    async def _read(self, stream: str, after: str) -> list[tuple[str, dict[str, str]]]:
        """Return what is in a stream behind an id; nothing if nothing comes for a while."""
        try:
            found = await self._store.xread({stream: after}, policy.BATCH, self._block_ms)
        except ConnectionError as exc:
            await self._rest(exc)
            return []
        return found[0][1] if found else []

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._try(step)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ConnectionError as exc:
            log.warning("%s: %s", self.id, exc)

    async def _rest(self, exc: Exception) -> None:
        log.warning("%s: %s", self.id, exc)
        await asyncio.sleep(replica.RECONNECT_DELAY)

    def _spawn(self, role: str, run: Coroutine[Any, Any, None]) -> None:
        """Start a task that ends with the node."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(run, name=f"{self.id}/{role}"))


class _RefusedError(Exception):
    """A requeue that is not to be; `refusal` says why."""

    def __init__(self, refusal: str) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def _bound_to(pool: str, run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return what runs scripts on the tables of one pool."""

    def run_here(script: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return run(script, pool, *args)

    return run_here


def _raise_refused(refusal: str, key: str) -> None:
    if refusal in ("exists", "pending"):
        raise JobExistsError(key)
    if refusal == "closed":
        raise PoolClosedError(key)
    if refusal == "malformed":
        message = f"the guard of {key!r} says nothing"
        raise DispatchError(message)
    if refusal:
        raise _RefusedError(refusal)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
