"""The decisions of the worker pool: who is alive, who gets a key, and when to try again."""

import asyncio
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import AsyncStore
from scenarios.worker_pool.pool import policy
from scenarios.worker_pool.pool.policy import LEAVING, Timing
from scenarios.worker_pool.pool.reference import ClientOnlyError, Node

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

    assert active == ["twin-a", "twin-b", "young"]


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


def test_a_node_without_workers_takes_none() -> None:
    """It says so at once: nobody would give the worker anything."""
    node = Node(AsyncStore().client("node-1"), "pool", "node-1", client_only=True)

    with pytest.raises(ClientOnlyError):
        asyncio.run(node.add_worker("worker-1", Mock()))
