"""What leads from a thing to another, and where a look must give up or stop."""

from __future__ import annotations

import importlib.util
import threading
import types
import weakref
from typing import Any, ClassVar

import pytest

from harness.world import wakers
from harness.world.fibers import World
from harness.world.wakers import Everything, Reach


class Thing:
    """What is looked for, or leads to it."""

    def __init__(self, held: object = None) -> None:
        self.held = held


def reaches(start: object, wanted: object) -> bool:
    """Tell whether one thing leads to the other."""
    reach = Reach({id(wanted)})
    reach.add(start)
    return reach.run() == {id(wanted)}


def test_what_is_held_at_any_depth_is_found() -> None:
    """In attributes, containers, closures, defaults, bound methods and weak references."""
    wanted = Thing()

    def closure() -> object:
        return wanted

    def default(thing: object = wanted, *, named: object = None) -> object:
        return thing, named

    ways: list[object] = [
        Thing(Thing([{"key": (wanted,)}])),
        closure,
        default,
        Thing(wanted).__init__,  # type: ignore[misc] # the bound method is what is meant
        weakref.ref(wanted),
        weakref.WeakSet([wanted]),
    ]

    assert [reaches(way, wanted) for way in ways] == [True] * len(ways)
    assert not reaches(Thing([1, "two"]), wanted)


def test_a_run_and_a_test_runner_lead_nowhere(request: pytest.FixtureRequest) -> None:
    """They know everybody, and nobody under test goes that way."""
    wanted = Thing()
    request.node.wanted = wanted

    assert not reaches(request, wanted)
    assert not reaches(request.node, wanted)
    assert not reaches(Thing(request.config), wanted)


def test_what_cannot_be_followed_leads_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy, code that lists all threads or looks names up at run time, and too much."""
    wanted = Thing()

    def naming() -> object:
        return globals()["Thing"]

    def listing() -> object:
        return threading.enumerate()

    for way in (weakref.proxy(wanted), naming, listing, Thing(threading.enumerate)):
        with pytest.raises(Everything):
            reaches(way, Thing())

    monkeypatch.setattr(wakers, "MAX_OBJECTS", 100)
    with pytest.raises(Everything):
        reaches([Thing() for _ in range(100)], wanted)


def test_code_reaches_what_modules_have_by_the_names_it_uses() -> None:
    """And nothing else that is in them; libraries are not looked into."""
    module: Any = types.ModuleType("goods")
    module.__file__ = __file__
    module.bread, module.milk = Thing(), Thing()
    space: dict[str, Any] = {"goods": module, "threading": threading}
    exec("def take():\n    yield goods.bread, threading.local", space)  # noqa: S102 # as a module

    for start in (space["take"], space["take"]()):
        assert reaches(start, module.bread)
        assert not reaches(start, module.milk)


def test_code_that_may_give_back_a_lock_of_others_is_told() -> None:
    """By the name of the method, or because it has the method of the lock itself."""
    lock = threading.Lock()

    def release(lock: Any) -> None:
        lock.release()

    def take(lock: Any) -> None:
        with lock:
            pass

    told = []
    for start in (release, take):
        reach = Reach({id(lock)})
        reach.add(start)
        reach.run()
        told.append(reach.releases)

    assert told == [True, False]


def test_what_is_called_when_a_thing_goes_is_found_and_what_a_library_remembers_is_not() -> None:
    """Else it would hang on what was imported and looked at before."""
    wanted, thing = Thing(), Thing()
    known: weakref.WeakKeyDictionary[Thing, Thing] = weakref.WeakKeyDictionary({thing: wanted})

    assert not reaches(thing, wanted)
    assert reaches(known, wanted)

    reference = weakref.ref(thing, lambda _: wanted)
    assert reference() is thing
    assert reaches(thing, wanted)


def test_a_world_leads_to_nobody() -> None:
    """Whoever has `sim` would else have everything."""
    wanted = Thing()
    world = World.__new__(World)
    world.before_teardown = [lambda: wanted]

    assert not reaches(Thing(world), wanted)


class Liar:
    """It says that it is another, hashes and compares in its own way, and answers to any name."""

    __slots__ = ("__weakref__", "held")

    told: ClassVar[list[str]] = []

    def __init__(self, held: object) -> None:
        self.held = held

    @property  # type: ignore[misc] # what it is for
    def __class__(self) -> type:
        self.told.append("class")
        return int

    def __hash__(self) -> int:
        self.told.append("hash")
        return 1

    def __eq__(self, other: object) -> bool:
        self.told.append("eq")
        return True

    def __bool__(self) -> bool:
        self.told.append("bool")
        return False

    def __getattr__(self, name: str) -> object:
        self.told.append(name)
        raise AttributeError(name)


class Known(weakref.ref[Thing]):
    """It does not say what it knows."""

    def __call__(self) -> None:  # type: ignore[override] # what it is for
        """Tell that somebody has asked."""
        Liar.told.append("call")


def test_a_look_runs_no_code_of_what_it_looks_at() -> None:
    """Neither what it says of itself, nor a module that is loaded when somebody asks it."""
    wanted = Thing()
    Liar.told.clear()
    spec = importlib.util.find_spec("this")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lazy)

    assert reaches([Liar(Thing(wanted))], wanted)
    assert reaches(Known(wanted), wanted)
    assert not reaches([lazy], wanted)

    assert Liar.told == []
    assert "s" not in object.__getattribute__(lazy, "__dict__"), "`this` prints when it is loaded"
