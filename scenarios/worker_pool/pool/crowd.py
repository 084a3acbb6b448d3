"""The pool at a size that no search needs: what a run costs as nodes and jobs grow.

Not among the storms, which every test run goes through: `make bench` runs it, once on the plain run
and on ten random ones.
"""

from harness import AsyncSimulation, LeakBound, scenario

from .fleet import Fleet
from .invariants import LocksFree, NoJobLost, PayloadsKept, SingleAdmission, SingleOwner
from .reference import Node

TTL = 30.0


@scenario(Node, matrix=False)
async def fifty_nodes_run_a_thousand_jobs(sim: AsyncSimulation, cls: type[Node]) -> None:
    """Fifty nodes start a thousand jobs; ten of them die, and all jobs run on."""
    await crowd(sim, cls, nodes=50, jobs=1000)


async def crowd(sim: AsyncSimulation, cls: type[Node], nodes: int, jobs: int) -> None:
    """Start jobs by all nodes at once, have a fifth of the nodes die, and wait for the others."""
    fleet = Fleet(sim, cls)
    names = [f"node-{number}" for number in range(nodes)]
    await fleet.open(**{name.replace("-", "_"): f"worker-of-{name}" for name in names})

    async with sim.storm(SingleAdmission(fleet), LeakBound()) as storm:
        for name in names:
            storm.spawn(fleet.dispatch, name, *(f"{name}/{job}" for job in range(jobs // nodes)))
    assert len(fleet.accepted) == jobs

    async with sim.storm(
        NoJobLost(fleet), SingleOwner(fleet), PayloadsKept(fleet), LocksFree(fleet), LeakBound()
    ):
        # The youngest: the jobs of the others stay where they are.
        for name in names[-nodes // 5 :]:
            fleet.crash(name)
        # Found at 2 TTL; what takes more than one sweep is done at the next.
        await sim.advance(3 * TTL)
