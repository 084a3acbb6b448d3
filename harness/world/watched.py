"""The ready queue of a loop whose turns a tape picks, or a log is kept of.

It tells what exhaustive search and the samplers that weigh turns need to know: whose turn each
handle is, who gave it to him, and what his last turn has touched.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from harness.core.access import AWAIT, LOOP, NUMBERED, READ, RELEASE, WRITE
from harness.core.kernel import FEW

from .fibers import LOCK_NUMBERS, World
from .ready import STEP, ReadyQueue
from .tasks import SimTask, sleeps
from .touched import log_callback


class Callback:
    """The turn of a callback that is no task's. One loop.

    Args:
        path: who scheduled it, and its number among those.
    """

    __slots__ = ("key", "path", "points", "site", "writes")

    def __init__(self, path: tuple[int, ...]) -> None:
        self.path = path
        self.points = 0
        self.key = 0
        self.writes = True
        self.site = None


class WatchedQueue(ReadyQueue):
    """A ready queue that shows the tape whose turns it could choose, and logs what orders them.

    Handles are turns of tasks or of callbacks. Who schedules one comes before it. What belongs to
    the loop (its locks, queues, futures) is one thing, touched by every turn but those of a task
    that merely let others go on.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # By identity of the handle, which it keeps alive: its turn, and its number in the log.
        self.turns: dict[int, tuple[Any, Any, int]] = {}
        self.running: SimTask | None = None
        # The thread that runs the loop.
        self.owner = world.kernel.current
        # How many callbacks each giver of turns has scheduled.
        self.callbacks: dict[tuple[int, ...], int] = {}

    def append(self, handle: Any) -> None:
        """Note who has a turn now, and who gave it to him."""
        super().append(handle)
        current = self.world.kernel.current
        giver = current.turn if current is not None else None
        task = getattr(handle._callback, "__self__", None)
        turn: Any = task
        is_task = isinstance(task, SimTask)
        if not is_task:
            path = giver.path if giver is not None else ()
            self.callbacks[path] = count = self.callbacks.get(path, 0) + 1
            owner = self.owner.path if self.owner is not None else ()
            turn = Callback((*owner, 0, 0, *path, count))
        number = next(LOCK_NUMBERS)
        self.turns[id(handle)] = (handle, turn, number)
        log = self.world.kernel.log
        if log is not None and giver is not None:
            # A plain callback waits for all that stand before it in the queue; a task does not.
            log.append((giver, LOOP + 1, WRITE if self.fifo or not is_task else READ, None))
            log.append((giver, -number, RELEASE, None))

    def popleft(self) -> Any:
        """Take the handle that runs next."""
        self._end_turn()
        handle = self.popleft_slowly()
        current = self.world.kernel.current
        _, turn, number = self.turns.pop(id(handle), (None, None, 0))
        if current is None or turn is None:
            return handle
        turn.points += 1
        self.world.turns[turn.path] = turn.points
        current.turn = turn
        log = self.world.kernel.log
        is_task = isinstance(turn, SimTask)
        if log is not None:
            log.append((turn, -number, AWAIT, None))
            if is_task:
                # Whether it was cancelled meanwhile.
                log.append((turn, NUMBERED + turn.number, READ, None))
            if not is_task or handle._args:
                log.append((turn, LOOP, WRITE, None))
            if not is_task:
                log_callback(self.world, turn, handle._callback, handle._args or ())
        self.running = turn if is_task else None
        return handle

    def rest(self) -> None:
        """Note that the loop itself acts: it has nothing to run."""
        self._end_turn()

    def _end_turn(self) -> None:
        """Note what the task that ran last has come to, and have the loop act for itself."""
        kernel = self.world.kernel
        current, task, log = kernel.current, self.running, kernel.log
        self.running = None
        if current is None:
            return
        if task is not None and log is not None:
            if task.done():
                log.append((task, NUMBERED + task.number, WRITE, None))
                log.append((task, LOOP, READ, None))
            elif getattr(task, "_fut_waiter", None) is not None and not sleeps(task):
                log.append((task, LOOP, WRITE, None))
        current.turn = current
        current.key = 0

    def choose(self) -> Any:
        """Take the handle that runs next, one of several."""
        tape = self.world.tape
        if tape.pick is None:
            return super().choose()
        kernel = self.world.kernel
        if kernel.steps < self.fair_until or (self.passed_over >= FEW and self._starves(kernel)):
            return self._take_turns(kernel)
        width = self._width_of_ties() if self.fifo else len(self)
        if width < 2:
            return self._take(0)
        if tape.known is not None:
            choice = tape.known(width)
            place = choice if self.free else self._first_of_chain(choice)
            self.world.ask([self.turns[id(self[place])][1]])
            tape.note(choice, width)
            return self._take(place)
        # A task may have several handles, and a chain has one that is first: each is shown once,
        # by the first choice that means it.
        firsts: dict[int, int] = {}
        handles = list(islice(self, width))
        for choice, handle in enumerate(handles):
            is_free = self.free or type(handle._callback) is STEP
            firsts.setdefault(choice if is_free else self._first_of_chain(choice), choice)
        # By identity: a turn that stands here lives.
        options: dict[int, tuple[Any, int]] = {}
        turns = self.turns
        for place in sorted(firsts):
            turn = turns[id(handles[place])][1]
            options.setdefault(id(turn), (turn, place))
        place = 0
        if len(options) > 1:
            each = list(options.values())
            place = each[self.world.ask([turn for turn, _ in each])][1]
        tape.note(firsts[place], width)
        return self._take(place)
