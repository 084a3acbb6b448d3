"""What the pool does to the store in one step: nothing comes in between the lines of a script.

Each is a function of the database that a client hands over with `run`; for a Redis server it would
be written in Lua. A table is a hash; whatever changes one also counts its revision up, and tells
the channel of the same name. It does not know who calls, nor what time it is.
"""

# ruff: noqa: FBT001, FBT002, PLR0917 - a script gets its arguments in a row, as in Redis
import json
from collections.abc import Mapping
from typing import Any, Protocol

from . import policy

NODES, SHUTDOWN = "nodes", "shutdown"
WORKERS, BEATS, LOCKS = "workers", "worker-keepalive", "cleanup"
JOBS, PENDING, PAYLOADS = "jobs", "pending-jobs", "job-payloads"
TABLES = (NODES, SHUTDOWN, WORKERS, BEATS, LOCKS, JOBS, PENDING, PAYLOADS)
EVENTS, GROUP = "events", "events"
#: What the entry of a node says that was taken out, and has events on its list.
OWING = "0"


class Database(Protocol):
    """What a script may do."""

    def hget(self, name: str, key: str) -> str | None:
        """Return the value of a field."""
        ...

    def hgetall(self, name: str) -> dict[str, str]:
        """Return all fields."""
        ...

    def hset(self, name: str, key: str, value: str) -> int:
        """Set a field."""
        ...

    def hdel(self, name: str, *keys: str) -> int:
        """Delete fields."""
        ...

    def incrby(self, name: str, amount: int = 1) -> int:
        """Count up."""
        ...

    def publish(self, channel: str, message: str) -> int:
        """Send a message."""
        ...

    def delete(self, *keys: str) -> int:
        """Delete keys."""
        ...

    def keys(self, pattern: str) -> list[str]:
        """Return the keys that match."""
        ...

    def xadd(
        self,
        name: str,
        fields: Mapping[str, str],
        id: str = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
    ) -> str | None:
        """Append an entry."""
        ...

    def xack(self, name: str, groupname: str, *ids: str) -> int:
        """Acknowledge entries."""
        ...

    def xgroup_create(self, name: str, groupname: str, id: str, mkstream: bool) -> bool:
        """Make a consumer group."""
        ...

    def xgroup_delconsumer(self, name: str, groupname: str, consumername: str) -> int:
        """Delete a consumer, and its pending list."""
        ...

    def xinfo_groups(self, name: str) -> list[dict[str, Any]]:
        """Return the groups of a stream."""
        ...

    def xinfo_consumers(self, name: str, groupname: str) -> list[dict[str, Any]]:
        """Return the consumers of a group."""
        ...


def node_stream(pool: str, node: str) -> str:
    """Return the name of the stream of a node."""
    return f"{pool}:node:{node}"


def worker_stream(pool: str, worker: str) -> str:
    """Return the name of the stream of a worker."""
    return f"{pool}:worker:{worker}"


# --- tables ---------------------------------------------------------------------------------------


def put(db: Database, pool: str, table: str, key: str, value: str) -> None:
    """Set one entry."""
    db.hset(f"{pool}:{table}", key, value)
    _tell(db, pool, table, key, value)


def drop(db: Database, pool: str, table: str, key: str, only: str | None = None) -> bool:
    """Delete one entry, with `only` if it still is that; tell whether it was."""
    if only is not None and db.hget(f"{pool}:{table}", key) != only:
        return False
    found = bool(db.hdel(f"{pool}:{table}", key))
    if found:
        _tell(db, pool, table, key, None)
    return found


def snapshot(db: Database, pool: str, table: str) -> tuple[int, dict[str, str]]:
    """Return the revision of a table, and the table."""
    return db.incrby(f"{pool}:{table}:revision", 0), db.hgetall(f"{pool}:{table}")


def survey(db: Database, pool: str, *tables: str) -> tuple[dict[str, str], ...]:
    """Return several tables as they are at one instant."""
    return tuple(db.hgetall(f"{pool}:{table}") for table in tables)


def _tell(db: Database, pool: str, table: str, key: str, value: str | None) -> None:
    revision = db.incrby(f"{pool}:{table}:revision")
    db.publish(f"{pool}:{table}", json.dumps([revision, key, value]))


# --- nodes ----------------------------------------------------------------------------------------


def join(db: Database, pool: str, node: str, now_ns: int) -> bool:
    """Enter a node, with its stream; tell whether the pool takes any."""
    if db.hgetall(f"{pool}:{SHUTDOWN}"):
        return False
    stream = f"{pool}:{EVENTS}"
    if not db.keys(stream):
        db.xgroup_create(stream, GROUP, "0", mkstream=True)
    db.xadd(node_stream(pool, node), {"type": "init"})
    put(db, pool, NODES, node, str(now_ns))
    return True


def attend(db: Database, pool: str, node: str, now_ns: int) -> bool:
    """Say that a node lives; one that was taken for dead enters again."""
    if db.hget(f"{pool}:{NODES}", node) in (None, OWING):
        return join(db, pool, node, now_ns)
    put(db, pool, NODES, node, str(now_ns))
    return True


def leave(db: Database, pool: str, node: str) -> bool:
    """Take a node out, unless events are still on its list: they are claimed first, by others."""
    stream = f"{pool}:{EVENTS}"
    consumers = db.xinfo_consumers(stream, GROUP) if db.keys(stream) else []
    db.delete(node_stream(pool, node))
    if any(each["name"] == node and each["pending"] for each in consumers):
        put(db, pool, NODES, node, OWING)
        return False
    if consumers:
        db.xgroup_delconsumer(stream, GROUP, node)
    drop(db, pool, NODES, node)
    return True


def wipe(db: Database, pool: str) -> None:
    """Delete everything of a pool."""
    db.delete(*db.keys(f"{pool}:*"))


# --- workers --------------------------------------------------------------------------------------


def enlist(db: Database, pool: str, worker: str, now_ns: int) -> bool:
    """Enter a worker, with its stream; tell whether the pool takes any."""
    if db.hgetall(f"{pool}:{SHUTDOWN}"):
        return False
    db.xadd(worker_stream(pool, worker), {"type": "init"})
    put(db, pool, BEATS, worker, str(now_ns))
    put(db, pool, WORKERS, worker, str(now_ns))
    return True


def beat(db: Database, pool: str, worker: str, now_ns: int) -> bool:
    """Say that a worker lives; refuse one that is gone, or about to be cleaned up."""
    if db.hget(f"{pool}:{WORKERS}", worker) is None or db.hget(f"{pool}:{LOCKS}", worker):
        return False
    put(db, pool, BEATS, worker, str(now_ns))
    return True


def lock(
    db: Database, pool: str, worker: str, token: str, now_ns: int, ttl_ns: int, leaving: bool
) -> bool:
    """Take the clean-up lock of a worker that is dead, or `leaving`; a stale one is taken over."""
    if policy.is_fresh(db.hget(f"{pool}:{LOCKS}", worker), now_ns, ttl_ns):
        return False
    is_known = db.hget(f"{pool}:{WORKERS}", worker) is not None
    if leaving and not is_known:
        return False
    beats = db.hget(f"{pool}:{BEATS}", worker)
    if not leaving and is_known and policy.is_fresh(beats, now_ns, ttl_ns):
        return False
    if not is_known and not jobs_of(db, pool, worker):
        return False
    put(db, pool, LOCKS, worker, f"{now_ns} {token}")
    if leaving:
        put(db, pool, WORKERS, worker, policy.LEAVING)
    return True


def renew(db: Database, pool: str, worker: str, token: str, now_ns: int) -> bool:
    """Have a clean-up lock live on, if it is still ours."""
    if not holds(db, pool, worker, token):
        return False
    put(db, pool, LOCKS, worker, f"{now_ns} {token}")
    return True


def holds(db: Database, pool: str, worker: str, token: str) -> bool:
    """Tell whether a clean-up lock is ours."""
    return (db.hget(f"{pool}:{LOCKS}", worker) or "").endswith(f" {token}")


def discharge(db: Database, pool: str, worker: str, token: str) -> bool:
    """Delete a worker that has no jobs left, if its clean-up lock is ours."""
    if not holds(db, pool, worker, token) or jobs_of(db, pool, worker):
        return False
    erase(db, pool, worker)
    return True


def erase(db: Database, pool: str, worker: str) -> None:
    """Delete a worker and all that is its."""
    db.delete(worker_stream(pool, worker))
    for table in (JOBS, BEATS, WORKERS, LOCKS):
        drop(db, pool, table, worker)


# --- jobs -----------------------------------------------------------------------------------------


def jobs_of(db: Database, pool: str, worker: str) -> list[str]:
    """Return the keys of the jobs that a worker owns."""
    return list(json.loads(db.hget(f"{pool}:{JOBS}", worker) or "[]"))


def own(db: Database, pool: str, worker: str, key: str) -> None:
    """List a job as a worker's."""
    put(db, pool, JOBS, worker, json.dumps([*jobs_of(db, pool, worker), key]))


def disown(db: Database, pool: str, worker: str, key: str) -> bool:
    """List a job as a worker's no longer; tell whether it was."""
    keys = jobs_of(db, pool, worker)
    if key not in keys:
        return False
    keys.remove(key)
    if keys:
        put(db, pool, JOBS, worker, json.dumps(keys))
    else:
        drop(db, pool, JOBS, worker)
    return True


def admit(
    db: Database,
    pool: str,
    event: dict[str, str],
    now_ns: int,
    new_guard: str,
    requeued: tuple[str, str] | None = None,
) -> str:
    """Take the guard of a key and publish its start event.

    Args:
        db: the database.
        pool: the pool.
        event: the event, with `key`, `request` and, for a new job, `payload`.
        now_ns: now.
        new_guard: when the guard becomes void, and whose it is.
        requeued: the worker that owns the job, and the token of its clean-up lock; without a token
            it gives the job away itself, and without a worker nobody owned it.

    Returns:
        Why not, empty if it was done: `exists`, `pending`, `malformed`, `missing` (there is no such
        job), `moved` (it has another owner), `lost` (the lock is no longer ours) or `closed`.
    """
    key, guard = event["key"], db.hget(f"{pool}:{PENDING}", event["key"])
    payload = db.hget(f"{pool}:{PAYLOADS}", key)
    if requeued is None and payload is not None:
        return "exists"
    if requeued is not None:
        refusal = _refuse_requeue(db, pool, key, *requeued)
        if refusal:
            return refusal
        event = {**event, "payload": payload or ""}
    if guard is not None and policy.stamp(guard) is None:
        return "malformed"
    if guard is not None and now_ns <= (policy.stamp(guard) or 0):
        return "pending"
    if publish(db, pool, event) is None:
        return "closed"
    if requeued is not None and not requeued[1]:
        disown(db, pool, requeued[0], key)
    put(db, pool, PENDING, key, new_guard)
    return ""


def _refuse_requeue(db: Database, pool: str, key: str, worker: str, token: str) -> str:
    if token and not holds(db, pool, worker, token):
        return "lost"
    if db.hget(f"{pool}:{PAYLOADS}", key) is None:
        return "missing"
    owned_by = policy.owners(policy.lists(db.hgetall(f"{pool}:{JOBS}")), key)
    return "moved" if set(owned_by) - {worker} else ""


def publish(db: Database, pool: str, event: Mapping[str, str]) -> str | None:
    """Add an event to the pool stream, if there is one."""
    return db.xadd(
        f"{pool}:{EVENTS}", event, maxlen=policy.POOL_STREAM_MAX, approximate=True, nomkstream=True
    )


def take(
    db: Database, pool: str, worker: str, key: str, payload: str, now_ns: int, ttl_ns: int
) -> str:
    """Have a worker own a job.

    Returns:
        `first` (a new job), `moved` (from an owner that is not active, or none), `held` (it owns it
        already), `owned` (by another active worker) or `gone` (the worker may own none).
    """
    made = db.hget(f"{pool}:{WORKERS}", worker)
    if made in (None, policy.LEAVING) or db.hget(f"{pool}:{LOCKS}", worker):
        return "gone"
    owned_by = policy.owners(policy.lists(db.hgetall(f"{pool}:{JOBS}")), key)
    if worker in owned_by:
        return "held"
    workers, beats, locks = survey(db, pool, WORKERS, BEATS, LOCKS)
    if set(owned_by) & set(policy.active(workers, beats, locks, now_ns, ttl_ns)):
        return "owned"
    # A dead owner lists it until whoever cleans up strikes it off: this start may fail.
    own(db, pool, worker, key)
    if db.hget(f"{pool}:{PAYLOADS}", key) is not None:
        return "moved"
    put(db, pool, PAYLOADS, key, payload)
    return "first"


def release(db: Database, pool: str, worker: str, key: str, ended: bool) -> None:
    """Have a worker own a job no longer; one that has `ended` exists no longer."""
    if disown(db, pool, worker, key) and ended:
        drop(db, pool, PAYLOADS, key)


def forget(db: Database, pool: str, worker: str, token: str, key: str) -> bool:
    """Strike a key off the list of a worker that is being cleaned up, if the lock is ours."""
    return holds(db, pool, worker, token) and disown(db, pool, worker, key)


def answer(db: Database, pool: str, event_id: str, stream: str, request: str, error: str) -> None:
    """Acknowledge an event of the pool stream, and tell the node that waits for it.

    Args:
        db: the database.
        pool: the pool.
        event_id: of the event.
        stream: of the node that waits; a stream that was destroyed stays so.
        request: for what.
        error: what went wrong, empty if nothing did.
    """
    db.xack(f"{pool}:{EVENTS}", GROUP, event_id)
    reply = {"type": "return", "request": request, "error": error}
    db.xadd(stream, reply, nomkstream=True)
