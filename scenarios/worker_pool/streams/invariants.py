"""The invariants S1 to S5 of sinks, each a check with a name, judged when the storm has settled.

S4, that a close ends whatever subscribers do, is `Elapsed` and `Deadlock`, which need no class.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from harness import StormView, Violation

from . import policy
from .plant import GROUP, Plant
from .reference import Event

Judge = Callable[[], Violation | None]


def _judge(plant: Plant, name: str, promise: str, broken: Iterable[str]) -> Violation | None:
    # The book is no code under test.
    with plant.sim.no_points():
        rows = [("seen", each) for each in broken]
    return Violation(name, f"{rows[0][1]}, allowed: {promise}.", rows[:12]) if rows else None


@dataclass(frozen=True, slots=True)
class NothingLost:
    """S1: an event that was read is acknowledged, or owed by somebody."""

    plant: Plant

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(self.plant, "NothingLost", "acknowledged or owed", self._lost())

    def _lost(self) -> Iterator[str]:
        data = self.plant.store.data
        acked = self.plant.from_store(lambda event: event.command == "xack")
        for stream in self.plant.streams:
            done = {id for each in acked if each.key == stream for id in each.arguments[1:]}
            owed = {row["message_id"] for row in data.xpending_range(stream, GROUP, "-", "+", 99)}
            last = next(row["last-delivered-id"] for row in data.xinfo_groups(stream))
            for id, fields in data.xrange(stream, "-", last):
                if id not in done | owed:
                    yield f"'{fields['kind']}' of '{stream}' was read and is owed by nobody"


@dataclass(frozen=True, slots=True)
class NotAfterAck:
    """S2: an event that was acknowledged is not delivered again."""

    plant: Plant

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(
            self.plant, "NotAfterAck", "nothing behind its acknowledgement", self._again()
        )

    def _again(self) -> Iterator[str]:
        done: list[Event] = []
        for entry in self.plant.book:
            if entry.what == "acked":
                done.append(entry.event)
            elif entry.event in done:
                kind = entry.event.fields["kind"]
                yield f"'{kind}' was acknowledged, and '{entry.sink}' got it at {entry.at} s"


@dataclass(frozen=True, slots=True)
class ConsumersBounded:
    """S3: a group has the sinks that are up, and who died less than two graces and a check ago."""

    plant: Plant

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        promise = "sinks that are up, and who died a moment ago"
        return lambda: _judge(self.plant, "ConsumersBounded", promise, self._left())

    def _left(self) -> Iterator[str]:
        plant, timing = self.plant, self.plant.timing
        allowed = policy.STALE_GRACES * timing.grace + timing.check
        for consumer in plant.consumers():
            since = plant.down.get(consumer)
            if since is not None and plant.sim.now() - since >= allowed:
                yield f"'{consumer}' is in the group, dead for {plant.sim.now() - since:g} s"


@dataclass(frozen=True, slots=True)
class LivingKept:
    """S3: nobody deletes a consumer whose sink is up and was heard of."""

    plant: Plant

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(self.plant, "LivingKept", "the dead", self._deleted())

    def _deleted(self) -> Iterator[str]:
        for event in self.plant.from_store(lambda event: event.key.startswith("bury")):
            consumer = event.arguments[3]
            is_dead = consumer in self.plant.down or self.plant.was_silent(consumer, event.at)
            if event.reply and not is_dead:
                yield f"'{event.client}' deleted '{consumer}', which is up, at {event.at:g} s"


@dataclass(frozen=True, slots=True)
class KeepsAlive:
    """S4: whatever its subscribers do, a sink says once in a grace that it lives."""

    plant: Plant

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        return lambda: _judge(self.plant, "KeepsAlive", "a grace", self._silent())

    def _silent(self) -> Iterator[str]:
        plant = self.plant
        beats = plant.store.data.hgetall(f"{GROUP}:keep-alive")
        for sink in plant.up():
            age_ns = plant.store.clock.now_ns() - int(beats.get(sink.name, "0"))
            if age_ns > policy.ns(plant.timing.grace):
                yield f"'{sink.name}' was not heard of for {age_ns / 1e9:g} s"


@dataclass(frozen=True, slots=True)
class OneHolder:
    """S5: who gets the lease holds it alone until it ends."""

    plant: Plant

    def watch(self, view: StormView) -> Judge:
        """Judge at the end."""
        promise = f"one holder in {self.plant.timing.lease:g} s"
        return lambda: _judge(self.plant, "OneHolder", promise, self._shared())

    def _shared(self) -> Iterator[str]:
        lease_ns = policy.ns(self.plant.timing.lease)
        taken = self.plant.from_store(
            lambda event: (event.command, event.key) == ("set", f"{GROUP}:lease") and event.reply
        )
        for first, second in pairwise(taken):
            if policy.ns(second.at) - policy.ns(first.at) < lease_ns:
                yield f"'{first.client}' and '{second.client}' took the lease at {second.at:g} s"
