"""What a replicated map is made of, without a thread or a clock: names, messages, atomic scripts.

A map is one hash of the store and one channel. Every write is one script at the store: it changes
the hash, counts its revision up, and publishes the change with that revision. A threaded and an
asyncio replica can share all of this; neither is known here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

NAME_MAX = 512
#: What no name may hold: a pattern of a channel would match it.
NAME_FORBIDDEN = frozenset(" \0*?[]")
RECONNECT_MIN = 1.0
RECONNECT_MAX = 6.0

#: Fields of the hash that are no keys, for a key has no "=". They outlive a reset: whoever comes
#: later must still tell old from new.
REVISION = "=revision"
RESET_AT = "=reset"


class Kind(IntEnum):
    """What happened to a map; the higher, the more a reader has to forget."""

    CHANGE = 1
    DELETE = 2
    RESET = 3


@dataclass(frozen=True, slots=True)
class Update:
    """One committed write as replicas hear of it; without `key` and `value` where it has none."""

    revision: int
    kind: Kind
    key: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A map at one revision, and at which revision it was reset last (0: never)."""

    content: dict[str, str]
    revision: int
    reset_at: int


class Transaction(Protocol):
    """What a script may ask of the store while nobody else can."""

    def hget(self, name: str, key: str) -> str | None: ...  # noqa: D102 - as in redis-py
    def hset(self, name: str, key: str, value: str) -> int: ...  # noqa: D102 - as above
    def hdel(self, name: str, *keys: str) -> int: ...  # noqa: D102 - as above
    def hkeys(self, name: str) -> list[str]: ...  # noqa: D102 - as above
    def hgetall(self, name: str) -> dict[str, str]: ...  # noqa: D102 - as above
    def hincrby(self, name: str, key: str, amount: int = ...) -> int: ...  # noqa: D102 - as above
    def publish(self, channel: str, message: str) -> int: ...  # noqa: D102 - as above


def checked_name(name: str) -> str:
    """Return the name of a map.

    Raises:
        ValueError: it is empty, too long, or holds what a pattern of a channel would take for
            something else.
    """
    if not 1 <= len(name) <= NAME_MAX or NAME_FORBIDDEN & set(name):
        message = f"name={name!r} must be 1 to {NAME_MAX} characters, none of ' *?[]' or NUL"
        raise ValueError(message)
    return name


def checked_key(key: str) -> str:
    """Return a key.

    Raises:
        ValueError: it is empty or holds "=".
    """
    if not key or "=" in key:
        message = f"key={key!r} must not be empty, and must not hold '='"
        raise ValueError(message)
    return key


def channel_of(name: str) -> str:
    """Return the channel that the changes of a map are published in."""
    return f"map:{name}"


def encode(update: Update) -> str:
    """Return an update as it is published."""
    return json.dumps([update.revision, update.kind.name, update.key, update.value])


def decode(data: str) -> Update | None:
    """Return the update that was published; None for what is none."""
    try:
        revision, kind, key, value = json.loads(data)
        if type(revision) is not int or revision < 1 or not (isinstance(key, str)):
            return None
        return Update(revision, Kind[kind], key, str(value))
    except (ValueError, TypeError, KeyError):
        return None


def apply(content: dict[str, str], update: Update) -> None:
    """Do to a copy of a map what was done to the map."""
    match update.kind:
        case Kind.CHANGE:
            content[update.key] = update.value
        case Kind.DELETE:
            content.pop(update.key, None)
        case Kind.RESET:
            content.clear()


def strongest_kind(old: Mapping[str, str], revision: int, new: Snapshot) -> Kind | None:
    """Return the strongest that can have happened since `revision`; None for nothing."""
    if new.reset_at > revision:
        return Kind.RESET
    if new.revision <= revision:
        return None
    return Kind.DELETE if old.keys() - new.content.keys() else Kind.CHANGE


def items_of(text: str | None) -> list[str]:
    """Return the items of a list kept as a value; no value is an empty list."""
    return json.loads(text) if text else []


# --- scripts --------------------------------------------------------------------------------------
# Each returns a result and the revision that it committed, 0 if it changed nothing.

Committed = tuple[Any, int]
Script = Callable[..., Any]


def read(store: Transaction, name: str) -> Snapshot:
    """Return the whole map."""
    fields = store.hgetall(name)
    revision, reset_at = int(fields.pop(REVISION, 0)), int(fields.pop(RESET_AT, 0))
    return Snapshot(fields, revision, reset_at)


def put(store: Transaction, name: str, key: str, value: str) -> Committed:
    """Set a value; the result is the one before, or ""."""
    before = store.hget(name, key) or ""
    return before, _change(store, name, key, value)


def put_if_absent(store: Transaction, name: str, key: str, value: str) -> Committed:
    """Set a value if there is none; the result tells whether it was set."""
    if store.hget(name, key) is not None:
        return False, 0
    return True, _change(store, name, key, value)


def put_if_equal(store: Transaction, name: str, key: str, test: str, value: str) -> Committed:
    """Set a value if it is `test`; the result is the one before, or ""."""
    before = store.hget(name, key) or ""
    return before, _change(store, name, key, value) if before == test else 0


def remove(store: Transaction, name: str, key: str) -> Committed:
    """Delete a key; the result is its value, or ""."""
    before = store.hget(name, key)
    return before or "", 0 if before is None else _delete(store, name, key)


def remove_if_equal(store: Transaction, name: str, key: str, test: str) -> Committed:
    """Delete a key if its value is `test`; the result is the value before, or ""."""
    before = store.hget(name, key)
    return before or "", _delete(store, name, key) if before == test else 0


def append(store: Transaction, name: str, key: str, items: Sequence[str]) -> Committed:
    """Add items to a list; the result is the list."""
    found = [*items_of(store.hget(name, key)), *items]
    return found, _change(store, name, key, json.dumps(found))


def append_unique(store: Transaction, name: str, key: str, items: Sequence[str]) -> Committed:
    """Add those items that a list does not have; the result is the list."""
    found = items_of(store.hget(name, key))
    new = [item for item in dict.fromkeys(items) if item not in found]
    if not new:
        return found, 0
    return [*found, *new], _change(store, name, key, json.dumps([*found, *new]))


def remove_values(store: Transaction, name: str, key: str, items: Sequence[str]) -> Committed:
    """Take items off a list, which goes with the last one.

    The result is what remains, in its order, and whether any was there.
    """
    found = items_of(store.hget(name, key))
    remaining = [item for item in found if item not in items]
    if len(remaining) == len(found):
        return (remaining, False), 0
    if not remaining:
        return ([], True), _delete(store, name, key)
    return (remaining, True), _change(store, name, key, json.dumps(remaining))


def increment(store: Transaction, name: str, key: str, amount: int) -> Committed:
    """Add to a number, 0 if there is none; the result is the sum."""
    total = int(store.hget(name, key) or "0") + amount
    return total, _change(store, name, key, str(total))


def reset(store: Transaction, name: str) -> Committed:
    """Delete every key."""
    keys = [key for key in store.hkeys(name) if "=" not in key]
    if keys:
        store.hdel(name, *keys)
    revision = store.hincrby(name, REVISION)
    store.hset(name, RESET_AT, str(revision))
    _publish(store, name, Update(revision, Kind.RESET))
    return None, revision


def reset_if_equal(store: Transaction, name: str, key: str, test: str) -> Committed:
    """Delete every key if a value is `test`; the result tells whether it was."""
    if store.hget(name, key) != test:
        return False, 0
    return True, reset(store, name)[1]


def _change(store: Transaction, name: str, key: str, value: str) -> int:
    store.hset(name, key, value)
    revision = store.hincrby(name, REVISION)
    _publish(store, name, Update(revision, Kind.CHANGE, key, value))
    return revision


def _delete(store: Transaction, name: str, key: str) -> int:
    store.hdel(name, key)
    revision = store.hincrby(name, REVISION)
    _publish(store, name, Update(revision, Kind.DELETE, key))
    return revision


def _publish(store: Transaction, name: str, update: Update) -> None:
    store.publish(channel_of(name), encode(update))
