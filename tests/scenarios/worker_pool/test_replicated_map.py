"""The replicated map outside a storm: what each operation returns, publishes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Store
from scenarios.worker_pool.replicated_map import policy
from scenarios.worker_pool.replicated_map.policy import Kind, Snapshot, Update
from scenarios.worker_pool.replicated_map.reference import MapClosedError, ReplicatedMap

Jobs = tuple[ReplicatedMap, list[Update]]


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """A map with a list of what the store publishes of it; real threads."""
    store = Store("store")
    published: list[Update] = []

    def hear(_: str, data: str) -> None:
        update = policy.decode(data)
        assert update is not None
        published.append(update)

    store.data.subscribe("map:jobs", hear)
    with ReplicatedMap("jobs", store.client("node-1")) as replica:
        yield replica, published


# Each operation after `a=1` and the list `["x","y"]` under l: its result, and what it publishes.
OPERATIONS: list[tuple[Callable[[ReplicatedMap], object], object, list[tuple[Kind, str, str]]]] = [
    (lambda m: m.set("a", "1"), "1", [(Kind.CHANGE, "a", "1")]),
    (lambda m: m.set("b", "2"), "", [(Kind.CHANGE, "b", "2")]),
    (lambda m: m.set_and_wait("a", "3"), "1", [(Kind.CHANGE, "a", "3")]),
    (lambda m: m.set_if_not_exists("a", "2"), False, []),
    (lambda m: m.set_if_not_exists("b", "2"), True, [(Kind.CHANGE, "b", "2")]),
    (lambda m: m.test_and_set("a", "1", "2"), "1", [(Kind.CHANGE, "a", "2")]),
    (lambda m: m.test_and_set("a", "0", "2"), "1", []),
    (lambda m: m.test_and_set("b", "1", "2"), "", []),
    (lambda m: m.delete("a"), "1", [(Kind.DELETE, "a", "")]),
    (lambda m: m.delete("b"), "", []),
    (lambda m: m.test_and_delete("a", "1"), "1", [(Kind.DELETE, "a", "")]),
    (lambda m: m.test_and_delete("a", "2"), "1", []),
    (lambda m: m.append("l", "x"), ["x", "y", "x"], [(Kind.CHANGE, "l", '["x", "y", "x"]')]),
    (lambda m: m.append_unique("l", "y", "x"), ["x", "y"], []),
    (
        lambda m: m.append_unique("l", "z", "x", "z"),
        ["x", "y", "z"],
        [(Kind.CHANGE, "l", '["x", "y", "z"]')],
    ),
    (lambda m: m.remove_values("l", "x"), (["y"], True), [(Kind.CHANGE, "l", '["y"]')]),
    (lambda m: m.remove_values("l", "y", "x"), ([], True), [(Kind.DELETE, "l", "")]),
    (lambda m: m.remove_values("l", "q"), (["x", "y"], False), []),
    (lambda m: m.remove_values("none", "q"), ([], False), []),
    (lambda m: m.inc("a", 41), 42, [(Kind.CHANGE, "a", "42")]),
    (lambda m: m.inc("n"), 1, [(Kind.CHANGE, "n", "1")]),
    (lambda m: m.reset(), None, [(Kind.RESET, "", "")]),
    (lambda m: m.test_and_reset("a", "1"), True, [(Kind.RESET, "", "")]),
    (lambda m: m.test_and_reset("a", "2"), False, []),
]


@pytest.mark.parametrize(("operation", "result", "messages"), OPERATIONS)
def test_an_operation_returns_and_publishes(
    jobs: Jobs,
    operation: Callable[[ReplicatedMap], object],
    result: object,
    messages: list[tuple[Kind, str, str]],
) -> None:
    """What it returns is what was there before; what changes nothing publishes nothing."""
    replica, published = jobs
    replica.set("a", "1")
    replica.append("l", "x", "y")
    published.clear()

    assert operation(replica) == result

    assert [(each.kind, each.key, each.value) for each in published] == messages
    # Two writes came before.
    assert [each.revision for each in published] == [3][: len(messages)]


def test_a_copy_is_read_whole_and_by_key(jobs: Jobs) -> None:
    """After the last wait every operation before it is there."""
    replica, _ = jobs
    replica.set("a", "1")
    replica.append("l", "x", "y")
    replica.set_and_wait("b", "2")

    assert replica.keys() == ["a", "l", "b"]
    assert (replica.get("a"), replica.get("none")) == ("1", None)
    assert (replica.get_list("l"), replica.get_list("none")) == (["x", "y"], [])
    assert replica.at() == (3, {"a": "1", "l": '["x", "y"]', "b": "2"})


def test_a_reset_is_known_to_who_joins_later() -> None:
    """The revision goes on where it was, so that old and new cannot be mixed up."""
    store = Store("store")
    with ReplicatedMap("jobs", store.client("node-1")) as replica:
        replica.set("a", "1")
        replica.reset()
        replica.set("b", "2")
    with ReplicatedMap("jobs", store.client("node-2")) as later:
        assert later.at() == (3, {"b": "2"})
    with pytest.raises(MapClosedError):
        later.set("c", "3")
    with pytest.raises(MapClosedError):
        later.subscribe()


@pytest.mark.parametrize("name", ["", "a b", "a*", "a?", "[a", "a]", "a\0", "x" * 513])
def test_a_name_that_a_channel_could_not_have_is_refused(name: str) -> None:
    """So is one that is too long."""
    with pytest.raises(ValueError, match="must be 1 to 512 characters"):
        policy.checked_name(name)

    assert policy.checked_name("x" * 512)


@pytest.mark.parametrize("key", ["", "a=b"])
def test_a_key_that_is_no_key_is_refused(jobs: Jobs, key: str) -> None:
    """Fields with "=" are the map's own."""
    with pytest.raises(ValueError, match="must not be empty"):
        jobs[0].set(key, "1")


@given(
    st.builds(Update, st.integers(1, 1 << 60), st.sampled_from(list(Kind)), st.text(), st.text())
)
def test_an_update_comes_back_as_it_was_sent(update: Update) -> None:
    """Whatever the key and the value."""
    assert policy.decode(policy.encode(update)) == update


@pytest.mark.parametrize(
    "data", ["", "nonsense", "[]", "[1]", '["1", "CHANGE", "a", "b"]', '[0, "RESET", "", ""]',
             '[true, "RESET", "", ""]', '[7, "DESTROY", "", ""]', '[7, "CHANGE", 1, "b"]', "{}"]
)  # fmt: skip
def test_what_is_no_update_is_told_from_one(data: str) -> None:
    """A destroy without a revision, of an older version, is none."""
    assert policy.decode(data) is None


def test_nonsense_leaves_the_copy_as_it_is() -> None:
    """Revision and content stay, and the next write is followed."""
    store = Store("store")
    with ReplicatedMap("jobs", store.client("node-1")) as replica:
        replica.set_and_wait("a", "1")
        store.client("stranger").publish("map:jobs", json.dumps(["DESTROY"]))
        replica.set_and_wait("b", "2")

        assert replica.at() == (2, {"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("new", "kind"),
    [
        (Snapshot({"a": "1"}, 4, 0), None),
        (Snapshot({"a": "2"}, 5, 0), Kind.CHANGE),
        (Snapshot({"a": "1", "b": "1"}, 5, 3), Kind.CHANGE),
        (Snapshot({"b": "1"}, 6, 0), Kind.DELETE),
        (Snapshot({"a": "1"}, 6, 5), Kind.RESET),
    ],
)
def test_the_strongest_that_can_have_happened_is_told(new: Snapshot, kind: Kind | None) -> None:
    """Reset before delete before change; a reset that was heard of before counts no more."""
    assert policy.strongest_kind({"a": "1"}, 4, new) is kind
