"""Every interleaving of two publishers and one merge: a model whose schedules can be counted.

    publisher A: cache 5 · notify 4 · cache 6 · notify 5
    publisher B: cache 7 · notify 6
    merge:       takes a notification whenever one is there; all up to 4 has been delivered

One scheduling point for each step, so `--strategy all` makes 136 runs where notifications keep
their order, and 336 where any of them may be the next. The merge is the reference itself; there is
no time, no latency and no bus in the way.
"""

import asyncio
from collections.abc import Sequence

from harness import AsyncSimulation, Exactly, scenario
from scenarios.chat_stream.messages import Message, Notify

from .broken import LookupFromLast, NothingDelivered, PreFix
from .merge import DurableCache, Merge

PUBLISHERS = ((5, 6), (7,))
EXPECTED = [5, 6, 7]
ROWS = tuple(Message(number) for number in EXPECTED)


class Model:
    """The merge, its cache and the notifications that are on their way. One loop."""

    def __init__(
        self, sim: AsyncSimulation, cls: type[Merge], *, in_order: bool, rows: Sequence[Message]
    ) -> None:
        """Make one in which all up to 4 has been delivered.

        Args:
            sim: has a point at each step.
            cls: the merge.
            in_order: notifications arrive as they were sent.
            rows: what the database has committed.
        """
        self.sim = sim
        self.merge = cls(0, [4])
        self.in_order = in_order
        self.rows = rows
        self.cache = DurableCache()
        self.pending: list[Notify] = []
        self.arrived = asyncio.Event()
        self.emitted: list[int] = []

    async def publish(self, ids: Sequence[int]) -> None:
        """Cache and notify each message, with a point between any two steps."""
        for number in ids:
            self.cache.append(Message(number))
            await self.sim.point(f"notify {number - 1}")
            self.pending.append(Notify(after=number - 1))
            self.arrived.set()
            if number != ids[-1]:
                await self.sim.point("cache the next")
        # Whoever has ended says so to the loop, which would be one step more.
        await asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Take three notifications, each when it is there and its turn has come."""
        for _ in EXPECTED:
            if self.pending:
                await self.sim.point("merge")
            else:
                self.arrived.clear()
                await self.arrived.wait()
            at = 0 if self.in_order else self.sim.draw(len(self.pending))
            await self.merge.catch_up(self.pending.pop(at), self.cache, self.query, self.emit)

    async def query(self, after: int) -> Sequence[Message]:
        """Read the database, in no time."""
        return [row for row in self.rows if row.id > after]

    async def emit(self, message: Message) -> None:
        """Write down what the subscriber gets."""
        self.emitted.append(message.id)


async def emitted(
    sim: AsyncSimulation, cls: type[Merge], *, in_order: bool, rows: Sequence[Message]
) -> list[int]:
    """Run the model; return what the subscriber got, in order."""
    model = Model(sim, cls, in_order=in_order, rows=rows)
    loop = asyncio.get_running_loop()
    merge = loop.create_task(model.run(), name="merge")
    # It waits for the first notification before anybody publishes.
    await sim.settle()
    publishers = [
        loop.create_task(model.publish(ids), name=f"publisher-{name}")
        for name, ids in zip("AB", PUBLISHERS, strict=True)
    ]
    await merge
    for publisher in publishers:
        publisher.cancel()
        await asyncio.gather(publisher, return_exceptions=True)
    return model.emitted


@scenario(Merge, catches={PreFix: Exactly, LookupFromLast: Exactly, NothingDelivered: Exactly})
async def every_order_of_fifo_notifies(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """136 schedules: the publishers overlap, the bus keeps the order, the database lags behind."""
    async with sim.storm(Exactly(EXPECTED, lambda: got)):
        got = await emitted(sim, cls, in_order=True, rows=())


@scenario(Merge, catches={PreFix: Exactly, LookupFromLast: Exactly, NothingDelivered: Exactly})
async def every_order_of_reordered_notifies(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """336 schedules: the same, and any notification on its way may be the next to arrive."""
    async with sim.storm(Exactly(EXPECTED, lambda: got)):
        got = await emitted(sim, cls, in_order=False, rows=())


@scenario(Merge, catches={PreFix: Exactly, NothingDelivered: Exactly})
async def every_order_with_a_complete_database(sim: AsyncSimulation, cls: type[Merge]) -> None:
    """136 schedules over a database that has all three rows: it rescues a lookup from the last."""
    async with sim.storm(Exactly(EXPECTED, lambda: got)):
        got = await emitted(sim, cls, in_order=True, rows=ROWS)
