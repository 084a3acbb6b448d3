"""Threads that call a function cached by cachetools with the same argument."""

import threading

import cachetools

from harness import LeakBound, Simulation, scenario


@scenario(under_test=("cachetools",))
def one_object_for_one_key(sim: Simulation) -> None:
    """Threads miss one key at once: all of them get the object that the cache keeps."""
    cache: dict[object, object] = {}

    @cachetools.cached(cache, lock=threading.Lock())
    def connection(host: str) -> object:
        return object()

    with sim.storm(LeakBound()) as storm:
        storm.spawn(connection, "origin", copies=2, name="caller")

    assert len(set(storm.results())) == 1, "callers hold different objects for one key"
