"""Futures that are zipped by more-executors, one of them cancelled by another thread."""

import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress

from more_executors import f_zip

from harness import LeakBound, Simulation, scenario


@scenario(under_test=("more_executors",))
def zipped_future_always_ends(sim: Simulation) -> None:
    """Whatever becomes of the inputs, whoever waits for the output goes on."""
    with ThreadPoolExecutor(1) as pool:
        inputs = [pool.submit(time.sleep, 0.001) for _ in range(3)]
        output = f_zip(*inputs)

        def waiter() -> None:
            with suppress(CancelledError):
                output.result()

        def canceller() -> None:
            inputs[2].cancel()

        with sim.storm(LeakBound()) as storm:
            storm.spawn(waiter)
            storm.spawn(canceller)
