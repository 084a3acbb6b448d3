"""Streams with consumer groups as Redis keeps them: entries, pending lists, claims.

    entries ──read by group──► pending list of the consumer ──ack──► gone
                                    │          ▲
                             idle too long ──claim, auto-claim by another consumer
                                    │
                          deleting the consumer drops its list: nobody gets these again

Pure data: an instant is handed in with every call, in milliseconds of the store's clock. It does
not know who calls, nor what keeps several streams under their keys. Replies are those of redis-py.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Id = tuple[int, int]
Entry = tuple[str, dict[str, str]]

FIRST: Id = (0, 0)
LAST: Id = ((1 << 64) - 1, (1 << 64) - 1)
#: Entries of one node of a stream; an approximate trim drops whole nodes only.
NODE_ENTRIES = 100


class StoreError(Exception):
    """What the server answers to a command that makes no sense: its text is the server's."""


@dataclass(slots=True)
class Pending:
    """One entry that a consumer was given and has not acknowledged."""

    consumer: str
    delivered_ms: int
    times: int


@dataclass(slots=True)
class Group:
    """A consumer group: how far it has read, its consumers, and what each of them still owes."""

    # invariant: every pending entry belongs to a consumer of the group
    # invariant: `order` lists the ids in `pending`, ascending
    last: Id
    consumers: dict[str, int] = field(default_factory=dict)  # name → when it was last seen, in ms
    pending: dict[Id, Pending] = field(default_factory=dict)
    order: list[Id] = field(default_factory=list)

    def see(self, consumer: str, now_ms: int) -> None:
        """Note that `consumer` showed itself; one that is unknown is made."""
        self.consumers[consumer] = now_ms

    def owe(self, id: Id, consumer: str, now_ms: int, times: int) -> None:
        """Put an entry on the list of `consumer`, taking it from whoever had it."""
        if id not in self.pending:
            insort(self.order, id)
        self.pending[id] = Pending(consumer, now_ms, times)

    def settle(self, id: Id) -> bool:
        """Take an entry off the list it is on; tell whether it was on any."""
        if self.pending.pop(id, None) is None:
            return False
        self.order.remove(id)
        return True

    def owed(self, consumer: str | None = None, start: Id = FIRST, end: Id = LAST) -> list[Id]:
        """Return what is pending between two ids, of one consumer or of all, ascending."""
        return [
            id
            for id in self.order
            if start <= id <= end and consumer in (None, self.pending[id].consumer)
        ]


class Stream:
    """The entries of one stream, and its groups. Whoever keeps it lets in one thread at a time."""

    # invariant: `entries` ascends, and no id is above `last`
    # invariant: `nodes[number]` counts the living entries of a node, and is not 0

    def __init__(self) -> None:
        self.entries: dict[Id, dict[str, str]] = {}
        self.last = FIRST
        self.groups: dict[str, Group] = {}
        self._node_of: dict[Id, int] = {}
        self._nodes: Counter[int] = Counter()
        self._node = 0
        self._filled = 0

    def __len__(self) -> int:
        return len(self.entries)

    # --- entries ----------------------------------------------------------------------------------

    def add(self, fields: dict[str, str], id: str, now_ms: int) -> str:
        """Append an entry; return its id."""
        new = self._next_id(id, now_ms)
        if self._filled == NODE_ENTRIES or not self._nodes[self._node]:
            self._node += 1
            self._filled = 0
        self._filled += 1
        self._nodes[self._node] += 1
        self._node_of[new] = self._node
        self.entries[new] = fields
        self.last = new
        return text_of(new)

    def check_id(self, id: str, now_ms: int) -> None:
        """Raise StoreError if an entry cannot be appended under `id`."""
        self._next_id(id, now_ms)

    def remove(self, ids: list[Id]) -> int:
        """Delete entries, wherever they are pending; return how many there were."""
        return sum(self._remove(id) for id in ids)

    def trim(self, max_length: int, *, approximate: bool) -> int:
        """Delete the oldest entries above `max_length`; return how many.

        Args:
            max_length: how many may stay.
            approximate: delete whole nodes of `NODE_ENTRIES` only, as `MAXLEN ~` does.
        """
        if not approximate:
            return self.remove(list(self.entries)[: max(0, len(self) - max_length)])
        removed = 0
        while self.entries:
            oldest = self._node_of[next(iter(self.entries))]
            if len(self) - self._nodes[oldest] < max_length:
                break
            removed += self.remove([id for id, node in self._node_of.items() if node == oldest])
        return removed

    def between(self, start: Id, end: Id, count: int | None = None) -> list[Entry]:
        """Return the entries from `start` to `end`, both included, at most `count`."""
        found = [
            (text_of(id), dict(each)) for id, each in self.entries.items() if start <= id <= end
        ]
        return found[:count]

    def after(self, id: Id, count: int | None) -> list[Entry]:
        """Return the entries behind `id`."""
        return self.between((id[0], id[1] + 1), LAST, count or None)

    def _remove(self, id: Id) -> bool:
        if self.entries.pop(id, None) is None:
            return False
        node = self._node_of.pop(id)
        self._nodes[node] -= 1
        if not self._nodes[node]:
            del self._nodes[node]
        return True

    def _next_id(self, id: str, now_ms: int) -> Id:
        if id == "*":
            return (now_ms, 0) if now_ms > self.last[0] else (self.last[0], self.last[1] + 1)
        stem, dash, number = id.partition("-")
        if dash and number == "*":
            milliseconds = parse_id(stem, 0)[0]
            new = (milliseconds, self.last[1] + 1 if milliseconds == self.last[0] else 0)
        else:
            new = parse_id(id, 0)
            if new == FIRST:
                raise StoreError("The ID specified in XADD must be greater than 0-0")
        if new <= self.last:
            message = "The ID specified in XADD is equal or smaller than the target stream top item"
            raise StoreError(message)
        return new

    # --- groups -----------------------------------------------------------------------------------

    def read_group(
        self, name: str, consumer: str, count: int | None, now_ms: int, *, no_ack: bool
    ) -> list[Entry]:
        """Give `consumer` what the group has not read; it owes an acknowledgement for each."""
        group = self.groups[name]
        found = self.after(group.last, count)
        for text, _ in found:
            id = parse_id(text, 0)
            group.last = id
            if not no_ack:
                group.owe(id, consumer, now_ms, 1)
        return found

    def read_own(
        self, name: str, consumer: str, after: Id, count: int | None, now_ms: int
    ) -> list[tuple[str, dict[str, str]]]:
        """Give `consumer` again what it owes behind `after`; a deleted entry has no fields."""
        group = self.groups[name]
        ids = group.owed(consumer, (after[0], after[1] + 1))[: count or None]
        found: list[Entry] = []
        for id in ids:
            if id in self.entries:
                group.pending[id].delivered_ms = now_ms
                group.pending[id].times += 1
            found.append((text_of(id), dict(self.entries.get(id, {}))))
        return found

    def acknowledge(self, name: str, ids: list[Id]) -> int:
        """Take entries off the pending lists of a group; return how many were on one."""
        group = self.groups.get(name)
        return 0 if group is None else sum(group.settle(id) for id in ids)

    def delete_consumer(self, name: str, consumer: str) -> int:
        """Delete a consumer *and its pending list*; return how long that was."""
        group = self.groups[name]
        ids = group.owed(consumer)
        for id in ids:
            group.settle(id)
        group.consumers.pop(consumer, None)
        return len(ids)

    def auto_claim(
        self,
        name: str,
        consumer: str,
        start: Id,
        now_ms: int,
        *,
        min_idle_ms: int,
        count: int,
        just_ids: bool,
    ) -> tuple[Id, list[Id], list[Id]]:
        """Hand to `consumer` what has been pending for too long, from `start` on.

        Returns:
            Where to go on (0-0: at the end), the entries claimed, and the ids of those that are
            deleted by now, which leave the pending list.
        """
        group = self.groups[name]
        claimed: list[Id] = []
        deleted: list[Id] = []
        attempts = count * 10
        left = group.owed(None, start)
        while left and attempts and count:
            attempts -= 1
            id = left.pop(0)
            if id not in self.entries:
                group.settle(id)
                deleted.append(id)
                count -= 1
                continue
            owed = group.pending[id]
            if now_ms - owed.delivered_ms < min_idle_ms:
                continue
            group.owe(id, consumer, now_ms, owed.times + (not just_ids))
            claimed.append(id)
            count -= 1
        return (left[0] if left else FIRST), claimed, deleted

    def claim(
        self,
        name: str,
        consumer: str,
        ids: list[Id],
        now_ms: int,
        *,
        min_idle_ms: int,
        idle_ms: int | None,
        times: int | None,
        force: bool,
        just_ids: bool,
    ) -> list[Id]:
        """Hand to `consumer` those of `ids` that have been pending for long enough."""
        group = self.groups[name]
        claimed: list[Id] = []
        for id in ids:
            owed = group.pending.get(id)
            if id not in self.entries:
                group.settle(id)
                continue
            if owed is None:
                if not force:
                    continue
                owed = Pending(consumer, now_ms, 0)
            elif now_ms - owed.delivered_ms < min_idle_ms:
                continue
            new_times = owed.times + (not just_ids) if times is None else times
            group.owe(id, consumer, now_ms - (idle_ms or 0), new_times)
            claimed.append(id)
        return claimed

    # --- what can be asked ------------------------------------------------------------------------

    def pending_summary(self, name: str) -> dict[str, Any]:
        """Return what `XPENDING` says of a whole group."""
        group = self.groups[name]
        counts = Counter(each.consumer for each in group.pending.values())
        return {
            "pending": len(group.order),
            "min": text_of(group.order[0]) if group.order else None,
            "max": text_of(group.order[-1]) if group.order else None,
            "consumers": [{"name": each, "pending": counts[each]} for each in sorted(counts)],
        }

    def pending_range(
        self,
        name: str,
        start: Id,
        end: Id,
        count: int,
        *,
        consumer: str | None,
        now_ms: int,
        min_idle_ms: int,
    ) -> list[dict[str, Any]]:
        """Return what `XPENDING` says of each entry between two ids."""
        group = self.groups[name]
        rows: list[dict[str, Any]] = [
            {
                "message_id": text_of(id),
                "consumer": group.pending[id].consumer,
                "time_since_delivered": max(0, now_ms - group.pending[id].delivered_ms),
                "times_delivered": group.pending[id].times,
            }
            for id in group.owed(consumer, start, end)
        ]
        return [row for row in rows if row["time_since_delivered"] >= min_idle_ms][:count]

    def consumer_rows(self, name: str, now_ms: int) -> list[dict[str, Any]]:
        """Return what `XINFO CONSUMERS` says."""
        group = self.groups[name]
        return [
            {
                "name": each,
                "pending": len(group.owed(each)),
                "idle": max(0, now_ms - group.consumers[each]),
            }
            for each in sorted(group.consumers)
        ]

    def group_rows(self) -> list[dict[str, Any]]:
        """Return what `XINFO GROUPS` says, without its counters of reads."""
        return [
            {
                "name": name,
                "consumers": len(self.groups[name].consumers),
                "pending": len(self.groups[name].order),
                "last-delivered-id": text_of(self.groups[name].last),
            }
            for name in sorted(self.groups)
        ]


def text_of(id: Id) -> str:
    """Return the text of an id: `1526919030474-55`."""
    return f"{id[0]}-{id[1]}"


def parse_id(text: str, missing: int) -> Id:
    """Return the id that `text` stands for.

    Args:
        text: `-`, `+`, `milliseconds` or `milliseconds-number`.
        missing: the number of an id without one.

    Raises:
        StoreError: it is none.
    """
    if text in ("-", "+"):
        return FIRST if text == "-" else LAST
    milliseconds, dash, number = text.partition("-")
    if not milliseconds.isdecimal() or (dash and not number.isdecimal()):
        raise StoreError("Invalid stream ID specified as stream command argument")
    return int(milliseconds), int(number) if dash else missing


def parse_range(start: str, end: str) -> tuple[Id, Id]:
    """Return the first and the last id of a range; `(` before an id leaves that one out."""
    first = parse_id(start.removeprefix("("), 0)
    last = parse_id(end.removeprefix("("), LAST[1])
    if start.startswith("("):
        first = (first[0], first[1] + 1)
    if end.startswith("("):
        last = (last[0], last[1] - 1) if last[1] else (last[0] - 1, LAST[1])
    return first, last
