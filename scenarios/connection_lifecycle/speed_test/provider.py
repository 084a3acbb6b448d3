"""Providers for the storms: they count who is connected, and remember when each client closed.

A client brings one megabyte per second for each of its connections, and nothing once it is dead:
then a test "succeeds" at 0 MB/s, as it does where segments that failed are only counted.
"""

import asyncio
from itertools import count

from harness import AsyncSimulation, Simulation
from scenarios.connection_lifecycle.scope import Scope

from .policy import MEGABYTE, Provider


class Exchange:
    """All the providers that can be dialled, and the clients that were. Any thread."""

    def __init__(self, sim: Simulation, *, dial: float = 0.100, test: float = 0.400) -> None:
        """Have a dial take `dial` seconds and a test `test`."""
        self.dials = sim.pool("dials", latency=dial)
        self.tests = sim.pool("tests", latency=test)
        self.clients = sim.in_flight("open clients")
        self.slots = sim.in_flight("slots")
        self.closes: list[tuple[int, float]] = []
        self.now = sim.now
        self._numbers = count()

    def build(self, provider: Provider, scope: Scope) -> "Client":
        """Dial a client that dies with `scope`."""
        self.dials.call(provider.id, cancel=scope)
        return Client(self, provider, scope, next(self._numbers))

    def measure(self, client: "Client", scope: Scope) -> dict[str, float]:
        """Return the speed of every provider that was heard of, the client's own last."""
        return client.measure(scope)

    @property
    def closed_at(self) -> list[float]:
        """When each close began, in order."""
        return [at for _, at in self.closes]

    @property
    def is_balanced(self) -> bool:
        """Whether each client was closed, and once."""
        return sorted(number for number, _ in self.closes) == list(range(self.clients.total))


class Client:
    """A connection to one provider. Any thread."""

    def __init__(self, exchange: Exchange, provider: Provider, scope: Scope, number: int) -> None:
        """Occupy a slot for each connection."""
        self.exchange = exchange
        self.provider = provider
        self.scope = scope
        self.number = number
        self.is_open = True
        exchange.clients.enter()
        for _ in range(provider.account.connections):
            exchange.slots.enter()

    def measure(self, scope: Scope) -> dict[str, float]:
        """Test all connections at once; dead ones bring nothing."""
        self.exchange.tests.call(self.provider.id, cancel=scope)
        is_alive = self.is_open and not self.scope.is_set()
        own = MEGABYTE * self.provider.account.connections * is_alive
        return {"elsewhere": 99.0 * MEGABYTE, self.provider.id: own}

    def close(self) -> None:
        """Give the slots back; what is closed twice is remembered twice."""
        self.exchange.closes.append((self.number, self.exchange.now()))
        if self.is_open:
            self.is_open = False
            self.exchange.clients.leave()
            for _ in range(self.provider.account.connections):
                self.exchange.slots.leave()


class AsyncExchange:
    """The twin of `Exchange` for one loop."""

    def __init__(self, sim: AsyncSimulation, *, dial: float = 0.100, test: float = 0.400) -> None:
        """Have a dial take `dial` seconds and a test `test`."""
        self.dials = sim.pool("dials", latency=dial)
        self.tests = sim.pool("tests", latency=test)
        self.clients = sim.in_flight("open clients")
        self.slots = sim.in_flight("slots")
        self.closes: list[tuple[int, float]] = []
        self.now = sim.now

    async def build(self, provider: Provider) -> "AsyncClient":
        """Dial a client."""
        await self.dials.call(provider.id)
        return AsyncClient(self, provider, self.clients.total)

    async def measure(self, client: "AsyncClient") -> dict[str, float]:
        """Return the speed of every provider that was heard of, the client's own last."""
        return await client.measure()

    @property
    def closed_at(self) -> list[float]:
        """When each close began, in order."""
        return [at for _, at in self.closes]

    @property
    def is_balanced(self) -> bool:
        """Whether each client was closed, and once."""
        return sorted(number for number, _ in self.closes) == list(range(self.clients.total))


class AsyncClient:
    """A connection to one provider. One loop."""

    def __init__(self, exchange: AsyncExchange, provider: Provider, number: int) -> None:
        """Occupy a slot for each connection."""
        self.exchange = exchange
        self.provider = provider
        self.number = number
        self.is_open = True
        self.is_alive = True
        exchange.clients.enter()
        for _ in range(provider.account.connections):
            exchange.slots.enter()

    def drop(self) -> None:
        """Lose every connection without a word, as where the tasks end that keep them alive."""
        self.is_alive = False

    async def measure(self) -> dict[str, float]:
        """Test all connections at once; dead ones bring nothing."""
        await self.exchange.tests.call(self.provider.id)
        is_alive = self.is_open and self.is_alive
        own = MEGABYTE * self.provider.account.connections * is_alive
        return {"elsewhere": 99.0 * MEGABYTE, self.provider.id: own}

    async def close(self) -> None:
        """Say goodbye, then give the slots back; what is closed twice is remembered twice."""
        self.exchange.closes.append((self.number, self.exchange.now()))
        # The farewell on the wire: whoever is cancelled here has closed nothing.
        await asyncio.sleep(0)
        if self.is_open:
            self.is_open = False
            self.exchange.clients.leave()
            for _ in range(self.provider.account.connections):
                self.exchange.slots.leave()
