"""What a Redis server knows, and how commands change it: hashes, texts, streams, channels.

Pure data and one clock. A command takes and returns what the method of the same name of redis-py
does (`decode_responses=True`, protocol 2), and every one is compared with a real server by
`make real-redis`. It does not know who sends commands, in which order they come, nor what can go
wrong on the way: that is the store's.

A script is a Python function `script(database, *args)`: it may call any command, and nobody else's
command comes in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from .streams import FIRST, Group, Id, StoreError, Stream, parse_id, parse_range, text_of

V = TypeVar("V")

Text = str | int | float
Fields = Mapping[str, Text]
Mailbox = Callable[[str, str], None]

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_A_NUMBER = "value is not an integer or out of range"
#: How many pending entries one auto-claim hands over unless told otherwise.
AUTO_CLAIM_COUNT = 100


class Database:
    """The data of one server. One thread at a time.

    Args:
        now_ns: the server's clock, in nanoseconds since 1970; asked once per command or script.
    """

    # invariant: no hash is empty: the key goes with its last field
    # invariant: whatever is in `_expires` is in `_values`

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._clock = now_ns
        self._frozen_ns: int | None = None
        self._values: dict[str, str | dict[str, str] | Stream] = {}
        self._expires: dict[str, int] = {}
        self._mailboxes: dict[str, list[Mailbox]] = {}
        # Keys of streams that grew, or vanished, in the command that was run last.
        self.touched: list[str] = []

    def run(self, command: Callable[[Database], V]) -> V:
        """Run one command or script; the clock stands still meanwhile."""
        self._frozen_ns = self._clock()
        self.touched = []
        try:
            return command(self)
        finally:
            self._frozen_ns = None

    # --- keys -------------------------------------------------------------------------------------

    def exists(self, *keys: str) -> int:
        """Return how many of the keys there are; one that is named twice counts twice."""
        return sum(self._find(key) is not None for key in keys)

    def delete(self, *keys: str) -> int:
        """Delete keys; return how many there were."""
        return sum(self._drop(key) for key in keys)

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match a pattern, sorted (a server returns them in any order)."""
        found = [key for key in sorted(self._values) if self._find(key) is not None]
        return [key for key in found if fnmatchcase(key, pattern.replace("[^", "[!"))]

    def type(self, key: str) -> str:
        """Return `none`, `string`, `hash` or `stream`."""
        value = self._find(key)
        if value is None:
            return "none"
        if isinstance(value, Stream):
            return "stream"
        return "string" if isinstance(value, str) else "hash"

    def expire(self, key: str, time: int) -> bool:
        """Have a key vanish in `time` seconds; tell whether there is one."""
        return self.pexpire(key, time * 1000)

    def pexpire(self, key: str, time: int) -> bool:
        """Have a key vanish in `time` milliseconds; tell whether there is one."""
        if self._find(key) is None:
            return False
        self._expires[key] = self._now_ms() + time
        self._find(key)
        return True

    def persist(self, key: str) -> bool:
        """Have a key stay; tell whether it was about to vanish."""
        return self._find(key) is not None and self._expires.pop(key, None) is not None

    def ttl(self, key: str) -> int:
        """Return the seconds that a key has left, -1 for ever, -2 if there is none."""
        left = self.pttl(key)
        return left if left < 0 else (left + 500) // 1000

    def pttl(self, key: str) -> int:
        """Return the milliseconds that a key has left, -1 for ever, -2 if there is none."""
        if self._find(key) is None:
            return -2
        return self._expires[key] - self._now_ms() if key in self._expires else -1

    def flushall(self) -> bool:
        """Delete everything but subscriptions."""
        self.delete(*self._values)
        return True

    def time(self) -> tuple[int, int]:
        """Return the server's clock: seconds since 1970, and microseconds."""
        microseconds = self._now_ns() // 1000
        return microseconds // 1_000_000, microseconds % 1_000_000

    # --- texts ------------------------------------------------------------------------------------

    def get(self, name: str) -> str | None:
        """Return a text, None if there is none."""
        return self._text(name)

    def set(
        self,
        name: str,
        value: Text,
        ex: int | None = None,
        px: int | None = None,
        nx: bool = False,
        xx: bool = False,
        keepttl: bool = False,
        get: bool = False,
    ) -> bool | str | None:
        """Set a text whatever was there; return True, or None if `nx` or `xx` forbade it.

        Args:
            name: the key.
            value: the text.
            ex: seconds after which it vanishes.
            px: milliseconds after which it vanishes.
            nx: only if there is no such key.
            xx: only if there is one.
            keepttl: it vanishes when it would have vanished before.
            get: return the text that was there instead, None if there was none.
        """
        if (nx and xx) or (ex is not None and px is not None):
            raise StoreError("syntax error")
        if any(each is not None and each <= 0 for each in (ex, px)):
            raise StoreError("invalid expire time in 'set' command")
        before = self._text(name) if get else None
        if (nx and self._find(name) is not None) or (xx and self._find(name) is None):
            return before
        left = self._expires.get(name) if keepttl else None
        if self._find(name) is not None:
            self._drop(name)
        self._values[name] = text(value)
        if ex is not None:
            px = ex * 1000
        if px is not None:
            left = self._now_ms() + px
        if left is not None:
            self._expires[name] = left
        return before if get else True

    def incrby(self, name: str, amount: int = 1) -> int:
        """Add to the number that a text is (0 if there is none); return the sum."""
        found = self._text(name)
        total = (0 if found is None else _number(found)) + amount
        self._values[name] = str(total)
        return total

    # --- hashes -----------------------------------------------------------------------------------

    def hget(self, name: str, key: str) -> str | None:
        """Return the value of a field, None if there is none."""
        return self._hash(name).get(key)

    def hmget(self, name: str, keys: list[str]) -> list[str | None]:
        """Return the values of several fields."""
        found = self._hash(name)
        return [found.get(key) for key in keys]

    def hgetall(self, name: str) -> dict[str, str]:
        """Return all fields and their values."""
        return dict(self._hash(name))

    def hkeys(self, name: str) -> list[str]:
        """Return the names of all fields."""
        return list(self._hash(name))

    def hvals(self, name: str) -> list[str]:
        """Return the values of all fields."""
        return list(self._hash(name).values())

    def hlen(self, name: str) -> int:
        """Return how many fields there are."""
        return len(self._hash(name))

    def hexists(self, name: str, key: str) -> bool:
        """Tell whether there is a field."""
        return key in self._hash(name)

    def hset(
        self,
        name: str,
        key: str | None = None,
        value: Text | None = None,
        mapping: Fields | None = None,
    ) -> int:
        """Set a field, or those of `mapping`; return how many are new."""
        pairs = {} if key is None else {key: text(value)}
        if mapping:
            pairs |= {field: text(each) for field, each in mapping.items()}
        if not pairs:
            raise StoreError("wrong number of arguments for 'hset' command")
        found = self._hash(name)
        new = len(pairs.keys() - found.keys())
        found.update(pairs)
        self._values[name] = found
        return new

    def hsetnx(self, name: str, key: str, value: Text) -> bool:
        """Set a field unless there is one; tell whether it was set."""
        if key in self._hash(name):
            return False
        self.hset(name, key, value)
        return True

    def hdel(self, name: str, *keys: str) -> int:
        """Delete fields; return how many there were."""
        found = self._hash(name)
        count = sum(found.pop(key, None) is not None for key in keys)
        if not found and count:
            self._drop(name)
        return count

    def hincrby(self, name: str, key: str, amount: int = 1) -> int:
        """Add to the number that a field is (0 if there is none); return the sum."""
        found = self._hash(name).get(key, "0")
        try:
            total = _number(found) + amount
        except StoreError:
            raise StoreError("hash value is not an integer") from None
        self.hset(name, key, total)
        return total

    # --- channels ---------------------------------------------------------------------------------

    def publish(self, channel: str, message: Text) -> int:
        """Send a message to all who are subscribed now; return how many they are."""
        # A copy: a delivery may lose its subscription.
        mailboxes = list(self._mailboxes.get(channel, []))
        for mailbox in mailboxes:
            mailbox(channel, text(message))
        return len(mailboxes)

    def subscribe(self, channel: str, mailbox: Mailbox) -> None:
        """Have `mailbox(channel, message)` called for each message from now on."""
        self._mailboxes.setdefault(channel, []).append(mailbox)

    def unsubscribe(self, channel: str, mailbox: Mailbox) -> None:
        """Take a subscription back; does nothing if there is none."""
        mailboxes = self._mailboxes.get(channel, [])
        if mailbox in mailboxes:
            mailboxes.remove(mailbox)
        if not mailboxes:
            self._mailboxes.pop(channel, None)

    def pubsub_numsub(self, *channels: str) -> list[tuple[str, int]]:
        """Return how many are subscribed to each channel."""
        return [(channel, len(self._mailboxes.get(channel, []))) for channel in channels]

    # --- streams ----------------------------------------------------------------------------------

    def xadd(
        self,
        name: str,
        fields: Fields,
        id: str = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
    ) -> str | None:
        """Append an entry; return its id, or None with `nomkstream` if there is no such stream."""
        if not fields:
            raise StoreError("wrong number of arguments for 'xadd' command")
        if id != "*":
            # A text that is no id is refused before anything else.
            Stream().check_id(id, self._now_ms())
        stream = self._find_stream(name)
        if stream is None and nomkstream:
            return None
        if stream is None:
            stream = self._make_stream(name)
        new = stream.add({field: text(each) for field, each in fields.items()}, id, self._now_ms())
        if maxlen is not None:
            stream.trim(maxlen, approximate=approximate)
        self.touched.append(name)
        return new

    def xlen(self, name: str) -> int:
        """Return how many entries there are."""
        return len(self._find_stream(name) or ())

    def xrange(self, name: str, min: str = "-", max: str = "+", count: int | None = None) -> Any:
        """Return the entries between two ids, oldest first."""
        stream = self._find_stream(name)
        return [] if stream is None else stream.between(*parse_range(min, max), count)

    def xrevrange(self, name: str, max: str = "+", min: str = "-", count: int | None = None) -> Any:
        """Return the entries between two ids, newest first."""
        return self.xrange(name, min, max)[::-1][:count]

    def xdel(self, name: str, *ids: str) -> int:
        """Delete entries, not from pending lists; return how many there were."""
        stream = self._find_stream(name)
        return 0 if stream is None else stream.remove(_ids(ids))

    def xtrim(
        self,
        name: str,
        maxlen: int,
        approximate: bool = True,
    ) -> int:
        """Delete the oldest entries above `maxlen`; return how many."""
        stream = self._find_stream(name)
        return 0 if stream is None else stream.trim(maxlen, approximate=approximate)

    def xread(self, streams: Mapping[str, str], count: int | None = None) -> list[list[Any]]:
        """Return what is behind the given id of each stream; `$` is its end."""
        found = []
        for name, after in streams.items():
            stream = self._find_stream(name)
            if stream is not None and after != "$":
                entries = stream.after(parse_id(after, 0), count)
                if entries:
                    found.append([name, entries])
        return found

    def last_ids(self, streams: Mapping[str, str]) -> dict[str, str]:
        """Return `streams` with the id that `$` stands for now in its place."""
        ends = {name: self._find_stream(name) for name, after in streams.items() if after == "$"}
        return {
            name: after if name not in ends else text_of(getattr(ends[name], "last", FIRST))
            for name, after in streams.items()
        }

    # --- consumer groups --------------------------------------------------------------------------

    def xgroup_create(
        self,
        name: str,
        groupname: str,
        id: str = "$",
        mkstream: bool = False,
    ) -> bool:
        """Make a consumer group that starts behind `id`, `$` for the end of the stream."""
        stream = self._find_stream(name)
        if stream is None and not mkstream:
            message = (
                "The XGROUP subcommand requires the key to exist. Note that for CREATE you may "
                "want to use the MKSTREAM option to create an empty stream automatically."
            )
            raise StoreError(message)
        last = None if id == "$" else parse_id(id, 0)
        if stream is None:
            stream = self._make_stream(name)
        if groupname in stream.groups:
            raise StoreError("BUSYGROUP Consumer Group name already exists")
        stream.groups[groupname] = Group(stream.last if last is None else last)
        return True

    def xgroup_destroy(self, name: str, groupname: str) -> int:
        """Delete a group with all its lists; return how many there were."""
        stream = self._existing_stream(name)
        if stream.groups.pop(groupname, None) is None:
            return 0
        self.touched.append(name)
        return 1

    def xgroup_setid(self, name: str, groupname: str, id: str) -> bool:
        """Have a group go on behind `id`."""
        stream = self._existing_stream(name)
        group = self._existing_group(stream, name, groupname)
        group.last = stream.last if id == "$" else parse_id(id, 0)
        return True

    def xgroup_createconsumer(self, name: str, groupname: str, consumername: str) -> int:
        """Make a consumer; return how many are new."""
        group = self._existing_group(self._existing_stream(name), name, groupname)
        if consumername in group.consumers:
            return 0
        group.see(consumername, self._now_ms())
        return 1

    def xgroup_delconsumer(self, name: str, groupname: str, consumername: str) -> int:
        """Delete a consumer and its pending list; return how long that was."""
        stream = self._existing_stream(name)
        self._existing_group(stream, name, groupname)
        return stream.delete_consumer(groupname, consumername)

    def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: Mapping[str, str],
        count: int | None = None,
        noack: bool = False,
    ) -> list[list[Any]]:
        """Give a consumer what its group has not read (`>`), or what it owes behind an id."""
        for name in streams:
            self._group_for_reading(name, groupname)
        found: list[list[Any]] = []
        for name, after in streams.items():
            stream, group = self._group_for_reading(name, groupname)
            group.see(consumername, self._now_ms())
            if after == ">":
                entries = stream.read_group(
                    groupname, consumername, count, self._now_ms(), no_ack=noack
                )
            else:
                entries = stream.read_own(
                    groupname, consumername, parse_id(after, 0), count, self._now_ms()
                )
            if entries or after != ">":
                found.append([name, entries])
        return found

    def xack(self, name: str, groupname: str, *ids: str) -> int:
        """Acknowledge entries: they are pending no longer; return how many were."""
        stream = self._find_stream(name)
        return 0 if stream is None else stream.acknowledge(groupname, _ids(ids))

    def xpending(self, name: str, groupname: str) -> dict[str, Any]:
        """Return how much is pending: in all, from which id to which, and by consumer."""
        return self._stream_of_group(name, groupname).pending_summary(groupname)

    def xpending_range(
        self,
        name: str,
        groupname: str,
        min: str,
        max: str,
        count: int,
        consumername: str | None = None,
        idle: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the pending entries between two ids, of one consumer or of all."""
        stream = self._stream_of_group(name, groupname)
        first, last = parse_range(min, max)
        return stream.pending_range(
            groupname,
            first,
            last,
            count,
            consumer=consumername,
            now_ms=self._now_ms(),
            min_idle_ms=idle or 0,
        )

    def xclaim(
        self,
        name: str,
        groupname: str,
        consumername: str,
        min_idle_time: int,
        message_ids: list[str],
        idle: int | None = None,
        retrycount: int | None = None,
        force: bool = False,
        justid: bool = False,
    ) -> list[Any]:
        """Hand to a consumer those entries that have been pending for `min_idle_time` ms."""
        stream = self._stream_of_group(name, groupname)
        claimed = stream.claim(
            groupname,
            consumername,
            _ids(message_ids),
            self._now_ms(),
            min_idle_ms=min_idle_time,
            idle_ms=idle,
            times=retrycount,
            force=force,
            just_ids=justid,
        )
        if claimed:
            # Who gets nothing is not made, and has not shown itself.
            stream.groups[groupname].see(consumername, self._now_ms())
        return _entries(stream, claimed, just_ids=justid)

    def xautoclaim(
        self,
        name: str,
        groupname: str,
        consumername: str,
        min_idle_time: int,
        start_id: str = "0-0",
        count: int | None = None,
        justid: bool = False,
    ) -> list[Any]:
        """Hand to a consumer what has been pending for `min_idle_time` ms, from `start_id` on.

        Returns:
            Where to go on (0-0: all was looked at), the entries, the ids of deleted ones; with
            `justid` the ids alone.
        """
        stream = self._stream_of_group(name, groupname)
        cursor, claimed, deleted = stream.auto_claim(
            groupname,
            consumername,
            parse_id(start_id, 0),
            self._now_ms(),
            min_idle_ms=min_idle_time,
            count=AUTO_CLAIM_COUNT if count is None else count,
            just_ids=justid,
        )
        if claimed:
            # As above.
            stream.groups[groupname].see(consumername, self._now_ms())
        entries = _entries(stream, claimed, just_ids=justid)
        return entries if justid else [text_of(cursor), entries, [text_of(id) for id in deleted]]

    def xinfo_consumers(self, name: str, groupname: str) -> list[dict[str, Any]]:
        """Return the consumers of a group, what each owes, and for how long each has been idle."""
        stream = self._existing_stream(name, "no such key")
        self._existing_group(stream, name, groupname)
        return stream.consumer_rows(groupname, self._now_ms())

    def xinfo_groups(self, name: str) -> list[dict[str, Any]]:
        """Return the groups of a stream."""
        return self._existing_stream(name, "no such key").group_rows()

    # --- inside -----------------------------------------------------------------------------------

    def _now_ns(self) -> int:
        return self._clock() if self._frozen_ns is None else self._frozen_ns

    def _now_ms(self) -> int:
        return self._now_ns() // 1_000_000

    def _find(self, key: str) -> str | dict[str, str] | Stream | None:
        """Return what a key holds; one whose time has come is gone."""
        if key in self._expires and self._expires[key] <= self._now_ms():
            self._drop(key)
        return self._values.get(key)

    def _drop(self, key: str) -> bool:
        is_due = key in self._expires and self._expires.pop(key) <= self._now_ms()
        value = self._values.pop(key, None)
        if isinstance(value, Stream):
            self.touched.append(key)
        return value is not None and not is_due

    def _text(self, key: str) -> str | None:
        value = self._find(key)
        if value is not None and not isinstance(value, str):
            raise StoreError(WRONG_TYPE)
        return value

    def _hash(self, key: str) -> dict[str, str]:
        value = self._find(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise StoreError(WRONG_TYPE)
        return value

    def _find_stream(self, key: str) -> Stream | None:
        value = self._find(key)
        if value is not None and not isinstance(value, Stream):
            raise StoreError(WRONG_TYPE)
        return value

    def _make_stream(self, key: str) -> Stream:
        stream = self._values[key] = Stream()
        return stream

    def _existing_stream(self, key: str, otherwise: str = "") -> Stream:
        stream = self._find_stream(key)
        if stream is None:
            raise StoreError(
                otherwise
                or "The XGROUP subcommand requires the key to exist. Note that for CREATE you may "
                "want to use the MKSTREAM option to create an empty stream automatically."
            )
        return stream

    def _existing_group(self, stream: Stream, key: str, name: str) -> Group:
        if name not in stream.groups:
            raise StoreError(f"NOGROUP No such consumer group '{name}' for key name '{key}'")
        return stream.groups[name]

    def _stream_of_group(self, key: str, name: str) -> Stream:
        stream = self._find_stream(key)
        if stream is None or name not in stream.groups:
            raise StoreError(f"NOGROUP No such key '{key}' or consumer group '{name}'")
        return stream

    def _group_for_reading(self, key: str, name: str) -> tuple[Stream, Group]:
        try:
            stream = self._stream_of_group(key, name)
        except StoreError as exc:
            if not str(exc).startswith("NOGROUP"):
                raise
            raise StoreError(f"{exc} in XREADGROUP with GROUP option") from None
        return stream, stream.groups[name]


def text(value: object) -> str:
    """Return a value as the client sends it.

    Raises:
        StoreError: it is neither a text nor a number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        message = f"Invalid input of type: '{kind}'. Convert to a text or a number first."
        raise StoreError(message)
    return repr(value)


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise StoreError(NOT_A_NUMBER) from None


def _ids(texts: tuple[str, ...] | list[str]) -> list[Id]:
    return [parse_id(each, 0) for each in texts]


def _entries(stream: Stream, ids: list[Id], *, just_ids: bool) -> list[Any]:
    if just_ids:
        return [text_of(id) for id in ids]
    return [(text_of(id), dict(stream.entries[id])) for id in ids]
