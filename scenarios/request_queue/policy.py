"""What the request queue decides without a loop, a thread or a clock.

Pure functions, a few values, and the three signals by which a request leaves the queue. They do not
know who asks: ASGI and WSGI share them.
"""

import traceback
from dataclasses import dataclass
from functools import reduce
from urllib.parse import quote

BUCKETS = 52
ACQUIRE_TIMEOUT = 6.0
EXEMPT_PATH = "/favicon.ico"
EXEMPT_PREFIX = "/njump/static/"
METRICS_PATH = "/debug/metrics"
GAUGE = "queue_in_course_size"

# FNV-1a for 64 bits: the offset basis and the prime of its reference code.
_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1

# What RFC 3986 lets stand in a path and a query as it is; % so that nothing is quoted twice.
_SAFE = "/:@!$&'()*+,;=-._~%"

_TEXT = ("content-type", "text/plain; charset=utf-8")
_NO_STORE = ("cache-control", "no-store")


class Signal(BaseException):
    """How a request leaves the queue without its page.

    Not an `Exception`, for the reason why `asyncio.CancelledError` is none: a handler that catches
    every error of its own must not catch this, and go on without its turn.
    """


class Redirect(Signal):
    """The page was fetched meanwhile: ask again."""


class HeavyLoad(Signal):
    """The page was not fetched in time."""


class ClientGone(Signal):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


#: What a client is told that has left, where a server insists on telling it something.
BLANK = Reply(200, (_TEXT,), b"")


def fnv1a(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash of `data`."""
    return reduce(lambda seen, byte: (seen ^ byte) * _PRIME & _MASK, data, _OFFSET_BASIS)


def ticket(path: str, buckets: int = BUCKETS) -> int:
    """Return the bucket of a path, given decoded and without its query."""
    return fnv1a(path.encode()) % buckets


def is_exempt(path: str) -> bool:
    """Say whether requests for a path pass by the queue."""
    return path == EXEMPT_PATH or path.startswith(EXEMPT_PREFIX)


def location(path: str, query: str = "") -> str:
    """Return where to send a client that is to ask again for `path` and `query`.

    A path that starts with two slashes would name another host; the dot keeps it on this one, and
    whoever follows it removes the dot (RFC 3986, section 5.2.4).
    """
    here = quote(path, safe=_SAFE.replace("%", ""))
    dotted = f"/.{here}" if here.startswith("//") else here
    return f"{dotted}?{quote(query, safe=_SAFE + '?')}" if query else dotted


def signal_in(exc: BaseException) -> BaseException:
    """Return the signal that `exc` is, or that a group is made of; else `exc` itself.

    A handler that waits for its turn inside a task group raises a group.
    """
    if isinstance(exc, BaseExceptionGroup) and exc.split(Signal)[1] is None:
        return signal_in(exc.exceptions[0])
    return exc


def reply_to(exc: BaseException, path: str, query: str = "") -> Reply | None:
    """Return what a client is told whose request ended by `exc`; None for nothing at all."""
    match exc:
        case Redirect():
            return Reply(302, (("location", location(path, query)), _TEXT), b"")
        case HeavyLoad():
            return Reply(504, (_TEXT,), b"the server is under heavy load, please try again\n")
        case ClientGone():
            return None
        case _:
            lines = "".join(traceback.format_exception(exc))
            return Reply(500, (_TEXT,), f"{exc}\n\n{lines}".encode())


def metrics(in_course: int) -> Reply:
    """Return the page of metrics, in the text format of Prometheus."""
    text = (
        f"# HELP {GAUGE} Requests that have come to the queue and have not ended.\n"
        f"# TYPE {GAUGE} gauge\n"
        f"{GAUGE} {in_course}\n"
    )
    version = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
    return Reply(200, (version, _NO_STORE), text.encode())
