"""What the coordinator of speed tests decides without a thread, a loop or a clock.

Pure functions and values, shared by both flavours. Times are seconds of a monotonic clock; they do
not know who reads it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import floor

TTL = 300.0
PERIODS_IN_TTL = 5
TEST_TIMEOUT = 300.0
MEGABYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Account:
    """What a connection is made with; two that differ here must not share one."""

    host: str
    port: int = 563
    user: str = ""
    password: str = ""
    tls: bool = True
    connections: int = 4


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as it is configured. The display name says nothing about its connections."""

    id: str
    account: Account
    display_name: str = ""

    @property
    def address(self) -> str:
        """Where it is dialled: `host:port`."""
        return f"{self.account.host}:{self.account.port}"


def key_of(provider: Provider) -> str:
    """Return what a client and a test may be shared by: the id, and a digest of the account.

    A password goes into the digest, never into the key.
    """
    digest = hashlib.sha256(repr(astuple(provider.account)).encode())
    return f"{provider.id} {digest.hexdigest()}"


def is_fresh(now: float, expiry: float) -> bool:
    """Say whether a cached client may still be handed out; no longer at the very expiry."""
    return now < expiry


def is_expired(now: float, expiry: float) -> bool:
    """Say whether a sweep takes a cached client; not yet at the very expiry."""
    return now > expiry


def next_tick(last: int, elapsed: float, period: float) -> int:
    """Return the number of the next tick after number `last`; those that were missed are skipped.

    Counted, not computed from the time alone: at a tick, `elapsed / period` may be a hair below the
    number of that very tick.
    """
    return max(last, floor(elapsed / period)) + 1


def megabytes_per_second(speeds: Mapping[str, float], provider: Provider) -> float:
    """Return the provider's own speed, by its id, out of bytes per second of each.

    Raises:
        KeyError: it was not measured.
    """
    return speeds[provider.id] / MEGABYTE
