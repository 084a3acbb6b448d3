"""Budget and importer for asyncio: the same policy, one loop, no lock.

They differ from the threaded ones in who may be cut short: a task that is granted a token may be
cancelled before it runs again, and then the token goes to the next in line.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, Self

from scenarios.connection_lifecycle.reader.reference import FetchError

from . import policy
from .policy import Caps, Retry
from .reference import is_final


class AsyncClient(Protocol):
    """Where articles come from; awaited by many tasks at once."""

    async def call(self, key: str = ..., *, timeout: float | None = ..., lane: str = ...) -> Any:
        """Return the bytes of article `key`.

        Raises:
            TimeoutError: after `timeout` seconds.
            ResponseError: the server has no such article, or refuses.
        """


class AsyncBudget:
    """Tokens, first come, first served, as many as the streams leave; one loop.

    A budget that shrinks takes nothing back: it grants nothing until enough have come in.
    """

    # invariant: while anybody waits there is no room; who is granted has left the queue
    # invariant: held counts every token that is out, whatever the limit was when it was granted

    def __init__(self, caps: Caps) -> None:
        """Make a budget beside which no stream is played yet."""
        self._caps = caps
        self._streams = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._held = 0

    @property
    def held(self) -> int:
        """Tokens that are out."""
        return self._held

    @property
    def waiting(self) -> int:
        """Tasks that wait for one."""
        return len(self._waiting)

    async def acquire(self) -> "AsyncToken":
        """Take a token, or wait for one."""
        grant: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(grant)
        try:
            await grant
        except BaseException:
            self._withdraw(grant)
            raise
        return AsyncToken(self)

    def release(self, token: "AsyncToken") -> None:
        """Take a token back, once; `AsyncToken.release` calls this."""
        if self._is_out(token):
            token.is_out = False
            self._take_back()

    def configure(self, caps: Caps) -> None:
        """Have other caps from now on; whoever fits under them is let in at once."""
        self._caps = caps
        self._admit()

    def set_streams(self, active: int) -> None:
        """Have so many streams beside; whoever fits is let in at once."""
        self._streams = active
        self._admit()

    def _enqueue(self, grant: "asyncio.Future[None]") -> None:
        self._waiting.append(grant)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            self._grant(self._next())

    def _next(self) -> "asyncio.Future[None]":
        return self._waiting.popleft()

    def _grant(self, grant: "asyncio.Future[None]") -> None:
        # A future that was cancelled is still in the queue until its task runs; its grant is taken
        # back then.
        self._held += 1
        if not grant.done():
            grant.set_result(None)

    def _has_room(self) -> bool:
        return policy.has_room(self._held, self._limit())

    def _limit(self) -> int:
        return self._caps.limit(self._streams)

    def _is_out(self, token: "AsyncToken") -> bool:
        return token.is_out

    def _take_back(self) -> None:
        self._held -= 1
        self._admit()

    def _withdraw(self, grant: "asyncio.Future[None]") -> None:
        if grant in self._waiting:
            self._waiting.remove(grant)
        else:
            # Granted and cancelled at once: the token goes on to the next in line.
            self._take_back()


class AsyncToken:
    """The right to do one thing at a time; `with` gives it back, and so does `release`, once."""

    def __init__(self, budget: AsyncBudget) -> None:
        """Hold a token of a budget."""
        self.is_out = True
        self._budget = budget

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the token back; later calls do nothing."""
        self._budget.release(self)


class AsyncImporter:
    """Fetches the first segments of files, many at once; one loop."""

    # invariant: a file's token is held from before its first attempt until after its last

    def __init__(
        self,
        get_client: Callable[[], AsyncClient],
        *,
        connections: int = policy.IMPORT_CONNECTIONS,
        budget: AsyncBudget | None = None,
        retry: Retry = Retry(),  # noqa: B008 - frozen, so that sharing it is safe
    ) -> None:
        """Make an importer; the arguments are those of the threaded one."""
        self._get_client = get_client
        self._connections = connections
        self._budget = budget
        self._retry = retry

    async def first_segments(self, ids: Sequence[str]) -> list[bytes | Exception]:
        """Fetch the first segment of each file; return it or why there is none, in order."""
        results: list[bytes | Exception] = [LookupError("not fetched")] * len(ids)
        jobs = iter(list(enumerate(ids)))
        async with asyncio.TaskGroup() as group:
            for _ in range(policy.workers(len(ids), self._connections)):
                group.create_task(self._work(jobs, results), name="import")
        return results

    async def _work(
        self, jobs: Iterator[tuple[int, str]], results: list[bytes | Exception]
    ) -> None:
        for index, each in jobs:
            asked = asyncio.get_running_loop().time()
            try:
                with await self._turn():
                    results[index] = await self._fetch(each, asked)
            except Exception as exc:
                # The others are fetched all the same.
                results[index] = exc

    async def _turn(self) -> AbstractContextManager[object]:
        return nullcontext() if self._budget is None else await self._budget.acquire()

    async def _fetch(self, id: str, asked: float) -> bytes:
        errors: list[Exception] = []
        while True:
            try:
                data: bytes = await self._get_client().call(
                    id, timeout=self._attempt_timeout(asked), lane=policy.IMPORT_LANE
                )
                return data
            except Exception as exc:
                errors.append(exc)
            if is_final(errors[-1]) or len(errors) >= self._retry.attempts:
                raise FetchError(f"{id} could not be fetched", errors)
            await asyncio.sleep(self._retry.pause_after(len(errors)))

    def _attempt_timeout(self, asked: float) -> float:
        # From now on, not from when the token was asked for: who waits for a turn is not slow.
        return self._retry.attempt_timeout


__all__ = ["AsyncBudget", "AsyncClient", "AsyncImporter", "AsyncToken"]
