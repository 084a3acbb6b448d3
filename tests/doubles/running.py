"""How the tests of the doubles run things: under many schedules, or for real."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from harness.explore import explore

SCHEDULES = 40

#: The longest that a real-mode test waits for anything to happen before it fails, in seconds.
REAL_LIMIT = 5.0


def holds(program: Callable[[Any], Any], **settings: Any) -> None:
    """Assert that `program(sim)` holds on every schedule tried, the plain one among them."""
    exploration = explore(program, **{"schedules": SCHEDULES, **settings})
    assert exploration.verdict == "holds", str(
        exploration.violation or exploration.why_inconclusive
    )


def in_threads(*functions: Callable[[], object]) -> list[object]:
    """Run each function in a real thread at once; return what each returned or raised."""
    outcomes: list[object] = [None] * len(functions)

    def run(index: int) -> None:
        try:
            outcomes[index] = functions[index]()
        except BaseException as exc:
            outcomes[index] = exc

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(REAL_LIMIT)
        assert not thread.is_alive(), "a real thread did not end"
    return outcomes
