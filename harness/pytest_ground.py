"""Has scenarios that follow one another share what is prepared for their runs.

    take_off[A] ─ take_off[B] ─ land[A] │ test_other │ land[B] │ with_fixture[A] │ land[C]
    └────────── one preparation ──────┘                └─ one ─┘ └──── own ────┘   └ one ┘

Preparing takes longer than a small cell: all functions are looked through, and the whole heap. What
is made or replaced between two items is not seen by the second, so that only scenarios of one file
share that no fixture is set up or taken down for, and none after one that was broken off; before
all else that pytest runs, everything is as it was. It does not know what a run is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

#: The plugin's own fixtures: they make nothing.
_OWN: Final = frozenset({"storm_class", "storm_shard"})


class Grounds:
    """The plugin that keeps a preparation from one item to the next. One thread.

    Args:
        is_scenario: says of the function of an item whether it is a scenario.

    invariant: nothing stands while a fixture is set up or taken down, nor while other tests run.
    """

    def __init__(self, is_scenario: Callable[[object], bool]) -> None:
        self._is_scenario = is_scenario
        self._stack = ExitStack()
        self._stands = False
        # Whether the item that runs has come so far that its fixtures are set up.
        self._is_prepared = False

    @contextmanager
    def prepared(self) -> Generator[None]:
        """Have the explorations inside the block share one preparation, and the next item too.

        Unless an exception ends it: nobody knows what that left half done.
        """
        from harness.explore import shared_ground

        self._is_prepared = True
        if not self._stands:
            self._stack.enter_context(shared_ground())
            self._stands = True
        try:
            yield
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        """Take down what stands, if anything does."""
        self._stands = False
        self._stack.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Begin with an item."""
        self._is_prepared = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> None:
        """Have what a fixture makes seen."""
        if fixturedef.argname not in _OWN and not self._is_prepared:
            self._leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Leave what stands to the next item only if nothing comes between."""
        if (
            nextitem is None
            or nextitem.path != item.path
            or not (self._is_plain(item) and self._is_plain(nextitem))
        ):
            self._leave()

    def _is_plain(self, item: pytest.Item) -> bool:
        """Say whether an item is a scenario with no fixtures but those of the whole session."""
        if not self._is_scenario(getattr(item, "obj", None)):
            return False
        # pytest says it nowhere else; what it does not say counts as a fixture.
        info = getattr(item, "_fixtureinfo", None)
        known = getattr(info, "name2fixturedefs", {"": ()})
        return all(
            name in _OWN or (found and found[-1].scope == "session" and found[-1].params is None)
            for name, found in known.items()
        )

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind, whatever ended the session."""
        self._leave()
