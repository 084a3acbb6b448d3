"""What a replicated map promises: writes that wait for nobody, waits that end, copies that agree.

Where nothing is said the store answers at once, so that only the order of steps is open. Figures
stand with their reason.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial

from harness import (
    Deadlock,
    Delay,
    Duplicate,
    Elapsed,
    Fail,
    Failed,
    LeakBound,
    MaxInFlight,
    Overtake,
    Simulation,
    Store,
    Unhandled,
    scenario,
)
from scenarios.connection_lifecycle.scope import Scope
from scenarios.worker_pool.strike import Strike

from . import policy
from .broken import (
    AppliesWhateverComes,
    BlockingNotification,
    CloseKeepsLock,
    DiscardsOthers,
    DropsNewerKind,
    ForgetsWaiters,
    FullQueueHoldsLock,
    FullQueueStalls,
    GivesUp,
    LeavesCancelled,
    LeavesSubscribers,
    NoReread,
    OpenQueue,
    PerCallQueue,
    RegistersUnlooked,
    SendToClosed,
    Serialised,
    SharedQueue,
    SignalQueue,
    SilentExit,
    SleepsThroughClose,
    TakesGaps,
    TellsFirst,
    ValueKeyed,
    WritesWait,
)
from .invariants import (
    LocalAfterWait,
    NobodyWaits,
    NothingLost,
    ReadNeverWaits,
    Sample,
    SeesTheLast,
    SetNeverWaits,
    Spans,
    StaysClosed,
    StoreOrder,
    Truth,
)
from .policy import Kind
from .reference import MapClosedError, ReplicatedMap

#: The shortest pause before a lost subscription is made again; storms draw that one.
PAUSE = 1.0


@scenario(ReplicatedMap, catches={WritesWait: SetNeverWaits, Serialised: SetNeverWaits})
def sets_do_not_wait(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Four writers are at the store at once, each for its own round trip."""
    store = sim.store(latency=0.010, message_latency=0.020)
    jobs, sets = join(cls, store, "node-1"), Spans()

    def write(number: int) -> None:
        sets.time(jobs.set, f"job-{number}", "payload")

    with sim.storm(
        SetNeverWaits(sets, 0.010), MaxInFlight(store, 4, reached=True), Elapsed(0.010)
    ) as storm:
        for number in range(4):
            storm.spawn(write, number)

    # A message takes 20 ms, so what a writer has just written is not yet its own past.
    assert jobs.content() == {}
    sim.advance(0.020)
    sim.settle()
    assert len(jobs.keys()) == 4
    jobs.close()


@scenario(ReplicatedMap, catches={Serialised: ReadNeverWaits})
def reads_do_not_wait(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Reads of all kinds take no time, while a write is at the store and its message under way."""
    store = sim.store(latency=0.010, message_latency=0.010)
    jobs, reads = join(cls, store, "node-1"), Spans()

    def read() -> None:
        for act in (partial(jobs.get, "job-1"), jobs.keys, jobs.content):
            reads.time(act)

    with sim.storm(ReadNeverWaits(reads), Elapsed(0.020)) as storm:
        storm.spawn(jobs.set, "job-1", "payload")
        sim.advance(0.005)
        storm.spawn(read)
        # The message of the write is due at this very instant.
        sim.advance(0.015)
        storm.spawn(read)

    jobs.close()


@scenario(ReplicatedMap)
def a_hundred_sets(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A hundred sets without anybody who waits pass; that is as far as W1 goes."""
    flood(sim, cls, sets=100)


@scenario(ReplicatedMap, catches={SharedQueue: Deadlock, FullQueueHoldsLock: Deadlock})
def a_hundred_and_one_sets(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """One set more: it returns at once, a get after it too, and close."""
    flood(sim, cls, sets=101)


@scenario(ReplicatedMap, catches={SharedQueue: Deadlock, FullQueueHoldsLock: Deadlock})
def keep_alives_fill_the_queue(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Ten workers say every 15 s that they live: update 101 comes at 1500 s / 10 workers."""
    store = sim.store()

    # Only the count matters here, not the order of steps.
    with sim.no_points(), join(cls, store, "node-1", name="keep-alive") as alive:

        def workers() -> None:
            for _ in range(11):
                for number in range(10):
                    alive.set(f"worker-{number}", f"{sim.now():g}")
                sim.advance(15.0)

        with sim.storm(Elapsed(11 * 15.0)) as storm:
            storm.spawn(workers)

        assert alive.content() == {f"worker-{number}": "150" for number in range(10)}


@scenario(
    ReplicatedMap,
    catches={SharedQueue: Deadlock, DiscardsOthers: Deadlock, SignalQueue: Deadlock},
)
def two_waits_at_once(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Two calls wait for their own keys, and both return after one round trip."""
    store = sim.store(message_latency=0.010)
    jobs = join(cls, store, "node-1")

    with sim.storm(Elapsed(0.010), NobodyWaits(jobs)) as storm:
        storm.spawn(jobs.set_and_wait, "job-1", "a")
        storm.spawn(jobs.set_and_wait, "job-2", "b")

    assert storm.results() == ["", ""]
    assert jobs.content() == {"job-1": "a", "job-2": "b"}
    jobs.close()


@scenario(
    ReplicatedMap,
    catches={FullQueueStalls: Failed, PerCallQueue: Failed, RegistersUnlooked: Deadlock},
)
def late_reply_of_one_call(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """While the reply of one call is late by a second, the copy goes on to follow the others."""
    store = sim.store()
    jobs, put = join(cls, store, "node-1"), peer(store)
    late = Strike(Delay(1.0), "store.reply", "node-1", ("run put",))
    sim.inject(late, certain=True)

    with sim.storm(Elapsed(1.0), NobodyWaits(jobs)) as storm:
        storm.spawn(jobs.set_and_wait, "job-1", "a")
        sim.advance(0.25)
        put("job-1", "a")
        put("job-1", "a")
        put("job-2", "b")
        sim.advance(0.25)
        assert jobs.get("job-2") == "b"

    assert storm.results() == [""]
    jobs.close()


@scenario(
    ReplicatedMap,
    catches={
        ValueKeyed: LocalAfterWait,
        FullQueueStalls: LocalAfterWait,
        SendToClosed: LocalAfterWait,
        PerCallQueue: (LocalAfterWait, Unhandled),
        OpenQueue: LocalAfterWait,
        SignalQueue: LocalAfterWait,
        SharedQueue: LocalAfterWait,
        DiscardsOthers: LocalAfterWait,
        RegistersUnlooked: Deadlock,
    },
)
def equal_values_of_two_writers(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A peer wrote the same value before: the wait is for one's own write all the same."""
    store = sim.store()
    jobs, put = join(cls, store, "node-1"), peer(store)
    waits: list[tuple[int, int]] = []

    def write() -> None:
        jobs.set_and_wait("job-1", "a")
        waits.append((written(store, "node-1"), jobs.revision))

    with sim.storm(LocalAfterWait(waits), NobodyWaits(jobs)) as storm:
        storm.spawn(write)
        storm.spawn(put, "job-1", "a")

    jobs.close()


@scenario(ReplicatedMap, catches={SendToClosed: Unhandled, PerCallQueue: Unhandled})
def cancelled_at_delivery(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A call is cancelled while its message arrives: it ends, and the copy follows on."""
    store, cancel = sim.store(), Scope()
    jobs, put = join(cls, store, "node-1"), peer(store)

    with sim.storm(Elapsed(0.0), NobodyWaits(jobs)) as storm:
        storm.spawn(partial(jobs.set_and_wait, "job-1", "a", cancel=cancel), name="caller")
        storm.spawn(cancel.cancel)

    assert type(storm.errors()[0]) in (type(None), CancelledError)
    put("job-2", "b")
    sim.settle()
    assert jobs.get("job-2") == "b"
    jobs.close()


@scenario(
    ReplicatedMap, catches={SilentExit: Deadlock, PerCallQueue: Deadlock, OpenQueue: Deadlock}
)
def close_during_delivery(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A map closes while a message arrives: close returns, and leaves no thread behind."""
    store = sim.store()
    jobs, put = join(cls, store, "node-1"), peer(store)

    with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(put, "job-1", "a")
        storm.spawn(jobs.close)


@scenario(ReplicatedMap, catches={NoReread: NothingLost})
def write_during_an_outage(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """What is written and deleted while a subscription is lost is there once it is back."""
    store = sim.store()
    truth, jobs, put = Truth(store, "jobs"), join(cls, store, "node-1"), peer(store)

    with sim.storm(NothingLost(truth, [jobs]), Elapsed(PAUSE)) as storm:
        put("job-1", "a")
        store.disconnect("node-1")
        storm.spawn(put, "job-2", "b")
        storm.spawn(store.client("peer").run, policy.remove, "jobs", "job-1")
        storm.spawn(sim.advance, PAUSE)

    assert jobs.content() == {"job-2": "b"}
    jobs.close()


@scenario(ReplicatedMap, catches={GivesUp: NothingLost, NoReread: NothingLost})
def outage_of_several_pauses(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A node is cut off for two and a half pauses: twice it is refused, and then it catches up."""
    store = sim.store()
    truth, jobs, put = Truth(store, "jobs"), join(cls, store, "node-1"), peer(store)

    with sim.storm(NothingLost(truth, [jobs]), Elapsed(3 * PAUSE)) as storm:
        store.cut("node-1")
        storm.spawn(put, "job-1", "a")
        storm.spawn(sim.advance, 3 * PAUSE)
        sim.advance(2.5 * PAUSE)
        store.mend("node-1")

    assert jobs.content() == {"job-1": "a"}
    jobs.close()


@scenario(
    ReplicatedMap,
    catches={
        NoReread: Deadlock,
        ValueKeyed: Deadlock,
        FullQueueStalls: Deadlock,
        SendToClosed: Deadlock,
        PerCallQueue: Deadlock,
        OpenQueue: Deadlock,
        SharedQueue: Deadlock,
        DiscardsOthers: Deadlock,
        SignalQueue: Deadlock,
    },
)
def waits_across_an_outage(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A wait begun in an outage ends with it, also where its value was overwritten meanwhile."""
    store = sim.store()
    jobs, put = join(cls, store, "node-1"), peer(store)
    store.disconnect("node-1")
    sim.settle()

    with sim.storm(Elapsed(PAUSE), NobodyWaits(jobs)) as storm:
        storm.spawn(jobs.set_and_wait, "job-1", "a")
        storm.spawn(jobs.set_and_wait, "job-2", "b")
        sim.settle()
        put("job-1", "z")

    assert storm.results() == ["", ""]
    assert jobs.content() == {"job-1": "z", "job-2": "b"}
    jobs.close()


@scenario(ReplicatedMap, catches={BlockingNotification: NothingLost})
def subscriber_that_never_reads(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """One who subscribed and never reads holds up neither the copy nor its close."""
    store = sim.store()
    truth, jobs = Truth(store, "jobs"), join(cls, store, "node-1")
    changes = jobs.subscribe()

    with sim.storm(NothingLost(truth, [jobs]), Elapsed(0.0)) as storm:
        # The channel holds one: the second is the first that could have to wait.
        storm.spawn(lambda: [jobs.set("job-1", value) for value in "abc"], name="writer")

    assert changes.get(0.0) is Kind.CHANGE
    jobs.close()


@scenario(
    ReplicatedMap,
    catches={CloseKeepsLock: Deadlock, LeavesSubscribers: (StaysClosed, Deadlock)},
)
def closed_twice(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Two close at once, and again: a closed map answers reads, refuses writes, can be reset."""
    store = sim.store()
    jobs = join(cls, store, "node-1")
    peer(store)("job-1", "a")
    sim.settle()
    changes = jobs.subscribe()

    with sim.storm(StaysClosed(jobs, changes, {"job-1": "a"}), Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(jobs.close, copies=2)

    jobs.close()
    assert jobs.get("job-1") == "a"
    jobs.reset()
    assert list(store.data.hgetall("jobs")) == [policy.REVISION, policy.RESET_AT]


@scenario(ReplicatedMap, catches={AppliesWhateverComes: StoreOrder})
def join_while_others_write(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A copy that is made between two writes starts with one, and never goes back."""
    store = sim.store(latency=0.005, message_latency=0.010)
    truth, put = Truth(store, "jobs"), peer(store)
    samples: list[Sample] = []

    def follow() -> None:
        # Subscribed after 5 ms, read after 10: each at the instant of a write.
        with join(cls, store, "node-1") as jobs:
            for _ in range(5):
                samples.append(jobs.at())
                sim.advance(0.0025)
            sim.settle()
            samples.append(jobs.at())

    with sim.storm(StoreOrder(truth, samples), LeakBound()) as storm:
        storm.spawn(lambda: [put("job-1", value) for value in "ab"], name="writer")
        storm.spawn(follow)

    assert samples[-1] == truth.last


@scenario(
    ReplicatedMap,
    catches={
        AppliesWhateverComes: (StoreOrder, NothingLost),
        TakesGaps: (StoreOrder, NothingLost),
    },
)
def messages_twice_and_out_of_turn(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Whatever becomes of messages on their way, a copy is what the store was, and then is."""
    store = sim.store()
    truth, jobs = Truth(store, "jobs"), join(cls, store, "node-1")
    samples: list[Sample] = []
    changes = jobs.subscribe()
    sim.inject(Strike(Overtake(), "store.message"), at_most=2)
    sim.inject(Strike(Duplicate(), "store.message"), at_most=2)

    def follow() -> None:
        while changes.get() is not None:
            samples.append(jobs.at())

    with sim.storm(StoreOrder(truth, samples), NothingLost(truth, [jobs]), Elapsed(0.0)) as storm:
        storm.spawn(follow)
        storm.spawn(lambda: [jobs.set(f"job-{n}", "a") for n in (1, 2, 1)], name="writer")
        sim.settle()
        jobs.unsubscribe(changes)

    jobs.close()


@scenario(ReplicatedMap, catches={RegistersUnlooked: Deadlock})
def every_wait_returns(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Two waits, one after the other, each at once: both return, and nobody is left waiting."""
    store = sim.store()
    jobs = join(cls, store, "node-1")
    returned: list[str] = []

    def write() -> None:
        for key in ("job-1", "job-2"):
            jobs.set_and_wait(key, "a")
            returned.append(key)

    with sim.storm(NobodyWaits(jobs), Elapsed(0.0)) as storm:
        storm.spawn(write)

    assert returned == jobs.keys() == ["job-1", "job-2"]
    jobs.close()


@scenario(ReplicatedMap, catches={SendToClosed: Unhandled, PerCallQueue: Unhandled})
def lost_reply_of_a_write(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A call whose reply is lost fails once; its write is there, and nothing waits for it."""
    store = sim.store()
    truth, jobs = Truth(store, "jobs"), join(cls, store, "node-1")
    sim.inject(Strike(Fail(ConnectionError), "store.reply", keys=("run put",)), certain=True)

    with sim.storm(NobodyWaits(jobs), NothingLost(truth, [jobs]), Elapsed(0.0)) as storm:
        storm.spawn(jobs.set_and_wait, "job-1", "a")

    assert isinstance(storm.errors()[0], ConnectionError)
    assert jobs.content() == {"job-1": "a"}
    jobs.close()


@scenario(ReplicatedMap, catches={ForgetsWaiters: Deadlock, SleepsThroughClose: Elapsed})
def close_during_an_outage(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A close ends the pause before the next attempt, and every wait, at its own instant."""
    store = sim.store()
    jobs = join(cls, store, "node-1")
    store.disconnect("node-1")
    sim.settle()

    with sim.storm(Elapsed(0.5), LeakBound(), NobodyWaits(jobs)) as storm:
        storm.spawn(jobs.set_and_wait, "job-1", "a")
        # Half of the pause is over.
        sim.advance(PAUSE / 2)
        storm.spawn(jobs.close)

    assert isinstance(storm.errors()[0], MapClosedError)


@scenario(ReplicatedMap, catches={LeavesCancelled: NobodyWaits})
def cancelled_waits_leave_nothing(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Waits that are cancelled in an outage end at once, and nothing of them is left."""
    store, cancel = sim.store(), Scope()
    jobs = join(cls, store, "node-1")
    store.disconnect("node-1")
    sim.settle()

    with sim.storm(Elapsed(0.0), NobodyWaits(jobs)) as storm:
        for key in ("job-1", "job-2"):
            storm.spawn(partial(jobs.set_and_wait, key, "a", cancel=cancel), name=key)
        sim.settle()
        cancel.cancel()

    assert [type(each) for each in storm.errors()] == [CancelledError] * 2
    jobs.close()


@scenario(ReplicatedMap, catches={DropsNewerKind: Failed})
def reset_behind_an_unread_change(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Who has not read a change yet hears of the reset that came after it."""
    store = sim.store()
    jobs, put = join(cls, store, "node-1"), peer(store)
    changes = jobs.subscribe()

    with sim.storm(Elapsed(0.0)) as storm:
        storm.spawn(put, "job-1", "a")
        storm.spawn(jobs.reset)

    heard = [changes.get(0.0)]
    sim.settle()
    heard.append(changes.get(0.0))
    assert Kind.RESET in heard
    jobs.close()


@scenario(ReplicatedMap, catches={NoReread: Failed})
def reset_during_an_outage(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """A reset that nobody heard, and a write after it, are told as a reset, once."""
    store = sim.store()
    jobs, put = join(cls, store, "node-1"), peer(store)
    peer(store)("job-1", "a")
    sim.settle()
    changes = jobs.subscribe()
    store.disconnect("node-1")
    store.client("peer").run(policy.reset, "jobs")
    put("job-2", "b")

    sim.advance(PAUSE)
    sim.settle()

    assert changes.get(0.0) is Kind.RESET
    assert jobs.content() == {"job-2": "b"}
    assert changes.get(0.0) is None
    jobs.close()


@scenario(ReplicatedMap, catches={TellsFirst: SeesTheLast})
def subscriber_sees_the_last(sim: Simulation, cls: type[ReplicatedMap]) -> None:
    """Changes come faster than they are read: who reads at each notification has the last."""
    store = sim.store()
    truth, jobs = Truth(store, "jobs"), join(cls, store, "node-1")
    changes, samples = jobs.subscribe(), list[Sample]()

    def follow() -> None:
        while changes.get() is not None:
            samples.append(jobs.at())

    with sim.storm(SeesTheLast(truth, samples), StoreOrder(truth, samples)) as storm:
        storm.spawn(follow)
        storm.spawn(lambda: [jobs.set("job-1", value) for value in "ab"], name="writer")
        sim.settle()
        jobs.unsubscribe(changes)

    jobs.close()


# --- what the storms share ------------------------------------------------------------------------


def join(cls: type[ReplicatedMap], store: Store, node: str, *, name: str = "jobs") -> ReplicatedMap:
    """Return the copy of a node; it makes a lost subscription again after `PAUSE`."""
    return cls(name, store.client(node), owner=node, uniform=lambda low, _: low)


def peer(store: Store) -> Callable[[str, str], object]:
    """Return how somebody sets a value who has no copy."""
    return partial(store.client("peer").run, policy.put, "jobs")


def written(store: Store, client: str) -> int:
    """Return the revision of the last write of a client."""
    revision: int = next(
        event.reply[1]
        for event in reversed(store.events)
        if event.client == client and event.key == "put"
    )
    return revision


def flood(sim: Simulation, cls: type[ReplicatedMap], *, sets: int) -> None:
    """Set one key so often that nobody waits for; then read, and close."""
    store = sim.store()

    # Only the count matters here, not the order of steps.
    with sim.no_points(), join(cls, store, "node-1") as jobs:
        with sim.storm(Elapsed(0.0)) as storm:
            storm.spawn(lambda: [jobs.set("job-1", f"{each}") for each in range(sets)], name="set")

        assert jobs.get("job-1") == f"{sets - 1}"
