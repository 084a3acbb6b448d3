"""The decisions of the worker pool: who is alive, who gets a key, and when to try again."""

import asyncio
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import AsyncSimulation, AsyncStore, LeakBound
from scenarios.worker_pool.pool import policy, scripts
from scenarios.worker_pool.pool.fleet import RETURNING, Fleet
from scenarios.worker_pool.pool.invariants import (
    CleanedOnce,
    GuardsFall,
    LocksFree,
    NoJobLost,
    NothingLeft,
    PayloadsKept,
    SingleOwner,
)
from scenarios.worker_pool.pool.policy import LEAVING, Timing
from scenarios.worker_pool.pool.reference import ClientOnlyError, DispatchError, Node

pytestmark = pytest.mark.one_ground

TTL_NS = policy.ns(30.0)
NOW_NS = 1_000 * TTL_NS


def test_an_entry_is_fresh_up_to_its_time_to_live() -> None:
    """At exactly that age it still is, a nanosecond later no more; nonsense never is."""
    assert policy.is_fresh(f"{NOW_NS - TTL_NS} node-1/1", NOW_NS, TTL_NS)
    assert not policy.is_fresh(f"{NOW_NS - TTL_NS - 1} node-1/1", NOW_NS, TTL_NS)
    assert not policy.is_fresh("soon", NOW_NS, TTL_NS)
    assert not policy.is_fresh(None, NOW_NS, TTL_NS)


def test_active_are_those_who_beat_and_neither_leave_nor_are_locked() -> None:
    """The oldest first, and of two made at one instant the first by name."""
    made = {"young": "9", "twin-b": "5", "twin-a": "5", "leaving": LEAVING, "locked": "1"}
    workers = {**made, "silent": "2"}
    beats = dict.fromkeys(made, str(NOW_NS)) | {"silent": str(NOW_NS - TTL_NS - 1)}
    locks = {"locked": f"{NOW_NS} node-1/1", "young": f"{NOW_NS - TTL_NS - 1} node-1/2"}

    active = policy.active(workers, beats, locks, NOW_NS, TTL_NS)

    assert active == ("twin-a", "twin-b", "young")


@given(st.text(), st.integers(1, 40))
def test_one_more_worker_moves_a_key_to_itself_or_not_at_all(key: str, buckets: int) -> None:
    """That is what makes the hash consistent: no key moves between those who stay."""
    before = policy.bucket(policy.digest(key), buckets)
    after = policy.bucket(policy.digest(key), buckets + 1)

    assert 0 <= before < buckets
    assert after in (before, buckets)


def test_keys_spread_evenly() -> None:
    """Of a thousand keys each of ten workers gets a hundred, give or take three deviations."""
    workers = [f"worker-{number}" for number in range(10)]
    picked = [policy.pick(f"job-{number}", workers) for number in range(1_000)]

    # A binomial count of 1,000 x 0.1 deviates by sqrt(90) = 9.5.
    assert all(abs(picked.count(worker) - 100) <= 3 * 9.5 for worker in workers)
    assert policy.pick("job-1", []) is None


def test_delays_double_and_jitter_only_adds() -> None:
    """50, 100 and 200 ms without jitter, half as much again with all of it."""
    timing = Timing()
    least = [policy.backoff(timing, retry, lambda low, _: low) for retry in (1, 2, 3)]
    most = [policy.backoff(timing, retry, lambda _, high: high) for retry in (1, 2, 3)]

    assert least == [0.050, 0.100, 0.200]
    assert most == [1.5 * each for each in least]


def test_a_job_without_an_owner_waits_for_the_longer_of_two_times() -> None:
    """Two times to live, or a grace: until then who had it may still be giving it away."""
    assert Timing(ttl=30.0, grace=20.0).orphan_ns == policy.ns(60.0)
    assert Timing(ttl=30.0, grace=90.0).orphan_ns == policy.ns(90.0)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        (scripts.NODES, "gone", "1"),
        (scripts.PENDING, "job-1", "1 gone/1"),
        (scripts.JOBS, "gone", '["job-1"]'),
        (scripts.BEATS, "gone", "1"),
    ],
)
def test_entries_of_who_is_gone_are_found(table: str, key: str, value: str) -> None:
    """Whichever table it is in: nobody who is up is called so."""

    async def leave_an_entry(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        await fleet.open(node_1="w1")
        async with sim.storm(NothingLeft(fleet)):
            fleet.set(table, key, value)

    with pytest.raises(harness.Violation, match="is left"):
        harness.explore(leave_an_entry, schedules=1).raise_for_violation()


def test_a_job_that_never_was_requeued_is_missed() -> None:
    """A worker that is gone without a requeue of its job was not cleaned up."""

    async def nobody_requeues(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        await fleet.open(node_1="w1")
        async with sim.storm(CleanedOnce(fleet, "w0", ["job-1"])):
            pass

    with pytest.raises(harness.Violation, match="'job-1' of 'w0' was requeued 0 times"):
        harness.explore(nobody_requeues, schedules=1).raise_for_violation()


def test_a_move_that_was_held_up_gives_way() -> None:
    """A node stands still for 70 s as it gives a job away: it finds that others have done it."""

    async def held_up(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        await fleet.open(node_1="w1", node_2="")
        keys = fleet.keys_for("w1", 3)
        fleet.seat("node-1", "w1", *keys)
        fleet.pause_at("node-1", "run admit", 70.0)

        async with sim.storm(
            # What it had not stopped overlaps from 60 s, when it is found, to 70 s.
            SingleOwner(fleet, overlap=10.0),
            NoJobLost(fleet),
            PayloadsKept(fleet),
            NothingLeft(fleet),
            LeakBound(),
        ) as storm:
            storm.spawn(fleet.worker, "node-2", "w2")
            await sim.advance(75.0)

        assert {fleet.place(key) for key in keys} == {"w2"}

    harness.explore(held_up, schedules=10).raise_for_violation()


def test_the_death_of_an_old_owner_starts_nothing_again() -> None:
    """What moved to a new worker is its alone: who had it dies, and only what stayed moves."""

    async def old_owner_dies(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        await fleet.open(node_1="w1", node_2="")
        keys = fleet.keys_for("w1", 4)
        fleet.seat("node-1", "w1", *keys)
        await fleet.worker("node-2", "w2")
        await sim.settle()
        moved = [key for key in keys if fleet.place(key) == "w2"]

        async with sim.storm(NoJobLost(fleet), SingleOwner(fleet), PayloadsKept(fleet)):
            fleet.crash("node-1")
            await sim.advance(60.0)

        assert 0 < len(moved) < len(keys)
        assert [fleet.started(key) for key in moved] == [[0.0, 0.0]] * len(moved)

    harness.explore(old_owner_dies, schedules=10).raise_for_violation()


def test_a_requeue_whose_reply_is_lost_is_published_once() -> None:
    """It is applied and its reply lost: it is tried again, and finds the job started."""

    async def lost_reply(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        await fleet.open(node_1="w1", node_2="")
        fleet.bury("w0", "job-1", made=True)
        for name in ("node-1", "node-2"):
            fleet.fail("store.reply", name, "run admit")

        async with sim.storm(
            NoJobLost(fleet),
            SingleOwner(fleet),
            CleanedOnce(fleet, "w0", ["job-1"]),
            LocksFree(fleet),
            GuardsFall(fleet),
            NothingLeft(fleet),
            LeakBound(),
        ):
            # It is tried again 50 to 75 ms later.
            await sim.advance(30.075)

        assert fleet.started("job-1") == [30.0]

    harness.explore(lost_reply, schedules=100).raise_for_violation()


def test_a_stop_waits_for_the_next_owner() -> None:
    """A job is stopped while its owner is dead: it starts elsewhere at 2 TTL, and stops there."""

    async def stop_while_dead(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node, timing=RETURNING)
        await fleet.open(node_1="w1", node_2="w2")
        (key,) = fleet.keys_for("w1", 1)
        fleet.seat("node-1", "w1", key)

        async with sim.storm(
            PayloadsKept(fleet), CleanedOnce(fleet, "w1", [key]), LocksFree(fleet), LeakBound()
        ) as storm:
            fleet.crash("node-1")
            storm.spawn(fleet.stop, "node-2", key)
            # Events without an owner are looked at once in a grace: at 2 TTL, or right behind.
            await sim.advance(80.0)

        # Its caller waited for two graces.
        assert isinstance(storm.errors()[0], DispatchError)
        assert fleet.started(key) == [0.0, 60.0]
        assert (fleet.running(key), fleet.jobs()) == ([], {})

    harness.explore(stop_while_dead, schedules=100).raise_for_violation()


def test_a_worker_that_dies_alone_is_replaced() -> None:
    """It stands still for ever and its node does not: its job moves at 2 TTL, and stops here."""

    async def dies_alone(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        await fleet.open(node_1="w1", node_2="w2")
        keys = fleet.keys_for("w1", 1)
        fleet.seat("node-1", "w1", *keys)

        async with sim.storm(
            # The node hears of the deletion in the instant of the move.
            SingleOwner(fleet),
            NoJobLost(fleet),
            CleanedOnce(fleet, "w1", keys),
            NothingLeft(fleet),
            LeakBound(),
        ):
            fleet.halt("node-1", "w1")
            await sim.advance(60.0)

        assert [fleet.started(key) for key in keys] == [[0.0, 60.0]]
        assert fleet.nodes["node-1"].workers == {}

    harness.explore(dies_alone, schedules=100).raise_for_violation()


def test_clocks_may_differ_by_less_than_half_a_time_to_live() -> None:
    """With 14 s between two clocks nobody alive is taken for dead, and who dies is found."""

    async def clocks_differ(sim: AsyncSimulation) -> None:
        fleet = Fleet(sim, Node)
        fleet.skews.update({"node-1": 7.0, "node-2": -7.0})
        await fleet.open(node_1="w1", node_2="w2")
        keys = fleet.keys_for("w1", 1)
        fleet.seat("node-1", "w1", *keys)

        async with sim.storm(
            NoJobLost(fleet),
            SingleOwner(fleet),
            CleanedOnce(fleet, "w1", keys),
            NothingLeft(fleet),
            LeakBound(),
        ):
            await sim.advance(31.0)
            assert fleet.started(keys[0]) == [0.0]
            fleet.crash("node-1")
            # Heard of at 30 s, by a clock that is 14 s ahead of who looks: found at 90 s, not 60.
            await sim.advance(59.0)

        assert [fleet.started(key) for key in keys] == [[0.0, 90.0]]

    harness.explore(clocks_differ, schedules=100).raise_for_violation()


def test_a_node_that_was_taken_out_with_events_enters_again() -> None:
    """Its entry is still there, for what it owes; its stream is not, until it enters."""
    store = AsyncStore()
    data, stream = store.data, "pool:events"
    scripts.join(data, "pool", "node-1", NOW_NS)
    scripts.publish(data, "pool", {"type": "start", "key": "job-1"})
    data.xreadgroup(scripts.GROUP, "node-1", {stream: ">"})

    assert not scripts.leave(data, "pool", "node-1")
    assert not data.keys("pool:node:*")

    scripts.attend(data, "pool", "node-1", NOW_NS)
    assert data.keys("pool:node:*") == ["pool:node:node-1"]


def test_a_node_without_workers_takes_none() -> None:
    """It says so at once: nobody would give the worker anything."""
    node = Node(AsyncStore().client("node-1"), "pool", "node-1", client_only=True)

    with pytest.raises(ClientOnlyError):
        asyncio.run(node.add_worker("worker-1", Mock()))
