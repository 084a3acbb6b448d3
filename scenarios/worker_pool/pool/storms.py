"""What the pool promises: no job is lost, none has two owners, and the dead are cleaned up once.

Times stand with their reason, as multiples of the time to live. A worker that dies was last heard
of at h; it is found at the first sweep of somebody else later than h + TTL, which is no later than
h + 2 TTL. All is exact, because nothing but the patience of the pool takes time.
"""

import asyncio
import logging
from collections import Counter
from itertools import pairwise

from harness import (
    AsyncSimulation,
    Elapsed,
    Failed,
    LeakBound,
    LogCapture,
    MaxInFlight,
    scenario,
)

from . import policy, reference, scripts
from .broken import (
    AdmitsByCopy,
    BoundToCaller,
    ClientLooksAtCopies,
    DeletesAnyway,
    DeletesFreshLock,
    DeletesTwice,
    DropsAnyGuard,
    GuardsPileUp,
    KeepAliveAsLock,
    KeepAlivesOnly,
    KeepsConsumer,
    KeepsFailedPayload,
    KeepsOldOwner,
    LeavesOrphans,
    LockNotRenewed,
    LocksInTwoSteps,
    LossEndsTasks,
    MergedWithoutBackoff,
    MissesShutdown,
    MissingIsFailure,
    MissingStaysListed,
    NeverEntersAgain,
    NeverSubscribesAgain,
    NoInit,
    OriginalFix,
    PayloadGoesWithWorker,
    PendingNotClosed,
    RegistersLate,
    RemovedBeforeRequeue,
    RemoveThenAdd,
    ResolvesTheDead,
    RestartNotTracked,
    Resurrects,
    RetriesAtOnce,
    RoutesOldEvents,
    Serialised,
    SharedHash,
    StartsTwice,
    StopsByHash,
    StreamPerAnswer,
    WaitsForWatchers,
    WatchesAnew,
    WipesOnRefusal,
    ZombieBeats,
)
from .fleet import CALM, POOL, RETURNING, Fleet
from .invariants import (
    CleanedOnce,
    CopiesFollow,
    GuardsFall,
    LocksFree,
    NoJobLost,
    NothingLeft,
    PayloadsKept,
    SingleAdmission,
    SingleOwner,
)
from .reference import (
    CLIENT_ROLES,
    DispatchError,
    JobExistsError,
    Node,
    PoolClosedError,
)

TTL = 30.0
GRACE = 20.0


# --- dispatch -------------------------------------------------------------------------------------


@scenario(
    Node,
    catches={
        AdmitsByCopy: SingleAdmission,
        NoInit: SingleAdmission,
        RegistersLate: SingleAdmission,
    },
)
async def twenty_callers_start_one_job(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Twenty callers at two nodes dispatch one key: one starts it, nineteen hear that it exists."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="")
    fleet.lag("node-1", 0.1)
    fleet.lag("node-2", 0.1)

    async with sim.storm(
        SingleAdmission(fleet), NoJobLost(fleet), SingleOwner(fleet), Elapsed(0.0), LeakBound()
    ) as storm:
        storm.spawn(fleet.dispatch, "node-1", "job-1", copies=10)
        storm.spawn(fleet.dispatch, "node-2", "job-1", copies=10)

    assert fleet.refused == ["job-1"] * 19
    assert fleet.attempts["job-1"] == 1


@scenario(Node, catches={Serialised: MaxInFlight, NoInit: Elapsed, RegistersLate: Elapsed})
async def many_jobs_start_at_once(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Two jobs that take a second to start, dispatched by one node, start side by side."""
    fleet = Fleet(sim, cls, start_takes=1.0)
    await fleet.open(node_1="w1", node_2="w2")

    async with sim.storm(
        MaxInFlight(fleet.starting, 2, reached=True), NoJobLost(fleet), Elapsed(1.0), LeakBound()
    ) as storm:
        for worker in ("w1", "w2"):
            storm.spawn(fleet.dispatch, "node-1", *fleet.keys_for(worker, 1))


@scenario(Node, catches={RegistersLate: Elapsed, NoInit: Elapsed, AdmitsByCopy: Elapsed})
async def answer_may_come_first(sim: AsyncSimulation, cls: type[Node]) -> None:
    """The job has started before the store tells that its event is out, and the answer counts."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.late_reply("run admit", 0.010)

    async with sim.storm(Elapsed(0.010), NoJobLost(fleet), LeakBound()) as storm:
        storm.spawn(fleet.dispatch, "node-1", "job-1")


@scenario(
    Node,
    catches={
        ResolvesTheDead: Elapsed,
        NoInit: Elapsed,
        StartsTwice: Elapsed,
        WipesOnRefusal: NoJobLost,
    },
)
async def answer_at_the_time_out(sim: AsyncSimulation, cls: type[Node]) -> None:
    """The answer comes at the very instant at which the caller gives up: the next one is heard."""
    # The caller waits for twice the grace.
    fleet = Fleet(sim, cls, timing=RETURNING, start_takes=2 * GRACE)
    await fleet.open(node_1="w1")

    async with sim.storm(Elapsed(2 * GRACE), LeakBound()) as storm:
        storm.spawn(fleet.dispatch, "node-1", "job-1")

    assert isinstance(storm.errors()[0], (DispatchError, type(None)))
    fleet.start_takes = 0.0
    async with sim.storm(Elapsed(0.0), NoJobLost(fleet)) as later:
        later.spawn(fleet.dispatch, "node-1", "job-2")


@scenario(
    Node,
    catches={
        GuardsPileUp: GuardsFall,
        NoInit: Failed,
        RegistersLate: Failed,
        AdmitsByCopy: Failed,
        WaitsForWatchers: GuardsFall,
    },
)
async def guards_fall(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A void guard is replaced or swept, a live one respected, and one that says nothing kept."""
    fleet = Fleet(sim, cls)
    hour_ns = policy.ns(3600.0)
    await fleet.open(node_1="w1")
    fleet.set(scripts.PENDING, "void", f"{fleet.now_ns() - hour_ns} dead/1")
    fleet.set(scripts.PENDING, "abandoned", f"{fleet.now_ns() - hour_ns} dead/2")
    fleet.set(scripts.PENDING, "live", f"{fleet.now_ns() + hour_ns} other/1")
    fleet.set(scripts.PENDING, "nonsense", "soon")

    async with sim.storm(
        GuardsFall(fleet), NoJobLost(fleet), SingleOwner(fleet), LeakBound()
    ) as storm:
        for key in ("void", "live", "nonsense"):
            storm.spawn(fleet.dispatch, "node-1", key)
        # Guards are swept once in a grace.
        await sim.advance(GRACE)

    assert [type(error) for error in storm.errors()] == [type(None), type(None), DispatchError]
    assert fleet.refused == ["live"]
    assert sorted(fleet.table(scripts.PENDING)) == ["live", "nonsense"]


@scenario(Node, catches={DropsAnyGuard: GuardsFall, AdmitsByCopy: Failed, Serialised: Failed})
async def new_guard_is_left_alone(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Who drops a void guard late, after a dispatch or a sweep, finds another's and leaves it."""
    fleet = Fleet(sim, cls, timing=CALM)
    await fleet.open(node_1="", node_2="")
    fleet.set(scripts.PENDING, "job-1", f"{fleet.now_ns() - policy.ns(3600.0)} dead/1")
    fleet.late_command("run drop", 10.0)

    async with sim.storm(GuardsFall(fleet), LeakBound()) as storm:
        # There is no worker: each of them gives up after two graces, and the sweeps come first.
        storm.spawn(fleet.dispatch, "node-1", "job-2")
        await sim.advance(GRACE + 5.0)
        storm.spawn(fleet.dispatch, "node-2", "job-1")
        await sim.advance(GRACE)
        storm.spawn(fleet.dispatch, "node-2", "job-2")
        await sim.advance(10.0)
        storm.spawn(fleet.dispatch, "node-1", "job-1", "job-2")

    assert [type(error) for error in storm.errors()] == [DispatchError] * 3 + [type(None)]
    assert fleet.refused == ["job-1", "job-2"]


@scenario(Node, catches={KeepsFailedPayload: Failed, NoInit: Elapsed})
async def failed_job_may_come_again(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A new job does not start: its caller hears so, nothing is left, and it may come again."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.failures["job-1"] = 1

    async with sim.storm(NothingLeft(fleet), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(fleet.dispatch, "node-1", "job-1")

    assert isinstance(storm.errors()[0], DispatchError)
    assert (fleet.table(scripts.PAYLOADS), fleet.jobs()) == ({}, {})
    async with sim.storm(NoJobLost(fleet), PayloadsKept(fleet), Elapsed(0.0)) as again:
        again.spawn(fleet.dispatch, "node-1", "job-1")
    assert fleet.accepted == ["job-1"]


@scenario(Node, catches={RoutesOldEvents: Failed})
async def old_events_are_dropped(sim: AsyncSimulation, cls: type[Node]) -> None:
    """An event that is older than two minutes is acknowledged, and starts nothing."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    event = {"type": "start", "key": "job-1", "payload": "", "node": "node-1", "request": "x/1"}
    # Two minutes and a second ago.
    then_ms = fleet.now_ns() // 1_000_000 - 121_000

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(fleet.store.client("caller").xadd, f"{POOL}:events", event, f"{then_ms}-0")

    assert fleet.attempts["job-1"] == 0
    assert fleet.store.data.xpending(f"{POOL}:events", scripts.GROUP)["pending"] == 0


@scenario(Node, catches={StartsTwice: Failed, WipesOnRefusal: Failed})
async def start_comes_twice(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A worker is told eight times more to start what it runs, and starts nothing."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.seat("node-1", "w1", "job-1")
    event = {"type": "start", "key": "job-1", "payload": "other", "node": "node-1", "id": "1-0"}

    async def again(number: int) -> None:
        stream = scripts.worker_stream(POOL, "w1")
        await fleet.store.client("caller").xadd(stream, {**event, "request": f"x/{number}"})

    async with sim.storm(NoJobLost(fleet), PayloadsKept(fleet), Elapsed(0.0), LeakBound()) as storm:
        for number in range(8):
            storm.spawn(again, number)

    assert fleet.attempts["job-1"] == 0
    assert fleet.table(scripts.PAYLOADS) == {"job-1": "payload of job-1"}


# --- stops ---------------------------------------------------------------------------------------


@scenario(Node, catches={StopsByHash: PayloadsKept, NoInit: Elapsed})
async def job_stops_where_it_runs(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A job is stopped where it runs, though it belongs elsewhere; of what is no job, one hears."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    (key,) = fleet.keys_for("w2", 1)
    fleet.seat("node-1", "w1", key)

    async with sim.storm(PayloadsKept(fleet), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(fleet.stop, "node-2", key)
        storm.spawn(fleet.stop, "node-1", "nothing")

    assert [type(error) for error in storm.errors()] == [type(None), DispatchError]
    assert (fleet.running(key), fleet.jobs()) == ([], {})
    async with sim.storm(Elapsed(0.0), LeakBound()) as again:
        again.spawn(fleet.dispatch, "node-1", key)
    assert fleet.place(key) == "w2"


# --- clean-up of the dead -------------------------------------------------------------------------


@scenario(
    Node,
    catches={
        KeepAliveAsLock: (NoJobLost, CleanedOnce),
        PayloadGoesWithWorker: PayloadsKept,
        NoInit: NoJobLost,
        WatchesAnew: CopiesFollow,
        WaitsForWatchers: CopiesFollow,
        DeletesTwice: CleanedOnce,
        KeepsConsumer: NothingLeft,
    },
)
async def dead_worker_is_replaced_in_time(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A worker that was last heard of at 0 is found at 2 TTL, logged once, and its jobs run on."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    keys = fleet.keys_for("w1", 2)
    fleet.seat("node-1", "w1", *keys)
    with LogCapture(reference.log.name, logging.INFO) as log:
        async with sim.storm(
            NoJobLost(fleet),
            SingleOwner(fleet),
            PayloadsKept(fleet),
            CleanedOnce(fleet, "w1", keys),
            LocksFree(fleet),
            NothingLeft(fleet),
            GuardsFall(fleet),
            CopiesFollow(fleet),
            LeakBound(),
        ):
            fleet.crash("node-1")
            await sim.advance(2 * TTL)

    # At TTL it is as old as it may be; the next sweep is at 2 TTL.
    assert [fleet.started(key) for key in keys] == [[0.0, 2 * TTL]] * 2
    said = Counter(" ".join(each.split()[:3]) for each in log.messages)
    assert said["worker w1 is"] == 1
    assert said["node node-2 took"] == 1
    assert [said[f"requeued '{key}' of"] for key in keys] == [1, 1]


@scenario(
    Node,
    catches={
        KeepAliveAsLock: CleanedOnce,
        LocksInTwoSteps: CleanedOnce,
        NoInit: CleanedOnce,
        DeletesTwice: CleanedOnce,
    },
)
async def three_sweep_at_one_instant(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Three nodes sweep at one instant and find a dead worker without a lock: one takes it."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="", node_3="")
    fleet.bury("w0", "job-1", made=True)

    async with sim.storm(
        CleanedOnce(fleet, "w0", ["job-1"]), NoJobLost(fleet), LocksFree(fleet), LeakBound()
    ):
        await sim.advance(TTL)

    assert fleet.started("job-1") == [TTL]


@scenario(
    Node,
    catches={
        DeletesFreshLock: CleanedOnce,
        KeepAliveAsLock: CleanedOnce,
        PayloadGoesWithWorker: PayloadsKept,
        NoInit: CleanedOnce,
        DeletesTwice: CleanedOnce,
        LocksInTwoSteps: CleanedOnce,
    },
)
async def stale_lock_is_taken_over_once(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Three nodes sweep at one instant and find a lock whose holder is dead: one takes it."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="", node_3="")
    fleet.bury("w0", "job-1", made=True, lock_age=2 * TTL)

    async with sim.storm(
        CleanedOnce(fleet, "w0", ["job-1"]),
        NoJobLost(fleet),
        SingleOwner(fleet),
        PayloadsKept(fleet),
        LocksFree(fleet),
        NothingLeft(fleet),
        LeakBound(),
    ):
        await sim.advance(TTL)

    assert fleet.started("job-1") == [TTL]


@scenario(
    Node,
    catches={
        KeepAliveAsLock: Failed,
        PayloadGoesWithWorker: PayloadsKept,
        NoInit: CleanedOnce,
        DeletesFreshLock: CleanedOnce,
        DeletesTwice: CleanedOnce,
        LocksInTwoSteps: (CleanedOnce, Failed),
    },
)
async def cleaner_dies_with_the_lock(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Who cleans up dies once it has the lock: another has done it two TTL later."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2", node_3="")
    fleet.bury("w0", "job-1", made=True)
    # Whoever is the first of three that sweep at one instant.
    fleet.crash_at("store.reply", "", "run lock", "run swap")

    async with sim.storm(
        CleanedOnce(fleet, "w0", ["job-1"], locks=2),
        NoJobLost(fleet),
        PayloadsKept(fleet),
        LocksFree(fleet),
        LeakBound(),
    ):
        await sim.advance(3 * TTL)

    # Locked at TTL; at 2 TTL the lock is as old as it may be, and at 3 TTL it is void.
    assert fleet.locked("w0") == [TTL, 3 * TTL]
    assert fleet.started("job-1") == [3 * TTL]


@scenario(
    Node,
    catches={
        RemoveThenAdd: NoJobLost,
        PayloadGoesWithWorker: PayloadsKept,
        KeepAliveAsLock: Failed,
        NoInit: NoJobLost,
        DeletesTwice: CleanedOnce,
    },
)
async def cleaner_dies_between_jobs(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Who cleans up dies behind the first of two jobs: it is not started again, the other is."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="")
    await sim.advance(5.0)
    await fleet.open(node_2="w2")
    fleet.bury("w0", "job-1", "job-2", made=True)
    fleet.crash_at("store.reply", "node-1", "run forget")

    async with sim.storm(
        NoJobLost(fleet),
        CleanedOnce(fleet, "w0", ["job-1", "job-2"], locks=2),
        PayloadsKept(fleet),
        LeakBound(),
    ):
        await sim.advance(2 * TTL)

    assert [fleet.started(key) for key in ("job-1", "job-2")] == [[TTL], [5.0 + 2 * TTL]]


@scenario(
    Node,
    catches={
        LockNotRenewed: CleanedOnce,
        PayloadGoesWithWorker: PayloadsKept,
        KeepAliveAsLock: CleanedOnce,
        NoInit: CleanedOnce,
        DeletesTwice: CleanedOnce,
    },
)
async def slow_clean_up_keeps_its_lock(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Three jobs that take 15 s each to start outlast a lock of 30 s, and nobody else takes it."""
    fleet = Fleet(sim, cls, start_takes=15.0)
    await fleet.open(node_1="w1")
    await sim.advance(5.0)
    await fleet.open(node_2="")
    keys = ["job-1", "job-2", "job-3"]
    fleet.bury("w0", *keys, made=True)

    async with sim.storm(
        CleanedOnce(fleet, "w0", keys), NoJobLost(fleet), PayloadsKept(fleet), LeakBound()
    ):
        await sim.advance(TTL + 3 * 15.0)

    assert fleet.locked("w0") == [TTL]
    started = [fleet.started(key) for key in keys]
    assert started == [[TTL + 15.0], [TTL + 30.0], [TTL + 45.0]]


@scenario(
    Node,
    catches={
        MergedWithoutBackoff: NoJobLost,
        PayloadGoesWithWorker: PayloadsKept,
        NoInit: NoJobLost,
    },
)
async def failed_start_is_tried_again(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A start that fails once is tried again 50 to 75 ms later, under the same lock."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.bury("w0", "job-1", made=True)
    fleet.failures["job-1"] = 1

    async with sim.storm(
        NoJobLost(fleet), LocksFree(fleet), PayloadsKept(fleet), NothingLeft(fleet), LeakBound()
    ):
        await sim.advance(TTL + 0.075)

    (started,) = fleet.started("job-1")
    assert 0.050 <= round(started - TTL, 9) <= 0.075
    assert fleet.locked("w0") == [TTL]


@scenario(
    Node,
    catches={
        LossEndsTasks: NoJobLost,
        NeverSubscribesAgain: CopiesFollow,
        KeepAliveAsLock: NoJobLost,
        NoInit: CleanedOnce,
        DeletesTwice: CleanedOnce,
        KeepsConsumer: NothingLeft,
        WatchesAnew: CopiesFollow,
        WaitsForWatchers: CopiesFollow,
    },
)
async def node_is_cut_off(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A node is cut off for 1.5 s, in which it would sweep: it follows, beats and sweeps again."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    keys = fleet.keys_for("w2", 1)
    fleet.seat("node-2", "w2", *keys)
    await sim.advance(TTL - 0.5)

    async with sim.storm(
        NoJobLost(fleet),
        CopiesFollow(fleet),
        CleanedOnce(fleet, "w2", keys),
        NothingLeft(fleet),
        LeakBound(),
    ):
        fleet.store.cut("node-1")
        fleet.crash("node-2")
        await sim.advance(1.5)
        fleet.store.mend("node-1")
        # The dead was heard of at TTL / 2, and is found at the next sweep behind its TTL.
        await sim.advance(TTL - 1.0)

    assert [fleet.started(key) for key in keys] == [[0.0, 2 * TTL]]


@scenario(
    Node,
    catches={
        RetriesAtOnce: Failed,
        DeletesAnyway: NoJobLost,
        MergedWithoutBackoff: NoJobLost,
        PayloadGoesWithWorker: PayloadsKept,
        KeepAliveAsLock: Failed,
        RemoveThenAdd: NoJobLost,
        NoInit: NoJobLost,
    },
)
async def failing_start_waits_for_the_lock(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A job that fails four times costs one lock, and is tried again when that is void."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    await sim.advance(10.0)
    await fleet.open(node_2="")
    fleet.bury("w0", "job-1", "job-2", made=True)
    fleet.failures["job-1"] = 1 + policy.RETRIES

    async with sim.storm(NoJobLost(fleet), LocksFree(fleet), PayloadsKept(fleet), LeakBound()):
        await sim.advance(2 * TTL)

    assert fleet.attempts["job-1"] == 1 + policy.RETRIES + 1
    # The other waits for three delays, of 50, 100 and 200 ms and up to half as much again.
    (started,) = fleet.started("job-2")
    assert 0.350 <= round(started - TTL, 9) <= 1.5 * 0.350
    assert all(after - before > TTL for before, after in pairwise(fleet.locked("w0")))


@scenario(
    Node,
    catches={
        KeepAlivesOnly: NoJobLost,
        PayloadGoesWithWorker: PayloadsKept,
        KeepAliveAsLock: NoJobLost,
        NoInit: CleanedOnce,
        DeletesTwice: CleanedOnce,
    },
)
async def orphans_are_found(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A worker of which nothing is left but its jobs is found at the first sweep."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.bury("w0", "job-1")

    async with sim.storm(
        NoJobLost(fleet), CleanedOnce(fleet, "w0", ["job-1"]), PayloadsKept(fleet), LeakBound()
    ):
        await sim.advance(TTL)

    assert fleet.started("job-1") == [TTL]


@scenario(Node, catches={LeavesOrphans: NoJobLost})
async def job_without_owner_starts(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Nobody owns a job: two nodes see it at TTL, and one of them starts it two TTL later."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="")
    fleet.set(scripts.PAYLOADS, "job-1", "payload of job-1")
    fleet.accepted.append("job-1")

    async with sim.storm(
        NoJobLost(fleet), SingleOwner(fleet), PayloadsKept(fleet), NothingLeft(fleet), LeakBound()
    ):
        # Both sweep at this instant; who is second finds that it has an owner.
        await sim.advance(3 * TTL)

    assert fleet.started("job-1") == [3 * TTL]


@scenario(
    Node,
    catches={
        MissingIsFailure: LocksFree,
        MissingStaysListed: LocksFree,
        RemoveThenAdd: LocksFree,
        DeletesTwice: CleanedOnce,
    },
)
async def stopped_job_is_struck_off(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A dead worker lists a job that was stopped for good: it goes, and the job does not start."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.bury("w0", "job-1", made=True)
    fleet.end("job-1")

    async with sim.storm(
        LocksFree(fleet), CleanedOnce(fleet, "w0"), NothingLeft(fleet), LeakBound()
    ):
        await sim.advance(TTL + 1.0)

    assert fleet.attempts["job-1"] == 0


@scenario(
    Node,
    catches={
        PayloadGoesWithWorker: (PayloadsKept, NoJobLost),
        KeepAliveAsLock: NoJobLost,
        NoInit: NoJobLost,
    },
)
async def deaths_cascade(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Twenty-five jobs; one node dies, and the next 50 ms after it got the first: all run on."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2", node_3="w3")
    for name, worker, count in (("node-1", "w1", 21), ("node-2", "w2", 2), ("node-3", "w3", 2)):
        fleet.seat(name, worker, *fleet.keys_for(worker, count))

    async with sim.storm(
        PayloadsKept(fleet), NoJobLost(fleet), SingleOwner(fleet), LocksFree(fleet), LeakBound()
    ):
        # The youngest first: the jobs of the others stay where they are.
        fleet.crash("node-3")
        await sim.advance(2 * TTL + 0.050)
        fleet.crash("node-2")
        # Heard of at 2 TTL; a sweep takes no time.
        await sim.advance(2 * TTL)

    assert len(fleet.jobs()["w1"]) == 25


# --- changes --------------------------------------------------------------------------------------


@scenario(
    Node,
    catches={
        KeepsOldOwner: SingleOwner,
        OriginalFix: SingleOwner,
        NoInit: Failed,
        BoundToCaller: NoJobLost,
        WatchesAnew: CopiesFollow,
        WaitsForWatchers: CopiesFollow,
    },
)
async def new_worker_takes_its_share(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A second worker comes: the jobs that belong to it move, and stop before they start there."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="")
    keys = fleet.keys_for("w1", 4)
    fleet.seat("node-1", "w1", *keys)

    async with sim.storm(
        SingleOwner(fleet), NoJobLost(fleet), PayloadsKept(fleet), CopiesFollow(fleet), LeakBound()
    ) as storm:
        storm.spawn(fleet.worker, "node-2", "w2")
        await sim.advance(1.0)

    assert {key: fleet.place(key) for key in keys} == fleet.belong(keys)
    assert set(fleet.belong(keys).values()) == {"w1", "w2"}


@scenario(
    Node,
    catches={
        RestartNotTracked: NoJobLost,
        OriginalFix: (SingleOwner, NoJobLost),
        NoInit: NoJobLost,
        BoundToCaller: NoJobLost,
    },
)
async def refused_job_stays(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A job does not start where it belongs now: it starts again where it was, and is listed."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="")
    keys = fleet.keys_for("w1", 4)
    fleet.seat("node-1", "w1", *keys)
    fleet.failures.update(dict.fromkeys(keys, 1))

    async with sim.storm(
        NoJobLost(fleet), SingleOwner(fleet), PayloadsKept(fleet), LeakBound()
    ) as storm:
        storm.spawn(fleet.worker, "node-2", "w2")
        await sim.advance(1.0)

    assert {fleet.place(key) for key in keys} == {"w1"}


@scenario(Node, catches={SharedHash: Failed, NoInit: Elapsed})
async def jobs_go_where_they_belong(sim: AsyncSimulation, cls: type[Node]) -> None:
    """One node routes a new job while it looks through its own: each is where its key says."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    old, new = fleet.keys_for("w1", 1), [fleet.keys_for(each, 2)[1] for each in ("w1", "w2")]
    fleet.seat("node-1", "w1", *old)

    async with sim.storm(NoJobLost(fleet), SingleOwner(fleet), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(fleet.dispatch, "node-1", *new)
        # Nothing changes, but the nodes look.
        for _ in new:
            fleet.set(scripts.WORKERS, "w1", fleet.table(scripts.WORKERS)["w1"])
            await sim.settle()

    assert {key: fleet.place(key) for key in [*old, *new]} == fleet.belong([*old, *new])


@scenario(
    Node,
    catches={
        WatchesAnew: CopiesFollow,
        WaitsForWatchers: CopiesFollow,
        OriginalFix: NoJobLost,
        NoInit: (SingleOwner, NothingLeft),
        PayloadGoesWithWorker: (PayloadsKept, NoJobLost),
        KeepsOldOwner: NoJobLost,
    },
)
async def workers_come_and_go(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A worker is added and removed twice: everyone hears of it, and one watches once."""
    fleet = Fleet(sim, cls, timing=RETURNING)
    await fleet.open(node_1="w1", node_2="")
    fleet.seat("node-1", "w1", *fleet.keys_for("w1", 1))

    async def come_and_go() -> None:
        for number in range(2):
            worker = await fleet.worker("node-2", f"v{number}")
            await fleet.nodes["node-2"].remove_worker(worker)

    async with sim.storm(
        CopiesFollow(fleet),
        NoJobLost(fleet),
        SingleOwner(fleet),
        PayloadsKept(fleet),
        NothingLeft(fleet),
        LocksFree(fleet),
        LeakBound(),
    ) as storm:
        storm.spawn(come_and_go)
        # A job that was under way to a worker that left is delivered again after a grace.
        await sim.advance(2 * GRACE + 1.0)


@scenario(
    Node,
    catches={
        WatchesAnew: Failed,
        NoInit: Failed,
        OriginalFix: SingleOwner,
        KeepsOldOwner: NoJobLost,
        WaitsForWatchers: Failed,
    },
)
async def last_removal_moves_jobs(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Two workers are removed, the second while a job moves because of the first: all move."""
    fleet = Fleet(sim, cls, start_takes=1.0)
    await fleet.open(node_1="", node_2="w3")
    with sim.no_points():
        leaving = [await fleet.worker("node-1", worker) for worker in ("w1", "w2")]
        await fleet.worker("node-2", "w4")
        await sim.settle()
    # The first moves by the first removal and comes back by the second; the other moves by that.
    keys = fleet.keys_for("w4", 2)
    fleet.seat("node-2", "w4", *keys)

    async def remove() -> None:
        for worker in leaving:
            await fleet.nodes["node-1"].remove_worker(worker)

    async with sim.storm(
        NoJobLost(fleet), SingleOwner(fleet), PayloadsKept(fleet), LeakBound()
    ) as storm:
        storm.spawn(remove)
        # Three moves, one after the other.
        await sim.advance(3.0)

    assert [fleet.place(key) for key in keys] == ["w4", "w3"]


@scenario(
    Node,
    catches={
        RemovedBeforeRequeue: NoJobLost,
        PayloadGoesWithWorker: PayloadsKept,
        RemoveThenAdd: NoJobLost,
        NoInit: NoJobLost,
    },
)
async def closing_node_dies(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A node dies in its close, before a job of it is started elsewhere: all run at 2 TTL."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    keys = fleet.keys_for("w1", 2)
    fleet.seat("node-1", "w1", *keys)
    fleet.crash_at("store", "node-1", "run admit")

    async with sim.storm(
        NoJobLost(fleet), SingleOwner(fleet), PayloadsKept(fleet), LocksFree(fleet), LeakBound()
    ) as storm:
        storm.spawn(fleet.nodes["node-1"].close, name="node-1/caller")
        await sim.advance(2 * TTL)

    # Its own lock is as old as it may be at TTL.
    assert [fleet.started(key) for key in keys] == [[0.0, 2 * TTL]] * 2


@scenario(
    Node,
    catches={
        ZombieBeats: NothingLeft,
        OriginalFix: (SingleOwner, NothingLeft),
        PayloadGoesWithWorker: PayloadsKept,
        KeepAliveAsLock: NoJobLost,
        NoInit: NothingLeft,
        NeverEntersAgain: Elapsed,
    },
    # One schedule in two hundred finds what the original fix leaves behind.
    schedules=[
        (
            "t1:NYxJjsIwEEXLSRoJwYKLMIRBKCx7wZYjRCY2YDApy2UEHKbFkiNwvU45QV8uP9V_9vvv9fmlStfSG"
            "6TpHf1F-9Ih2mkcFNBfaeKem42TN9Kq7BSLpKk0gcoz7mmw8-Zoamm35tF36MMBrcEenaTXKjPK6p8g6"
            "ULDyj3DCevxYpLno1lV7JfrQqt8dVDFXAMkkAghQADwSZuRNUkjxQa-HcRtxgAiaR22otMpicigDT9N-"
            "fcm3HGYvyQ6bnfQ3qz-Aw"
        )
    ],
)
async def paused_worker_loses_its_jobs(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A node stands still for 70 s: its job runs elsewhere at 2 TTL, and here until it wakes."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    keys = fleet.keys_for("w1", 1)
    fleet.seat("node-1", "w1", *keys)
    fleet.store.pause("node-1", 70.0)

    async with sim.storm(
        # It overlaps only once the old heartbeat is older than TTL: from 2 TTL to 70 s.
        SingleOwner(fleet, overlap=70.0 - 2 * TTL),
        NoJobLost(fleet),
        PayloadsKept(fleet),
        NothingLeft(fleet),
        LeakBound(),
    ):
        # Its first heartbeat that tells the time is half a TTL after it has woken.
        await sim.advance(70.0 + TTL / 2 + 1.0)

    assert [fleet.place(key) for key in keys] == ["w2"]
    assert fleet.nodes["node-1"].workers == {}
    # It was taken for dead, too, and has entered again: it hears of what it starts.
    assert sorted(fleet.table(scripts.NODES)) == ["node-1", "node-2"]
    async with sim.storm(NoJobLost(fleet), Elapsed(0.0), LeakBound()) as later:
        later.spawn(fleet.dispatch, "node-1", "job-9")


@scenario(Node, catches={BoundToCaller: NoJobLost})
async def worker_outlives_its_caller(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Whoever added a worker goes home: the worker beats on."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="")

    async with sim.storm(LeakBound(), Elapsed(0.0)) as storm:
        storm.spawn(fleet.worker, "node-1", "w1")
    fleet.seat("node-1", "w1", "job-1")

    async with sim.storm(NoJobLost(fleet), SingleOwner(fleet), LeakBound()):
        await sim.advance(TTL + 1.0)


# --- coming and going -----------------------------------------------------------------------------


@scenario(
    Node,
    catches={
        PendingNotClosed: LeakBound,
        StreamPerAnswer: NothingLeft,
        NoInit: LeakBound,
        WatchesAnew: CopiesFollow,
        WaitsForWatchers: CopiesFollow,
        KeepsConsumer: NothingLeft,
    },
)
async def nodes_come_and_go(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A node comes, dispatches and goes, twice: nothing of it is left."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")

    async def visit() -> None:
        for number in range(2):
            node = await fleet.node("node-2")
            await fleet.dispatch("node-2", f"job-{number}", f"task-{number}")
            await node.close()

    async with sim.storm(
        LeakBound(), NothingLeft(fleet), NoJobLost(fleet), CopiesFollow(fleet), Elapsed(0.0)
    ) as storm:
        storm.spawn(visit)

    assert len(fleet.runs) == 4


@scenario(Node, catches={ClientLooksAtCopies: LeakBound, AdmitsByCopy: LeakBound, NoInit: Elapsed})
async def client_starts_stops_and_goes(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A node without workers starts two jobs, stops one and goes: three tasks and one copy."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")

    async def visit() -> set[str]:
        client = await fleet.node("node-2", client_only=True)
        await fleet.dispatch("node-2", "job-1", "job-2")
        await fleet.stop("node-2", "job-1")
        tasks = {task.get_name() for task in asyncio.all_tasks()}
        await client.close()
        return {name for name in tasks if name.startswith("node-2/")}

    async with sim.storm(
        NoJobLost(fleet), PayloadsKept(fleet), NothingLeft(fleet), Elapsed(0.0), LeakBound()
    ) as storm:
        storm.spawn(visit)

    roles = {*CLIENT_ROLES, scripts.SHUTDOWN}
    assert storm.results() == [{f"node-2/{role}" for role in roles}]


@scenario(
    Node,
    catches={
        Resurrects: NothingLeft,
        PendingNotClosed: NothingLeft,
        KeepsConsumer: NothingLeft,
    },
)
async def answer_to_the_dead(sim: AsyncSimulation, cls: type[Node]) -> None:
    """A node closes before the answer to it comes: its caller hears so, its stream stays gone."""
    fleet = Fleet(sim, cls, start_takes=10.0)
    await fleet.open(node_1="w1", node_2="")

    async with sim.storm(NothingLeft(fleet), GuardsFall(fleet), Elapsed(5.0), LeakBound()) as storm:
        storm.spawn(fleet.dispatch, "node-2", "job-1")
        await sim.advance(5.0)
        await fleet.nodes["node-2"].close()
        # If it routed the job itself, it is a consumer until that is done and somebody sweeps.
        await sim.advance(TTL - 5.0)

    assert isinstance(storm.errors()[0], PoolClosedError)
    assert fleet.place("job-1") == "w1"


@scenario(Node, catches={MissesShutdown: LeakBound, PendingNotClosed: LeakBound})
async def shutdown_meets_a_new_node(sim: AsyncSimulation, cls: type[Node]) -> None:
    """The pool shuts down while a node joins: it is refused, or it ends with the others."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1")
    fleet.seat("node-1", "w1", "job-1")
    fleet.stopped.add("job-1")
    # It has joined, and learns so late.
    fleet.late_reply("run join", 0.010)

    # Who shuts down asks ten times in a TTL whether the others have gone.
    async with sim.storm(LeakBound(), Elapsed(at_most=2 * TTL / 10), PayloadsKept(fleet)) as storm:
        storm.spawn(fleet.node, "node-2")
        storm.spawn(fleet.nodes["node-1"].shutdown)

    assert isinstance(storm.errors()[0], (PoolClosedError, type(None)))
    assert fleet.running("job-1") == []
    # Who joins once all is wiped leaves a pool without nodes.
    assert [fleet.table(table) for table in scripts.TABLES] == [{}] * len(scripts.TABLES)
    assert fleet.store.data.keys(f"{POOL}:node:*") == []


@scenario(Node)
async def shutdown_during_everything(sim: AsyncSimulation, cls: type[Node]) -> None:
    """The pool shuts down while it cleans up, starts a job and takes a worker: all of it ends."""
    fleet = Fleet(sim, cls)
    await fleet.open(node_1="w1", node_2="w2")
    fleet.seat("node-1", "w1", *fleet.keys_for("w1", 2))
    fleet.bury("w0", "job-0", made=True)
    await sim.advance(TTL)
    fleet.stopped.update(fleet.accepted, ["job-9"])

    async def newcomer() -> None:
        await fleet.worker("node-2", "w3")

    # Who shuts down waits for nobody for longer than two TTL.
    async with sim.storm(LeakBound(), PayloadsKept(fleet), Elapsed(at_most=2 * TTL)) as storm:
        storm.spawn(fleet.dispatch, "node-1", "job-9")
        storm.spawn(newcomer)
        storm.spawn(fleet.nodes["node-2"].shutdown)

    expected = (PoolClosedError, JobExistsError, DispatchError, ConnectionError, type(None))
    assert all(isinstance(error, expected) for error in storm.errors())
    assert [run for run in fleet.runs if run.is_on] == []
    assert fleet.store.data.keys(f"{POOL}:*") == []
