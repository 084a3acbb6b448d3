"""A replicated map: writes go to a shared store, reads come from a copy that follows it.

    set() ──script──► store ──message──► apply thread of every replica, the writer's too
                                              │ content and revision change under the lock
                                              ├─► subscribers: "re-read" (never waits for one)
                                              └─► whoever waits for this revision or an earlier one

A copy changes only when the message comes back, so a writer may read its own past; `set_and_wait`
is for who must not. It does not know how the store keeps the hash, nor what the values mean.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from scenarios.connection_lifecycle.scope import Scope

from . import policy
from .policy import Kind, Update

logger = logging.getLogger(__name__)
# Whoever uses the map decides who hears it.
logger.addHandler(logging.NullHandler())


class MapClosedError(Exception):
    """A write to a map that is closed, or a wait that its close ended."""


class Message(Protocol):
    """What a subscription gets."""

    @property
    def data(self) -> str: ...  # noqa: D102 - the text that was published


class Subscription(Protocol):
    """The messages of one channel, in order."""

    def get(self) -> Message | None:
        """Wait for the next message; None once it is closed.

        Raises:
            ConnectionError: the subscription was lost.
        """

    def close(self) -> None:
        """End it, and every wait in `get`."""


class Store(Protocol):
    """The shared store, as one process reaches it; called by many threads at once."""

    def run(self, script: policy.Script, *args: Any) -> Any:
        """Run `script(transaction, *args)` in one step, and return what it returns."""

    def subscribe(self, channel: str) -> Subscription:
        """Return the messages of a channel from now on."""


class Changes:
    """What one subscriber has not heard yet: at most one kind, the strongest. Any thread.

    It says that something changed, not what: whoever hears it reads the map again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: Kind | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._is_closed

    def put(self, kind: Kind) -> None:
        """Note a change; never waits for the subscriber."""
        with self._changed:
            self._pending = self._coalesced(self._pending, kind)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Kind | None:
        """Wait for a change, at most `timeout` seconds; None if none came, or at the close."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._is_closed, timeout)
            kind, self._pending = self._pending, None
            return kind

    def close(self) -> None:
        """End every wait; what is pending can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @staticmethod
    def _coalesced(pending: Kind | None, kind: Kind) -> Kind:
        # A reset must not hide behind an unread change: some stop at a reset.
        return kind if pending is None else max(pending, kind)


class Waiter:
    """One call that waits for a revision. One thread waits, one settles it."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._error: Exception | None = None

    def settle(self, error: Exception | None = None) -> None:
        """Let the call go on, or fail."""
        self._error = error
        self._settled.set()

    def wait(self) -> None:
        """Wait until it is settled; raise its error if it has one."""
        self._settled.wait()
        if self._error is not None:
            raise self._error


class ReplicatedMap:
    """A copy of one map of the store, and the way to write to it. Any thread.

    The owner must call `close`; `with` does. Reads go on after that, with the last copy.
    """

    # invariant: content is what the store had at `revision`, which never falls
    # invariant: nobody waits for a revision at or below `revision`, nor on a closed map

    def __init__(
        self,
        name: str,
        store: Store,
        *,
        owner: str = "",
        reconnect: tuple[float, float] = (policy.RECONNECT_MIN, policy.RECONNECT_MAX),
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Join a map: subscribe first, read then, so that nothing falls in between.

        Args:
            name: the name of the map, the same for all who share it.
            store: where it is kept.
            owner: whose copy it is, for the name of the thread.
            reconnect: shortest and longest pause before a lost subscription is made again; seconds.
            uniform: draws the pause, `uniform(low, high)`.

        Raises:
            ValueError: the name cannot be one.
            ConnectionError: the store cannot be reached.
        """
        self._name = policy.checked_name(name)
        self._store = store
        self._reconnect_span = reconnect
        self._uniform = uniform
        self._lock = threading.Lock()
        self._content: dict[str, str] = {}
        self._revision = 0
        self._is_closed = False
        self._subscribers: list[Changes] = []
        self._waiters: dict[int, Waiter] = {}
        self._closing = Scope()
        self._stopped = threading.Event()
        self._subscription = store.subscribe(policy.channel_of(name))
        self._read_again()
        stem = f"{owner}/" if owner else ""
        threading.Thread(target=self._follow, name=f"{stem}map:{name}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- reading ----------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The revision of the copy."""
        return self._revision

    @property
    def waiting(self) -> int:
        """How many calls wait for the copy to follow."""
        return len(self._waiters)

    def get(self, key: str) -> str | None:
        """Return a value, None if there is none."""
        with self._lock:
            return self._content.get(key)

    def get_list(self, key: str) -> list[str]:
        """Return the items of a list, none if there is no such key."""
        return policy.items_of(self.get(key))

    def keys(self) -> list[str]:
        """Return the keys."""
        with self._lock:
            return list(self._content)

    def content(self) -> dict[str, str]:
        """Return a copy of the whole map."""
        return self.at()[1]

    def at(self) -> tuple[int, dict[str, str]]:
        """Return the revision and the content that the map has at it."""
        with self._lock:
            return self._revision, dict(self._content)

    # --- writing ----------------------------------------------------------------------------------

    def set(self, key: str, value: str) -> str:
        """Set a value; return the one before, or "". The copy follows later.

        Raises:
            ValueError: the key cannot be one.
            MapClosedError: the map is closed.
            ConnectionError: the store was not reached, or its reply was lost: it may have happened.
        """
        before: str = self._write(policy.put, policy.checked_key(key), value)[0]
        return before

    def set_and_wait(self, key: str, value: str, *, cancel: Scope | None = None) -> str:
        """Set a value and wait until the copy has it, or what came later; return the one before.

        Args:
            key: the key.
            value: the value.
            cancel: ends the wait; the write stays.

        Raises:
            concurrent.futures.CancelledError: `cancel` was set first.
            MapClosedError: the map was closed first.
        """
        if cancel is not None and cancel.is_set():
            raise CancelledError(f"set_and_wait({key!r}) was cancelled before it began")
        before: str
        before, revision = self._write(policy.put, policy.checked_key(key), value)
        waiter = self._wait_for(revision)
        if waiter is not None:
            self._await(waiter, revision, cancel)
        return before

    def set_if_not_exists(self, key: str, value: str) -> bool:
        """Set a value if there is none in the store; tell whether it was set."""
        was_set: bool = self._write(policy.put_if_absent, policy.checked_key(key), value)[0]
        return was_set

    def test_and_set(self, key: str, test: str, value: str) -> str:
        """Set a value if it is `test` in the store; return the one before, or ""."""
        before: str = self._write(policy.put_if_equal, policy.checked_key(key), test, value)[0]
        return before

    def delete(self, key: str) -> str:
        """Delete a key; return its value, or ""."""
        before: str = self._write(policy.remove, key)[0]
        return before

    def test_and_delete(self, key: str, test: str) -> str:
        """Delete a key if its value is `test` in the store; return the value before, or ""."""
        before: str = self._write(policy.remove_if_equal, key, test)[0]
        return before

    def append(self, key: str, *items: str) -> list[str]:
        """Add items to a list; return it."""
        found: list[str] = self._write(policy.append, policy.checked_key(key), items)[0]
        return found

    def append_unique(self, key: str, *items: str) -> list[str]:
        """Add the items that a list does not have; return it."""
        found: list[str] = self._write(policy.append_unique, policy.checked_key(key), items)[0]
        return found

    def remove_values(self, key: str, *items: str) -> tuple[list[str], bool]:
        """Take items off a list; return what remains, and whether any was there."""
        found: tuple[list[str], bool] = self._write(policy.remove_values, key, items)[0]
        return found

    def inc(self, key: str, amount: int = 1) -> int:
        """Add to a number, 0 if there is none; return the sum."""
        total: int = self._write(policy.increment, policy.checked_key(key), amount)[0]
        return total

    def reset(self) -> None:
        """Delete every key; allowed on a closed map, too, for who cleans up."""
        self._store.run(policy.reset, self._name)

    def test_and_reset(self, key: str, test: str) -> bool:
        """Delete every key if a value is `test` in the store; tell whether it was."""
        was_reset: bool = self._write(policy.reset_if_equal, key, test)[0]
        return was_reset

    # --- following --------------------------------------------------------------------------------

    def subscribe(self) -> Changes:
        """Return what tells of changes from now on; end it with `unsubscribe`.

        Raises:
            MapClosedError: the map is closed.
        """
        changes = self._make_changes()
        with self._lock:
            self._refuse_if_closed()
            self._subscribers.append(changes)
        return changes

    def unsubscribe(self, changes: Changes) -> None:
        """Close a subscription; a second time, or after the map's close, does nothing."""
        with self._lock:
            if changes in self._subscribers:
                self._subscribers.remove(changes)
        changes.close()

    def close(self) -> None:
        """Stop to follow, end every wait, close every subscription; a later call does nothing.

        Whoever comes second waits for the first, so that nothing is left when either returns.
        """
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            subscription = self._subscription
            subscribers, self._subscribers = self._subscribers, []
            waiters, self._waiters = self._waiters, {}
        if not was_closed:
            self._closing.cancel()
            subscription.close()
            for changes in subscribers:
                changes.close()
            for revision, waiter in waiters.items():
                waiter.settle(MapClosedError(f"{self._name!r} was closed before {revision} came"))
        self._stopped.wait()

    # --- inside: writing --------------------------------------------------------------------------

    def _write(self, script: policy.Script, *args: Any) -> Any:
        with self._lock:
            self._refuse_if_closed()
        return self._commit(script, *args)

    def _commit(self, script: policy.Script, *args: Any) -> Any:
        return self._store.run(script, self._name, *args)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise MapClosedError(f"map {self._name!r} is closed")

    def _wait_for(self, revision: int) -> Waiter | None:
        """Register a wait; None if the copy is there already.

        The revision is known only after the write, and the copy may have been faster.
        """
        with self._lock:
            self._refuse_if_closed()
            if self._revision >= revision:
                return None
            waiter = self._waiters[revision] = Waiter()
            return waiter

    def _await(self, waiter: Waiter, revision: int, cancel: Scope | None) -> None:
        if cancel is None:
            waiter.wait()
            return
        error = CancelledError(f"the wait for revision {revision} was cancelled")
        take_back = cancel.on_set(partial(self._settle, revision, error))
        try:
            waiter.wait()
        finally:
            take_back()

    def _settle(self, revision: int, error: Exception) -> None:
        # Whoever takes it out settles it: the apply thread, a cancellation, or the close.
        with self._lock:
            waiter = self._waiters.pop(revision, None)
        if waiter is not None:
            waiter.settle(error)

    def _make_changes(self) -> Changes:
        return Changes()

    # --- inside: the apply thread -----------------------------------------------------------------

    def _follow(self) -> None:
        try:
            while self._step():
                pass
        finally:
            # On every way out: whoever closes waits for it.
            self._stopped.set()

    def _step(self) -> bool:
        """Take one message; tell whether there may be more."""
        try:
            message = self._subscription.get()
            if message is not None:
                self._receive(message.data)
            return message is not None
        except ConnectionError:
            logger.warning("map %s: subscription lost", self._name)
            return self._reconnect()

    def _receive(self, data: str) -> None:
        update = policy.decode(data)
        if update is None:
            logger.error("map %s: not an update: %r", self._name, data)
            return
        if self._has_gap(update):
            # Something was overtaken or lost on its way.
            self._read_again()
            return
        with self._lock:
            if not self._is_news(update):
                return
            self._apply(update)
            waiters = self._take_waiters()
            subscribers = list(self._subscribers)
        self._notify(subscribers, update.kind)
        self._release(waiters, update)

    def _has_gap(self, update: Update) -> bool:
        return update.revision > self._revision + 1

    def _is_news(self, update: Update) -> bool:
        return update.revision > self._revision and not self._is_closed

    def _apply(self, update: Update) -> None:
        policy.apply(self._content, update)
        self._revision = update.revision

    def _take_waiters(self) -> list[Waiter]:
        """Take out who waits for what the copy has: any revision up to its own."""
        due = [revision for revision in self._waiters if revision <= self._revision]
        return [self._waiters.pop(revision) for revision in due]

    def _notify(self, subscribers: Sequence[Changes], kind: Kind) -> None:
        for changes in subscribers:
            changes.put(kind)

    def _release(self, waiters: Sequence[Waiter], update: Update | None) -> None:
        """Let calls go on; `update` is what the copy has just applied, None if it was read."""
        for waiter in waiters:
            waiter.settle()

    # --- inside: after a loss ---------------------------------------------------------------------

    def _reconnect(self) -> bool:
        """Subscribe again, for as long as it takes; False if the map is closed meanwhile."""
        while self._pause(self._uniform(*self._reconnect_span)):
            try:
                subscription = self._store.subscribe(policy.channel_of(self._name))
                if not self._adopt(subscription):
                    return False
                self._catch_up()
            except ConnectionError:
                logger.warning("map %s: still no connection", self._name)
            else:
                logger.info("map %s: reconnected", self._name)
                return True
        return False

    def _pause(self, seconds: float) -> bool:
        """Wait before an attempt; False if the map is closed meanwhile."""
        return not self._closing.wait(seconds)

    def _catch_up(self) -> None:
        """Learn what was written while nobody listened."""
        self._read_again()

    def _adopt(self, subscription: Subscription) -> bool:
        """Follow a new subscription; one that comes after the close is closed at once."""
        with self._lock:
            old, self._subscription = self._subscription, subscription
            is_late = self._is_closed
        old.close()
        if is_late:
            subscription.close()
        return not is_late

    def _read_again(self) -> None:
        """Read the whole map; what is under way and older than that is ignored when it comes."""
        now: policy.Snapshot = self._store.run(policy.read, self._name)
        with self._lock:
            kind = policy.strongest_kind(self._content, self._revision, now)
            if kind is None or self._is_closed:
                return
            self._content, self._revision = dict(now.content), now.revision
            waiters = self._take_waiters()
            subscribers = list(self._subscribers)
        self._notify(subscribers, kind)
        self._release(waiters, None)
