"""Time limits that are each wrong in one way.

Rows W…: what was wrong with njump's wrapper of commit 863f35c, and what could be.
"""

import threading
from typing import Any

from . import policy
from .reference import Answer, Cancellation, TimeLimit, TooLate, Wire, Work


class WritesThePageUnlocked(Answer):
    """W1: looks under the lock whether anything was written, and writes the page without it.

    Bug: the handler's first write comes just then: the client gets the page and the answer in one.
    Seen in: njump, commit 863f35c of 2026-01-02, mended by 98b9d89 of 2026-06-15.
    Caught by: answer_may_come_at_the_deadline (Failed, MaxInFlight).
    """

    def close(self, page: bytes | None) -> None:
        with self._lock:
            is_untouched = not self._is_started and not self._is_closed
        if page is not None and is_untouched:
            self._send(page)
        super().close(None)


class SharesTheHeaders(Answer):
    """W2: sends the page with the headers that the handler has set for its own answer.

    Bug: the page goes out with the length of another; no interleaving is needed.
    Seen in: njump, commits 863f35c and 98b9d89: the headers are a shared map.
    Caught by: page_has_headers_of_its_own (Failed).
    """

    def _page_headers(self) -> dict[str, str]:
        self.headers.update(policy.PAGE_HEADERS)
        return dict(self.headers)


class ParksTheError(TimeLimit):
    """W3: keeps the error of a handler that nobody waits for.

    Bug: it lies in a queue of one that nobody reads: a handler that fails late fails unseen.
    Seen in: njump, commit 863f35c of 2026-01-02: a panic is sent to a channel of one.
    Caught by: late_error_is_recorded, error_is_told_exactly_once (Failed).
    """

    def _note(self, exc: BaseException) -> None:
        pass


class TellsNobody(TimeLimit):
    """W4: abandons a handler without telling it.

    Bug: it works on for a client that has its page; under load there are ever more of them.
    Seen in: njump, commit 1b30485 of 2025-07-27: on cancellation the handler still runs and writes.
    Caught by: late_handler_ends (LeakBound).
    """

    def _end(self, answer: Answer, work: Work, client: Cancellation | None) -> None:
        work.deadline.set = lambda: None  # type: ignore[method-assign]  # nobody is told
        super()._end(answer, work, client)


class AnswersWhoHasLeft(TimeLimit):
    """W5: sends the page to a client that has left.

    Bug: a write to a connection that is closed fails in the caller; no interleaving is needed.
    Seen in: no issue that we know of.
    Caught by: client_may_leave (Failed).
    """

    def _page(self, *, has_left: bool) -> bytes | None:
        return policy.PAGE


class SendsThePageAlways(Answer):
    """W6: sends the page even if the answer has begun.

    Bug: the client has half a page and then the whole of another; no interleaving is needed.
    Seen in: no issue that we know of; njump remembers whether anything was written.
    Caught by: half_an_answer_is_cut (Failed).
    """

    def close(self, page: bytes | None) -> None:
        with self._lock:
            is_open, self._is_closed = not self._is_closed, True
            if page is not None and is_open:
                self._send(page)


class LosesTheError(TimeLimit):
    """W7: does not hand the handler's error to its caller.

    Bug: the error ends the handler's thread where nobody recovers from it, and the client is told
    that all is well; in Go the process ends. No interleaving is needed.
    Seen in: njump, commit 1b30485 of 2025-07-27: the handler runs in a goroutine of its own.
    Caught by: error_is_raised_in_the_caller (Failed).
    """

    def _end(self, answer: Answer, work: Work, client: Cancellation | None) -> None:
        work.abandon()
        answer.close(self._page(has_left=client is not None and client.is_set()))
        work.deadline.set()


class DropsWithoutAWord(Answer):
    """W8: drops late writes and says nothing.

    Bug: a handler that only writes never learns that nobody listens; no interleaving is needed.
    Seen in: no issue that we know of; njump's writer returns an error.
    Caught by: writer_without_end_ends (LeakBound).
    """

    def write(self, data: bytes) -> None:
        try:
            super().write(data)
        except TooLate:
            pass


class WaitsForTheHandler(TimeLimit):
    """W9: sets a limit and does not look at it.

    Bug: the limit is handed on to the handler only, and one that does not heed it holds the client.
    Seen in: njump, commit 1b30485 of 2025-07-27: its 30 s are never selected on.
    Caught by: late_handler_ends (Elapsed), deaf_handlers_are_abandoned (Elapsed).
    """

    def _wait(self, work: Work) -> None:
        work.bell.wait()


class Serialised(TimeLimit):
    """One lock round every public method.

    Bug: each client waits for those before it, who may take ten seconds each.
    Seen in: njump, commit a252707 of 2024-09-26: it slept while it held its lock.
    Caught by: handlers_work_side_by_side (Elapsed, MaxInFlight).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turnstile = threading.Lock()

    def __call__(self, wire: Wire, client: Cancellation | None = None) -> None:
        with self._turnstile:
            super().__call__(wire, client)
