"""What is not seen beside a real server: time that is told, scripts, and keys that vanish.

All else is compared by `make real-redis`, command by command.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.doubles import Database, StoreError
from harness.doubles.database import WRONG_TYPE

pytestmark = pytest.mark.one_ground


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        """Return the time in nanoseconds."""
        return self.ms * 1_000_000


@pytest.fixture
def clock() -> Hand:
    """The clock of the database below."""
    return Hand()


@pytest.fixture
def database(clock: Hand) -> Database:
    """An empty one."""
    return Database(clock)


def test_a_key_vanishes_at_its_instant(clock: Hand, database: Database) -> None:
    """Not before it; then it is as if it had never been."""
    database.set("lease", "mine", px=100)
    clock.ms += 99
    assert (database.get("lease"), database.pttl("lease")) == ("mine", 1)

    clock.ms += 1

    assert (database.get("lease"), database.pttl("lease"), database.ttl("lease")) == (None, -2, -2)
    assert (database.exists("lease"), database.delete("lease"), database.keys()) == (0, 0, [])
    assert database.set("lease", "other", nx=True) is True


def test_what_is_set_again_stays_unless_it_is_told_to_keep_its_time(
    clock: Hand, database: Database
) -> None:
    """A plain set takes the end away."""
    database.set("a", 1, px=100)
    database.set("b", 1, px=100)
    database.set("a", 2)
    database.set("b", 2, keepttl=True)
    clock.ms += 100

    assert (database.get("a"), database.get("b")) == ("2", None)


def test_time_stands_still_inside_a_script(clock: Hand, database: Database) -> None:
    """However long it takes: what is there at its start is there at its end."""
    database.set("lease", "mine", px=100)

    def script(inside: Database) -> Any:
        clock.ms += 1000
        return inside.get("lease"), inside.time()

    assert database.run(script) == ("mine", (1000, 0))
    assert database.get("lease") is None


def test_idleness_is_told_by_the_clock_of_the_database(clock: Hand, database: Database) -> None:
    """Of consumers and of what they owe."""
    database.xadd("events", {"k": 1}, id="1-1")
    database.xgroup_create("events", "sink", "0")
    database.xreadgroup("sink", "node-1", {"events": ">"})
    clock.ms += 1500

    assert database.xinfo_consumers("events", "sink") == [
        {"name": "node-1", "pending": 1, "idle": 1500}
    ]
    (row,) = database.xpending_range("events", "sink", "-", "+", 10)
    assert row["time_since_delivered"] == 1500
    assert database.xautoclaim("events", "sink", "node-2", 1501) == ["0-0", [], []]
    assert database.xautoclaim("events", "sink", "node-2", 1500)[1] == [("1-1", {"k": "1"})]


def test_a_command_for_another_kind_of_key_is_refused(database: Database) -> None:
    """In the server's own words, and nothing is changed."""
    database.set("text", 1)

    for command in (
        lambda: database.hset("text", "a", 1),
        lambda: database.xadd("text", {"a": 1}),
        lambda: database.hget("text", "a"),
        lambda: database.xlen("text"),
    ):
        with pytest.raises(StoreError, match=WRONG_TYPE):
            command()
    assert database.get("text") == "1"


def test_only_texts_and_numbers_are_sent(database: Database) -> None:
    """As redis-py refuses all else."""
    for value in (None, True, b"bytes", [1]):
        with pytest.raises(StoreError, match="Invalid input of type"):
            database.set("a", value)  # type: ignore[arg-type]  # that is what is tested
    database.set("a", 1.5)
    assert database.get("a") == "1.5"


def test_a_delivery_may_end_its_own_subscription(database: Database) -> None:
    """The others get the message all the same."""
    heard: list[str] = []

    def first(channel: str, data: str) -> None:
        heard.append(f"first {data}")
        database.unsubscribe(channel, first)

    database.subscribe("ch", first)
    database.subscribe("ch", lambda _, data: heard.append(f"second {data}"))

    assert database.publish("ch", "a") == 2
    assert database.publish("ch", "b") == 1
    assert heard == ["first a", "second a", "second b"]
