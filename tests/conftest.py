"""What every test shares: how Hypothesis looks, and an environment with nothing but the wheel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.interpreters import wheel
from tests.one_ground import OneGround

# Machines differ in speed, and a deadline would make a slow one fail. On a build machine every run
# draws the same examples, so that a red build means a change of ours.
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else DirectoryBasedExampleDatabase(".harness/hypothesis"),
    # What explains a failure traces every line of every example, and keeps it all.
    phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],
    print_blob=True,
)
hypothesis.settings.load_profile("here")

# Whoever is started in the background has Ctrl-C ignored, and hands that on; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What tests run on purpose is no annotation of a job.
os.environ.pop("GITHUB_ACTIONS", None)

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Let tests share preparations."""
    config.pluginmanager.register(OneGround(), "one-ground")


@pytest.fixture
def wheel_python(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    """Return the interpreter of an environment that has the wheel of this tree and no more."""
    own = tmp_path_factory.getbasetemp()
    # The workers of xdist have folders of their own in one that they share.
    with wheel.installed(own if worker_id == "master" else own.parent) as python:
        yield python
