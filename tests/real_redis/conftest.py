"""A Redis server of its own on the loopback interface, for as long as the tests take."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: The longest that the server may take to answer, in seconds.
REAL_LIMIT = 10.0


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a server and yield a client of it."""
    import redis

    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("there is no redis-server: apt-get install redis-server")
    port = free_port()
    # Nodes of streams are limited by their entries alone, as the double has it.
    options = {"port": port, "bind": "127.0.0.1", "save": "", "stream-node-max-bytes": 0}
    command = [program, *(text for name, value in options.items() for text in (f"--{name}", value))]
    process = run_in(tmp_path_factory.mktemp("redis"), [str(each) for each in command])
    try:
        client = redis.Redis(port=port, decode_responses=True, protocol=2)
        wait_for(client, process)
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(REAL_LIMIT)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_in(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a program whose log and files go to `folder`."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def wait_for(client: Any, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    import redis

    deadline = time.monotonic() + REAL_LIMIT
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            assert process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)
        else:
            return
