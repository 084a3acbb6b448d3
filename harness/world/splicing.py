"""Splices calls into one code object, whose own instructions find the stack as they left it.

    x.get(k)     LOAD_FAST x · [COPY 1] LOAD_ATTR get · LOAD_FAST k · [hook(x, site)] CALL 1 ·
                 [SWAP 2 · POP_TOP]

The receiver of a method call can be kept below the call's own values, from the lookup of the method
to its return: on 3.13 it cannot be told from the stack whether the call has one. Inserted
instructions have the position of the one that follows: tracebacks, line events and coverage see no
difference. It does not know what is called, nor why.
"""

from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any, Final

from bytecode import Instr, Label
from bytecode.instr import CellVar, FreeVar, TryBegin, TryEnd

from . import stack_flow
from .instructions import PY312, PY313, Call, Instructions

# Values that an inserted call has on the stack beside its operand: function, NULL, name, constant.
_CALL_STACK: Final = 4


class Splicing:
    """What is inserted into one code object.

    # invariant: what is inserted leaves the stack as it was, but for kept receivers, which lie
    # directly below the values of their call and are removed by what follows that call.
    """

    def __init__(self, known: Instructions) -> None:
        self._known = known
        # By the item before which it comes: points, with what keeps receivers in front of them.
        self._points: dict[int, list[Instr]] = {}
        # Behind those, calls that tell of what is handed on.
        self._told: dict[int, list[Instr]] = {}
        # What follows a call whose receiver was kept.
        self._removals: dict[int, list[Instr]] = {}
        self._kept: set[int] = set()
        # How many values lie on the stack at most while an operand is put together.
        self._widest = 1

    def __bool__(self) -> bool:
        return bool(self._points or self._told)

    def has_point(self, items: Iterable[int]) -> bool:
        """Say whether a point, or what keeps a receiver, comes before one of the items."""
        return not self._points.keys().isdisjoint(items)

    def is_kept(self, load: int) -> bool:
        """Say whether the receiver of the method that `load` looks up is kept."""
        return load in self._kept

    def point(self, before: int, hook: object, operand: list[Instr], site: object) -> None:
        """Insert a call of the hook."""
        inserted = self._points.setdefault(before, [])
        inserted.extend(self._call(before, hook, operand, site))

    def tell(self, before: int, handed: object, operand: list[Instr], handing: object) -> None:
        """Insert a call that tells of what is handed on: behind all points of the place."""
        inserted = self._told.setdefault(before, [])
        inserted.extend(self._call(before, handed, operand, handing))

    def keep_receiver(self, call: Call) -> None:
        """Keep the receiver of a call, so that before the call it lies at its `kept_depth`."""
        self._keep_operand(call.callee)
        removal = [Instr("SWAP", 2), Instr("POP_TOP")]
        self._removals[call.at] = _at(removal, self._known.items[call.at])

    def load_self(self) -> list[Instr]:
        """Return what pushes the first argument of the function."""
        code = self._known.code
        name = code.co_varnames[0]
        if name in code.co_cellvars:
            return [Instr("LOAD_DEREF", CellVar(name))]
        return [Instr("LOAD_FAST_CHECK" if PY312 else "LOAD_FAST", name)]

    def load_cell(self, variable: CellVar | FreeVar) -> list[Instr]:
        """Return what pushes the cell of a variable, not its value."""
        if not PY313:
            return [Instr("LOAD_CLOSURE", variable)]
        is_local = variable.name in self._known.code.co_varnames
        return [Instr("LOAD_FAST", variable.name if is_local else variable)]

    def put_together(self) -> CodeType:
        """Return the code with all that is inserted."""
        kept_at_once = self._deepen_handlers()
        code, bytecode = self._known.code, self._known.bytecode
        bytecode[:] = list(self._interleaved())
        # Names of locals in their old order: `locals()` shows it, and pairs of locals share one
        # byte.
        bytecode.argnames = list(code.co_varnames)
        return bytecode.to_code(
            stacksize=code.co_stacksize + _CALL_STACK + self._widest + kept_at_once,
            compute_exception_stack_depths=False,
        )

    def _call(self, before: int, function: Any, operand: list[Instr], constant: Any) -> list[Instr]:
        """Return a call of a function with an operand and a constant, whose result nobody wants.

        Constants may be anything, whatever the types of `bytecode` say.
        """
        self._widest = max(self._widest, len(operand))
        load, null = Instr("LOAD_CONST", function), Instr("PUSH_NULL")
        call = [load, null] if PY313 else [null, load]
        call += [*operand, Instr("LOAD_CONST", constant)]
        call += [Instr("CALL", 2)] if PY312 else [Instr("PRECALL", 2), Instr("CALL", 2)]
        call += [Instr("POP_TOP")]
        # Where names of keywords come between, theirs: a line event more would be a difference.
        return _at(call, self._known.items[before])

    def _keep_operand(self, load: int) -> None:
        """Copy the operand of `load` below what the call that uses it will take off the stack."""
        if load in self._kept:
            return
        self._kept.add(load)
        keep = [Instr("COPY", 1)]
        stack = self._known.stacks[load]
        assert stack
        if not self._known.is_method_load(load) and self._has_null_below(stack):
            # A plain lookup that is called has its NULL already below the object; it must end up
            # above the copy.
            keep += [Instr("SWAP", 3), Instr("SWAP", 2)]
        # The copy precedes any point that lies at the lookup itself, which only looks at the top.
        self._points.setdefault(load, [])[:0] = _at(keep, self._known.items[load])

    def _has_null_below(self, stack: stack_flow.Stack) -> bool:
        """Say whether below the top lies the NULL of a call to come; since 3.13 it is above."""
        if PY313 or len(stack) < 2 or stack[-2] < 0:
            return False
        below = stack[-2]
        name = self._known.names[below]
        if name == "PUSH_NULL":
            return True
        # `LOAD_GLOBAL (NULL + name)` pushes both; the value may since have become an attribute of
        # it.
        is_pair = name == "LOAD_GLOBAL" and bool(self._known.items[below].arg[0])
        return is_pair and (stack[-1] == below or stack[-3:-2] != (below,))

    def _deepen_handlers(self) -> int:
        """Count kept receivers into the stacks of handlers; return how many are kept at once."""
        if not self._kept:
            return 0
        kept_at_once = 0
        open_region: TryBegin | None = None
        for at, item in enumerate(self._known.items):
            stack = self._known.stacks[at]
            if isinstance(item, TryBegin):
                open_region = item
            elif isinstance(item, TryEnd):
                open_region = None
            if stack is None:
                continue
            if at in self._kept:
                kept_at_once = max(kept_at_once, 1 + len(self._kept.intersection(stack)))
            if open_region is not None:
                open_region.stack_depth += len(
                    self._kept.intersection(stack[: open_region.stack_depth])
                )
                open_region = None
        return kept_at_once

    def _interleaved(self) -> Iterator[Instr | Label | TryBegin | TryEnd]:
        for at, item in enumerate(self._known.items):
            yield from self._points.get(at, ())
            yield from self._told.get(at, ())
            yield item
            yield from self._removals.get(at, ())


def copied(depth: int, above: int = 2) -> list[Instr]:
    """Return what copies the value that lies `depth` below the top before the place.

    Args:
        depth: 1 is the top.
        above: How much was pushed since: by default what is called, and its NULL.
    """
    return [Instr("COPY", depth + above)]


def _at(inserted: list[Instr], item: Any) -> list[Instr]:
    for instr in inserted:
        instr.location = item.location
    return inserted
