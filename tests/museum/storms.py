"""Every exhibit as a scenario: its fixed twin is the subject, the program as it was the variant.

    python -m harness matrix tests/museum --schedules 2000

The scenarios are made from the catalogue, one for each program, and called like it. In the hundred
schedules of a default run the rarest bugs do not show: their rows then say so.
"""

from __future__ import annotations

import inspect
from typing import Any

from harness import scenario
from tests.museum.catalogue import EXHIBITS, Exhibit


def _storm(exhibit: Exhibit) -> Any:
    fixed = type(
        f"{exhibit.name}_fixed",
        (),
        {"program": staticmethod(exhibit.fixed), "__doc__": exhibit.fixed.__doc__},
    )
    broken = type(
        exhibit.name,
        (fixed,),
        {
            "program": staticmethod(exhibit.program),
            "__doc__": f"{exhibit.row}: {exhibit.program.__doc__}",
        },
    )

    def threads(sim: Any, cls: Any) -> None:
        cls.program(sim)

    async def tasks(sim: Any, cls: Any) -> None:
        await cls.program(sim)

    storm = tasks if inspect.iscoroutinefunction(exhibit.program) else threads
    storm.__name__ = storm.__qualname__ = exhibit.name
    storm.__doc__ = exhibit.program.__doc__
    # The main thread has ended where some threads are stuck. They count as a deadlock if the very
    # function that is explored has started them; here a function that it calls has.
    stuck = ("LeakBound",) if "Deadlock" in exhibit.oracle else ()
    return scenario(fixed, catches={broken: (*exhibit.oracle, *stuck)})(storm)


globals().update({exhibit.name: _storm(exhibit) for exhibit in EXHIBITS})
