"""Has tests that explore share one preparation, as scenarios do that follow one another.

A file or a test says so by `pytest.mark.one_ground`, and a test of such a file that it makes by
itself what is to be seen, by `pytest.mark.own_ground`. Preparing takes half a second in a process
that has collected all tests, longer than most of them.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from harness.explore import shared_ground


class OneGround:
    """The plugin that keeps a preparation from one test to the next of the same file."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._stands = False

    def _leave(self) -> None:
        self._stands = False
        self._stack.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Take down what stands before anybody else's turn."""
        may_stand = False
        try:
            result = yield
            may_stand = nextitem is not None and nextitem.path == item.path and _shares(nextitem)
        finally:
            if not may_stand:
                self._leave()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have the explorations of a test share what stands, if something does."""
        if not _shares(item):
            return (yield)
        if not self._stands:
            self._stack.enter_context(shared_ground())
            self._stands = True
        try:
            return (yield)
        except BaseException:
            self._leave()
            raise


def _shares(item: pytest.Item) -> bool:
    is_marked = item.get_closest_marker("one_ground") is not None
    return is_marked and item.get_closest_marker("own_ground") is None
