"""Everything that must stand before the first run of an exploration and be gone after the last.

    adopt what was made before → replace names → insert points → watch → (runs)
    and back, whatever happens ◄───────────────────────────────────────────┘

It does not know what the runs are for.
"""

from __future__ import annotations

import contextvars
import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any

from harness.errors import InternalError

from . import patching
from .adoption import Adoption, adopted
from .fibers import Fiber, World, end_spare
from .hook import at_end, at_point
from .overheard import overhearing
from .points import Granularity, IsUnderTest, Rewriter, settle, under_test
from .threads import Lock
from .touched import at_hand_over
from .watchdog import Watchdog

#: Objects in the youngest generation after which garbage is collected between two runs.
GARBAGE = 6_000
#: Collections of the younger generations to one of all.
FULL_EVERY = 8


@dataclass(slots=True)
class Ground:
    """What the runs of one exploration stand on. One thread."""

    rewriter: Rewriter
    adoption: Adoption
    watchdog: Watchdog
    is_under_test: IsUnderTest
    own_locks: list[Lock]
    # The exceptions that were logged in the current run.
    overheard: list[BaseException]
    # Fibers of the runs so far, for those to come.
    spare: list[Fiber]
    # Known from the first run on, which never counts: a rule may come after the locks it looks at.
    names_locks: bool = False

    def run(self, world: World, body: Callable[[], None]) -> None:
        """Run `body` in `world`; what it raises comes out, and nothing of the run stays behind."""
        patching.fresh(world)
        kept = patching.KeptState()
        if not world.careful:
            # Whoever traces wants to see functions return.
            world.spare = self.spare
        world.tells = self.rewriter.tells
        self.watchdog.world = world
        # What is recorded is to be told.
        world.faults.names_locks = self.names_locks or world.history is not None
        try:
            world.run(body)
        finally:
            self.watchdog.world = None
            if world.history is None:
                self.names_locks = world.faults.names_locks
            kept.restore()
            self.adoption.reset()
            for lock in self.own_locks:
                lock.reset()
            if gc.get_count()[0] > GARBAGE:
                # What has survived so far is seldom garbage: it is looked through now and then.
                gc.collect(1 if gc.get_count()[2] < FULL_EVERY else 2)

    def guard(self, world: World, root: Callable[..., object]) -> None:
        """Make sure that points were where they must have been: without them all is green.

        Raises:
            InternalError: a thread ran code under test that must have met a point, and met none.
        """
        for actor in world.roots:
            if actor.points:
                continue
            function = root if actor is world.main else _root_of(actor.fiber.thread)
            code = _code_of(function)
            if code is None or not actor.fiber.completed or world.silenced:
                continue
            if self.is_under_test(code.co_filename) and self.rewriter.must_report(code):
                raise _blind(actor.name, code)
        for code in world.started.values():
            if (
                self.is_under_test(code.co_filename)
                and self.rewriter.must_report(code)
                and not self.rewriter.is_rewritten(code)
            ):
                raise _blind("a task", code)


def _guard_job(
    rewriter: Rewriter, is_under_test: IsUnderTest, world: World, function: object
) -> None:
    """Guard what an executor ran as `Ground.guard` does threads: its worker met other points."""
    while isinstance(function, functools.partial):
        # `asyncio.to_thread` runs the function in a context.
        is_in_context = isinstance(getattr(function.func, "__self__", None), contextvars.Context)
        function = function.args[0] if is_in_context else function.func
    code = _code_of(function)
    if code is not None and is_under_test(code.co_filename) and rewriter.must_report(code):
        world.abort(_blind(world.actor_here()[1], code))


def _blind(name: str, code: CodeType) -> InternalError:
    return InternalError(
        f"'{name}' ran {code.co_qualname} ({code.co_filename}:{code.co_firstlineno}), which is "
        "under test, and met no scheduling point: nothing could have been seen."
    )


def _root_of(thread: Any) -> Any:
    if thread is None:
        return None
    root = getattr(thread, "_harness_root", None)
    # A thread that has run forgets its target; its class may have a `run` of its own.
    return root if root is not None else type(thread).run


def _code_of(function: Any) -> CodeType | None:
    if isinstance(function, MethodType):
        function = function.__func__
    return function.__code__ if isinstance(function, FunctionType) else None


@contextmanager
def prepared(
    *, granularity: Granularity, watchdog_seconds: float, extra_under_test: tuple[str, ...] = ()
) -> Iterator[Ground]:
    """Have everything in place inside the block.

    Args:
        granularity: `sync` or `shared`.
        watchdog_seconds: real seconds that one step may take.
        extra_under_test: standard-library modules that count as code under test.
    """
    chosen = under_test(extra_under_test)
    rewriter = Rewriter(
        at_point, granularity=granularity, is_under_test=chosen, handed=at_hand_over, leaving=at_end
    )
    guard_job = functools.partial(_guard_job, rewriter, chosen)
    was_collecting = gc.isenabled()
    settle()
    with ExitStack() as stack:
        adoption = stack.enter_context(adopted(patching.is_bystander, chosen))
        stack.callback(gc.enable if was_collecting else gc.disable)
        gc.disable()
        own_locks = stack.enter_context(patching.installed(rewriter.install_new, guard_job))
        rewriter.install(adoption.functions)
        adoption.functions = []
        # What there is now no collection and no search for new functions looks through again.
        gc.freeze()
        stack.callback(gc.unfreeze)
        # What the runs have left in cycles (an exception that a frame of its own holds) goes while
        # all else is frozen: later the search through the heap would meet it every time.
        stack.callback(gc.collect)
        stack.callback(rewriter.restore)
        watchdog = Watchdog(watchdog_seconds, lambda: list(adoption.out_of_reach))
        stack.enter_context(watchdog.watching())
        # Once, not for each run: that would cost a tenth of a small one.
        overheard = stack.enter_context(overhearing())
        spare: list[Fiber] = []
        stack.callback(end_spare, spare)
        yield Ground(rewriter, adoption, watchdog, chosen, own_locks, overheard.exceptions, spare)
