"""Has scenarios that follow one another share what is prepared for their runs.

    take_off[A] ─ take_off[B] ─ land[A] │ test_other │ land[B] │ with_fixture[A] │ land[C]
    └────────── one preparation ──────┘                └─ one ─┘ └──── own ────┘   └ one ┘

Preparing takes longer than a small cell: all functions are looked through, and the whole heap. What
is made or replaced between two items is not seen by the second, so that only scenarios of one class
or file share that no fixture is set up or taken down for, none after one that was broken off, and
none at all where a `conftest.py` or an unknown plugin has hooks that pytest calls round an item.
Before all else that pytest runs, everything is as it was. It does not know what a run is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from harness.explore import SharedGround

#: The plugin's own fixtures: they make nothing.
_OWN: Final = frozenset({"storm_class", "storm_shard"})
#: Who may have hooks round an item: they neither make nor replace what a scenario uses.
_KNOWN: Final = frozenset(
    {
        *("_pytest", "harness", "xdist", "_hypothesis_pytestplugin"),
        # What pytest-xdist has in a worker, which is sent there as source.
        "__channelexec__",
        *("anyio", "pytest_asyncio", "pytest_cov", "pytest_timeout"),
    }
)
#: The hooks that pytest calls from the beginning of one item to that of the next.
_ROUND: Final = (
    *("pytest_runtest_protocol", "pytest_runtest_logstart", "pytest_runtest_setup"),
    *("pytest_runtest_call", "pytest_pyfunc_call", "pytest_runtest_teardown"),
    *("pytest_runtest_makereport", "pytest_runtest_logreport", "pytest_runtest_logfinish"),
)


class Grounds:
    """The plugin that keeps a preparation from one item to the next. One thread.

    Args:
        is_scenario: says of the function of an item whether it is a scenario.

    invariant: nothing stands while a fixture is set up or taken down that a signature names, nor
        while other tests or strangers' hooks run, nor while a debugger looks at a failure.
    """

    def __init__(self, is_scenario: Callable[[object], bool]) -> None:
        self._is_scenario = is_scenario
        self._ground: SharedGround | None = None
        # Whether the item that runs has come so far that its fixtures are set up.
        self._is_called = False

    @contextmanager
    def prepared(self) -> Generator[None]:
        """Have the explorations inside the block share one preparation, and the next item too.

        Unless an exception ends it: nobody knows what that left half done.
        """
        from harness.explore import SharedGround

        self._is_called = True
        if self._ground is None:
            self._ground = SharedGround()
        try:
            with self._ground.entered():
                yield
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        """Take down what stands, if anything does."""
        ground, self._ground = self._ground, None
        if ground is not None:
            ground.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Begin with an item."""
        self._is_called = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> None:
        """Have what a fixture makes seen."""
        if fixturedef.argname not in _OWN and not self._is_called:
            self._leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Leave what stands to the next item only if nothing comes between."""
        if (
            nextitem is None
            or nextitem.parent is not item.parent
            or not (self._is_plain(item) and self._is_plain(nextitem))
        ):
            self._leave()

    def _is_plain(self, item: pytest.Item) -> bool:
        """Say whether an item is a scenario with no fixtures but those of the whole session."""
        if not self._is_scenario(getattr(item, "obj", None)):
            return False
        # What is parametrized through a fixture is finished before pytest asks for the next.
        if not getattr(getattr(item, "callspec", None), "params", {}).keys() <= _OWN:
            return False
        # pytest says it nowhere else.
        known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", None)
        if known is None or not _is_undisturbed(item):
            return False
        return all(
            name in _OWN or (found and found[-1].scope == "session" and found[-1].params is None)
            for name, found in known.items()
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_exception_interact(self) -> None:
        """Have whoever looks at a failure look at what is real."""
        self._leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Have fixtures of the session taken down, and summaries written, where all is real."""
        self._leave()


def _is_undisturbed(item: pytest.Item) -> bool:
    """Say whether all hooks that are called round an item are those of known plugins."""
    return all(
        getattr(hook.function, "__module__", "").partition(".")[0] in _KNOWN
        for name in _ROUND
        for hook in getattr(item.ihook, name).get_hookimpls()
    )
