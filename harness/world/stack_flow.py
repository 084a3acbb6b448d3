"""Finds out which instruction produced each value on the stack, before every instruction.

Only so can the call of a method be tied to the lookup of that method: conditional arguments lie
between them, and the compiler may copy the call into both branches. It knows stack effects; it does
not know what the values mean.
"""

import dis
from collections.abc import Callable, Sequence
from functools import cache

from bytecode import Bytecode, Instr, Label
from bytecode.instr import TryBegin, TryEnd

Stack = tuple[int, ...]

# The value came from more than one place, or from none: an exception, an argument sent to a
# generator.
UNKNOWN = -1


def stacks_before(code: Bytecode) -> list[Stack | None]:
    """Return for each item of `code` the stack before it: indices of producing items, bottom first.

    Items that cannot be reached have `None`. Handlers of exceptions are entered with as much of the
    stack as the exception table says, so `code` must have been read with its depths conserved.
    """
    return _Walk(code).run()


class _Walk:
    """One analysis: a work list of (item, stack on entry) until nothing changes."""

    def __init__(self, code: Bytecode) -> None:
        self._items = list(code)
        self._labels = {item: at for at, item in enumerate(self._items) if isinstance(item, Label)}
        self._before: list[Stack | None] = [None] * len(self._items)
        self._region = _try_regions(self._items)
        self._todo: list[tuple[int, Stack]] = [(0, ())]

    def run(self) -> list[Stack | None]:
        while self._todo:
            at, stack = self._todo.pop()
            while at < len(self._items):
                known = self._before[at]
                merged = stack if known is None else _merge(known, stack)
                if merged == known:
                    break
                self._before[at] = stack = merged
                item = self._items[at]
                if isinstance(item, Instr):
                    self._enter_handler(self._region[at], stack)
                    after = self._step(at, item, stack)
                    if after is None:
                        break
                    stack = after
                at += 1
        return self._before

    def _enter_handler(self, region: TryBegin | None, stack: Stack) -> None:
        if region is None:
            return
        assert isinstance(region.target, Label)
        target = self._labels[region.target]
        entry = stack[: region.stack_depth] + (UNKNOWN,) * (2 if region.push_lasti else 1)
        known = self._before[target]
        if known is None or _merge(known, entry) != known:
            self._todo.append((target, entry))

    def _step(self, at: int, item: Instr, stack: Stack) -> Stack | None:
        """Return the stack after `item`, or None if execution does not go on to the next one."""
        if item.has_jump():
            assert isinstance(item.arg, Label)
            self._todo.append((self._labels[item.arg], _after(at, item, stack, jump=True)))
        if item.is_final():
            return None
        return _after(at, item, stack, jump=False)


def _try_regions(items: Sequence[object]) -> list[TryBegin | None]:
    regions: list[TryBegin | None] = []
    current: TryBegin | None = None
    for item in items:
        if isinstance(item, TryBegin):
            current = item
        elif isinstance(item, TryEnd):
            current = None
        regions.append(current)
    return regions


def _merge(one: Stack, other: Stack) -> Stack:
    if one == other:
        return one
    assert len(one) == len(other), "two ways to one instruction leave stacks of different depth"
    return tuple(a if a == b else UNKNOWN for a, b in zip(one, other, strict=True))


def _after(at: int, item: Instr, stack: Stack, *, jump: bool) -> Stack:
    name = item.name
    if name == "COPY":
        assert isinstance(item.arg, int)
        return (*stack, stack[-item.arg])
    if name == "SWAP":
        assert isinstance(item.arg, int)
        moved = list(stack)
        moved[-item.arg], moved[-1] = moved[-1], moved[-item.arg]
        return tuple(moved)
    pops, pushes = _effect(item, jump=jump)
    assert pops <= len(stack), f"{name} takes {pops} values from a stack of {len(stack)}"
    return stack[: len(stack) - pops] + (at,) * pushes


# What these take off the top and put there; the lower values that they only look at stay what they
# were.
_TOP_ONLY = {
    "FOR_ITER": (0, 1),
    "GET_LEN": (0, 1),
    "IMPORT_FROM": (0, 1),
    "LIST_APPEND": (1, 0),
    "MAP_ADD": (2, 0),
    "MATCH_KEYS": (0, 1),
    "MATCH_MAPPING": (0, 1),
    "MATCH_SEQUENCE": (0, 1),
    "PRECALL": (0, 0),
    "RETURN_GENERATOR": (0, 1),
    "SET_ADD": (1, 0),
    "WITH_EXCEPT_START": (0, 1),
}


def _effect(item: Instr, *, jump: bool) -> tuple[int, int]:
    if item.name in _TOP_ONLY and not jump:
        return _TOP_ONLY[item.name]
    if item.name == "CALL":
        assert isinstance(item.arg, int)
        return item.arg + 2, 1
    number: int | None = None
    if item.require_arg():
        # Only numbers and flags bear on the effect, not names, constants or labels.
        arg: object = 0 if item.opcode in _HAS_CONSTANT else item.arg
        flag = arg[0] if isinstance(arg, tuple) else arg
        number = int(flag) if isinstance(flag, int) else 0
    return _known_effect(item.opcode, number, jump)


_HAS_CONSTANT = frozenset(dis.hasconst)


@cache
def _known_effect(opcode: int, arg: int | None, jump: bool) -> tuple[int, int]:
    name = dis.opname[opcode]
    effect = dis.stack_effect(opcode, arg, jump=jump)
    known = _POPS.get(name, max(-effect, 0))
    pops = known if isinstance(known, int) else known(arg or 0, effect)
    return pops, effect + pops


# How many values are consumed, where more is consumed than the net effect tells. What is not listed
# consumes exactly its loss or only adds.
_Pops = int | Callable[[int, int], int]
_CONSUMED: dict[str, _Pops] = {
    "BINARY_OP": 2,
    "BINARY_SLICE": 3,
    "BINARY_SUBSCR": 2,
    "CALL_KW": lambda arg, _: arg + 3,
    "CHECK_EG_MATCH": 2,
    "CHECK_EXC_MATCH": 1,
    "COMPARE_OP": 2,
    "CONTAINS_OP": 2,
    "END_SEND": 2,
    "IS_OP": 2,
    "LIST_TO_TUPLE": 1,
    "LOAD_ATTR": 1,
    "LOAD_METHOD": 1,
    "LOAD_SUPER_ATTR": 3,
    "MATCH_CLASS": 3,
    "SEND": 1,
    "STORE_FAST_LOAD_FAST": 1,
    "UNPACK_EX": 1,
    "UNPACK_SEQUENCE": 1,
    "YIELD_VALUE": 1,
}
_POPS: dict[str, _Pops] = {name: pops for name, pops in _CONSUMED.items() if name in dis.opmap}
_POPS |= {
    name: 1
    for name in dis.opmap
    if name.startswith(
        ("UNARY_", "GET_", "FORMAT_SIMPLE", "CONVERT_", "TO_BOOL", "BEFORE_", "LOAD_FROM_DICT")
    )
    and name != "GET_LEN"
}
_POPS |= {
    name: lambda _, effect: 1 - effect
    for name in dis.opmap
    if name.startswith(
        (
            "BUILD_",
            "CALL_FUNCTION_EX",
            "MAKE_FUNCTION",
            "FORMAT_",
            "CALL_INTRINSIC",
            "LIST_EXTEND",
            "SET_UPDATE",
            "DICT_",
            "PREP_RERAISE",
            "IMPORT_NAME",
            "ASYNC_GEN_WRAP",
            "SET_FUNCTION",
        )
    )
    and name != "FORMAT_SIMPLE"
}
