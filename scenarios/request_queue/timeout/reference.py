"""A handler with a time limit.

    caller ──starts──▶ handler thread ── writes ──▶ Answer ──▶ wire
      │ waits                                         ▲ one lock: a write, or the end of writing
      ├ the handler has ended ──▶ its error is raised │
      ├ ten seconds ──────────────────────────────────┤ retry page, if nothing was written
      └ the client has left ──────────────────────────┘ nothing

A handler that is late is told so by its scope and by its next write, and abandoned: a thread cannot
be ended from outside. So as many threads may be left as there are handlers that do not listen.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from . import policy

logger = logging.getLogger(__name__)
# Whoever uses the reference decides who hears it.
logger.addHandler(logging.NullHandler())


class Cancellation(Protocol):
    """Whether somebody still wants what is asked for. Any thread."""

    def is_set(self) -> bool:
        """Say whether nobody does."""

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when nobody does any more, at once if so already; return the undoing."""


class Wire(Protocol):
    """The way to the client; one thread at a time."""

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer."""

    def write(self, data: bytes) -> None:
        """Send a piece of its body."""


class TooLate(Exception):
    """A write after the end of the answer."""


Handler = Callable[["Answer", "Deadline"], None]


class TimeLimit:
    """Calls a handler, for ten seconds at most. Any thread."""

    def __init__(
        self,
        handler: Handler,
        *,
        limit: float = policy.LIMIT,
        record: Callable[[BaseException], None] | None = None,
        answer: "type[Answer] | None" = None,
    ) -> None:
        """Put a limit on `handler`.

        Args:
            handler: called with the answer that it writes and the scope that it heeds.
            limit: seconds that a client waits.
            record: is told the error of a handler that nobody waits for any more; by default it is
                only logged.
            answer: what guards the way to the client; None for `Answer`.
        """
        self._handler = handler
        self._limit = limit
        self._record = record
        self._answer = Answer if answer is None else answer

    def __call__(self, wire: Wire, client: Cancellation | None = None) -> None:
        """Serve one request.

        Args:
            wire: where the answer goes; nothing goes there after the return.
            client: set when the client leaves; None where nobody notices.

        Raises:
            BaseException: what the handler raised in time.
        """
        answer = self._answer(wire)
        work = Work()
        undo = client.on_set(work.bell.set) if client is not None else None
        try:
            self._start(answer, work)
            self._wait(work)
        finally:
            if undo is not None:
                undo()
        self._end(answer, work, client)

    def _start(self, answer: "Answer", work: "Work") -> None:
        thread = threading.Thread(
            target=self._work, args=(answer, work), name="handler", daemon=True
        )
        thread.start()

    def _work(self, answer: "Answer", work: "Work") -> None:
        try:
            self._handler(answer, work.deadline)
            answer.finish()
        except BaseException as exc:
            if not work.fail(exc):
                self._note(exc)
        work.end()

    def _wait(self, work: "Work") -> None:
        work.bell.wait(self._limit)

    def _end(self, answer: "Answer", work: "Work", client: Cancellation | None) -> None:
        """Close the answer in whatever state it is, and raise what the handler raised in time."""
        has_left = client is not None and client.is_set()
        error = work.abandon()
        if error is not None:
            answer.close(None)
            raise error
        answer.close(self._page(has_left=has_left))
        work.deadline.set()

    def _page(self, *, has_left: bool) -> bytes | None:
        return None if has_left else policy.PAGE

    def _note(self, exc: BaseException) -> None:
        """Say what a handler raised whom nobody waits for; that it was too late is no news."""
        if isinstance(exc, TooLate):
            return
        if self._record is not None:
            self._record(exc)
        logger.error("a handler failed after its time", exc_info=exc)


class Deadline:
    """A one-way switch: whoever works for the answer may stop. Any thread."""

    # invariant: once set, no callback is kept

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._callbacks: dict[object, Callable[[], None]] = {}

    def is_set(self) -> bool:
        """Say whether the time is over."""
        return self._is_set

    def set(self) -> None:
        """Say that it is, and call whoever asked for that, with no lock held."""
        with self._lock:
            self._is_set = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the time is over, at once if it is; return the undoing."""
        key = object()
        with self._lock:
            is_late = self._is_set
            if not is_late:
                self._callbacks[key] = callback
        if is_late:
            callback()
        return lambda: self._forget(key)

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class Work:
    """What a caller and its handler know of each other. Any thread."""

    # invariant: an error is either handed to abandon() or refused by fail(), never both or neither

    def __init__(self) -> None:
        self.bell = threading.Event()
        self.deadline = Deadline()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._is_abandoned = False

    def fail(self, exc: BaseException) -> bool:
        """Keep an error for the caller; False if nobody waits for it any more."""
        with self._lock:
            if self._is_abandoned:
                return False
            self._error = exc
            return True

    def end(self) -> None:
        """Ring for the caller: the handler has ended."""
        self.bell.set()

    def abandon(self) -> BaseException | None:
        """Wait no longer; return what the handler has raised until now."""
        with self._lock:
            self._is_abandoned = True
            return self._error


class Answer:
    """The guarded way to the client: nothing passes after its end. Any thread.

    `headers` are the handler's own until its first write, and nobody else's.
    """

    # invariant: the wire is used under _lock only, and not at all once _is_closed

    def __init__(self, wire: Wire) -> None:
        self.headers: dict[str, str] = {}
        self._wire = wire
        self._lock = threading.Lock()
        self._is_started = False
        self._is_closed = False

    def write(self, data: bytes) -> None:
        """Send a piece of the body, behind status 200 and the headers if it is the first.

        Raises:
            TooLate: the answer is at its end.
        """
        with self._lock:
            self._check()
            self._begin()
            self._wire.write(data)

    def finish(self) -> None:
        """End the answer; one without a body has headers at least."""
        with self._lock:
            self._check()
            self._begin()
            self._is_closed = True

    def close(self, page: bytes | None) -> None:
        """Let nothing pass any more, but for `page` if nothing has."""
        with self._lock:
            is_untouched = not self._is_started and not self._is_closed
            self._is_closed = True
            if page is not None and is_untouched:
                self._send(page)

    def _check(self) -> None:
        if self._is_closed:
            raise TooLate

    def _begin(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._wire.start(200, dict(self.headers))

    def _send(self, page: bytes) -> None:
        self._wire.start(policy.PAGE_STATUS, self._page_headers())
        self._wire.write(page)

    def _page_headers(self) -> dict[str, str]:
        return dict(policy.PAGE_HEADERS)
