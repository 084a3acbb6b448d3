"""Tells whether a frame may hold what has no name: a value on its stack that nobody can look at.

In `self.waiting.pop().set_result(self.fetch())` the future lies nowhere else while `fetch` waits.
What the stack holds is known from the byte code alone. It does not know who waits for what.
"""

from __future__ import annotations

import dis
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType

from bytecode import Bytecode, Instr

from .stack_flow import UNKNOWN, Stack, effect_of, stacks_before


def may_hold_unnamed(frame: FrameType, inner: FrameType | None) -> bool:
    """Tell whether the stack of a frame that has called something may hold what has no name.

    Args:
        frame: one that waits for what it has called.
        inner: the frame that it called, directly or by way of C; None if nothing in Python.

    What a Python function was given is in the variables of that function: it counts only where
    something in C may have come between.
    """
    offsets, calls = _calls_in(frame.f_code)
    # Before 3.12 a frame stands at the last of the caches that follow its call.
    call = calls[max(offset for offset in offsets if offset <= frame.f_lasti)]
    is_direct = inner is not None and inner.f_code.co_name == call.callee
    return call.keeps_unnamed or (call.gives_unnamed and not is_direct)


@dataclass(frozen=True, slots=True)
class _Call:
    """What lies below what an instruction takes, what it takes, and the name of what it calls."""

    keeps_unnamed: bool
    gives_unnamed: bool
    callee: str


@lru_cache(maxsize=1_024)
def _calls_in(code: CodeType) -> tuple[tuple[int, ...], dict[int, _Call]]:
    """Return the offsets of the instructions, and what each is as a call."""
    items = Bytecode.from_code(code, conserve_exception_block_stackdepth=True)
    producers = _Producers(items, stacks_before(items))
    calls = [producers.call(at) for at, item in enumerate(items) if isinstance(item, Instr)]
    shown = [each.offset for each in dis.get_instructions(code) if each.opname != "EXTENDED_ARG"]
    return tuple(shown), dict(zip(shown, calls, strict=True))


@dataclass(frozen=True, slots=True)
class _Producers:
    """Which instructions make the values that are on the stack before each."""

    items: Sequence[object]
    stacks: list[Stack | None]

    def call(self, at: int) -> _Call:
        stack = self.stacks[at]
        if stack is None:
            return _Call(keeps_unnamed=True, gives_unnamed=True, callee="")
        given = self._taken(at)
        kept = stack[: len(stack) - len(given)]
        return _Call(
            keeps_unnamed=not all(map(self._is_kept_elsewhere, kept)),
            gives_unnamed=not all(map(self._is_named, given)),
            callee=next(filter(None, map(self._name, given)), ""),
        )

    def _of(self, producer: int) -> tuple[str, int]:
        """Return the instruction that made a value, and what made the top of the stack it saw."""
        if producer == UNKNOWN:
            return "", UNKNOWN
        item, below = self.items[producer], self.stacks[producer]
        assert isinstance(item, Instr), "only instructions make values"
        return item.name, below[-1] if below else UNKNOWN

    def _is_named(self, producer: int) -> bool:
        """Tell whether a value is a constant, or found by a name, or got or made of such."""
        name, top = self._of(producer)
        return (
            name.startswith(_BY_NAME)
            or (name in _ATTRIBUTES and self._is_named(top))
            or (name.startswith(_COLLECTING) and all(map(self._is_named, self._taken(producer))))
        )

    def _is_kept_elsewhere(self, producer: int) -> bool:
        """Tell whether a value stays within reach by its name as long as it is on the stack."""
        name, top = self._of(producer)
        if name.startswith("BEFORE_"):
            # Nobody gives another lock to an object while it holds the one it has.
            return self._is_named(top)
        return name.startswith(_BY_NAME) or (name == "GET_ITER" and self._is_of_numbers(top))

    def _is_of_numbers(self, producer: int) -> bool:
        """Tell whether what is iterated over is a constant or a range."""
        name, _ = self._of(producer)
        if name != "CALL":
            return name == "LOAD_CONST"
        return "range" in map(self._name, self._taken(producer)[:2])

    def _taken(self, at: int) -> Stack:
        """Return what made the values that an instruction takes."""
        item, stack = self.items[at], self.stacks[at]
        assert isinstance(item, Instr), "labels take nothing"
        assert stack is not None, "it can be reached"
        taken, _ = effect_of(item, jump=False)
        return stack[len(stack) - taken :]

    def _name(self, producer: int) -> str:
        """Return the name by which a value was looked up, empty if by none."""
        name, _ = self._of(producer)
        if not name.startswith(_BY_NAME) and name not in _ATTRIBUTES:
            return ""
        item = self.items[producer]
        assert isinstance(item, Instr), "as above"
        arg = item.arg[-1] if isinstance(item.arg, tuple) else item.arg
        return arg if isinstance(arg, str) and name != "LOAD_CONST" else ""


#: They make what is found by a name, or is a constant.
_BY_NAME = (
    *("LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLOSURE", "LOAD_CONST"),
    "PUSH_NULL",
)
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
#: They put into one what was made before.
_COLLECTING = ("BUILD_", "DICT_", "LIST_", "SET_", "CALL_INTRINSIC_1")
