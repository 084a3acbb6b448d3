"""Every command of the double, and the same command at a real Redis server: equal replies.

Only what no two servers agree on is left out: ids that a server makes up are told apart by the
order in which they came, ages and times to live count in steps of 100 seconds, and keys have no
order.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from harness.doubles import Client, Database, Message, Store, StoreError
from tests.real_redis.conftest import REAL_LIMIT

pytestmark = pytest.mark.real_redis

KEYS = st.sampled_from(["jobs", "workers", "pool"])
STREAMS = st.sampled_from(["events", "acks", "jobs"])
FIELDS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "1", "41", "one,two", 7])
GROUPS = st.sampled_from(["sink", "other"])
CONSUMERS = st.sampled_from(["node-1", "node-2", "node-3"])
CHANNELS = st.sampled_from(["map:jobs", "map:workers"])
COUNTS = st.one_of(st.none(), st.integers(1, 3))
#: Longer than the test takes, and shorter than the next multiple.
STEP_SECONDS = 100
STEP_MS = STEP_SECONDS * 1000
AGES = ("idle", "time_since_delivered")

TEST_AND_SET = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before == ARGV[2] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    redis.call('PUBLISH', 'map:' .. KEYS[1], 'set ' .. ARGV[1])
end
return before
"""


def compare_and_set(database: Database, name: str, key: str, test: str, value: str) -> str | None:
    """Do what the script above does."""
    before = database.hget(name, key)
    if before == test:
        database.hset(name, key, value)
        database.publish(f"map:{name}", f"set {key}")
    return before


class Twins(RuleBasedStateMachine):
    """A real server and the double, given the same commands."""

    server: Any

    def __init__(self) -> None:
        super().__init__()
        self.server.flushall()
        self.now_ns = 946_684_800 * 10**9
        self.store = Store("store")
        self.store.clock._source = lambda: self.now_ns
        self.double = self.store.client("double")
        self.pubsub = self.server.pubsub(ignore_subscribe_messages=True)
        self.subscription = self.double.subscribe("map:jobs")
        self.pubsub.subscribe("map:jobs")
        # The acknowledgement of the subscription.
        self.pubsub.get_message(timeout=REAL_LIMIT)
        # Ids that the servers made up, real and double.
        self.ids: list[tuple[str, str]] = [("5-0", "5-0"), ("0-0", "0-0"), ("7-3", "7-3")]

    def teardown(self) -> None:
        """Close the real connection."""
        self.pubsub.close()

    def both(self, command: str, *args: Any, **named: Any) -> Any:
        """Send one command to both and compare what comes back."""
        real = outcome(lambda: getattr(self.server, command)(*args, **named))
        double = outcome(lambda: getattr(self.double, command)(*args, **named))
        self.compare(command, real, double)
        return double

    def with_ids(self, command: str, *args: Any, **named: Any) -> Any:
        """Do the same, with every pair in the arguments standing for an id of each."""
        real = outcome(lambda: getattr(self.server, command)(*half(args, 0), **half(named, 0)))
        double = outcome(lambda: getattr(self.double, command)(*half(args, 1), **half(named, 1)))
        self.compare(command, real, double)
        return double

    def compare(self, command: str, real: Any, double: Any) -> None:
        """Assert that two outcomes say the same."""
        names = dict(self.ids)
        assert coarse(double, {}) == coarse(real, names), command

    def id(self, index: int) -> tuple[str, str]:
        """Return a known id, as a pair."""
        return self.ids[index % len(self.ids)]

    # --- keys and texts ---

    @rule(key=KEYS, value=VALUES, px=st.sampled_from([None, STEP_MS, 2 * STEP_MS]))
    def set(self, key: str, value: Any, px: int | None) -> None:
        """Set a text, with and without an end."""
        self.both("set", key, value, px=px)

    @rule(key=KEYS, value=VALUES, nx=st.booleans(), get=st.booleans(), keepttl=st.booleans())
    def set_if(self, key: str, value: Any, nx: bool, get: bool, keepttl: bool) -> None:
        """Set a text if there is one, or none."""
        self.both("set", key, value, nx=nx, xx=not nx, get=get, keepttl=keepttl)

    @rule(key=KEYS, seconds=st.sampled_from([0, STEP_SECONDS, -1]))
    def set_with_seconds(self, key: str, seconds: int) -> None:
        """Set a text with an end in seconds, also one that makes no sense."""
        self.both("set", key, "x", ex=seconds)

    @rule(key=KEYS, other=KEYS)
    def ask(self, key: str, other: str) -> None:
        """Ask what there is."""
        self.both("get", key)
        self.both("exists", key, other)
        self.both("type", key)
        self.both("ttl", key)
        self.both("pttl", key)
        for pattern in ("*", "?o*", "[^je]*"):
            # In any order.
            assert self.double.keys(pattern) == sorted(self.server.keys(pattern))

    @rule(key=KEYS, other=KEYS)
    def delete(self, key: str, other: str) -> None:
        """Delete keys, also one twice."""
        self.both("delete", key, other)

    @rule(key=KEYS, time=st.sampled_from([-1, 0, STEP_MS, 2 * STEP_MS]))
    def pexpire(self, key: str, time: int) -> None:
        """Give a key an end, also one in the past."""
        self.both("pexpire", key, time)
        self.both("exists", key)

    @rule(key=KEYS)
    def expire_and_persist(self, key: str) -> None:
        """Give a key an end and take it back."""
        self.both("expire", key, STEP_SECONDS)
        self.both("persist", key)
        self.both("persist", key)

    @rule(key=KEYS)
    def end(self, key: str) -> None:
        """Wait for the end of a key."""
        self.both("pexpire", key, 1)
        deadline = time.monotonic() + REAL_LIMIT
        while self.server.exists(key):
            assert time.monotonic() < deadline, "a key did not vanish"
        self.now_ns += 1_000_000
        self.both("get", key)
        self.both("hlen", key)

    @rule(key=KEYS, amount=st.integers(-2, 2))
    def incrby(self, key: str, amount: int) -> None:
        """Count."""
        self.both("incrby", key, amount)

    @rule()
    def clocks(self) -> None:
        """The clock is a pair of seconds and microseconds."""
        for seconds, microseconds in (self.server.time(), self.double.time()):
            assert seconds > 0
            assert 0 <= microseconds < 1_000_000

    @rule(chance=st.integers(0, 9))
    def flushall(self, chance: int) -> None:
        """Delete everything, now and then."""
        if not chance:
            self.both("flushall")

    # --- hashes ---

    @rule(key=KEYS, field=FIELDS, value=VALUES)
    def hset(self, key: str, field: str, value: Any) -> None:
        """Set a field."""
        self.both("hset", key, field, value)

    @rule(key=KEYS, fields=st.dictionaries(FIELDS, VALUES))
    def hset_many(self, key: str, fields: dict[str, Any]) -> None:
        """Set several fields."""
        if fields:
            self.both("hset", key, mapping=fields)

    @rule(key=KEYS, field=FIELDS, value=VALUES)
    def hsetnx(self, key: str, field: str, value: Any) -> None:
        """Set a field unless there is one."""
        self.both("hsetnx", key, field, value)

    @rule(key=KEYS, field=FIELDS, other=FIELDS)
    def hdel(self, key: str, field: str, other: str) -> None:
        """Delete fields, also one twice; the key goes with the last."""
        self.both("hdel", key, field, other)
        self.both("exists", key)

    @rule(key=KEYS, field=FIELDS, amount=st.integers(-2, 2))
    def hincrby(self, key: str, field: str, amount: int) -> None:
        """Count in a field."""
        self.both("hincrby", key, field, amount)

    @rule(key=KEYS, field=FIELDS)
    def hash(self, key: str, field: str) -> None:
        """Ask for all that a hash tells."""
        self.both("hget", key, field)
        self.both("hmget", key, [field, "a", "z"])
        self.both("hgetall", key)
        self.both("hkeys", key)
        self.both("hvals", key)
        self.both("hlen", key)
        self.both("hexists", key, field)

    # --- scripts and channels ---

    @rule(key=KEYS, field=FIELDS, test=st.sampled_from(["1", "41"]), value=st.just("41"))
    def script(self, key: str, field: str, test: str, value: str) -> None:
        """Run a script, in Lua there and in Python here."""
        real = outcome(lambda: self.server.eval(TEST_AND_SET, 1, key, field, test, value))
        double = outcome(lambda: self.double.run(compare_and_set, key, field, test, value))
        # Lua knows no None, and an error in a script names the script.
        real = None if real is False else real
        if isinstance(double, tuple):
            assert isinstance(real, tuple)
            assert str(real[1]).startswith(str(double[1]).split()[0])
        else:
            assert double == real
        self.drain()

    @rule(channel=CHANNELS, value=VALUES)
    def publish(self, channel: str, value: Any) -> None:
        """Publish to one who is subscribed, and to nobody."""
        self.both("publish", channel, value)
        self.both("pubsub_numsub", channel)
        self.drain()

    @rule()
    def resubscribe(self) -> None:
        """Leave a channel and come back."""
        self.subscription.close()
        self.pubsub.unsubscribe("map:jobs")
        deadline = time.monotonic() + REAL_LIMIT
        while self.server.pubsub_numsub("map:jobs")[0][1]:
            assert time.monotonic() < deadline, "a subscription did not end"
        self.both("publish", "map:jobs", "to nobody")
        self.pubsub.subscribe("map:jobs")
        while not self.server.pubsub_numsub("map:jobs")[0][1]:
            assert time.monotonic() < deadline, "a subscription did not come up"
        self.subscription = self.double.subscribe("map:jobs")

    def drain(self) -> None:
        """Compare what was published, in order."""
        while (message := self.subscription.get(timeout=0)) is not None:
            real = None
            deadline = time.monotonic() + REAL_LIMIT
            while real is None:
                assert time.monotonic() < deadline, "a message did not come"
                real = self.pubsub.get_message(timeout=REAL_LIMIT)
            assert message == Message(real["channel"], real["data"])

    # --- streams ---

    @rule(
        key=STREAMS,
        value=VALUES,
        id=st.sampled_from(["*", "5-1", "5-*", "6", "9-9", "0-0", "1-", "x"]),
        maxlen=st.sampled_from([None, 0, 2]),
        approximate=st.booleans(),
        nomkstream=st.booleans(),
    )
    def xadd(
        self, key: str, value: Any, id: str, maxlen: int | None, approximate: bool, nomkstream: bool
    ) -> None:
        """Append an entry, under any kind of id."""
        given = {"id": id, "maxlen": maxlen, "approximate": approximate, "nomkstream": nomkstream}
        real = outcome(lambda: self.server.xadd(key, {"k": value}, **given))
        self.now_ns += 1_000_000
        double = outcome(lambda: self.double.xadd(key, {"k": value}, **given))
        if isinstance(real, str) and isinstance(double, str):
            assert (real == double) == (id != "*"), (real, double)
            self.ids.append((real, double))
        else:
            self.compare("xadd", real, double)

    @rule(key=STREAMS, count=st.integers(90, 210), maxlen=st.integers(0, 220), approx=st.booleans())
    def fill_and_trim(self, key: str, count: int, maxlen: int, approx: bool) -> None:
        """Trim a stream of several nodes, exactly and by nodes."""
        if outcome(lambda: self.double.type(key)) not in ("none", "stream"):
            return
        self.both("delete", key)
        for number in range(count):
            self.both("xadd", key, {"k": 1}, id=f"1-{number + 1}")
        self.both("xtrim", key, maxlen=maxlen, approximate=approx)
        self.both("xlen", key)
        self.both("delete", key)

    @rule(key=STREAMS, index=st.integers(0, 20), other=st.integers(0, 20), count=COUNTS)
    def ranges(self, key: str, index: int, other: int, count: int | None) -> None:
        """Read between two ids, forwards and backwards."""
        self.both("xlen", key)
        self.both("xrange", key)
        first, last = self.id(index), self.id(other)
        self.with_ids("xrange", key, first, last, count=count)
        self.with_ids("xrevrange", key, first, last, count=count)
        self.with_ids("xrange", key, tuple(f"({each}" for each in first), "+")
        self.both("xrange", key, "5", "6")

    @rule(key=STREAMS, index=st.integers(0, 20))
    def xdel(self, key: str, index: int) -> None:
        """Delete an entry."""
        self.with_ids("xdel", key, self.id(index))

    @rule(key=STREAMS, other=STREAMS, index=st.integers(0, 20), count=COUNTS)
    def xread(self, key: str, other: str, index: int, count: int | None) -> None:
        """Read behind an id, behind the end, and wait in vain."""
        after = self.id(index)
        self.with_ids("xread", {key: after}, count=count)
        self.with_ids("xread", {key: after, other: after}, count=count)
        self.both("xread", {key: "$"})
        self.both("xread", {key: "$"}, block=1)

    # --- consumer groups ---

    @rule(key=STREAMS, group=GROUPS, end=st.booleans(), make=st.booleans())
    def xgroup_create(self, key: str, group: str, end: bool, make: bool) -> None:
        """Make a group, from the start or the end."""
        self.both("xgroup_create", key, group, id="$" if end else "0", mkstream=make)

    @rule(key=STREAMS, group=GROUPS, index=st.integers(0, 20), chance=st.integers(0, 3))
    def xgroup_destroy(self, key: str, group: str, index: int, chance: int) -> None:
        """Delete a group, now and then, or set it elsewhere."""
        if chance:
            self.with_ids("xgroup_setid", key, group, self.id(index))
        else:
            self.both("xgroup_destroy", key, group)

    @rule(key=STREAMS, group=GROUPS, consumer=CONSUMERS)
    def xgroup_createconsumer(self, key: str, group: str, consumer: str) -> None:
        """Make a consumer."""
        self.both("xgroup_createconsumer", key, group, consumer)

    @rule(key=STREAMS, group=GROUPS, consumer=CONSUMERS)
    def xgroup_delconsumer(self, key: str, group: str, consumer: str) -> None:
        """Delete a consumer, whose pending list goes with it."""
        self.both("xgroup_delconsumer", key, group, consumer)

    @rule(key=STREAMS, group=GROUPS, consumer=CONSUMERS, count=COUNTS, noack=st.booleans())
    def xreadgroup(
        self, key: str, group: str, consumer: str, count: int | None, noack: bool
    ) -> None:
        """Read what nobody was given."""
        self.both("xreadgroup", group, consumer, {key: ">"}, count=count, noack=noack)
        self.both("xreadgroup", group, consumer, {key: ">"}, count=count, block=1)

    @rule(key=STREAMS, group=GROUPS, consumer=CONSUMERS, count=COUNTS, index=st.integers(0, 20))
    def xreadgroup_again(
        self, key: str, group: str, consumer: str, count: int | None, index: int
    ) -> None:
        """Read again what is owed."""
        self.with_ids("xreadgroup", group, consumer, {key: self.id(index)}, count=count)
        self.both("xreadgroup", group, consumer, {key: "0"})

    @rule(key=STREAMS, group=GROUPS, index=st.integers(0, 20), other=st.integers(0, 20))
    def xack(self, key: str, group: str, index: int, other: int) -> None:
        """Acknowledge entries, also ones that are not pending."""
        self.with_ids("xack", key, group, self.id(index), self.id(other))

    @rule(
        key=STREAMS,
        group=GROUPS,
        consumer=st.one_of(st.none(), CONSUMERS),
        index=st.integers(0, 20),
        idle=st.sampled_from([None, 0, STEP_MS]),
    )
    def pending(
        self, key: str, group: str, consumer: str | None, index: int, idle: int | None
    ) -> None:
        """Ask for all that is pending, and who is there."""
        self.both("xpending", key, group)
        self.both("xpending_range", key, group, "-", "+", 10, consumername=consumer, idle=idle)
        self.with_ids("xpending_range", key, group, self.id(index), "+", 2, consumername=consumer)
        self.both("xinfo_consumers", key, group)
        self.both("xinfo_groups", key)

    @rule(
        key=STREAMS,
        group=GROUPS,
        consumer=CONSUMERS,
        index=st.integers(0, 20),
        min_idle=st.sampled_from([0, STEP_MS]),
        idle=st.sampled_from([None, 0, 2 * STEP_MS]),
        times=st.sampled_from([None, 5]),
        force=st.booleans(),
        justid=st.booleans(),
    )
    def xclaim(
        self,
        key: str,
        group: str,
        consumer: str,
        index: int,
        min_idle: int,
        idle: int | None,
        times: int | None,
        force: bool,
        justid: bool,
    ) -> None:
        """Claim entries, and make them older than they are."""
        ids = [self.id(index), self.id(index + 1)]
        named = {"idle": idle, "retrycount": times, "force": force, "justid": justid}
        self.with_ids("xclaim", key, group, consumer, min_idle, ids, **named)
        self.both("xpending_range", key, group, "-", "+", 10)

    @rule(
        key=STREAMS,
        group=GROUPS,
        consumer=CONSUMERS,
        index=st.integers(0, 20),
        min_idle=st.sampled_from([0, STEP_MS]),
        count=COUNTS,
        justid=st.booleans(),
    )
    def xautoclaim(
        self,
        key: str,
        group: str,
        consumer: str,
        index: int,
        min_idle: int,
        count: int | None,
        justid: bool,
    ) -> None:
        """Claim whatever is old enough, page by page."""
        named = {"count": count, "justid": justid}
        self.with_ids("xautoclaim", key, group, consumer, min_idle, self.id(index), **named)
        self.both("xautoclaim", key, group, consumer, min_idle, "0-0", **named)


def outcome(act: Callable[[], Any]) -> Any:
    """Return a reply, or a pair of "error" and its text."""
    import redis

    try:
        return act()
    except (StoreError, redis.ResponseError) as exc:
        return "error", str(exc)


def half(value: Any, side: int) -> Any:
    """Return `value` with each pair of ids in it replaced by the real one (0) or the double's."""
    if isinstance(value, tuple) and len(value) == 2 and all(map(is_id, value)):
        return value[side]
    if isinstance(value, dict):
        return {key: half(each, side) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(half(each, side) for each in value)
    return value


def is_id(value: Any) -> bool:
    """Tell whether a value is the text of an id."""
    return isinstance(value, str) and "-" in value and value.strip("(").replace("-", "").isdigit()


def coarse(value: Any, names: dict[str, str], key: str = "") -> Any:
    """Return a reply with its ids renamed and its times rounded."""
    match value:
        case ("error", str()):
            return value
        case dict():
            # What a server counts of reads is not modelled.
            unmodelled = {"entries-read", "lag"}
            return {
                each: coarse(found, names, each)
                for each, found in value.items()
                if each not in unmodelled
            }
        case list() | tuple():
            return [coarse(each, names) for each in value]
        case str():
            return names.get(value, value)
        case int() if key in AGES:
            return value // STEP_MS
        case int() if value > 1000:
            return -(-value // STEP_MS)
        case int() if 10 < value <= 2 * STEP_SECONDS:
            return -(-value // STEP_SECONDS)
    return value


@pytest.mark.timeout(600)
def test_every_command_replies_as_a_real_server_does(server: Any) -> None:
    """Whatever commands came before."""
    machine = type("Machine", (Twins,), {"server": server})

    run_state_machine_as_test(
        machine, settings=settings(max_examples=100, stateful_step_count=60, deadline=None)
    )


def test_every_command_is_compared() -> None:
    """A command that no rule sends is one that nobody compared."""
    source = inspect.getsource(Twins)
    commands = {
        name
        for name, _ in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_")
    }

    assert "hset" in commands
    assert {
        name for name in commands if f'"{name}"' not in source and f"double.{name}(" not in source
    } == set()


@pytest.mark.parametrize("grouped", [False, True])
def test_blocked_reads_are_served_as_a_real_server_does(server: Any, grouped: bool) -> None:
    """Of two who wait in a group the one who came first gets the entry; outside it both do."""
    assert served_by_server(server, grouped) == served_by_double(grouped)


def served_by_double(grouped: bool) -> list[Any]:
    """Return what two clients of the double get."""
    store = Store("store")
    return served(
        store.client("writer"), [store.client(f"reader-{n}") for n in (1, 2)], grouped,
        lambda: len(store._server._blocked),
    )  # fmt: skip


def served_by_server(server: Any, grouped: bool) -> list[Any]:
    """Return what two clients of the server get."""
    import redis

    server.flushall()
    port = server.connection_pool.connection_kwargs["port"]
    readers = [redis.Redis(port=port, decode_responses=True, protocol=2) for _ in (1, 2)]
    try:
        return served(server, readers, grouped, lambda: server.info("clients")["blocked_clients"])
    finally:
        for reader in readers:
            reader.close()


def served(writer: Any, readers: list[Any], grouped: bool, blocked: Callable[[], int]) -> list[Any]:
    """Have two wait at a stream, one after the other, add one entry, then another."""
    writer.xgroup_create("events", "sink", mkstream=True)
    replies: list[Any] = [None, None]

    def read(index: int) -> None:
        if grouped:
            replies[index] = readers[index].xreadgroup(
                "sink", f"c{index}", {"events": ">"}, block=0
            )
        else:
            replies[index] = readers[index].xread({"events": "$"}, block=0)

    threads = [threading.Thread(target=read, args=(index,)) for index in (0, 1)]
    deadline = time.monotonic() + REAL_LIMIT
    for number, thread in enumerate(threads, 1):
        thread.start()
        while blocked() < number:
            assert time.monotonic() < deadline, "a reader did not block"
    writer.xadd("events", {"k": "first"}, id="1-1")
    writer.xadd("events", {"k": "second"}, id="2-1")
    for thread in threads:
        thread.join(REAL_LIMIT)
    summary = writer.xpending("events", "sink")
    return [*replies, summary]


@pytest.mark.parametrize("act", ["xgroup_destroy", "delete"])
def test_a_blocked_read_ends_with_its_group_as_at_a_real_server(server: Any, act: str) -> None:
    """By an error, and another one where the whole stream is deleted."""
    import redis

    server.flushall()
    port = server.connection_pool.connection_kwargs["port"]
    reader = redis.Redis(port=port, decode_responses=True, protocol=2)
    try:
        real = ended(server, reader, act, lambda: server.info("clients")["blocked_clients"])
    finally:
        reader.close()
    store = Store("store")
    clients = store.client("writer"), store.client("reader")
    assert ended(*clients, act, lambda: len(store._server._blocked)) == real


def ended(writer: Any, reader: Any, act: str, blocked: Callable[[], int]) -> Any:
    """Have one wait in a group whose ground is taken away, and return what it gets."""
    writer.xgroup_create("events", "sink", mkstream=True)
    replies: list[Any] = []

    def read() -> None:
        replies.append(outcome(lambda: reader.xreadgroup("sink", "c", {"events": ">"}, block=500)))

    thread = threading.Thread(target=read)
    thread.start()
    deadline = time.monotonic() + REAL_LIMIT
    while not blocked():
        assert time.monotonic() < deadline, "the reader did not block"
    getattr(writer, act)("events", *(["sink"] if act == "xgroup_destroy" else []))
    thread.join(REAL_LIMIT)
    return replies
