"""Runs functions side by side in threads, as any program would. It knows nothing of the harness."""

from __future__ import annotations

import threading
from collections.abc import Callable


def together(*functions: Callable[[], object]) -> None:
    """Run each function in a thread named after it, and wait for all."""
    threads = [threading.Thread(target=function, name=function.__name__) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def twice(function: Callable[[], object]) -> None:
    """Run one function in two threads and wait for both."""
    first = threading.Thread(target=function, name="first")
    second = threading.Thread(target=function, name="second")
    first.start()
    second.start()
    first.join()
    second.join()
