"""Threads that use a connection pool of SQLAlchemy for the first time."""

import time

from sqlalchemy.pool import QueuePool

from harness import LeakBound, MaxInFlight, Simulation, scenario


@scenario(under_test=("sqlalchemy.pool", "sqlalchemy.event"))
def everybody_is_connected(sim: Simulation) -> None:
    """Threads take and return connections at once: each gets one, and never too many are open."""
    is_open = sim.in_flight("connection")

    class Connection:
        def __init__(self) -> None:
            is_open.enter()

        def rollback(self) -> None:
            time.sleep(0.001)

        def close(self) -> None:
            is_open.leave()

    pool = QueuePool(Connection, pool_size=1, max_overflow=1)

    def user() -> None:
        pool.connect().close()

    with sim.storm(MaxInFlight(is_open, 2), LeakBound()) as storm:
        storm.spawn(user, copies=2)
