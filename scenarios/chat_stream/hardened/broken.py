"""Hardened forms that are each wrong in one way.

Rows H…, of our own: the page names the forms, and no table has their bugs.
"""

import asyncio
from dataclasses import replace

from scenarios.chat_stream.messages import Snapshot

from .reference import RememberingMerge, SyncedSubscription


class ForgetsFailure(RememberingMerge):
    """H1: does not remember that a query failed, as the plain merge does not.

    Bug: the cache delivers 6, the query for 5 fails, and later notifications look above 6.
    Seen in: coder's chatd after its fix of May 2026, which only logs the failure.
    Caught by: failed_query_is_made_good (Failed), failed_queries_are_made_good (Exactly).
    """

    def _take_note(self, lookup: int, *, is_read: bool) -> None:
        pass


class PaidByAsking(RememberingMerge):
    """H2: takes a failed query for made good once it has been asked again.

    Bug: the query fails twice in a row, and the third looks where it would have without a failure.
    Seen in: no project that we know of; a debt that is cleared before it is paid.
    Caught by: failed_queries_are_made_good (Exactly).
    """

    def _take_note(self, lookup: int, *, is_read: bool) -> None:
        self._owed = None if is_read or self._owed is not None else lookup


class NeverPolls(SyncedSubscription):
    """H3: trusts that a hint will come.

    Bug: the last hint is lost, and what it spoke of stays unseen.
    Seen in: coder's chatd before its versions, which had nothing but notifications.
    Caught by: lost_hints_are_made_good (Exactly), failed_read_is_made_good (Exactly).
    """

    async def _wait_hint(self) -> bool:
        await self._hint.wait()
        self._hint.clear()
        return True


class TrustsHint(SyncedSubscription):
    """H4: takes the version of the hint for that of what it has read.

    Bug: the read goes to a replica that lags behind; what it lacks counts as known.
    Seen in: no project that we know of; the design that coder chose forbids it by name.
    Caught by: lagging_replica_is_read_again (Exactly).
    """

    def _note_version(self, seen: Snapshot) -> None:
        self._known = replace(seen, version=max(seen.version, self._hinted))


class ReadsInParts(SyncedSubscription):
    """H5: reads history and queue in two transactions.

    Bug: a queued message is promoted between the two, and is in neither or in both.
    Seen in: coder's chatd before its versions: messages, then the queue.
    Caught by: promoted_message_is_in_one_place (Failed).
    """

    async def _read(self) -> Snapshot:
        history = await self._store.snapshot(self._chat, self._after)
        queue = await self._store.snapshot(self._chat, self._after)
        return replace(history, queue=queue.queue)


class Ungated(SyncedSubscription):
    """H6: reads for every hint, without a look at its version.

    Bug: every hint costs a read, the stale ones too; a burst of them is a burst of queries.
    Seen in: no project that we know of; the gate is what makes duplicates free.
    Caught by: stale_hints_cost_no_read (Calls).
    """

    def _is_behind(self) -> bool:
        return True


class Serialised(SyncedSubscription):
    """One lock round every read of every subscriber.

    Bug: none can be told; ten subscribers take ten times as long as one.
    Seen in: coder #22533 of 2026-03-03: a dial inside the loop, and everything stalls.
    Caught by: subscribers_read_side_by_side (MaxInFlight).
    """

    async def _read(self) -> Snapshot:
        turn: asyncio.Lock = self._store.__dict__.setdefault("turn", asyncio.Lock())
        async with turn:
            return await super()._read()
