"""What streams promise: no event is lost with who reads it, and a close ends whatever others do.

Times stand with their reason, as multiples of the grace and of the time between two checks. All is
exact, because nothing but the patience of the sinks takes time.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

from harness import (
    AsyncSimulation,
    Deadlock,
    Elapsed,
    Exactly,
    Failed,
    LeakBound,
    MaxInFlight,
    scenario,
)

from .broken import (
    DeletesInFirst,
    DeletesThenClaims,
    DeletesUnasked,
    FirstPageOnly,
    JoinsItself,
    JoinsItselfToo,
    KeepAlivesOnly,
    KeepsCopies,
    LeaksLock,
    LeaseInTwoSteps,
    LeavesUnwanted,
    LossIsTheEnd,
    LossIsTheEndToo,
    NeverRegistersAgain,
    NoBeatIsDead,
    NoLease,
    PutsUnderLock,
    ReadsAtOnce,
    Serialised,
    StaleAfterOneGrace,
    TrustsItsAcks,
    WaitsForReaders,
)
from .invariants import (
    ConsumersBounded,
    KeepsAlive,
    LivingKept,
    NotAfterAck,
    NothingLost,
    OneHolder,
)
from .plant import BLOCK, CHECK, GRACE, RETRY, TIMING, Plant
from .reference import Event, Reader, Sink

# --- reader ---------------------------------------------------------------------------------------


async def open_reader(plant: Plant, cls: type[Reader]) -> Reader:
    """Open a reader that begins behind the newest event."""
    reader = cls(plant.client("reader"), "reader", plant.streams, plant.timing)
    await reader.open()
    return reader


@scenario(Reader, catches={ReadsAtOnce: Exactly})
async def late_subscriber_sees_all(sim: AsyncSimulation, cls: type[Reader]) -> None:
    """Somebody subscribes after two events, and before a third: all three are shown, in order."""
    plant = Plant(sim)
    await plant.add("before")
    reader = await open_reader(plant, cls)
    await plant.add("one", "two")
    await sim.settle()
    seen: list[str] = []

    async def look() -> None:
        subscription = reader.subscribe()
        while event := await subscription.get():
            seen.append(event.fields["kind"])

    async with sim.storm(
        Exactly(["one", "two", "three"], lambda: seen), Elapsed(GRACE), LeakBound()
    ) as storm:
        storm.spawn(look)
        storm.spawn(plant.add, "three")
        await sim.advance(GRACE)
        await reader.close()

    assert seen == ["one", "two", "three"]


@scenario(Reader, catches={LeaksLock: Deadlock})
async def closed_three_times(sim: AsyncSimulation, cls: type[Reader]) -> None:
    """Three callers close while a subscriber waits: all return at once, and the subscriber ends."""
    plant = Plant(sim)
    reader = await open_reader(plant, cls)
    subscription = reader.subscribe()
    await sim.settle()

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(subscription.get)
        storm.spawn(reader.close, copies=3)

    assert await reader.subscribe().get() is None


@scenario(Reader, catches={JoinsItself: Deadlock})
async def stream_is_gone(sim: AsyncSimulation, cls: type[Reader]) -> None:
    """The stream is no stream any more: its subscribers are told, and a close returns."""
    plant = Plant(sim)
    await plant.add("one")
    reader = await open_reader(plant, cls)
    subscription = reader.subscribe()
    await sim.settle()
    plant.store.data.delete("events")
    plant.store.data.set("events", "no stream")

    # The read that waits ends, and the next one finds out.
    async with sim.storm(Elapsed(BLOCK), LeakBound()) as storm:
        storm.spawn(subscription.get)
    async with sim.storm(Elapsed(0.0)) as later:
        later.spawn(reader.close)


@scenario(Reader, catches={LossIsTheEnd: Exactly})
async def cut_off_reader_reads_on(sim: AsyncSimulation, cls: type[Reader]) -> None:
    """A reader is cut off for a grace: an event of that time is shown when it has tried again."""
    plant = Plant(sim)
    reader = await open_reader(plant, cls)
    seen: list[str] = []

    async def look() -> None:
        subscription = reader.subscribe()
        while event := await subscription.get():
            seen.append(event.fields["kind"])

    # It waits for no longer than RETRY before it tries again.
    async with sim.storm(
        Exactly(["one", "two"], lambda: seen), Elapsed(GRACE + RETRY), LeakBound()
    ) as storm:
        storm.spawn(look)
        await sim.settle()
        plant.store.cut("reader")
        await plant.add("one")
        await sim.advance(GRACE)
        plant.store.mend("reader")
        await plant.add("two")
        await sim.advance(RETRY)
        await reader.close()


# --- acknowledgements -----------------------------------------------------------------------------


@scenario(Sink, catches={Serialised: MaxInFlight})
async def acks_go_side_by_side(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Two events are acknowledged at once: both take one round trip, of 10 ms."""
    plant = Plant(sim, cls, latency=0.010)
    sink = await plant.open("a")
    subscription = sink.subscribe()
    await plant.add("one", "two")
    events: list[Any] = [await subscription.get(), await subscription.get()]

    async with sim.storm(
        MaxInFlight(plant.acks, 2, reached=True), NothingLost(plant), Elapsed(0.010), LeakBound()
    ) as storm:
        for event in events:
            storm.spawn(sink.ack, event)

    assert plant.pending() == 0


@scenario(Sink)
async def unacknowledged_event_comes_again(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Nobody acknowledges an event: it comes at 0, again after a grace, and not sooner again."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a", acks=False)
    await sim.settle()

    async with sim.storm(
        NothingLost(plant), KeepsAlive(plant), OneHolder(plant), LeakBound()
    ) as storm:
        storm.spawn(plant.add, "one")
        await sim.advance(2 * GRACE - CHECK / 2)

    assert plant.got("a") == [0.0, GRACE]
    assert plant.pending() == 1


@scenario(Sink, catches={TrustsItsAcks: NotAfterAck})
async def lost_acknowledgement(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """One acknowledgement never arrives, and its event comes again; of one the reply is lost."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a")
    await sim.settle()
    plant.fail("a", "xack events")
    plant.fail("a", "xack events", "store.reply")

    async with sim.storm(NotAfterAck(plant), NothingLost(plant), LeakBound()) as storm:
        storm.spawn(plant.add, "one", "two")
        await sim.advance(GRACE + CHECK)

    assert plant.kinds("got", "a") == ["one", "two", "one"]
    assert plant.kinds("acked", "a") == ["one"]
    assert plant.pending() == 0


@scenario(Sink, catches={KeepsCopies: NotAfterAck})
async def slow_subscriber_acknowledges(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """A subscriber works for longer than a grace: the copy that came meanwhile is taken back."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a", takes=GRACE + CHECK / 2)
    await sim.settle()

    async with sim.storm(NotAfterAck(plant), NothingLost(plant), LeakBound()) as storm:
        storm.spawn(plant.add, "one")
        await sim.advance(2 * GRACE)

    assert plant.got("a") == [0.0]
    assert plant.pending() == 0


@scenario(Sink, catches={LeavesUnwanted: Failed})
async def unwanted_events_are_acknowledged(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Of two events one is of a kind that subscribers do not want: nobody owes it."""
    plant = Plant(sim, cls)
    await plant.open("a", wants=lambda event: event.fields["kind"] == "wanted")
    plant.serve("a")
    await sim.settle()

    async with sim.storm(NotAfterAck(plant), NothingLost(plant), LeakBound()) as storm:
        storm.spawn(plant.add, "other", "wanted")

    assert plant.kinds("got", "a") == ["wanted"]
    assert plant.pending() == 0


# --- the dead -------------------------------------------------------------------------------------


@scenario(Sink, catches={DeletesInFirst: ConsumersBounded})
async def dead_sink_is_replaced_in_time(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """A sink dies with an event: another gets it after a grace, and deletes the dead in time."""
    plant = Plant(sim, cls, streams=("events", "alarms"))
    await plant.open("a")
    plant.serve("a", acks=False)
    await sim.settle()
    await plant.add("one")
    await plant.open("b")
    plant.serve("b")
    await sim.settle()

    async with sim.storm(
        ConsumersBounded(plant),
        LivingKept(plant),
        NothingLost(plant),
        NotAfterAck(plant),
        OneHolder(plant),
        LeakBound(),
    ):
        plant.crash("a")
        # At two graces it is as old as it may be; the next check is the last.
        await sim.advance(2 * GRACE + CHECK)

    assert plant.got("b") == [GRACE]
    assert plant.pending() == 0


@scenario(Sink, catches={FirstPageOnly: Failed})
async def every_page_is_claimed(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """A sink dies with five events, which are three pages: another gets all of them at once."""
    plant = Plant(sim, cls, timing=replace(TIMING, batch=2))
    await plant.open("a")
    plant.serve("a", acks=False)
    await sim.settle()
    await plant.add(*"12345")
    await sim.settle()
    plant.crash("a")

    async with sim.storm(NothingLost(plant), NotAfterAck(plant), LeakBound()):
        await plant.open("b")
        plant.serve("b")
        await sim.advance(GRACE)

    assert plant.got("b") == [GRACE] * 5
    assert plant.pending() == 0


@scenario(Sink, catches={LossIsTheEndToo: Failed})
async def cut_off_sink_reads_on(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """The connection of a sink is lost as it reads: within RETRY it reads again."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a")
    await sim.settle()

    async with sim.storm(NothingLost(plant), KeepsAlive(plant), LeakBound()):
        plant.store.disconnect("a")
        await plant.add("one")
        await sim.advance(RETRY)

    assert plant.kinds("got", "a") == ["one"]
    assert plant.pending() == 0


@scenario(Sink, catches={DeletesThenClaims: NothingLost})
async def lone_sink_comes_back(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """The only sink dies with an event; one comes long after, and gets it at its first check."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a", acks=False)
    await sim.settle()
    await plant.add("one")
    await sim.settle()
    plant.crash("a")
    back = 2 * GRACE + CHECK
    await sim.advance(back)

    async with sim.storm(
        NothingLost(plant), ConsumersBounded(plant), NotAfterAck(plant), LeakBound()
    ):
        await plant.open("b")
        plant.serve("b")
        await sim.advance(CHECK)

    assert plant.got("b") == [back]


@scenario(
    Sink,
    catches={
        KeepAlivesOnly: ConsumersBounded,
        NoBeatIsDead: Failed,
        StaleAfterOneGrace: Failed,
    },
)
async def unclean_exits_leave_nothing(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Ten sinks died before they said that they live: a grace and a check later one is left."""
    plant = Plant(sim, cls)
    plant.bury_strays(10)

    async with sim.storm(ConsumersBounded(plant), LivingKept(plant), LeakBound()):
        await plant.open("a")
        plant.serve("a")
        # Who has no keep-alive may have been made a moment ago.
        await sim.advance(GRACE + CHECK / 2)
        assert len(plant.consumers()) == 1 + 10
        await sim.advance(CHECK / 2)


@scenario(Sink, catches={StaleAfterOneGrace: LivingKept})
async def missed_beat_kills_nobody(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """One keep-alive is lost: nobody deletes the sink, though it is silent for two graces."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.fail("a", "run say_alive")
    # It looks in the middle between two keep-alives.
    await sim.advance(GRACE / 2)
    await plant.open("b")
    plant.serve("b")

    async with sim.storm(LivingKept(plant), OneHolder(plant), LeakBound()):
        await sim.advance(2 * GRACE + CHECK)

    assert plant.consumers() == ["a", "b"]


@scenario(Sink, catches={DeletesUnasked: NothingLost})
async def silent_sink_reads_on(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """A sink cannot say that it lives, and reads an event as it is about to be deleted."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a", acks=False)
    await sim.settle()
    # One writes no more, the other reads nothing, so that the event goes to the first.
    writes = ("run say_alive", "set workers:lease", "xautoclaim events")
    plant.hang(*(("a", write) for write in writes), ("b", "xreadgroup events"))
    await plant.open("b")
    plant.serve("b")
    await sim.settle()
    stale = 2 * GRACE + CHECK

    async def add_late() -> None:
        await asyncio.sleep(stale)
        await plant.add("one")

    async with sim.storm(NothingLost(plant), NotAfterAck(plant), LeakBound()) as storm:
        storm.spawn(add_late)
        await sim.advance(stale + GRACE)

    assert plant.got("b") == [stale + GRACE]
    assert plant.pending() == 0


@scenario(
    Sink,
    catches={
        NeverRegistersAgain: LivingKept,
        StaleAfterOneGrace: LivingKept,
        NoBeatIsDead: LivingKept,
    },
)
async def silent_sink_registers_again(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """No keep-alive of a sink arrives, though it reads: it registers again before it is stale."""
    # It looks between its reads, three of which are longer than the two graces that are allowed.
    plant = Plant(sim, cls, timing=replace(TIMING, block=0.75 * GRACE))
    await plant.open("a")
    plant.serve("a")
    plant.hang(("a", "run say_alive"))
    await plant.open("b")
    plant.serve("b")

    async with sim.storm(
        LivingKept(plant), ConsumersBounded(plant), NothingLost(plant), LeakBound()
    ):
        await sim.advance(5 * GRACE)

    assert plant.consumers() == ["a", "b"]
    # At 2.25 graces and at 4.5.
    assert plant.registered("a") == [0.0, 2.25 * GRACE, 4.5 * GRACE]


@scenario(Sink, catches={NeverRegistersAgain: LivingKept})
async def paused_sink_goes_on(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """A sink stands still until it was deleted: what it owed went elsewhere, and it reads again."""
    plant = Plant(sim, cls)
    await plant.open("a")
    plant.serve("a", acks=False)
    await sim.settle()
    await plant.add("one")
    await plant.open("b")
    plant.serve("b")
    await sim.settle()
    # At two graces it is as old as it may be, and deleted at the next check.
    wakes = 2 * GRACE + 1.5 * CHECK

    async with sim.storm(
        NothingLost(plant),
        NotAfterAck(plant),
        LivingKept(plant),
        ConsumersBounded(plant),
        KeepsAlive(plant),
        OneHolder(plant),
        LeakBound(),
    ):
        plant.pause("a", wakes)
        await sim.advance(wakes - CHECK / 4)
        assert plant.consumers() == ["b"]
        # Its keep-alive comes late, and once in a grace again.
        await sim.advance(2 * GRACE)

    assert plant.got("b") == [GRACE]
    assert plant.consumers() == ["a", "b"]


@scenario(Sink, catches={JoinsItselfToo: Elapsed})
async def group_is_gone(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """The stream goes with its group: the subscriber of a sink is told, and a close returns."""
    plant = Plant(sim, cls)
    sink = await plant.open("a")
    subscription = sink.subscribe()
    await sim.settle()
    vandal = plant.store.client("vandal")

    async def told() -> Event | None:
        async with asyncio.timeout(GRACE):
            return await subscription.get()

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(told)
        storm.spawn(vandal.delete, "events")
    async with sim.storm(Elapsed(0.0), LeakBound()) as later:
        later.spawn(sink.close, copies=2)

    assert storm.results() == [None, 1]


@scenario(Sink, catches={JoinsItselfToo: Failed})
async def group_is_gone_while_nobody_reads(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """The reading waits for a subscriber when the stream goes: the next check finds out."""
    plant = Plant(sim, cls, timing=replace(TIMING, buffer=1))
    sink = await plant.open("a")
    subscription = sink.subscribe()
    await sim.settle()
    await plant.add(*"123")
    await sim.settle()

    async with sim.storm(Elapsed(0.0), LeakBound()) as storm:
        storm.spawn(plant.store.client("vandal").delete, "events")
    await sim.advance(CHECK)
    await sim.settle()
    async with sim.storm(Elapsed(0.0), LeakBound()) as later:
        later.spawn(subscription.get)
        later.spawn(sink.close)

    # What nobody got is dropped, and told so.
    assert storm.results() == [1]
    assert later.results() == [None, None]


# --- one lease ------------------------------------------------------------------------------------


@scenario(Sink, catches={NoLease: MaxInFlight, LeaseInTwoSteps: MaxInFlight})
async def sinks_check_at_one_instant(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Two sinks look for old events at once, 10 ms from the store: one of them claims."""
    plant = Plant(sim, cls, latency=0.010)
    await plant.open("a")
    await plant.open("b")

    async with sim.storm(MaxInFlight(plant.claims, 1, reached=True), LeakBound()):
        plant.serve("a")
        plant.serve("b")
        await sim.advance(CHECK / 2)


@scenario(Sink, catches={LeaseInTwoSteps: OneHolder})
async def lease_has_one_holder(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Two sinks ask for the lease at one instant, three times: each time one of them gets it."""
    plant = Plant(sim, cls)
    await plant.open("a")
    await plant.open("b")

    async with sim.storm(OneHolder(plant), LivingKept(plant), LeakBound()):
        plant.serve("a")
        plant.serve("b")
        await sim.advance(2 * CHECK)


# --- subscribers that do not read -----------------------------------------------------------------


@scenario(Sink, catches={PutsUnderLock: KeepsAlive})
async def subscriber_stands_still(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """A subscriber never reads: the sink says that it lives, and the events stay with it."""
    plant = Plant(sim, cls, timing=replace(TIMING, buffer=1))
    sink = await plant.open("a")
    sink.subscribe()
    await sim.settle()

    async with sim.storm(KeepsAlive(plant), NothingLost(plant), LeakBound()) as storm:
        storm.spawn(plant.add, "one", "two", "three")
        await sim.advance(3 * GRACE)

    # One in the buffer and one above it; the third was read with the second, or not at all.
    assert plant.pending() in {2, 3}


@scenario(Sink, catches={WaitsForReaders: Elapsed})
async def close_with_a_full_buffer(sim: AsyncSimulation, cls: type[Sink]) -> None:
    """Eight callers close a sink that nobody reads: all return, and another gets its events."""
    plant = Plant(sim, cls, timing=replace(TIMING, buffer=1))
    sink = await plant.open("a")
    sink.subscribe()
    await sim.settle()
    await plant.add(*"12345")
    await plant.open("b")
    plant.serve("b")
    await sim.settle()

    async def close() -> None:
        # Whoever is patient for a second tells what took so long.
        with suppress(TimeoutError):
            await asyncio.wait_for(sink.close(), 1.0)

    async with sim.storm(
        Elapsed(0.0), NothingLost(plant), NotAfterAck(plant), KeepsAlive(plant), LeakBound()
    ) as storm:
        storm.spawn(close, copies=8)
        await sim.advance(GRACE)

    assert sorted(plant.kinds("got", "b")) == list("12345")
    assert plant.pending() == 0
