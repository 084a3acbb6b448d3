"""What the parts decide, and that the references run on a real loop, without a world."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import AsyncFakePool
from scenarios.chat_stream.bus import NotifyBus
from scenarios.chat_stream.hardened import policy as hardened_policy
from scenarios.chat_stream.hardened.reference import SyncedSubscription
from scenarios.chat_stream.messages import (
    Call,
    ChatRow,
    Event,
    Hint,
    Kind,
    Message,
    Notify,
    Snapshot,
    Status,
)
from scenarios.chat_stream.promoter import policy as promoter_policy
from scenarios.chat_stream.store import FakeStore
from scenarios.chat_stream.subscription import policy
from scenarios.chat_stream.subscription.channel import Channel, ChannelClosed
from scenarios.chat_stream.subscription.reference import ChatStream

IDS = st.integers(0, 300)


@given(IDS, IDS, IDS)
def test_a_lookup_reaches_no_lower_than_the_floor_and_no_higher_than_it_must(
    floor: int, after: int, last: int
) -> None:
    """It is never below the floor, and above what is announced or delivered only at the floor."""
    found = policy.lookup(floor, after, last)

    assert found >= floor
    assert found == floor or found <= min(after, last)


def test_the_first_message_announces_nothing() -> None:
    """Message 1 notifies "after 0", which is no durable part; message 2 is one."""
    assert not policy.notify_for(1).is_durable
    assert policy.notify_for(2) == Notify(after=1)
    assert policy.notify_for(2).is_durable


@given(st.lists(st.text(), min_size=1, unique=True))
def test_a_promoted_text_is_first_and_the_others_keep_their_order(queue: list[str]) -> None:
    """Whichever it is, and nothing is lost."""
    moved = promoter_policy.to_front(queue, queue[-1])

    assert moved == [queue[-1], *queue[:-1]]


def test_a_promotion_answers_the_calls_that_nobody_else_will() -> None:
    """Those whose result comes from outside, and has not come."""
    calls = [
        Call("search"),
        Call("clock", is_resolved=True),
        Call("think", is_dynamic=False),
        Call("plan", is_dynamic=False, is_resolved=True),
        Call("read"),
    ]

    assert [call.name for call in promoter_policy.left_open(calls)] == ["search", "read"]


@pytest.mark.parametrize(
    ("status", "beat", "running"),
    [
        (Status.RUNNING, 300.1, True),
        (Status.RUNNING, 300.0, False),
        (Status.PENDING, 600.0, False),
    ],
)
def test_a_chat_runs_while_its_heartbeat_is_younger_than_five_minutes(
    status: Status, beat: float, running: bool
) -> None:
    """At 600 s a heartbeat of 300 s is too old, by nothing at all."""
    assert promoter_policy.is_running(ChatRow(status, heartbeat=beat), 600.0) is running


def test_changes_come_in_one_order_and_edited_messages_again() -> None:
    """Status, messages, queue; what is as it was is not told."""
    old, edited = Message(1, text="hello"), Message(1, text="hello there")
    before = Snapshot(1, Status.WAITING, (old,), ())
    after = Snapshot(2, Status.RUNNING, (edited, Message(2)), ("and then?",))

    told = list(hardened_policy.changes(before, after, {old}))

    assert told == [
        Event(Kind.STATUS, Status.RUNNING),
        Event(Kind.MESSAGE, edited),
        Event(Kind.MESSAGE, Message(2)),
        Event(Kind.QUEUE, ("and then?",)),
    ]
    assert list(hardened_policy.changes(after, after, {edited, Message(2)})) == []


def test_a_closed_channel_gives_what_is_inside_and_then_ends() -> None:
    """Also for whoever waits for room in it."""

    async def body() -> None:
        channel: Channel[int] = Channel(1)
        await channel.put(1)
        writer = asyncio.ensure_future(channel.put(2))
        await asyncio.sleep(0)
        channel.close()
        with pytest.raises(ChannelClosed):
            await writer
        assert await channel.get() == 1
        with pytest.raises(ChannelClosed):
            await channel.get()
        assert not channel.try_put(3)
        assert channel.high_water == 1

    asyncio.run(body())


def test_a_stream_works_on_a_real_loop() -> None:
    """Doubles and references are plain asyncio: here nothing is simulated."""

    async def body() -> list[int]:
        store = FakeStore(AsyncFakePool("database"))
        stream = ChatStream(store, NotifyBus[Notify]())
        first, second = store.insert(), store.insert()
        store.commit("chat-1", first)
        subscription = await stream.subscribe("chat-1")
        store.commit("chat-1", second)
        await stream.publish_message("chat-1", second)
        event = await subscription.get()
        await subscription.close()
        assert event == Event(Kind.MESSAGE, second)
        return subscription.snapshot_ids()

    assert asyncio.run(body()) == [1]


def test_a_synced_subscription_works_on_a_real_loop() -> None:
    """The same for the hardened form."""

    async def body() -> list[Event]:
        store = FakeStore(AsyncFakePool("database"))
        bus = NotifyBus[Hint]()
        subscription = SyncedSubscription(store, bus, "chat-1")
        await subscription.open()
        store.commit("chat-1", store.insert())
        await bus.notify("chat-1", Hint(store.version("chat-1")))
        events = [await anext(subscription), await anext(subscription)]
        await subscription.close()
        return events

    assert asyncio.run(body()) == [
        Event(Kind.STATUS, Status.WAITING),
        Event(Kind.MESSAGE, Message(1)),
    ]


def test_without_a_bus_everything_local_is_forwarded() -> None:
    """There is no catch-up then: a replica hears itself alone, messages included."""

    async def body() -> Event:
        store = FakeStore(AsyncFakePool("database"))
        stream = ChatStream(store, None)
        subscription = await stream.subscribe("chat-1")
        await stream.publish_message("chat-1", store.insert())
        event = await subscription.get()
        await subscription.close()
        return event

    assert asyncio.run(body()) == Event(Kind.MESSAGE, Message(1))
