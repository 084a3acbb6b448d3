"""Programs that never end: they spin, or only the clock moves, or C code blocks."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

ready = False


def set_ready() -> None:
    """Raise the flag; nobody calls it."""
    global ready  # noqa: PLW0603 - what is tested
    ready = True


def spin_on_a_flag(sim: Any) -> None:
    """A thread turns round a flag that nobody raises."""

    def spinner() -> None:
        while not ready:  # spinner turns here
            pass

    thread = threading.Thread(target=spinner, name="spinner")
    thread.start()
    thread.join()


def spin_in_a_loop(sim: Any) -> None:
    """A task gives way for ever."""

    async def main() -> None:
        while True:
            await asyncio.sleep(0)  # task turns here

    asyncio.run(main())


class Origin:
    """Refuses every connection. Any thread."""

    def connect(self) -> None:
        """Refuse."""
        raise ConnectionRefusedError


def retry_for_ever(sim: Any) -> None:
    """A thread tries again every second, without a limit."""
    origin = Origin()

    def caller() -> None:
        while True:
            try:
                origin.connect()
            except ConnectionRefusedError:
                time.sleep(1)  # caller sleeps here

    thread = threading.Thread(target=caller, name="caller")
    thread.start()
    thread.join()


def retry_for_ever_in_a_loop(sim: Any) -> None:
    """A task tries again every second, without a limit."""
    origin = Origin()

    async def main() -> None:
        while True:
            try:
                origin.connect()
            except ConnectionRefusedError:
                await asyncio.sleep(1)

    asyncio.run(main())


def read_of_an_empty_pipe(sim: Any) -> None:
    """A thread reads a pipe that nobody writes to."""
    reader, writer = os.pipe()

    def read() -> None:
        os.read(reader, 1)  # reader blocks here

    try:
        thread = threading.Thread(target=read, name="reader")
        thread.start()
        thread.join()
    finally:
        os.close(reader)
        os.close(writer)


def loop_without_a_point(sim: Any) -> None:
    """A loop over nothing shared: no scheduling point lies in it."""
    while True:  # no point lies here
        pass
