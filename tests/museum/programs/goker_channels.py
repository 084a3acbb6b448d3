"""Kernels of real Go bugs that are about channels."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

from tests.museum.programs.channel import Channel, ChannelClosedError
from tests.museum.programs.result_or_timeout import ResultOrTimeout
from tests.museum.programs.starting import threads
from tests.museum.programs.wait_group import WaitGroup

# --- C01 ------------------------------------------------------------------------------------------


def kubernetes_6632(sim: Any) -> None:
    """The writer sends under a lock that the only receiver needs first."""
    s = SimpleNamespace(reset=True)
    close, reset = Channel(), Channel()
    wl = threading.Lock()

    def monitor() -> None:
        close.get()
        wl.acquire()
        reset.shutdown()
        s.reset = False
        wl.release()

    def writer() -> None:
        wl.acquire()
        if s.reset:
            reset.put("frame")
        wl.release()

    def closer() -> None:
        close.put("close")

    for worker in threads(monitor, writer, closer):
        worker.start()


def kubernetes_6632_fixed(sim: Any) -> None:
    """The writer keeps what nobody may receive, instead of sending it."""
    s = SimpleNamespace(reset=True, frames=0)
    close, reset = Channel(), Channel()
    wl = threading.Lock()

    def monitor() -> None:
        close.get()
        wl.acquire()
        reset.shutdown()
        s.reset = False
        wl.release()

    def writer() -> None:
        wl.acquire()
        if s.reset:
            s.frames += 1
        wl.release()

    def closer() -> None:
        close.put("close")

    for worker in threads(monitor, writer, closer):
        worker.start()


# --- C02 ------------------------------------------------------------------------------------------


def _etcd_6857(*, closes: bool) -> None:
    requests, done = Channel(), Channel()

    def run() -> None:
        while requests.get() == "status":
            pass
        if closes:
            requests.shutdown()
        done.shutdown()

    def status() -> None:
        with suppress(ChannelClosedError):
            requests.put("status")

    def stop() -> None:
        requests.put("stop")
        done.get()

    for worker in threads(status, run, stop):
        worker.start()


def etcd_6857(sim: Any) -> None:
    """Who asks for the status does not see that the node has stopped."""
    _etcd_6857(closes=False)


def etcd_6857_fixed(sim: Any) -> None:
    """A node that stops closes its requests, and who asks takes that for an answer."""
    _etcd_6857(closes=True)


# --- C06 ------------------------------------------------------------------------------------------


def kubernetes_10182(sim: Any) -> None:
    """The second setter sends under the lock that the receiver of the first wants."""
    statuses = Channel()
    lock = threading.Lock()

    def batch() -> None:
        for _ in range(2):
            statuses.get()
            lock.acquire()
            lock.release()

    def set_status() -> None:
        lock.acquire()
        statuses.put("status")
        lock.release()

    for worker in threads(batch, set_status, set_status):
        worker.start()


def kubernetes_10182_fixed(sim: Any) -> None:
    """It sends after it has let the lock go."""
    statuses = Channel()
    lock = threading.Lock()

    def batch() -> None:
        for _ in range(2):
            statuses.get()
            lock.acquire()
            lock.release()

    def set_status() -> None:
        lock.acquire()
        lock.release()
        statuses.put("status")

    for worker in threads(batch, set_status, set_status):
        worker.start()


# --- C08 ------------------------------------------------------------------------------------------


def kubernetes_1321(sim: Any) -> None:
    """The loop holds both locks and sends; who would receive wants one of them."""
    s = SimpleNamespace(registered=False)
    results = Channel()
    gl, mux = threading.Lock(), threading.Lock()

    def loop() -> None:
        for _ in range(4):
            mux.acquire()
            gl.acquire()
            if s.registered:
                results.put("event")
            gl.release()
            mux.release()

    worker = threading.Thread(target=loop)
    worker.start()
    gl.acquire()
    s.registered = True
    gl.release()
    mux.acquire()
    if s.registered:
        s.registered = False
        results.shutdown()
    mux.release()


def kubernetes_1321_fixed(sim: Any) -> None:
    """What nobody receives now is dropped."""
    s = SimpleNamespace(registered=False, dropped=0)
    results = Channel()
    gl, mux = threading.Lock(), threading.Lock()

    def loop() -> None:
        for _ in range(4):
            mux.acquire()
            gl.acquire()
            if s.registered:
                s.dropped += 1
            gl.release()
            mux.release()

    worker = threading.Thread(target=loop)
    worker.start()
    gl.acquire()
    s.registered = True
    gl.release()
    mux.acquire()
    if s.registered:
        s.registered = False
        results.shutdown()
    mux.release()


# --- C10 ------------------------------------------------------------------------------------------


class _Stopper(NamedTuple):
    """What a worker and who stops it share."""

    mutex: threading.Lock
    s: SimpleNamespace
    drain: WaitGroup
    stopped: WaitGroup
    stopper: Channel


def _stoppers() -> tuple[_Stopper, ...]:
    return tuple(
        _Stopper(
            threading.Lock(), SimpleNamespace(draining=False), WaitGroup(), WaitGroup(1), Channel()
        )
        for _ in range(3)
    )


def cockroach_1055(sim: Any) -> None:
    """Who stops waits, under the mutex, for workers that wait for being stopped."""
    parts = _stoppers()

    def work(i: int) -> None:
        mutex, s, drain, stopped, stopper = parts[i]
        mutex.acquire()
        if not s.draining:
            drain.add(1)
        mutex.release()
        stopper.get()
        stopped.add(-1)

    def stop_all() -> None:
        for mutex, s, drain, _, _ in parts:
            mutex.acquire()
            s.draining = True
            drain.wait()
            mutex.release()
        for mutex, s, drain, stopped, stopper in parts:
            mutex.acquire()
            s.draining = True
            drain.wait()
            stopper.shutdown()
            stopped.wait()
            mutex.release()

    workers = tuple(threading.Thread(target=work, args=(i,)) for i in range(3))
    for worker in (*workers, threading.Thread(target=stop_all)):
        worker.start()


def cockroach_1055_fixed(sim: Any) -> None:
    """A worker's task is done before it waits, and nobody waits for it under the mutex."""
    parts = _stoppers()

    def work(i: int) -> None:
        mutex, s, drain, stopped, stopper = parts[i]
        mutex.acquire()
        started = not s.draining
        if started:
            drain.add(1)
        mutex.release()
        if started:
            drain.add(-1)
        stopper.get()
        stopped.add(-1)

    def stop_all() -> None:
        for mutex, s, drain, _, _ in parts:
            mutex.acquire()
            s.draining = True
            mutex.release()
            drain.wait()
        for _, _, _, stopped, stopper in parts:
            stopper.shutdown()
            stopped.wait()

    workers = tuple(threading.Thread(target=work, args=(i,)) for i in range(3))
    for worker in (*workers, threading.Thread(target=stop_all)):
        worker.start()


# --- C11 ------------------------------------------------------------------------------------------


def grpc_1687(sim: Any) -> None:
    """One writer closes the channel that another still sends on."""
    writes = Channel()

    def stream() -> None:
        while writes.get() is not None:
            pass

    def write_status() -> None:
        writes.put("status")
        writes.shutdown()

    def write() -> None:
        writes.put("data")

    for worker in threads(stream, write_status, write):
        worker.start()


def grpc_1687_fixed(sim: Any) -> None:
    """Who closes waits until everybody has sent."""
    writes = Channel()
    senders = WaitGroup(1)

    def stream() -> None:
        while writes.get() is not None:
            pass

    def write_status() -> None:
        writes.put("status")
        senders.wait()
        writes.shutdown()

    def write() -> None:
        writes.put("data")
        senders.add(-1)

    for worker in threads(stream, write_status, write):
        worker.start()


# --- C19 ------------------------------------------------------------------------------------------


def grpc_1353(sim: Any) -> None:
    """The watcher sends under the mutex that the balancer takes after it has received."""
    addresses = Channel()
    mu = threading.Lock()

    def watcher() -> None:
        for _ in range(3):
            mu.acquire()
            addresses.put("address")
            mu.release()

    def balancer() -> None:
        for _ in range(3):
            addresses.get()
            mu.acquire()
            mu.release()

    workers = threads(watcher, balancer)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def grpc_1353_fixed(sim: Any) -> None:
    """It sends after it has let the mutex go."""
    addresses = Channel()
    mu = threading.Lock()

    def watcher() -> None:
        for _ in range(3):
            mu.acquire()
            mu.release()
            addresses.put("address")

    def balancer() -> None:
        for _ in range(3):
            addresses.get()
            mu.acquire()
            mu.release()

    workers = threads(watcher, balancer)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


# --- C20 ------------------------------------------------------------------------------------------


def _kubernetes_5316(*, room: int) -> None:
    s = SimpleNamespace(found="")
    outcome = ResultOrTimeout(room)

    def work() -> None:
        s.found = "answer"
        outcome.send("answer")

    for worker in threads(work, outcome.expire):
        worker.start()
    outcome.receive()


def kubernetes_5316(sim: Any) -> None:
    """The time-out comes first, and the worker is left with a result that nobody receives."""
    _kubernetes_5316(room=0)


def kubernetes_5316_fixed(sim: Any) -> None:
    """The channel has room for the result."""
    _kubernetes_5316(room=1)
