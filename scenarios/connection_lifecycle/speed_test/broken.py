"""Coordinators of speed tests that are each wrong in one way.

Rows T… of the component's table; S8… are the defects of the original as it was merged, C… other
bugs of its history. Two of its defects have no variant. A provider whose client is None crashed the
stale drop: a Python factory that fails raises, and what it raises is the answer. A client closed
under its user by the *stale drop* needs two tests of one key at once, which is row T1.

Not here for asyncio: T0, T2 and T5, since key, freshness and expiry are the same functions of the
same policy; S8a, S8e, S8f and S8g, whose pool in use is looked up and read in the same lines.
"""

import asyncio
import threading
import time
from collections.abc import Mapping

from scenarios.connection_lifecycle.scope import Scope

from .aio import AsyncEntry, AsyncFlight, AsyncSpeedTests
from .policy import Provider
from .provider import AsyncClient, Client
from .reference import Entry, Flight, SpeedTests


class FreshClientEach(SpeedTests[Client]):
    """T0: dials a client for each request and closes it at the end.

    Bug: five who ask at once cost five dials and five times the slots; no interleaving is needed.
    Seen in: altmount before its storm S8: N requests, N times MaxConnections slots.
    Caught by: five_ask_and_one_is_dialled (Calls, MaxInFlight).
    """

    def run(self, provider: Provider, scope: Scope | None = None) -> float:
        mine = Scope(scope)
        client = self._build(provider, mine)
        try:
            return self._pick(self._measure(client, mine), provider)
        finally:
            client.close()


class NoSingleFlight(SpeedTests[Client]):
    """T1: shares clients, but not tests.

    Bug: five miss the empty cache together, dial five times, and test five times over one client.
    Seen in: no issue that we know of; altmount's own storm test counts no builds and lets it pass.
    Caught by: five_ask_and_one_is_dialled (Calls, MaxInFlight).
    """

    def _current(self, key: str) -> Flight | None:
        return None


class KeyByHost(SpeedTests[Client]):
    """T2: takes two accounts with one host for the same provider.

    Keyed by URL it is the same bug: two accounts of one provider have host and port in common.

    Bug: the second account gets the first one's client, and its speed; no interleaving is needed.
    Seen in: Apache Linkis #3521 of September 2022: a connection kept by URL goes to the next user.
    Caught by: accounts_share_nothing (Calls).
    """

    def _key(self, provider: Provider) -> str:
        return provider.account.host


class ConstantKey(SpeedTests[Client]):
    """T2: has one flight and one client for everybody.

    Bug: who asks for another provider gets the answer for the first; no interleaving is needed.
    Seen in: no issue that we know of; the table of altmount's storm S8 names it.
    Caught by: accounts_share_nothing, slow_dial_delays_nobody_else (Calls, MaxInFlight).
    """

    def _key(self, provider: Provider) -> str:
        return ""


class ClientOfTheRequest(SpeedTests[Client]):
    """T3: dials under the scope of the request.

    Bug: the request ends, its scope is cancelled, and the cache hands out a dead client for the
    rest of five minutes: a test that succeeds at 0 MB/s.
    Seen in: altmount as merged in May 2026: the client built under the request's context.
    Caught by: client_outlives_its_request, clients_are_shared_for_five_minutes (Failed).
    """

    def _client_scope(self, flight: Flight) -> Scope:
        return flight.scope


class JanitorNeverStarts(SpeedTests[Client]):
    """T4: never sweeps.

    Bug: a client that nobody asks for again stays connected for ever; no interleaving is needed.
    Seen in: no issue that we know of; the table of altmount's storm S8 names it.
    Caught by: idle_client_goes_at_the_second_tick, sweep_takes_what_has_expired (Failed).
    """

    def _start_janitor(self) -> None:
        pass

    def _stop_janitor(self) -> None:
        pass


class JanitorIsSlow(SpeedTests[Client]):
    """T4: sweeps once in a lifetime of a client.

    Bug: a client that expires at a tick waits for the next one, and so lives twice as long.
    Seen in: no issue that we know of; the table of altmount's storm S8 names it.
    Caught by: idle_client_goes_at_the_second_tick (Failed).
    """

    def _period(self) -> float:
        return self._ttl


class JanitorNeverStops(SpeedTests[Client]):
    """T4: leaves the janitor behind at shutdown.

    Bug: it waits on a clock and not for the end; each coordinator leaves one thread behind.
    Seen in: go-cache #166 of March 2023: the goroutine of `runJanitor` outlives its cache.
    Caught by: five_ask_and_one_is_dialled, shutdown_at_any_moment (LeakBound) and wherever a
    coordinator is shut down.
    """

    def _sweep_on(self) -> None:
        while True:
            time.sleep(self._period())
            self.sweep()

    def _stop_janitor(self) -> None:
        pass


class SlidingTtl(SpeedTests[Client]):
    """T5: counts the five minutes from the last use.

    Bug: a client that is used now and then is never dialled again; no interleaving is needed.
    Seen in: no issue that we know of; the table of altmount's storm S8 names it.
    Caught by: clients_are_shared_for_five_minutes (Calls).
    """

    def _is_fresh(self, entry: Entry[Client]) -> bool:
        is_fresh = super()._is_fresh(entry)
        if is_fresh:
            entry.expiry = time.monotonic() + self._ttl
        return is_fresh


class HitAtTheExpiry(SpeedTests[Client]):
    """T5: hands a client out at the very instant at which it expires.

    Bug: `<=` where `<` is meant; no interleaving is needed.
    Seen in: no issue that we know of; the table of altmount's storm S8 names it.
    Caught by: clients_are_shared_for_five_minutes (Calls).
    """

    def _is_fresh(self, entry: Entry[Client]) -> bool:
        return time.monotonic() <= entry.expiry


class DialsUnderTheLock(SpeedTests[Client]):
    """T6: holds the lock of the cache while it dials.

    Bug: one provider that is slow to answer stops the tests of all; no interleaving is needed.
    Seen in: renterd #464 of June 2023: a transport dials under its lock, and the pool waits for it.
    Caught by: slow_dial_delays_nobody_else (MaxInFlight).
    """

    def _dial(self, flight: Flight) -> Client:
        with self._lock:
            return super()._dial(flight)


class ClosesAgain(SpeedTests[Client]):
    """T9: closes what a shutdown before it has closed.

    Bug: the map is read, and not emptied; the second shutdown goes through it again.
    Seen in: altmount's coalescer of April 2026: close checks, then closes.
    Caught by: shutdown_at_any_moment (Failed).
    """

    def _take_all(self) -> list[Entry[Client]]:
        with self._lock:
            return list(self._entries.values())


class LeaderTakesAllDown(SpeedTests[Client]):
    """T11: has the test end when the one leaves who was first.

    Bug: four wait for the test of the fifth, who goes away: all fail.
    Seen in: altmount to this day; fak #11924 of September 2026: joiners get the cancellation.
    Caught by: leader_leaves_and_the_rest_is_served (Elapsed).
    """

    def _flight_scope(self, scope: Scope | None) -> Scope:
        return Scope(scope, timeout=self._timeout)


class InsertsAfterShutdown(SpeedTests[Client]):
    """T13: dials under a scope of its own, and never asks whether all is over.

    Bug: a test comes just after the shutdown, dials, and caches a client that nobody closes.
    Seen in: altmount as merged in May 2026: a run after shutdown inserts what nobody closes.
    Caught by: shutdown_at_any_moment (Failed).
    """

    def _check_open(self) -> None:
        pass

    def _client_scope(self, flight: Flight) -> Scope:
        return Scope()

    def _flight_scope(self, scope: Scope | None) -> Scope:
        return Scope(timeout=self._timeout)


class LiveByHost(SpeedTests[Client]):
    """S8a: looks for a pool in use by host, where it is kept by host and port.

    Bug: the pool is never found, and every test dials; no interleaving is needed.
    Seen in: altmount until commit a2c23671 of 2026-06-02.
    Caught by: live_pool_is_tested_and_nothing_dialled (Calls).
    """

    def _address(self, provider: Provider) -> str:
        return provider.account.host


class KeyById(SpeedTests[Client]):
    """S8c: goes on with the old client after the account was changed.

    Bug: the key is the id, which stays when the password or the limits change.
    Seen in: altmount as merged; pgroles #87 of April 2026: the pool stays when a password changes.
    Caught by: accounts_share_nothing (Calls).
    """

    def _key(self, provider: Provider) -> str:
        return provider.id


class SweepClosesInUse(SpeedTests[Client]):
    """S8d: closes an expired client in the middle of a test.

    Bug: nothing counts who uses a client, so the sweep pulls it away and the test ends at 0 MB/s.
    Seen in: altmount as merged in May 2026: a test may take as long as a client is kept.
    Caught by: sweep_spares_who_is_in_use (Failed).
    """

    def _retire(self, entry: Entry[Client]) -> None:
        entry.client.close()


class LiveNotShared(SpeedTests[Client]):
    """S8e: shares a test only where it has to dial.

    Bug: five who ask at once test the pool in use five times, beside what it is in use for.
    Seen in: altmount as merged in May 2026.
    Caught by: live_pool_is_tested_and_nothing_dialled (Calls, MaxInFlight).
    """

    def run(self, provider: Provider, scope: Scope | None = None) -> float:
        live = self._live(self._address(provider))
        if live is None:
            return super().run(provider, scope)
        return self._pick(self._measure(live, scope or Scope()), provider)


class DialsAfterAnError(SpeedTests[Client]):
    """S8f: takes any failure of the pool in use for its absence.

    Bug: a provider that is at its limit is dialled once more; no interleaving is needed.
    Seen in: altmount as merged in May 2026: "any error falls through".
    Caught by: error_of_the_live_pool_is_the_answer (Calls).
    """

    def _test(self, flight: Flight) -> float:
        try:
            return super()._test(flight)
        except Exception:
            return self._test_own(flight)


class FirstOfTheResult(SpeedTests[Client]):
    """S8g: takes the first speed of the result for the one that was asked for.

    Bug: a pool of several providers measures them all; no interleaving is needed.
    Seen in: altmount until commit 067e0c74: the first of a map in random order.
    Caught by: live_pool_is_tested_and_nothing_dialled (Failed) and wherever a speed is compared.
    """

    def _pick(self, speeds: Mapping[str, float], provider: Provider) -> float:
        return super()._pick({provider.id: next(iter(speeds.values()))}, provider)


class KeepsAFailure(SpeedTests[Client]):
    """C1: forgets a flight only where it succeeded.

    Bug: one dial fails, and from then on everybody gets its error; no interleaving is needed.
    Seen in: altmount until commit 32880027 of 2026-02-17: an init once, which kept a cancellation.
    Caught by: failed_dial_is_forgotten (Calls).
    """

    def _forget(self, flight: Flight) -> None:
        if flight.error is None:
            super()._forget(flight)


class Serialised(SpeedTests[Client]):
    """One lock round every public method.

    Bug: who asks for the same waits for a test of their own, and a slow dial stops everybody.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: five_ask_and_one_is_dialled (Calls), slow_dial_delays_nobody_else (MaxInFlight).
    """

    def __init__(self, *args: object, **settings: object) -> None:
        self._turn = threading.RLock()
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # passed on as they are

    def run(self, provider: Provider, scope: Scope | None = None) -> float:
        with self._turn:
            return super().run(provider, scope)

    def sweep(self) -> None:
        with self._turn:
            super().sweep()

    def shutdown(self) -> None:
        with self._turn:
            super().shutdown()


# --- asyncio --------------------------------------------------------------------------------------


class AsyncNoSingleFlight(AsyncSpeedTests[AsyncClient]):
    """T1: shares clients, but not tests.

    Bug: five tasks miss the empty cache before the first dial is over; no interleaving is needed.
    Seen in: no issue that we know of; altmount's own storm test counts no builds and lets it pass.
    Caught by: five_tasks_ask_and_one_is_dialled (Calls, MaxInFlight).
    """

    def _current(self, key: str) -> AsyncFlight | None:
        return None


class ClientOfTheTask(AsyncSpeedTests[AsyncClient]):
    """T3: has the connections of a client be tasks of the test that dialled it.

    Bug: the test ends, the tasks of its group are cancelled, and the cache hands out a dead client
    for the rest of five minutes: a test that succeeds at 0 MB/s; no interleaving is needed.
    Seen in: altmount as merged in May 2026: the client built under the request's context.
    Caught by: client_outlives_the_task_of_its_request (Failed).
    """

    async def _dial(self, flight: AsyncFlight) -> AsyncClient:
        client = await super()._dial(flight)
        flight.task.add_done_callback(lambda _task: client.drop())
        return client


class AsyncJanitorNeverStops(AsyncSpeedTests[AsyncClient]):
    """T4: leaves the janitor behind at shutdown.

    Bug: nobody cancels the task, and nobody waits for it.
    Seen in: go-cache #166 of March 2023: the goroutine of `runJanitor` outlives its cache.
    Caught by: shutdown_of_tasks_at_any_moment (LeakBound) and wherever one is shut down.
    """

    async def shutdown(self) -> None:
        self._janitor = self._loop.create_task(asyncio.sleep(0))
        await super().shutdown()


class AsyncDialsUnderTheLock(AsyncSpeedTests[AsyncClient]):
    """T6: has one lock for all dials.

    Bug: one provider that is slow to answer stops the tests of all; no interleaving is needed.
    Seen in: renterd #464 of June 2023: a transport dials under its lock, and the pool waits for it.
    Caught by: slow_dial_delays_no_other_task (MaxInFlight).
    """

    _dialling: asyncio.Lock | None = None

    async def _dial(self, flight: AsyncFlight) -> AsyncClient:
        self._dialling = self._dialling or asyncio.Lock()
        async with self._dialling:
            return await super()._dial(flight)


class AsyncClosesAgain(AsyncSpeedTests[AsyncClient]):
    """T9: closes what a shutdown before it has closed.

    Bug: the map is read, and not emptied; the second shutdown goes through it again.
    Seen in: altmount's coalescer of April 2026: close checks, then closes.
    Caught by: shutdown_of_tasks_at_any_moment (Failed).
    """

    def _take_all(self) -> list[AsyncEntry[AsyncClient]]:
        return list(self._entries.values())


class AwaitsTheSharedTask(AsyncSpeedTests[AsyncClient]):
    """T11: has everybody await the task of the test itself.

    Bug: a caller who is cancelled cancels what it awaits, and with it the test of all others.
    Seen in: notebooklm-py #2091 and ztf-viewer #638 of August 2026, where a shield prevents it.
    Caught by: cancelled_task_takes_nobody_along (Elapsed), shutdown_of_tasks_at_any_moment
    (Failed).
    """

    async def _wait(self, flight: AsyncFlight) -> float:
        await flight.task
        return self._outcome(flight)


class AsyncInsertsAfterShutdown(AsyncSpeedTests[AsyncClient]):
    """T13: never asks whether all is over.

    Bug: a test comes just after the shutdown, dials, and caches a client that nobody closes.
    Seen in: altmount as merged in May 2026: a run after shutdown inserts what nobody closes.
    Caught by: shutdown_of_tasks_at_any_moment (Failed).
    """

    def _is_too_late(self) -> bool:
        return False


class AsyncSweepClosesInUse(AsyncSpeedTests[AsyncClient]):
    """S8d: closes an expired client in the middle of a test.

    Bug: nothing counts who uses a client, so the sweep pulls it away and the test ends at 0 MB/s.
    Seen in: altmount as merged in May 2026: a test may take as long as a client is kept.
    Caught by: sweep_spares_the_client_of_a_task (Failed).
    """

    def _retire(self, entry: AsyncEntry[AsyncClient]) -> None:
        self._close(entry.client)


class EndsInsideTheTask(AsyncSpeedTests[AsyncClient]):
    """C2: says that a test is over in the last lines of its task.

    Bug: a task that is cancelled before its first step runs no line: who waits for it waits on.
    Seen in: no issue that we know of; the first draft of this very coordinator had it.
    Caught by: shutdown_of_tasks_at_any_moment (Deadlock).
    """

    async def _fly(self, flight: AsyncFlight) -> None:
        try:
            await super()._fly(flight)
        finally:
            super()._land(flight, self._loop.create_task(asyncio.sleep(0)))

    def _land(self, flight: AsyncFlight, task: asyncio.Task[None]) -> None:
        pass


class ClosesWhileCancelled(AsyncSpeedTests[AsyncClient]):
    """C3: awaits the farewell of a client in a task that may be being cancelled.

    Bug: the coordinator is shut down while a test lets go of its client: the close ends half-way.
    Seen in: httpcore #1115 of September 2026: a close that is cancelled half-way counts as done.
    Caught by: shutdown_in_mid_close (Failed).
    """

    async def _give_back(self, entry: AsyncEntry[AsyncClient]) -> None:
        entry.users -= 1
        if entry.is_retired and not entry.users:
            await entry.client.close()


class AsyncSerialised(AsyncSpeedTests[AsyncClient]):
    """One lock round every public method.

    Bug: who asks for the same waits for a test of their own, and a slow dial stops everybody.
    Seen in: hickory-dns #923 of November 2019: a lock round all lookups let one go at a time.
    Caught by: five_tasks_ask_and_one_is_dialled (Calls), slow_dial_delays_no_other_task
    (MaxInFlight).
    """

    _turn: asyncio.Lock | None = None

    async def run(self, provider: Provider) -> float:
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            return await super().run(provider)

    async def shutdown(self) -> None:
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            await super().shutdown()
