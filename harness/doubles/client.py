"""What a program holds of a store: one client, whose methods are those of redis-py.

Every method sends one command. In a `Store` it returns the reply, in an `AsyncStore` an awaitable
of it; a client of redis-py can stand in its place. It does not know how a command is served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .database import Database, Fields, Text
from .server import Command, Link

Serve = Callable[[Link, Command], Any]
Subscribe = Callable[[Link, tuple[str, ...]], Any]


class Client:
    """One client of a store, by its own name. Any thread, or any task of one loop.

    Replies are what redis-py returns for a Redis server (`decode_responses=True`, protocol 2); an
    error of the server is a `StoreError` with the same text, a lost connection a `ConnectionError`.

    Args:
        link: its connection.
        serve: serves a command.
        subscribe: serves a subscription.
    """

    def __init__(self, link: Link, serve: Serve, subscribe: Subscribe) -> None:
        self._link = link
        self._serve = serve
        self._subscribe = subscribe

    @property
    def name(self) -> str:
        """How it is called: the lane of its calls."""
        return self._link.name

    def __repr__(self) -> str:
        return f"<Client {self.name!r}>"

    def run(self, script: Callable[..., Any], *args: Any) -> Any:
        """Run `script(database, *args)` at the server, in one step: nothing comes in between."""
        name = getattr(script, "__name__", "script")
        return self._serve(
            self._link, Command("run", name, args, lambda database: script(database, *args))
        )

    def subscribe(self, *channels: str) -> Any:
        """Subscribe to channels; return the `Subscription` (or an awaitable of one)."""
        return self._subscribe(self._link, channels)

    def xread(
        self, streams: Mapping[str, str], count: int | None = None, block: int | None = None
    ) -> Any:
        """Return what is behind the given id of each stream, `$` for its end.

        Args:
            streams: ids by the names of the streams.
            count: at most so many entries of each.
            block: milliseconds to wait if there is none; 0 for ever, None not at all.
        """
        wanted: dict[str, str] = {}

        def act(database: Database) -> Any:
            # The end of a stream is where it is when the command comes, not when it is served.
            wanted.update(wanted or database.last_ids(streams))
            return database.xread(wanted, count)

        return self._read("xread", (streams, count), act, streams, block)

    def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: Mapping[str, str],
        count: int | None = None,
        block: int | None = None,
        noack: bool = False,
    ) -> Any:
        """Read for a consumer of a group: `>` what nobody has been given, an id what it still owes.

        Args:
            groupname: the group.
            consumername: the consumer; it is made if there is none.
            streams: `>` or ids by the names of the streams.
            count: at most so many entries of each.
            block: milliseconds to wait if there is none; 0 for ever, None not at all.
            noack: take the entries for acknowledged.
        """

        def act(database: Database) -> Any:
            return database.xreadgroup(groupname, consumername, streams, count, noack)

        arguments = (groupname, consumername, streams, count)
        return self._read("xreadgroup", arguments, act, streams, block)

    def exists(self, *keys: str) -> Any:
        """Return how many of the keys there are; one that is named twice counts twice."""
        return self._send("exists", *keys)

    def delete(self, *keys: str) -> Any:
        """Delete keys; return how many there were."""
        return self._send("delete", *keys)

    def keys(self, pattern: str = "*") -> Any:
        """Return the keys that match a pattern, sorted (a server returns them in any order)."""
        return self._send("keys", pattern)

    def type(self, key: str) -> Any:
        """Return `none`, `string`, `hash` or `stream`."""
        return self._send("type", key)

    def expire(self, key: str, time: int) -> Any:
        """Have a key vanish in `time` seconds; tell whether there is one."""
        return self._send("expire", key, time)

    def pexpire(self, key: str, time: int) -> Any:
        """Have a key vanish in `time` milliseconds; tell whether there is one."""
        return self._send("pexpire", key, time)

    def persist(self, key: str) -> Any:
        """Have a key stay; tell whether it was about to vanish."""
        return self._send("persist", key)

    def ttl(self, key: str) -> Any:
        """Return the seconds that a key has left, -1 for ever, -2 if there is none."""
        return self._send("ttl", key)

    def pttl(self, key: str) -> Any:
        """Return the milliseconds that a key has left, -1 for ever, -2 if there is none."""
        return self._send("pttl", key)

    def flushall(self) -> Any:
        """Delete everything but subscriptions."""
        return self._send("flushall")

    def time(self) -> Any:
        """Return the server's clock: seconds since 1970, and microseconds."""
        return self._send("time")

    def get(self, name: str) -> Any:
        """Return a text, None if there is none."""
        return self._send("get", name)

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
    ) -> Any:
        """Set a text whatever was there; return True, or None if `nx` or `xx` forbade it."""
        return self._send("set", name, value, ex, px, nx, xx, keepttl, get)

    def incrby(self, name: str, amount: int = 1) -> Any:
        """Add to the number that a text is (0 if there is none); return the sum."""
        return self._send("incrby", name, amount)

    def hget(self, name: str, key: str) -> Any:
        """Return the value of a field, None if there is none."""
        return self._send("hget", name, key)

    def hmget(self, name: str, keys: list[str]) -> Any:
        """Return the values of several fields."""
        return self._send("hmget", name, keys)

    def hgetall(self, name: str) -> Any:
        """Return all fields and their values."""
        return self._send("hgetall", name)

    def hkeys(self, name: str) -> Any:
        """Return the names of all fields."""
        return self._send("hkeys", name)

    def hvals(self, name: str) -> Any:
        """Return the values of all fields."""
        return self._send("hvals", name)

    def hlen(self, name: str) -> Any:
        """Return how many fields there are."""
        return self._send("hlen", name)

    def hexists(self, name: str, key: str) -> Any:
        """Tell whether there is a field."""
        return self._send("hexists", name, key)

    def hset(
        self,
        name: str,
        key: str | None = None,
        value: Text | None = None,
        mapping: Fields | None = None,
    ) -> Any:
        """Set a field, or those of `mapping`; return how many are new."""
        return self._send("hset", name, key, value, mapping)

    def hsetnx(self, name: str, key: str, value: Text) -> Any:
        """Set a field unless there is one; tell whether it was set."""
        return self._send("hsetnx", name, key, value)

    def hdel(self, name: str, *keys: str) -> Any:
        """Delete fields; return how many there were."""
        return self._send("hdel", name, *keys)

    def hincrby(self, name: str, key: str, amount: int = 1) -> Any:
        """Add to the number that a field is (0 if there is none); return the sum."""
        return self._send("hincrby", name, key, amount)

    def publish(self, channel: str, message: Text) -> Any:
        """Send a message to all who are subscribed now; return how many they are."""
        return self._send("publish", channel, message)

    def pubsub_numsub(self, *channels: str) -> Any:
        """Return how many are subscribed to each channel."""
        return self._send("pubsub_numsub", *channels)

    def xadd(
        self,
        name: str,
        fields: Fields,
        id: str = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
    ) -> Any:
        """Append an entry; return its id, or None with `nomkstream` if there is no such stream."""
        return self._send("xadd", name, fields, id, maxlen, approximate, nomkstream)

    def xlen(self, name: str) -> Any:
        """Return how many entries there are."""
        return self._send("xlen", name)

    def xrange(self, name: str, min: str = "-", max: str = "+", count: int | None = None) -> Any:
        """Return the entries between two ids, oldest first."""
        return self._send("xrange", name, min, max, count)

    def xrevrange(self, name: str, max: str = "+", min: str = "-", count: int | None = None) -> Any:
        """Return the entries between two ids, newest first."""
        return self._send("xrevrange", name, max, min, count)

    def xdel(self, name: str, *ids: str) -> Any:
        """Delete entries, not from pending lists; return how many there were."""
        return self._send("xdel", name, *ids)

    def xtrim(
        self,
        name: str,
        maxlen: int,
        approximate: bool = True,
    ) -> Any:
        """Delete the oldest entries above `maxlen`; return how many."""
        return self._send("xtrim", name, maxlen, approximate)

    def xgroup_create(
        self,
        name: str,
        groupname: str,
        id: str = "$",
        mkstream: bool = False,
    ) -> Any:
        """Make a consumer group that starts behind `id`, `$` for the end of the stream."""
        return self._send("xgroup_create", name, groupname, id, mkstream)

    def xgroup_destroy(self, name: str, groupname: str) -> Any:
        """Delete a group with all its lists; return how many there were."""
        return self._send("xgroup_destroy", name, groupname)

    def xgroup_setid(self, name: str, groupname: str, id: str) -> Any:
        """Have a group go on behind `id`."""
        return self._send("xgroup_setid", name, groupname, id)

    def xgroup_createconsumer(self, name: str, groupname: str, consumername: str) -> Any:
        """Make a consumer; return how many are new."""
        return self._send("xgroup_createconsumer", name, groupname, consumername)

    def xgroup_delconsumer(self, name: str, groupname: str, consumername: str) -> Any:
        """Delete a consumer and its pending list; return how long that was."""
        return self._send("xgroup_delconsumer", name, groupname, consumername)

    def xack(self, name: str, groupname: str, *ids: str) -> Any:
        """Acknowledge entries: they are pending no longer; return how many were."""
        return self._send("xack", name, groupname, *ids)

    def xpending(self, name: str, groupname: str) -> Any:
        """Return how much is pending: in all, from which id to which, and by consumer."""
        return self._send("xpending", name, groupname)

    def xpending_range(
        self,
        name: str,
        groupname: str,
        min: str,
        max: str,
        count: int,
        consumername: str | None = None,
        idle: int | None = None,
    ) -> Any:
        """Return the pending entries between two ids, of one consumer or of all."""
        return self._send("xpending_range", name, groupname, min, max, count, consumername, idle)

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
    ) -> Any:
        """Hand to a consumer those entries that have been pending for `min_idle_time` ms."""
        return self._send(
            "xclaim",
            name,
            groupname,
            consumername,
            min_idle_time,
            message_ids,
            idle,
            retrycount,
            force,
            justid,
        )

    def xautoclaim(
        self,
        name: str,
        groupname: str,
        consumername: str,
        min_idle_time: int,
        start_id: str = "0-0",
        count: int | None = None,
        justid: bool = False,
    ) -> Any:
        """Hand to a consumer what has been pending for `min_idle_time` ms, from `start_id` on."""
        return self._send(
            "xautoclaim", name, groupname, consumername, min_idle_time, start_id, count, justid
        )

    def xinfo_consumers(self, name: str, groupname: str) -> Any:
        """Return the consumers of a group, what each owes, and for how long each has been idle."""
        return self._send("xinfo_consumers", name, groupname)

    def xinfo_groups(self, name: str) -> Any:
        """Return the groups of a stream."""
        return self._send("xinfo_groups", name)

    def _send(self, name: str, *args: Any) -> Any:
        key = str(args[0]) if args else ""
        act = getattr(Database, name)
        return self._serve(
            self._link, Command(name, key, args[1:], lambda database: act(database, *args))
        )

    def _read(
        self,
        name: str,
        arguments: tuple[Any, ...],
        act: Callable[[Database], Any],
        streams: Mapping[str, str],
        block: int | None,
    ) -> Any:
        seconds = None if block is None else block / 1000
        names = tuple(streams)
        return self._serve(self._link, Command(name, names[0], arguments, act, seconds, names))
