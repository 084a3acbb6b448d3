"""The store in the simulated world: what is atomic, what is lost, who is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.doubles import Database, SkewedClock, Store
from harness.errors import HarnessError
from harness.explore import explore
from harness.faults import (
    Cancel,
    Crash,
    Delay,
    Duplicate,
    Fail,
    Hang,
    Overtake,
    Pass,
    Pause,
    Site,
    Truncate,
    Verdict,
    fail_nth,
)
from harness.simulation import AsyncSimulation, Simulation
from tests.doubles.running import holds, in_threads

pytestmark = pytest.mark.one_ground


def at(name: str, key: str, verdict: Verdict, client: str = "") -> Callable[[Site], Verdict]:
    """Return a rule that strikes at one site of a store."""

    def rule(site: Site) -> Verdict:
        if (site.name, site.key) == (name, key) and client in ("", site.lane):
            return verdict
        return Pass()

    return rule


def add_one(database: Database, name: str) -> int:
    """Read and write in one step."""
    return database.incrby(name, 1)


def add_slowly(database: Database, name: str, inside: list[str]) -> int:
    """Do the same in several, and have `inside` tell of it."""
    inside.append(name)
    found = int(database.get(name) or 0)
    database.set(name, found + 1)
    inside.remove(name)
    return found


# --- commands -------------------------------------------------------------------------------------


def test_a_command_is_one_point_and_a_script_has_none_inside() -> None:
    """Two who read and write lose an update on some schedule; two who run a script never do."""

    def program(sim: Simulation, apart: bool) -> None:
        store = sim.store()

        def add() -> None:
            client = store.client("node-1")
            if apart:
                client.set("count", int(client.get("count") or 0) + 1)
            else:
                client.run(add_one, "count")

        with sim.storm() as storm:
            storm.spawn(add, copies=2)
        assert store.data.get("count") == "2"

    assert explore(lambda sim: program(sim, True)).verdict == "Failed"
    holds(lambda sim: program(sim, False))


def test_nobody_sees_a_script_by_halves() -> None:
    """It stands in code under test, and has no points: not even who asks no store can go on."""

    def program(sim: Simulation) -> None:
        store, inside = sim.store(), list[str]()

        def look() -> None:
            assert inside == []

        with sim.storm() as storm:
            storm.spawn(store.client("node-1").run, add_slowly, "count", inside)
            storm.spawn(look, copies=2)

    holds(program, strategy="pct:3", schedules=100)


def test_a_script_of_an_asyncio_store_has_no_points_either() -> None:
    """One that does nothing but look and one that also writes cost a run as many steps."""

    def program(sim: AsyncSimulation, script: Callable[..., Any], *args: Any) -> Any:
        store = sim.store()
        return store.client("node-1").run(script, "count", *args)

    async def short(sim: AsyncSimulation) -> None:
        await program(sim, add_one)

    async def long(sim: AsyncSimulation) -> None:
        await program(sim, add_slowly, list[str]())

    short_steps, long_steps = (explore(each, schedules=1).steps for each in (short, long))

    assert short_steps == long_steps


def test_latency_comes_before_a_command_is_applied() -> None:
    """Who asks in between sees nothing of it."""

    def program(sim: Simulation) -> None:
        store = sim.store(latency=0.020)

        with sim.storm() as storm:
            storm.spawn(store.client("node-1").set, "a", 1)
            sim.advance(0.019)
            assert store.data.get("a") is None
        assert (storm.elapsed, store.data.get("a")) == (0.020, "1")

    holds(program, schedules=5)


def test_a_fault_before_leaves_nothing_and_a_lost_reply_leaves_everything() -> None:
    """The caller sees the same error."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        client = store.client("node-1")
        sim.inject(at("store", "hset before", Fail(ConnectionError)), certain=True)
        sim.inject(at("store.reply", "hset after", Fail(ConnectionError)), certain=True)

        for key in ("before", "after"):
            with pytest.raises(ConnectionError):
                client.hset(key, "a", 1)

        assert (store.data.exists("before"), store.data.exists("after")) == (0, 1)
        assert store.calls() == 2
        assert [event.key for event in store.events] == ["after"]

    holds(program, schedules=1)


def test_an_ordinal_counts_the_calls_that_no_rule_was_asked_about() -> None:
    """It is the same whether there was no rule, only a spent one, or one for other sites."""
    sites = list[tuple[str, int]]()

    class Other:
        kinds = frozenset({"spawn"})

        def __call__(self, site: Site) -> Verdict:
            return Pass()

    def listen(site: Site) -> Verdict:
        if site.kind == "call":
            sites.append((site.name, site.ordinal))
        return Pass()

    def program(sim: Simulation) -> None:
        sites.clear()
        client = sim.store().client("node-1")
        client.set("count", 1)
        sim.inject(fail_nth(2, name="store"), certain=True)
        with pytest.raises(ConnectionError):
            client.set("count", 2)
        client.set("count", 3)
        sim.inject(Other(), at_most=None)
        client.set("count", 4)
        sim.inject(listen, at_most=None)
        client.set("count", 5)
        # The second call had no reply.
        assert sites == [("store", 5), ("store.reply", 4)]

    holds(program, schedules=1)


def test_each_verdict_strikes_as_it_says() -> None:
    """Late, cancelled, never; what makes no sense for a command is refused."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        client = store.client("node-1")
        for key, verdict in {
            "late": Delay(2.0),
            "off": Cancel(),
            "never": Hang(),
            "cut": Truncate(1),
            "twice": Duplicate(),
        }.items():
            sim.inject(at("store", f"get {key}", verdict), certain=True)

        client.get("late")
        assert sim.now() == 2.0
        with pytest.raises(BaseException, match="cancelled by a fault"):
            client.get("off")
        for key in ("cut", "twice"):
            with pytest.raises(HarnessError, match="cannot strike a command"):
                client.get(key)
        client.get("never")

    exploration = explore(program, schedules=1)
    assert exploration.verdict == "Deadlock"


def test_what_was_sent_can_be_counted() -> None:
    """By key, by client and by command; a script by its name."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        one, two = store.client("node-1"), store.client("node-2")
        one.hset("jobs", "a", 1)
        two.hset("jobs", "b", 2)
        two.hget("jobs", "a")
        two.run(add_one, "count")

        assert (store.total, store.in_flight, store.gauge.high_water) == (4, 0, 1)
        assert (store.calls(id="jobs"), store.calls(lane="node-1")) == (3, 1)
        assert (store.calls(method="hset"), store.calls(id="add_one", method="run")) == (2, 1)
        assert [(each.client, each.reply) for each in store.events][2:] == [
            ("node-2", "1"),
            ("node-2", 1),
        ]
        assert repr(store) == "<Store 'store': 0 in flight, 4 in all>"
        assert repr(one) == "<Client 'node-1'>"

    holds(program, schedules=1)


# --- channels -------------------------------------------------------------------------------------


def test_messages_come_in_order_to_all_who_are_subscribed() -> None:
    """After their latency, and none from before."""

    def program(sim: Simulation) -> None:
        store = sim.store(message_latency=0.010)
        writer = store.client("writer")
        writer.publish("map:jobs", "early")
        subscriptions = [store.client(f"node-{n}").subscribe("map:jobs") for n in (1, 2)]

        def read(index: int) -> list[tuple[str, float]]:
            messages = [subscriptions[index].get() for _ in range(3)]
            return [(each.data, time.monotonic()) for each in messages]

        with sim.storm() as storm:
            storm.spawn(read, 0)
            storm.spawn(read, 1)
            for number in range(3):
                assert writer.publish("map:jobs", number) == 2
        assert storm.results() == [[("0", 0.010), ("1", 0.010), ("2", 0.010)]] * 2

    holds(program)


def test_messages_may_be_late_twice_or_out_of_turn() -> None:
    """A late one holds up those behind it."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        verdicts = {"b": Overtake(), "c": Duplicate(), "d": Delay(1.0)}
        sim.inject(
            lambda site: (
                verdicts.get(str(site.argument), Pass()) if site.name == "store.message" else Pass()
            ),
            at_most=None,
            certain=True,
        )
        subscription = store.client("node-1").subscribe("ch")
        writer = store.client("writer")
        for text in "abcde":
            writer.publish("ch", text)

        got = [(subscription.get().data, sim.now()) for _ in range(6)]
        assert got == [("b", 0), ("a", 0), ("c", 0), ("c", 0), ("d", 1), ("e", 1)]

    holds(program, schedules=1)


def test_a_subscription_that_is_lost_says_so_and_loses_what_is_under_way() -> None:
    """By a fault, by disconnect() and by cut(); a new one works, unless the client is cut off."""

    def program(sim: Simulation) -> None:
        store = sim.store(message_latency=1.0)
        client, writer = store.client("node-1"), store.client("writer")
        sim.inject(
            lambda site: Fail(ConnectionError) if site.argument == "bad" else Pass(), certain=True
        )
        for lose in (
            lambda: writer.publish("ch", "bad"),
            lambda: store.disconnect("node-1"),
            lambda: store.cut("node-1"),
        ):
            subscription = client.subscribe("ch")
            writer.publish("ch", "good")
            with sim.storm() as storm:
                storm.spawn(subscription.get)
                sim.settle()
                lose()
            assert isinstance(storm.errors()[0], ConnectionError)
            assert writer.publish("ch", "to nobody") == 0

        with pytest.raises(ConnectionError, match="'node-1' cannot reach 'store'"):
            client.subscribe("ch")
        store.mend("node-1")
        assert client.subscribe("ch").get(timeout=0.5) is None

    holds(program, schedules=3)


def test_whoever_waits_at_a_subscription_is_woken_by_its_close() -> None:
    """And every get after it returns at once."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        with sim.storm() as storm, store.client("node-1").subscribe("ch") as subscription:
            storm.spawn(subscription.get)
            sim.settle()
            subscription.close()
        assert storm.results() == [None]
        assert subscription.get() is None
        assert store.data.pubsub_numsub("ch") == [("ch", 0)]

    holds(program)


# --- blocked reads --------------------------------------------------------------------------------


def test_a_blocked_read_ends_by_an_entry_by_its_time_or_by_a_disconnect() -> None:
    """Served in the very step that adds the entry, whoever runs next."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        reader, writer = store.client("reader"), store.client("writer")
        writer.xgroup_create("events", "sink", mkstream=True)

        def read(block: int) -> tuple[Any, float]:
            reply = reader.xreadgroup("sink", "c", {"events": ">"}, block=block)
            return reply, sim.now()

        with sim.storm() as storm:
            storm.spawn(read, 250)
        assert storm.results() == [([], 0.250)]

        with sim.storm() as storm:
            storm.spawn(read, 0)
            sim.settle()
            id = writer.xadd("events", {"k": 1})
            assert store.data.xpending("events", "sink")["pending"] == 1
        assert storm.results() == [([["events", [(id, {"k": "1"})]]], 0.250)]

        with sim.storm() as storm:
            storm.spawn(read, 0)
            sim.settle()
            store.disconnect("reader")
        assert isinstance(storm.errors()[0], ConnectionError)

    holds(program)


def test_an_error_ends_a_blocked_read() -> None:
    """Where its group is destroyed meanwhile."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        client = store.client("node-1")
        client.xgroup_create("events", "sink", mkstream=True)
        with sim.storm() as storm:
            storm.spawn(client.xreadgroup, "sink", "c", {"events": ">"}, 1, 0)
            sim.settle()
            store.client("node-2").xgroup_destroy("events", "sink")
        assert "NOGROUP" in str(storm.errors()[0])

    holds(program, schedules=3)


# --- nodes that stand still or are gone -----------------------------------------------------------


def test_a_paused_client_does_nothing_and_hears_nothing_until_its_time() -> None:
    """Then it goes on as if nothing had been: what was sent meanwhile is there."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        client, other = store.client("node-1"), store.client("node-2")
        subscription = client.subscribe("ch")

        def write() -> float:
            client.set("a", 1)
            return sim.now()

        def listen() -> tuple[str, float]:
            return subscription.get().data, sim.now()

        sim.inject(at("store", "set a", Pause(31.0)), certain=True)
        with sim.storm() as storm:
            storm.spawn(write)
            storm.spawn(listen)
            sim.settle()
            other.publish("ch", "news")
            sim.advance(30.0)
            assert store.data.get("a") is None
        assert storm.results() == [31.0, ("news", 31.0)]

    holds(program)


def test_a_pause_from_outside_is_the_same() -> None:
    """It may strike at any moment, also after a command was applied."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        client = store.client("node-1")
        sim.inject(at("store.reply", "set a", Pause(2.0)), certain=True)
        client.set("a", 1)
        assert sim.now() == 2.0
        store.pause("node-1", 3.0)
        client.get("a")
        assert sim.now() == 5.0

    holds(program, schedules=1)


@pytest.mark.parametrize("site", ["store", "store.reply"])
def test_a_crash_takes_the_crew_and_runs_no_clean_up(site: str) -> None:
    """Before or after the command; the connection is gone, and a new client is a new one."""

    def program(sim: Simulation) -> None:
        cleaned: list[str] = []
        store = sim.store()
        client = store.client("node-1")

        def work() -> None:
            try:
                client.hset("jobs", "a", 1)
                cleaned.append("work went on")
            finally:
                cleaned.append("work")

        def listen() -> None:
            try:
                client.subscribe("ch").get()
            finally:
                cleaned.append("listen")

        def idle() -> None:
            try:
                time.sleep(1.0)
            finally:
                cleaned.append("idle")

        sim.inject(at(site, "hset jobs", Crash()), certain=True)
        with sim.storm() as storm:
            storm.spawn(listen, name="node-1/listen")
            storm.spawn(idle, name="node-1/idle")
            storm.spawn(idle, name="node-10/idle")
            sim.settle()
            storm.spawn(work, name="somebody")
        assert storm.results() == [None, None, None, None]
        assert (cleaned, sim.now()) == (["idle"], 1.0)
        assert store.data.exists("jobs") == (site == "store.reply")
        assert store.data.pubsub_numsub("ch") == [("ch", 0)]
        assert store.client("node-1").hset("jobs", "b", 2) == 1

    holds(program)


def test_who_uses_the_connection_of_a_crashed_client_is_gone_too() -> None:
    """Also who waits there, whatever its name."""

    def program(sim: Simulation) -> None:
        store = sim.store()
        client = store.client("node-1")
        subscription = client.subscribe("ch")
        reached: list[str] = []

        def wait() -> None:
            subscription.get()
            reached.append("message")

        def block() -> None:
            client.xread({"events": "$"}, block=0)
            reached.append("entry")

        def late() -> None:
            time.sleep(1.0)
            client.get("a")
            reached.append("text")

        with sim.storm() as storm:
            for function in (wait, block, late):
                storm.spawn(function)
            sim.settle()
            store.crash("node-1")
            store.client("node-2").xadd("events", {"k": 1})
        assert (storm.results(), reached) == ([None, None, None], [])

    holds(program)


def test_a_crash_of_tasks_runs_no_clean_up_either() -> None:
    """The same in asyncio: no `finally`, no cancellation, and the run ends in silence."""

    async def program(sim: AsyncSimulation) -> None:
        cleaned: list[str] = []
        store = sim.store()
        client = store.client("node-1")

        async def guarded(name: str, act: Callable[[], Any]) -> None:
            try:
                await act()
            finally:
                # At the end of the run everything is unwound; that is no clean-up of theirs.
                cleaned.append(name)

        async def listen() -> None:
            await (await client.subscribe("ch")).get()

        sim.inject(at("store.reply", "hset jobs", Crash()), certain=True)
        async with sim.storm() as storm:
            storm.spawn(guarded, "listen", listen, name="node-1/listen")
            storm.spawn(guarded, "idle", lambda: asyncio.sleep(1.0), name="node-2/idle")
            storm.spawn(guarded, "late", lambda: late(client), name="anybody")
            await sim.settle()
            storm.spawn(guarded, "work", lambda: client.hset("jobs", "a", 1), name="node-1/work")
        assert (cleaned, storm.results()) == (["idle"], [None] * 4)
        assert store.data.hlen("jobs") == 1

    async def late(client: Any) -> None:
        await asyncio.sleep(0.5)
        await client.get("a")

    holds(program)


def test_a_crash_outside_a_run_is_refused() -> None:
    """Real threads cannot be stopped from outside."""
    store = Store()
    store.client("node-1")

    with pytest.raises(HarnessError, match="outside a simulated run"):
        store.crash("node-1")


def test_an_unknown_client_is_named() -> None:
    """So that a slip in a name is not a fault that never strikes."""
    store = Store()
    store.client("node-1")

    with pytest.raises(HarnessError, match=r"is no client of 'store': \['node-1'\]"):
        store.cut("node-2")


# --- asyncio --------------------------------------------------------------------------------------


def test_the_asyncio_store_serves_as_the_other_does() -> None:
    """Commands, scripts, channels, blocked reads, faults and their times."""

    async def program(sim: AsyncSimulation) -> None:
        store = sim.store(latency=0.001, message_latency=0.010)
        client, writer = store.client("node-1"), store.client("writer")
        sim.inject(at("store.reply", "set late", Delay(1.0)), certain=True)
        sim.inject(at("store", "set never", Fail(ConnectionError)), certain=True)
        sim.inject(at("store", "set still", Pause(2.0)), certain=True)

        async with await client.subscribe("ch") as subscription:

            async def listen() -> tuple[str, float]:
                return (await subscription.get()).data, round(sim.now(), 9)

            async def read() -> Any:
                return await client.xread({"events": "$"}, block=0)

            async with sim.storm() as storm:
                storm.spawn(listen)
                storm.spawn(read)
                await sim.settle()
                await writer.publish("ch", "news")
                await writer.xadd("events", {"k": 1}, id="1-1")
            assert storm.results() == [("news", 0.012), [["events", [("1-1", {"k": "1"})]]]]
            assert await subscription.get(timeout=0.5) is None
        assert await subscription.get() is None

        before = sim.now()
        assert await client.run(add_one, "count") == 1
        assert await client.xread({"events": "$"}, block=100) == []
        await client.set("late", 1)
        with pytest.raises(ConnectionError):
            await client.set("never", 1)
        await client.set("still", 1)
        # Five commands, a read that waits in vain, a late reply and a pause.
        assert round(sim.now() - before, 9) == 5 * 0.001 + 0.100 + 1.0 + 2.0

    holds(program, schedules=5)


def test_a_cancelled_task_leaves_no_blocked_read_behind() -> None:
    """What comes then is for others; a fault may be the one who cancels."""

    async def program(sim: AsyncSimulation) -> None:
        store = sim.store()
        client = store.client("node-1")
        await client.xgroup_create("events", "sink", mkstream=True)
        sim.inject(at("store", "get a", Cancel()), certain=True)

        async def read() -> Any:
            return await client.xreadgroup("sink", "c", {"events": ">"}, block=0)

        async with sim.storm() as storm:
            storm.spawn(read)
            storm.spawn(client.get, "a")
            await sim.settle()
            next(each for each in asyncio.all_tasks() if each.get_name() == "read").cancel()
        assert [type(each) for each in storm.errors()] == [asyncio.CancelledError] * 2
        await client.xadd("events", {"k": 1})
        assert store.data.xpending("events", "sink")["pending"] == 0

    holds(program)


# --- outside a run --------------------------------------------------------------------------------


def test_the_store_serves_real_threads() -> None:
    """Commands are atomic, a blocked read is served, a subscription delivers."""
    store = Store("store", clock=SkewedClock("store"))
    subscription = store.client("reader").subscribe("ch")

    def write() -> None:
        client = store.client("writer")
        for _ in range(50):
            client.run(add_one, "count")
        client.publish("ch", "done")

    def read() -> Any:
        return store.client("reader").xread({"events": "0"}, block=5000)

    def listen() -> Any:
        store.client("writer").xadd("events", {"k": 1}, id="1-1")
        return [subscription.get(timeout=5.0).data for _ in range(2)]

    outcomes = in_threads(write, write, read, listen)

    assert outcomes == [None, None, [["events", [("1-1", {"k": "1"})]]], ["done", "done"]]
    assert store.data.get("count") == "100"


# --- rules ----------------------------------------------------------------------------------------


def test_nobody_goes_on_inside_a_rule() -> None:
    """A rule has no points, though it stands in code under test; a spawn is no place for others."""

    def program(sim: Simulation) -> None:
        inside: list[str] = []

        def rule(site: Site) -> Verdict:
            assert not inside, f"{site.who} came into a rule in which {inside} was"
            inside.append(site.who)
            assert site.kind in ("call", "lock", "spawn", "timer", "await")
            inside.pop()
            return Pass()

        store = sim.store()
        sim.inject(rule)
        with sim.storm() as storm:
            storm.spawn(store.client("node-1").get, "a", copies=3)

    holds(program, strategy="pct:3", schedules=100)


def test_a_task_that_is_killed_takes_no_further_step() -> None:
    """Without any rule, too: its timer is due, and nothing comes of it; the others go on."""

    async def program(sim: AsyncSimulation) -> None:
        ticks: list[str] = []

        async def tick(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(1.0)
                ticks.append(name)

        sim.background("node-1/clock")
        async with sim.storm() as storm:
            asyncio.create_task(tick("node-1"), name="node-1/clock")  # noqa: RUF006 - it is killed
            storm.spawn(tick, "node-2")
            await sim.advance(1.5)
            sim.kill("node-1")

        assert sorted(ticks) == ["node-1", "node-2", "node-2", "node-2"]

    assert explore(program, schedules=20, check_determinism=True).verdict == "holds"
