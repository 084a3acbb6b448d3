"""What every test shares: where Hypothesis keeps what it found, and how long it may look."""

from __future__ import annotations

import os

import hypothesis
from hypothesis.database import DirectoryBasedExampleDatabase

# Machines differ in speed, and a deadline would make a slow one fail. On a build machine every run
# draws the same examples, so that a red build means a change of ours.
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else DirectoryBasedExampleDatabase(".harness/hypothesis"),
    print_blob=True,
)
hypothesis.settings.load_profile("here")

pytest_plugins = ["pytester"]
