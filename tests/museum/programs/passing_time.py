"""What time-outs and sleeps mean: each program has one stated verdict in each time-out mode."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any


def spin_until_deadline(sim: Any) -> None:
    """T1: spin until another thread has set a flag, or until a second has passed."""
    s = SimpleNamespace(flag=False)

    def set_flag() -> None:
        s.flag = True

    def spin() -> bool:
        started = time.monotonic()
        while not s.flag:
            if time.monotonic() - started > 1:
                return False
        return True

    setter = threading.Thread(target=set_flag)
    setter.start()
    was_set = spin()
    setter.join()
    assert was_set


def latch_times_out(sim: Any) -> None:
    """T2: a wait of a millisecond is over when a second has passed."""
    s = SimpleNamespace(timed_out=False)
    latch = threading.Event()

    def wait() -> None:
        s.timed_out = not latch.wait(0.001)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(1)
    assert s.timed_out
    waiter.join()


def spinner_shows_progress(sim: Any) -> None:
    """T3: a worker that never rests does not keep time from passing."""
    s = SimpleNamespace(running=True, done=False)

    def spin() -> None:
        while s.running:
            s.done = True

    spinner = threading.Thread(target=spin)
    spinner.start()
    while not s.done:
        time.sleep(1)
    s.running = False
    spinner.join()


def spinner_never_done(sim: Any) -> None:
    """T4: what is polled for comes after the loop that the poller alone could end."""
    s = SimpleNamespace(running=True, done=False)

    def spin() -> None:
        while s.running:
            pass
        s.done = True

    spinner = threading.Thread(target=spin)
    spinner.start()
    while not s.done:
        time.sleep(1)
    s.running = False
    spinner.join()


def sleep_is_no_synchronisation(sim: Any) -> None:
    """T5: a second is enough for a thread to set a flag, unless the machine is slow."""
    s = SimpleNamespace(flag=False)

    def set_flag() -> None:
        s.flag = True

    setter = threading.Thread(target=set_flag)
    setter.start()
    time.sleep(1)
    assert s.flag
    setter.join()
