"""Randomness inside a run is one choice of the tape, made when the first number is wanted.

A run that wants none has no such choice. `random`, `uuid4`, `os.urandom`, `secrets` and every
`random.Random()` without a seed follow from it; a generator with a seed of its own is left alone.
It does not know what the numbers are for.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from .account import draw
from .fibers import World
from .here import here

_real_urandom = os.urandom
_real_seed = random.Random.seed
# The generator behind `random.random()`.
_real_global: random.Random = random._inst

#: How many different seeds the tape can choose.
SEEDS = 1 << 16

#: The functions of `random` that are methods of its one global generator.
GLOBAL_FUNCTIONS = tuple(
    name for name, value in vars(random).items() if getattr(value, "__self__", None) is _real_global
)


def entropy(world: World) -> random.Random:
    """Return the source that everything random in this run is drawn from."""
    source = world.entropy
    if source is None:
        source = random.Random(draw(world, SEEDS))
        world.entropy = source
        state = _real_global.getstate()
        world.at_end.append(lambda: _real_global.setstate(state))
        _real_seed(_real_global, source.getrandbits(64))
    return source


def _world() -> World | None:
    world = here.world
    return None if world is None or world.stopping or world.kernel.current is None else world


def urandom(size: int, /) -> bytes:
    """Return random bytes; stands for `os.urandom`."""
    world = _world()
    return _real_urandom(size) if world is None else entropy(world).randbytes(size)


def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """Seed a generator, from the tape if no seed is given; stands for `random.Random.seed`."""
    world = _world()
    if a is None and world is not None:
        a = entropy(world).getrandbits(64)
    _real_seed(self, a, version)


def global_function(name: str) -> Callable[..., Any]:
    """Return what stands for `random.<name>`: the same, after seeding the generator for the run."""
    # `seed` is looked up when it is called: without a seed of its own it, too, must ask the tape.
    method: Callable[..., Any] | None = None if name == "seed" else getattr(_real_global, name)

    def drawn(*args: Any, **kwargs: Any) -> Any:
        world = _world()
        if world is not None and world.entropy is None:
            entropy(world)
        return (method or _real_global.seed)(*args, **kwargs)

    drawn.__name__ = drawn.__qualname__ = name
    return drawn
