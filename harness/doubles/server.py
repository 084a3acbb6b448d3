"""The part of a store that does not wait: who is connected, who is blocked, what is under way.

    command ──fault?──► applied, in one step ──fault?──► reply
                            │ published
                            ▼
                  one mailbox per subscription ──► fifo, each message due at its own time

It does not know threads from tasks: whoever waits hands in a bell, a function that wakes it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.core.clock import to_ns
from harness.errors import HarnessError, misuse
from harness.faults import (
    PASS,
    Consultable,
    Delay,
    Duplicate,
    Fail,
    Overtake,
    Pass,
    Site,
    Verdict,
)

from .clocks import SkewedClock
from .database import Database
from .in_flight import InFlight
from .streams import StoreError
from .waiting import caller_name, checked_name

Bell = Callable[[], None]
EVENTS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Message:
    """What a subscriber gets."""

    channel: str
    data: str


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """One command that was applied.

    Args:
        at: when, in seconds on the clock of `time.monotonic()`.
        client: who sent it.
        command: such as `hset`, or `run` for a script.
        key: the first key it names, or the name of the script.
        arguments: the others.
        reply: what it answered, or the error.
    """

    at: float
    client: str
    command: str
    key: str
    arguments: tuple[Any, ...]
    reply: Any


class Command(NamedTuple):
    """One command under way: what it is called, and what it does to the data.

    Args:
        name: such as `hset`.
        key: the first key.
        arguments: the others.
        act: does it.
        block: seconds to wait for a reply that is not empty, 0 for ever, None not at all.
        streams: the streams that such a reply may come from.
    """

    name: str
    key: str
    arguments: tuple[Any, ...]
    act: Callable[[Database], Any]
    block: float | None = None
    streams: tuple[str, ...] = ()


class Link:
    """What the server knows of one client: its subscriptions and what it waits for."""

    # invariant: a dead link has no mailbox and blocks on nothing

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_cut = False
        self.paused_until_ns = 0
        self.mailboxes: list[Mailbox] = []
        self.blocked: list[Blocked] = []

    @property
    def is_struck(self) -> bool:
        """Whether the client may be gone or stand still: one that once stood still counts."""
        return self.is_dead or self.paused_until_ns > 0

    def pause_left(self) -> float:
        """Return for how many seconds the client still stands still."""
        return max(0, self.paused_until_ns - time.monotonic_ns()) / 1e9


@dataclass(slots=True, eq=False)
class Blocked:
    """A read that waits for a reply."""

    link: Link
    command: Command
    ring: Bell
    # What came: a list with the reply or the error, empty while nothing has.
    outcome: list[Any] = field(default_factory=list)


class Mailbox:
    """The messages of one subscription that are under way, first in, first out."""

    def __init__(self, link: Link, channels: tuple[str, ...]) -> None:
        self.link = link
        self.channels = channels
        self.is_lost = False
        self.is_closed = False
        self.bells: list[Bell] = []
        self.deliver: Callable[[str, str], None] = _nowhere
        # When each is due, in nanoseconds of the monotonic clock: never before the one ahead.
        self.waiting: deque[tuple[int, Message]] = deque()

    def put(self, message: Message, due_ns: int, verdict: Verdict) -> None:
        """Send a message on its way."""
        last_ns = self.waiting[-1][0] if self.waiting else due_ns
        due_ns = max(due_ns, last_ns)
        if isinstance(verdict, Overtake) and self.waiting:
            self.waiting.insert(len(self.waiting) - 1, (last_ns, message))
        else:
            self.waiting.append((due_ns, message))
        if isinstance(verdict, Duplicate):
            self.waiting.append((due_ns, message))

    def take(self) -> Message | None:
        """Return the next message if it is due.

        Raises:
            ConnectionError: the subscription is lost, and with it what was under way.
        """
        if self.is_lost:
            message = f"the subscription of {self.link.name!r} to {self.channels} was lost"
            raise ConnectionError(message)
        if self.waiting and self.waiting[0][0] <= time.monotonic_ns():
            return self.waiting.popleft()[1]
        return None

    def due_in(self) -> float | None:
        """Return the seconds until the next message is due; None if none is under way."""
        if not self.waiting:
            return None
        return max(0, self.waiting[0][0] - time.monotonic_ns()) / 1e9

    def ring(self) -> list[Bell]:
        """Return the bells of those who wait here, to be rung."""
        bells, self.bells = self.bells, []
        return bells


class Server:
    """The data, the connections, the faults and the books of one store. One thread at a time.

    Args:
        name: how it is called in reports; sites of faults are called `name`, `name.reply` and
            `name.message`.
        clock: the store's own clock; a right one by default.
        message_latency: seconds that a message is under way to a subscriber.
        faults: what may strike; None for nothing.
        actor: tells the spawn path of who calls; None for the name of the thread or task.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: SkewedClock | None,
        message_latency: float,
        faults: Consultable | None,
        actor: Callable[[], str] | None,
    ) -> None:
        self.name = checked_name(name)
        self.clock = SkewedClock(f"clock of {name}") if clock is None else clock
        self.database = Database(self.clock.now_ns)
        self.gauge = InFlight(name)
        self._message_ns = to_ns(message_latency, "message_latency")
        self._faults = faults
        # Most runs have no rule: then a site is counted, and no more.
        self._is_idle: Callable[[], bool] = getattr(faults, "is_idle", _never)
        self._actor = actor
        self._links: dict[str, Link] = {}
        self._blocked: list[Blocked] = []
        self._bells: list[Bell] = []
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._ordinals: Counter[str] = Counter()
        self.events: deque[StoreEvent] = deque(maxlen=EVENTS_MAX)
        self._consulting = threading.Lock()

    # --- connections ------------------------------------------------------------------------------

    def link(self, client: str) -> Link:
        """Return the connection of a client; one that crashed comes back with a new one."""
        found = self._links.get(client)
        if found is None or found.is_dead:
            found = self._links[checked_name(client)] = Link(client)
        return found

    def known(self, client: str) -> Link:
        """Return the connection that a client has.

        Raises:
            HarnessError: there is no such client.
        """
        if client not in self._links:
            raise misuse(
                "client",
                client,
                f"is no client of {self.name!r}: {sorted(self._links)}.",
                "Make it first: store.client(name).",
            )
        return self._links[client]

    def disconnect(self, link: Link) -> None:
        """Drop the subscriptions of a client, what is under way to it, and its blocked reads."""
        for mailbox in list(link.mailboxes):
            self.lose(mailbox)
        for blocked in link.blocked:
            self._blocked.remove(blocked)
            message = f"{self.name!r} was lost by {link.name!r} in {blocked.command.name}"
            blocked.outcome.append(ConnectionError(message))
            self._bells.append(blocked.ring)
        link.blocked = []

    def crash(self, link: Link) -> None:
        """Have a client be gone for good."""
        link.is_dead = True
        self.disconnect(link)

    def take_bells(self) -> list[Bell]:
        """Return the bells to be rung for what has happened."""
        bells, self._bells = self._bells, []
        return bells

    # --- commands ---------------------------------------------------------------------------------

    def arrive(self, link: Link, command: Command) -> None:
        """Count a command that is sent."""
        self._counts[command.key, link.name, command.name] += 1

    def refuse_if_cut(self, link: Link) -> None:
        """Raise ConnectionError if the client cannot reach the server."""
        if link.is_cut:
            message = f"{link.name!r} cannot reach {self.name!r}"
            raise ConnectionError(message)

    def consult(self, stage: str, link: Link, command: Command) -> Verdict:
        """Ask what strikes a command: `stage` is empty before it is applied, `.reply` after."""
        return self._ask(stage, link, (command.name, command.key), command.arguments)

    def apply(self, link: Link, command: Command) -> Any:
        """Do what a command says, and serve those who waited for that."""
        try:
            reply = self.database.run(command.act)
        except StoreError as exc:
            self._note(link, command, exc)
            raise
        self._note(link, command, reply)
        self._serve_blocked()
        return reply

    def block(self, link: Link, command: Command, ring: Bell) -> Blocked:
        """Have a read wait; `ring` is called once its outcome is there."""
        blocked = Blocked(link, command, ring)
        self._blocked.append(blocked)
        link.blocked.append(blocked)
        return blocked

    def give_up(self, blocked: Blocked) -> None:
        """Have a read wait no longer."""
        if not blocked.outcome:
            self._blocked.remove(blocked)
            blocked.link.blocked.remove(blocked)

    def _serve_blocked(self) -> None:
        touched = set(self.database.touched)
        while touched:
            ready = [each for each in self._blocked if touched & set(each.command.streams)]
            touched = set()
            for blocked in ready:
                try:
                    reply = self.database.run(blocked.command.act)
                except StoreError:
                    reply = self._ground_lost(blocked.command)
                if reply:
                    blocked.outcome.append(reply)
                    self._blocked.remove(blocked)
                    blocked.link.blocked.remove(blocked)
                    self._bells.append(blocked.ring)
                    self._note(blocked.link, blocked.command, reply)

    def _ground_lost(self, command: Command) -> StoreError:
        """Return the error that ends a blocked read whose stream or group is gone."""
        if self.database.exists(*command.streams) < len(command.streams):
            return StoreError("UNBLOCKED the stream key no longer exists")
        return StoreError("NOGROUP the consumer group this client was blocked on no longer exists")

    # --- channels ---------------------------------------------------------------------------------

    def subscribe(self, link: Link, channels: tuple[str, ...]) -> Mailbox:
        """Open a mailbox for what is published from now on."""
        mailbox = Mailbox(link, channels)
        mailbox.deliver = lambda channel, data: self._deliver(mailbox, Message(channel, data))
        link.mailboxes.append(mailbox)
        for channel in channels:
            self.database.subscribe(channel, mailbox.deliver)
        return mailbox

    def lose(self, mailbox: Mailbox) -> None:
        """Drop one subscription, and what is under way by it."""
        mailbox.is_lost = True
        self.close(mailbox)

    def close(self, mailbox: Mailbox) -> None:
        """Close a mailbox; whoever waits there is woken."""
        if mailbox.is_closed:
            return
        mailbox.is_closed = True
        mailbox.waiting.clear()
        mailbox.link.mailboxes.remove(mailbox)
        for channel in mailbox.channels:
            self.database.unsubscribe(channel, mailbox.deliver)
        self._bells += mailbox.ring()

    def _deliver(self, mailbox: Mailbox, message: Message) -> None:
        verdict = self._ask(".message", mailbox.link, (message.channel,), message.data)
        due_ns = time.monotonic_ns() + self._message_ns
        match verdict:
            case Delay(seconds):
                due_ns += to_ns(seconds)
            case Fail():
                # A message is lost only with the connection that it comes by.
                self.lose(mailbox)
                return
            case Pass() | Duplicate() | Overtake():
                pass
            case _:
                message_text = (
                    f"verdict={verdict!r} cannot strike a message: Delay, Duplicate, Overtake and "
                    "Fail (which loses the subscription) can."
                )
                raise HarnessError(message_text)
        mailbox.put(message, due_ns, verdict)
        self._bells += mailbox.ring()

    # --- books ------------------------------------------------------------------------------------

    def calls(self, key: str | None, client: str | None, command: str | None) -> int:
        """Count the commands that were sent; None means any."""
        wanted = (key, client, command)
        return sum(
            count
            for found, count in self._counts.items()
            if all(one in (None, other) for one, other in zip(wanted, found, strict=True))
        )

    def _note(self, link: Link, command: Command, reply: Any) -> None:
        self.events.append(
            StoreEvent(
                time.monotonic(), link.name, command.name, command.key, command.arguments, reply
            )
        )

    def _ask(self, stage: str, link: Link, words: tuple[str, ...], argument: object) -> Verdict:
        if self._faults is None or self._is_idle():
            self._ordinals[stage] += 1
            return PASS
        who = caller_name()
        # A rule is foreign code and keeps counts: one thread at a time.
        with self._consulting:
            self._ordinals[stage] += 1
            site = Site(
                "call",
                self.name + stage,
                who if self._actor is None else self._actor(),
                self._ordinals[stage],
                " ".join(words),
                lane=link.name,
                argument=argument,
                who=who,
            )
            return self._faults.consult(site)


def _never() -> bool:
    """Stand for a question that the faults of others do not answer."""
    return False


def _nowhere(channel: str, data: str) -> None:
    """Stand for the delivery to a mailbox until it has one."""
