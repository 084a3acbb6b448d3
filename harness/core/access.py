"""What a step of a run touches, so that a search can tell which steps depend on each other.

A run that is watched keeps a log: one entry for each access to something that others can see. Two
steps of different actors depend on each other if they touch the same thing and one of them changes
it. It does not know what the things are: they are numbers, equal for the same thing of one run.

Source: the dependency relation of A. Mazurkiewicz, "Trace theory", 1987, as used for locks by
    C. Flanagan and P. Godefroid, "Dynamic Partial-Order Reduction for Model Checking Software",
    POPL 2005, section 2.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

#: Looks and changes nothing: depends on every change.
READ: Final = 0
#: Changes, or might: depends on every other access.
WRITE: Final = 1
#: Takes a lock, waiting for it: comes after the release, and competes with others who take it.
ACQUIRE: Final = 2
#: Gives a lock back, starts an actor, hands something on: whoever takes it comes after.
RELEASE: Final = 3
#: Comes after the last change, and competes with nobody: the end of a thread, a handed-over turn.
AWAIT: Final = 4
#: Nobody could run: everything before comes before everything after.
BARRIER: Final = 5
#: Would take it, but cannot yet, or the run ended before it could: competes, and changes nothing.
PENDING: Final = 6
#: Is made: nobody else can touch it before.
BIRTH: Final = 7
#: Ended the run for everybody: whatever others did before might have come after, and not at all.
ABORT: Final = 8
#: More would have taken it than are told one by one.
CROWD: Final = 9
#: Might touch what no log tells, such as the data of a library.
UNSEEN: Final = 10

#: All containers together. Who changes one reads this; who uses several at once, of which only one
#: is known, writes it: so the two depend on each other, and two changes of different ones do not.
CONTAINERS: Final = 3

#: All files, and what else is outside: nobody can tell what of it is touched.
OUTSIDE: Final = 5

#: Where the numbers of tasks and futures begin: no address is as high.
NUMBERED: Final = 1 << 62

#: What an event loop and all its locks, queues and futures are, as one thing.
LOOP: Final = 1


class Turn(Protocol):
    """Who takes a step: an actor of the kernel, or a task or callback of an event loop."""

    @property
    def path(self) -> tuple[int, ...]:
        """Where it comes from, equal in every run."""
        ...  # pragma: no cover


#: (who, what, how, the place in the code or None). The first of a log is a barrier that carries, as
#: `what`, the number after which the run's own locks are numbered; locks have negative numbers.
Entry = tuple[Any, int, int, Any]
Log = list[Entry]
