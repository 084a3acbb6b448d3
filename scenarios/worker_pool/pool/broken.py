"""Pools that are each wrong in one way.

Rows P-M…, J-M… of the component's table; P0, J3 and J8 are levels of the original that its table
tells in prose, L1 to L5 come from its later tests and history; the other rows J… break the
invariant of that number where no row of the table does. A storm in `storms.py` catches each.

Nothing of the table is equivalent here, but three rows show otherwise than there, because the
reference does more in one step: J-M2 and P-M1 take a lock twice and no longer requeue twice (each
publication asks for the lock and for the owner), and J-M8 leaves a worker that is never deleted (a
worker goes only with an empty list).
"""
# ruff: noqa: PLR0917 - a script gets its arguments in a row, as in Redis

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from . import policy, replica, scripts
from .reference import DispatchError, Node, Outlet, Worker
from .replica import Replica, Subscription


def swap(db: scripts.Database, pool: str, table: str, key: str, old: str, new: str) -> bool:
    """Set an entry if it still is `old`: a script."""
    if db.hget(f"{pool}:{table}", key) != old:
        return False
    scripts.put(db, pool, table, key, new)
    return True


def admit_unasked(db: scripts.Database, pool: str, event: dict[str, str], guard: str) -> str:
    """Publish an event and set its guard, whatever there is: a script."""
    scripts.put(db, pool, scripts.PENDING, event["key"], guard)
    scripts.publish(db, pool, event)
    return ""


# --- before the fix -------------------------------------------------------------------------------


class KeepAliveAsLock(Node):
    """P-M1: locks a dead worker by moving its keep-alive a time to live ahead.

    Bug: the corpse looks alive again, and its own jobs are routed back to it; one that is long
    dead is locked by everybody who asks. No interleaving is needed.
    Seen in: pulse before its clean-up lock of January 2025.
    Caught by: dead_worker_is_replaced_in_time (NoJobLost).
    """

    async def _lock(self, worker: str, *, leaving: bool, stale: str | None = None) -> str | None:
        if leaving:
            return await super()._lock(worker, leaving=leaving, stale=stale)
        (beats,) = await self._survey(scripts.BEATS)
        seen = beats.get(worker, "0")
        later = str((policy.stamp(seen) or 0) + self._timing.ttl_ns)
        if not await self._run(swap, scripts.BEATS, worker, seen, later):
            return None
        token = f"{self.id}/{next(self._numbers)}"
        await self._run(scripts.put, scripts.LOCKS, worker, f"0 {token}")
        return token


class KeepAlivesOnly(Node):
    """P-M2: looks for the dead among those that have a keep-alive.

    Bug: a worker that left jobs and nothing else is never found; no interleaving is needed.
    Seen in: pulse before its clean-up lock of January 2025.
    Caught by: orphans_are_found (NoJobLost).
    """

    def _candidates(
        self, workers: policy.Table, beats: policy.Table, jobs: policy.Table
    ) -> list[str]:
        return sorted(beats)


class RemoveThenAdd(Node):
    """P-M3: strikes a job off its owner's list before it is started elsewhere.

    Bug: whoever cleans up dies in between, and the job is on nobody's list.
    Seen in: pulse before its clean-up lock of January 2025.
    Caught by: cleaner_dies_between_jobs (NoJobLost).
    """

    async def _requeue_once(self, worker: str, key: str, token: str) -> str:
        await self._forget(worker, key, token)
        await self._dispatch({"key": key, "from": worker}, ("", ""))
        return ""


class GuardsPileUp(Node):
    """P-M4: leaves the guards of the dead where they are.

    Bug: a dispatcher that dies leaves its guard for ever; no interleaving is needed.
    Seen in: pulse before its clean-up lock of January 2025.
    Caught by: guards_fall (GuardsFall).
    """

    async def _sweep_guards(self) -> None:
        pass


class Resurrects(Node):
    """P-M5: adds to streams whether they exist or not.

    Bug: an answer comes after its node has gone, and makes the node's stream anew, for ever.
    Seen in: pulse before January 2025; its branch was called worker_streams_leak.
    Caught by: answer_to_the_dead (NothingLeft).
    """

    async def _answer(self, event_id: str, event: dict[str, str], error: str) -> None:
        await self._store.xack(f"{self._pool}:{scripts.EVENTS}", scripts.GROUP, event_id)
        reply = {"type": "return", "request": event["request"], "error": error}
        await self._store.xadd(self._outlet(event["node"]).name, reply)


class NoInit(Node):
    """P-M5: adds to streams that exist, and makes none to begin with.

    Bug: there is no stream for the first answer, and the dispatch times out; it always fails.
    Seen in: pulse, tried and withdrawn in January 2025.
    Caught by: many_jobs_start_at_once (Elapsed).
    """

    async def _join(self) -> bool:
        has_joined = await super()._join()
        await self._run(_forget_stream, scripts.node_stream(self._pool, self.id))
        return has_joined


def _forget_stream(db: scripts.Database, _pool: str, stream: str) -> None:
    """Delete a stream: a script."""
    db.delete(stream)


class BoundToCaller(Node):
    """P-M6: ends a worker's tasks with the task that added the worker.

    Bug: the caller goes home, the keep-alive stops, and a worker that runs well is taken for dead.
    Seen in: pulse before January 2025: workers lived in the context of whoever made them.
    Caught by: worker_outlives_its_caller (NoJobLost).
    """

    def _bind(self, worker: Worker) -> None:
        caller = asyncio.current_task()
        assert caller is not None, "a worker is added in a task"
        caller.add_done_callback(lambda _: [task.cancel() for task in worker.tasks])


class RoutesOldEvents(Node):
    """P-M7: routes an event however old it is.

    Bug: a job is started that its caller gave up minutes ago; no interleaving is needed.
    Seen in: pulse before January 2025: such an event came again every 20 s, for ever.
    Caught by: old_events_are_dropped (Failed).
    """

    def _is_too_old(self, event_id: str) -> bool:
        return False


class PendingNotClosed(Node):
    """P-M8: forgets one of its copies when it closes.

    Bug: each node that comes and goes leaves a task and a subscription; no interleaving is needed.
    Seen in: pulse before January 2025: the map of pending jobs was missing from the list.
    Caught by: nodes_come_and_go (LeakBound).
    """

    async def _close_replicas(self) -> None:
        for table, copy in self.replicas.items():
            if table != scripts.PENDING:
                await copy.close()


class StreamPerAnswer(Node):
    """P-M9: opens the stream of a node for each answer.

    Bug: the handles pile up, one for each job; no interleaving is needed.
    Seen in: pulse before January 2025.
    Caught by: nodes_come_and_go (NothingLeft).
    """

    def _outlet(self, node: str) -> Outlet:
        return Outlet(self, scripts.node_stream(self._pool, node))


class MergedWithoutBackoff(Node):
    """P0: tries a requeue once, as the fix was merged: its retries are a constant nobody reads.

    Bug: one hiccup of a start costs the job two times to live; no interleaving is needed.
    Seen in: pulse 2598358 of January 2025, whose text promises three retries with back-off.
    Caught by: failed_start_is_tried_again (NoJobLost).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._timing = replace(self._timing, retries=0)


# --- after the fix --------------------------------------------------------------------------------


class OriginalFix(Node):
    """J3: promises less: a job that moves runs at two places, and a zombie goes on.

    Bug: a job is added elsewhere before it stops here; no interleaving is needed.
    Seen in: pulse from the fix of January 2025 to #75 of May 2026: it promised no single owner.
    Caught by: new_worker_takes_its_share, paused_worker_loses_its_jobs (SingleOwner).
    """

    async def _move(self, worker: Worker, key: str) -> None:
        if key in worker.jobs:
            await self._give(worker, key)
            # It stops once it is heard of, not before.
            await asyncio.sleep(self._timing.block)
            worker.jobs.pop(key, None)
            await worker.handler.stop(key)

    async def _beat(self, worker: Worker) -> None:
        await self._run(scripts.put, scripts.BEATS, worker.id, str(self._clock()))


class LocksInTwoSteps(Node):
    """J4: asks whether a dead worker is locked, and then sets its lock.

    Bug: two nodes ask before either has set it, and both clean up.
    Seen in: no project known.
    Caught by: three_sweep_at_one_instant (CleanedOnce).
    """

    async def _lock(self, worker: str, *, leaving: bool, stale: str | None = None) -> str | None:
        if leaving:
            return await super()._lock(worker, leaving=leaving, stale=stale)
        (locks,) = await self._survey(scripts.LOCKS)
        if policy.is_fresh(locks.get(worker), self._clock(), self._timing.ttl_ns):
            return None
        token = f"{self.id}/{next(self._numbers)}"
        await self._run(scripts.put, scripts.LOCKS, worker, f"{self._clock()} {token}")
        return token


class DeletesTwice(Node):
    """J4: deletes a dead worker once more when it has been deleted.

    Bug: who has come back meanwhile under the same name is deleted alive; it always fails where
    somebody is cleaned up.
    Seen in: no project known; the original deletes a worker in four steps that anybody may repeat.
    Caught by: dead_worker_is_replaced_in_time (CleanedOnce).
    """

    async def _delete(self, worker: str, token: str) -> None:
        await super()._delete(worker, token)
        await self._run(scripts.erase, worker)


class KeepsConsumer(Node):
    """J6: takes a node out, and leaves its consumer in the group of the pool stream.

    Bug: each node that comes and goes leaves a consumer; no interleaving is needed.
    Seen in: no project known; the sinks of pulse leave theirs to the clean-up of stale consumers.
    Caught by: nodes_come_and_go (NothingLeft).
    """

    async def _take_out(self, node: str) -> None:
        await self._run(_forget_stream, scripts.node_stream(self._pool, node))
        await self._run(scripts.drop, scripts.NODES, node)


class DropsAnyGuard(Node):
    """J7: removes the guard of a key, whoever's it is.

    Bug: a guard is void, another takes its place, and who is late removes that one.
    Seen in: pulse until #74 of May 2026, whose test releases a guard with a wrong token.
    Caught by: new_guard_is_left_alone (GuardsFall).
    """

    async def _drop_guard(self, key: str, guard: str) -> None:
        await self._run(scripts.drop, scripts.PENDING, key)


class KeepsFailedPayload(Node):
    """J9: leaves the payload of a new job that did not start.

    Bug: it is taken for a job that exists, and nobody can start it again; no interleaving.
    Seen in: pulse until #75 of May 2026, whose test has a failed first start drop the payload.
    Caught by: failed_job_may_come_again (Failed).
    """

    async def _withdraw(self, worker: Worker, key: str, *, is_new: bool) -> None:
        await super()._withdraw(worker, key, is_new=False)


class LeavesOrphans(Node):
    """L3: never looks for jobs that nobody owns.

    Bug: a job whose owner failed to give it away exists for ever, and runs nowhere; it always
    fails.
    Seen in: pulse until #61 of December 2025.
    Caught by: job_without_owner_starts (NoJobLost).
    """

    async def _sweep_orphans(self, payloads: policy.Table, jobs: policy.Table, now_ns: int) -> None:
        pass


class DeletesFreshLock(Node):
    """J-M1: deletes a stale lock unasked, and then takes it.

    Bug: two nodes have seen it; one deletes it and locks, the other deletes that lock and locks.
    Seen in: pulse from January 2025 through 4c3bed6 of May 2026.
    Caught by: stale_lock_is_taken_over_once (CleanedOnce).
    """

    async def _lock(self, worker: str, *, leaving: bool, stale: str | None = None) -> str | None:
        if stale is not None:
            await self._run(scripts.drop, scripts.LOCKS, worker)
        return await super()._lock(worker, leaving=leaving, stale=stale)


class LockNotRenewed(Node):
    """J-M2: holds a lock no longer than one time to live, however long the work takes.

    Bug: three slow jobs outlast the lock, and a second node cleans up beside the first.
    Seen in: pulse until #83 of July 2026: a lock of 30 s for 40 s a job.
    Caught by: slow_clean_up_keeps_its_lock (CleanedOnce).
    """

    async def _renew(self, worker: str, token: str) -> None:
        pass


class RetriesAtOnce(Node):
    """J-M4: gives the lock back where a job did not start.

    Bug: whoever sweeps next tries again at once, and again; no interleaving is needed.
    Seen in: no project known; it is what the expiry of pulse's lock is there against.
    Caught by: failing_start_waits_for_the_lock (Failed).
    """

    async def _give_up(self, worker: str, token: str) -> None:
        await self._run(scripts.drop, scripts.LOCKS, worker)


class DeletesAnyway(Node):
    """J-M5: deletes a dead worker though one of its jobs did not start.

    Bug: that job is on nobody's list any more; no interleaving is needed.
    Seen in: no project known; it is what "all requeued" in pulse is there against.
    Caught by: failing_start_waits_for_the_lock (NoJobLost).
    """

    async def _give_up(self, worker: str, token: str) -> None:
        await self._run(scripts.erase, worker)


class PayloadGoesWithWorker(Node):
    """J-M6: deletes the payloads of a dead worker's jobs.

    Bug: the job runs elsewhere by then, and the next death finds nothing to start.
    Seen in: pulse #52 of March 2025 to #61 of December 2025.
    Caught by: deaths_cascade (NoJobLost, PayloadsKept).
    """

    async def _forget(self, worker: str, key: str, token: str) -> None:
        await super()._forget(worker, key, token)
        await self._run(scripts.drop, scripts.PAYLOADS, key)


class MissingIsFailure(Node):
    """J-M7: counts a job that somebody stopped as one that did not start.

    Bug: its owner can never be deleted, and is cleaned up for ever; no interleaving is needed.
    Seen in: pulse from January 2025 to #52 of March 2025.
    Caught by: stopped_job_is_struck_off (CleanedOnce, LocksFree).
    """

    async def _strike_missing(self, worker: str, key: str, token: str) -> None:
        raise DispatchError(key)


class MissingStaysListed(Node):
    """J-M8: counts a job that somebody stopped as done, and leaves it on the list.

    Bug: the entry of its owner stays for ever; no interleaving is needed.
    Seen in: pulse #52 of March 2025.
    Caught by: stopped_job_is_struck_off (CleanedOnce, LocksFree).
    """

    async def _strike_missing(self, worker: str, key: str, token: str) -> None:
        pass


class KeepsOldOwner(Node):
    """J-M10: leaves a job on the list of whoever gave it away.

    Bug: two active workers own it, and the death of either starts it again; no interleaving.
    Seen in: pulse until #75 of May 2026.
    Caught by: new_worker_takes_its_share (SingleOwner).
    """

    async def _give(self, worker: Worker, key: str) -> None:
        await super()._give(worker, key)
        await self._run(scripts.own, worker.id, key)


class RestartNotTracked(Node):
    """J-M11: starts a job again that could not be given away, and tells nobody.

    Bug: it runs on nobody's list: its worker's end ends it for good; no interleaving is needed.
    Seen in: pulse until #61 of December 2025.
    Caught by: refused_job_stays (NoJobLost).
    """

    async def _restart(self, worker: Worker, key: str, payload: str) -> None:
        await worker.handler.start(key, payload)


class RegistersLate(Node):
    """J-M12: waits for an answer only once its question is known to be out.

    Bug: the answer is here before the store has told that the event is, and nobody waits for it.
    Seen in: pulse, still so in September 2026.
    Caught by: answer_may_come_first (Elapsed).
    """

    def _register(self, event: dict[str, str]) -> asyncio.Future[str]:
        self._late = event
        return asyncio.get_running_loop().create_future()

    async def _answered(self, reply: asyncio.Future[str], key: str) -> None:
        self._replies[self._late["request"]] = reply
        await super()._answered(reply, key)


class ResolvesTheDead(Node):
    """J-M13: answers a caller that has given up in that very instant.

    Bug: the answer and the time-out come together, and the task that reads answers ends by it.
    Seen in: pulse, date not known: a send to a closed channel, whose panic was swallowed.
    Caught by: answer_at_the_time_out (Elapsed).
    """

    def _resolve(self, request: str, error: str) -> None:
        reply = self._replies.get(request)
        if reply is not None:
            reply.set_result(error)


class AdmitsByCopy(Node):
    """J-M15: looks at its copy for whether a job is being started.

    Bug: the copy is behind, and several callers are told that they started one job.
    Seen in: pulse until #74 of May 2026.
    Caught by: twenty_callers_start_one_job (SingleAdmission).
    """

    async def _admit(
        self, event: dict[str, str], guard: str, requeued: tuple[str, str] | None
    ) -> str:
        if requeued is not None:
            return await super()._admit(event, guard, requeued)
        (payloads,) = await self._survey(scripts.PAYLOADS)
        if event["key"] in self.replicas[scripts.PENDING].content or event["key"] in payloads:
            return "pending"
        return str(await self._run(admit_unasked, event, guard))


class SharedHash(Node):
    """J-M16: computes the place of a key in a field of the node.

    Bug: a second router resets the field before the first has read it: a job goes to the wrong
    worker.
    Seen in: pulse until #62 of December 2025.
    Caught by: jobs_go_where_they_belong (Failed).
    """

    async def _choose(self, keys: Any) -> dict[str, str | None]:
        chosen: dict[str, str | None] = {}
        for key in keys:
            self._hashed = ""
            await asyncio.sleep(0)
            self._hashed += key
            (chosen[key],) = (await super()._choose([self._hashed])).values()
        return chosen


class StopsByHash(Node):
    """L1: sends the stop of a job to the worker that the job belongs to.

    Bug: the job runs elsewhere, where it stayed or is still to be moved from, and nobody stops it;
    no interleaving is needed.
    Seen in: pulse until #75 of May 2026, whose test has a stop follow the owner.
    Caught by: job_stops_where_it_runs (PayloadsKept).
    """

    async def _owner(self, key: str) -> str | None:
        return (await self._choose([key]))[key]


class ClientLooksAtCopies(Node):
    """L2: looks at a copy before it asks the store, also at a node that has none.

    Bug: a node without workers joins no such map, and its first dispatch crashes; no interleaving.
    Seen in: pulse from January 2025 to May 2026.
    Caught by: client_starts_stops_and_goes (LeakBound).
    """

    async def _admit(
        self, event: dict[str, str], guard: str, requeued: tuple[str, str] | None
    ) -> str:
        self.replicas[scripts.PENDING].content.get(event["key"])
        return await super()._admit(event, guard, requeued)


class WatchesAnew(Node):
    """J-M17: subscribes to the changes of workers at each turn of its loop.

    Bug: watchers pile up, and a change that comes between two turns is missed.
    Seen in: pulse, still so in September 2026.
    Caught by: workers_come_and_go (CopiesFollow).
    """

    async def _watch_workers(self) -> None:
        while True:
            changed = self.replicas[scripts.WORKERS].watch()
            changed.clear()
            await changed.wait()
            await self._try(self._adjust)


class RemovedBeforeRequeue(Node):
    """J-M19: deletes a leaving worker before its jobs are started elsewhere.

    Bug: the node dies in the middle of its close, and nobody knows of the jobs.
    Seen in: pulse from January 2025 to #61 of December 2025.
    Caught by: closing_node_dies (NoJobLost).
    """

    async def _hand_over(self, worker: str, token: str) -> None:
        (jobs,) = await self._survey(scripts.JOBS)
        await self._run(scripts.erase, worker)
        for key in policy.lists(jobs).get(worker, ()):
            await self._dispatch({"key": key, "from": worker}, ("", ""))


class StartsTwice(Node):
    """J-M20: starts a job again that it runs already.

    Bug: its start event comes twice, and so does the call of the handler; no interleaving.
    Seen in: pulse until #87 of September 2026.
    Caught by: start_comes_twice (Failed).
    """

    def _must_start(self, worker: Worker, key: str, owning: str) -> bool:
        return True


class WipesOnRefusal(Node):
    """J-M20: takes a job off its owner's list as it refuses to start it a second time.

    Bug: its start event comes twice, and the job runs on nobody's list; no interleaving.
    Seen in: pulse until #87 of September 2026.
    Caught by: start_comes_twice (Failed).
    """

    async def _take(self, worker: Worker, key: str, payload: str) -> str:
        owning = await super()._take(worker, key, payload)
        if owning == "held":
            await self._withdraw(worker, key, is_new=True)
        return owning


class ZombieBeats(Node):
    """J-M21: says that it lives, whether it is on the list of workers or not.

    Bug: a worker stands still, is cleaned up, goes on, and is back with an entry and its jobs.
    Seen in: pulse until #83 of July 2026.
    Caught by: paused_worker_loses_its_jobs (NothingLeft).
    """

    async def _beat(self, worker: Worker) -> None:
        await self._run(scripts.put, scripts.BEATS, worker.id, str(self._clock()))

    async def _evict_deleted(self) -> None:
        pass


class MissesShutdown(Node):
    """J-M23: waits for the shutdown to begin, and never looks whether it has.

    Bug: the shutdown comes after the node has joined and before it waits: the node stays.
    Seen in: pulse, still so in September 2026.
    Caught by: shutdown_meets_a_new_node (LeakBound).
    """

    async def _watch_shutdown(self) -> None:
        changed = self.replicas[scripts.SHUTDOWN].watch()
        changed.clear()
        await changed.wait()
        self._end(keep_jobs=False)


class NeverEntersAgain(Node):
    """L4: says that it lives, and never looks whether it was taken for dead.

    Bug: it stands still, its stream is deleted, and no answer ever reaches it; it always fails
    there.
    Seen in: no project known.
    Caught by: paused_worker_loses_its_jobs (Elapsed).
    """

    async def _attend(self) -> None:
        await self._run(scripts.put, scripts.NODES, self.id, str(self._clock()))


class LossEndsTasks(Node):
    """L5: lets a lost connection end whatever it does from time to time.

    Bug: the connection is lost for a moment as it sweeps, and it never sweeps again; it always
    fails there.
    Seen in: no project known.
    Caught by: node_is_cut_off (NoJobLost).
    """

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        await step()


class NeverSubscribesAgain(Node):
    """J8: has copies that do not follow any more once their subscription is lost.

    Bug: the connection is lost for a moment, and the copy stands still; it always fails there.
    Seen in: no project known.
    Caught by: node_is_cut_off (CopiesFollow).
    """

    def _make_replica(self, table: str) -> Replica:
        copy = super()._make_replica(table)

        async def wait_for_ever() -> Subscription:
            never: asyncio.Future[Subscription] = asyncio.get_running_loop().create_future()
            return await never

        copy._subscribe_again = wait_for_ever  # type: ignore[method-assign]  # noqa: SLF001 - one step of one copy
        return copy


class WaitsForWatchers(Node):
    """J8: has copies that wait until everybody has seen a change.

    Bug: one watcher never looks, and the copy stands still; no interleaving is needed.
    Seen in: pulse before 2598358 of January 2025, for whoever waits for a key of a map.
    Caught by: workers_come_and_go (CopiesFollow).
    """

    def _make_replica(self, table: str) -> Replica:
        copy = super()._make_replica(table)
        notify = copy.notify

        async def wait_until_seen() -> None:
            await notify()
            while copy.revision > 0 and any(event.is_set() for event in copy.watching):
                await asyncio.sleep(replica.RECONNECT_DELAY)

        copy.notify = wait_until_seen  # type: ignore[method-assign]  # one step of one copy
        return copy


class Serialised(Node):
    """One lock round every public method.

    Bug: a job that starts slowly holds up all others of its node.
    Seen in: pulse before 869949d of October 2024: handlers ran under the locks of the node.
    Caught by: many_jobs_start_at_once (MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._line = asyncio.Lock()

    async def dispatch(self, key: str, payload: str = "") -> None:
        async with self._line:
            await super().dispatch(key, payload)

    async def stop_job(self, key: str) -> None:
        async with self._line:
            await super().stop_job(key)

    async def remove_worker(self, worker: Worker) -> None:
        async with self._line:
            await super().remove_worker(worker)
