"""What a pool does with a call: records, scripts, and how a record becomes a rule with a verdict.

A record is data. Its latency is a `Delay`, its outcome a `Fail`, `Truncate` or `Hang`, so that a
scripted fault and an injected one are the same thing to the pool. This module does not know how a
verdict is carried out, nor who waits where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.core.clock import to_ns, to_seconds
from harness.errors import HarnessError, misuse
from harness.faults import PASS, Delay, Fail, Hang, Rule, Site, Truncate, Verdict

if TYPE_CHECKING:
    from .gate import AsyncGate, Gate

Latency = float | tuple[float, float]
Error = BaseException | type[BaseException] | Callable[[], BaseException]
Draw = Callable[[int], int]

# A latency span is drawn in at most so many steps, to keep the numbers on a tape small.
_STEPS = 1000


class TransientError(ConnectionError):
    """The failure that a pool makes up when it is told to fail and not how.

    One that is worth another attempt.
    """


class _Echo:
    """The payload that is the key asked for."""

    def __repr__(self) -> str:
        return "ECHO"


ECHO = _Echo()


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the pool does with one call, or with every call for one key.

    A plain `Behaviour()` answers the key at once.

    Args:
        latency: seconds until the answer, or a span `(low, high)` from which each call draws its
            own.
        payload: the answer; `ECHO` for the key itself; a function is asked with the key.
        error: raised after the latency: an instance, a class, or a function that makes a new one
            for each call.
        truncate: only the first so many bytes (or items) of the payload arrive; None for all.
        hang: never answer; only the caller's cancellation or time-out ends the call.
        fail_first: attempts 1 to `fail_first` for a key fail with `fail_error`, later ones do what
            the rest says.
        fail_error: what these attempts, and those of `fail_after_first_chunk`, raise.
        chunk_size: bytes (or items) of a chunk handed to the caller's writer; None for one chunk.
        tail_gate: gate behind the first chunk; what follows waits for it.
        fail_after_first_chunk: attempts 1 to so many fail behind the first chunk; True means the
            first only.

    Raises:
        HarnessError: an argument out of range, or two outcomes at once.
    """

    latency: Latency = 0.0
    payload: object = ECHO
    error: Error | None = None
    truncate: int | None = None
    hang: bool = False
    fail_first: int = 0
    fail_error: Error = TransientError
    chunk_size: int | None = None
    tail_gate: Gate | AsyncGate | None = None
    fail_after_first_chunk: int = 0

    def __post_init__(self) -> None:
        _check_latency(self.latency)
        _check_error("error", self.error)
        _check_error("fail_error", self.fail_error)
        _check_at_least("truncate", self.truncate, 0, "Use truncate=0 for an empty payload.")
        _check_at_least(
            "chunk_size", self.chunk_size, 1, "Leave it out for the payload in one chunk."
        )
        _check_at_least(
            "fail_first", self.fail_first, 0, "Use error= for a call that always fails."
        )
        _check_at_least(
            "fail_after_first_chunk",
            self.fail_after_first_chunk,
            0,
            "Use True for the first attempt only.",
        )
        if (self.error is not None) + (self.truncate is not None) + self.hang > 1:
            message = (
                f"{self!r} has more than one of error, truncate and hang: a call ends in one way. "
                "Script the attempts one by one."
            )
            raise HarnessError(message)

    def delay(self, draw: Draw) -> Delay:
        """Return the latency of one call as a verdict; a span asks `draw` once."""
        if not isinstance(self.latency, tuple):
            return Delay(self.latency)
        low_ns, high_ns = (to_ns(bound, "latency") for bound in self.latency)
        steps = min(_STEPS, high_ns - low_ns)
        if not steps:
            return Delay(to_seconds(low_ns))
        return Delay(to_seconds(low_ns + (high_ns - low_ns) * draw(steps + 1) // steps))

    def rule(self, attempt: int) -> Rule:
        """Return the certain rule that this record is for this `attempt` (from 1) for its key."""
        verdict = self._outcome(attempt)

        def scripted(_site: Site) -> Verdict:
            return verdict

        return scripted

    def body(self, key: str) -> object:
        """Return the whole payload of a call for `key`."""
        if self.payload is ECHO:
            return key
        return self.payload(key) if callable(self.payload) else self.payload

    def chunks(self, payload: object) -> Sequence[object]:
        """Cut `payload` as the caller's writer gets it. An empty payload is one empty chunk.

        Raises:
            HarnessError: it cannot be cut.
        """
        if self.chunk_size is None:
            return [payload]
        size = measure(payload)
        return [
            cut(payload, start, start + self.chunk_size)
            for start in range(0, size, self.chunk_size)
        ] or [payload]

    def _outcome(self, attempt: int) -> Verdict:
        if attempt <= self.fail_first:
            return Fail(self.fail_error)
        if self.error is not None:
            return Fail(self.error)
        if self.truncate is not None:
            return Truncate(self.truncate)
        return Hang() if self.hang else PASS


@dataclass(frozen=True, slots=True)
class _Script:
    """The records of one key: one for each attempt in turn, then one for ever.

    `attempts` is how many calls had come for the key when the script was set: its first attempt is
    the next one.
    """

    steps: tuple[Behaviour, ...]
    then: Behaviour | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The record that serves one call, and the attempt that it is, counted since that was set."""

    record: Behaviour
    attempt: int


class Records:
    """Which record serves which call.

    Whole records: one for a key replaces the default, nothing is merged. Not locked.

    Args:
        default: record of every key that has none of its own.
    """

    def __init__(self, default: Behaviour) -> None:
        self._attempts: Counter[str] = Counter()
        self._scripts: dict[str, _Script] = {}
        self._default = default
        self._before_default: Counter[str] = Counter()

    def arrive(self, key: str) -> int:
        """Count a call for `key`.

        Return its ordinal among all calls for it. A reset of statistics changes none of this.
        """
        self._attempts[key] += 1
        return self._attempts[key]

    def set_default(self, record: Behaviour) -> None:
        """Serve every key without a record of its own by `record`."""
        self._default = _checked_record(record)
        self._before_default = self._attempts.copy()

    def script(self, key: str, steps: Sequence[Behaviour], then: Behaviour | None) -> None:
        """Serve the next attempts for `key` by `steps`, later ones by `then` or the default."""
        checked = tuple(_checked_record(step) for step in steps)
        then = None if then is None else _checked_record(then)
        self._scripts[key] = _Script(checked, then, self._attempts[key])

    def unset(self, key: str) -> None:
        """Serve `key` by the default again."""
        self._scripts.pop(key, None)

    def plan(self, key: str, ordinal: int) -> Plan:
        """Return the record for the call with this `ordinal` for `key`.

        A call that was inside already when a script was set is none of its attempts: it gets what
        comes after the script.
        """
        script = self._scripts.get(key)
        if script is not None:
            attempt = ordinal - script.attempts
            if 1 <= attempt <= len(script.steps):
                return Plan(script.steps[attempt - 1], 1)
            if script.then is not None:
                return Plan(script.then, max(1, attempt - len(script.steps)))
        return Plan(self._default, max(1, ordinal - self._before_default[key]))


def measure(payload: object) -> int:
    """Return the size of `payload` in bytes or items; anything that has no size counts as 1."""
    return len(payload) if isinstance(payload, Sized) else 1


def cut(payload: object, start: int, end: int) -> object:
    """Return `payload[start:end]`.

    Raises:
        HarnessError: it cannot be cut.
    """
    try:
        return payload[start:end]  # type: ignore[index]  # asked and answered below
    except (TypeError, KeyError) as exc:
        way_out = "Give a pool whose answers are cut short or chunked bytes, a text or a list."
        raise misuse("payload", payload, "cannot be cut.", way_out) from exc


def _checked_record(record: object) -> Behaviour:
    if not isinstance(record, Behaviour):
        raise misuse(
            "record",
            record,
            "must be a Behaviour.",
            "Write Behaviour(payload=…), Behaviour(error=…).",
        )
    return record


def _check_latency(latency: Any) -> None:
    bounds: tuple[Any, ...] = latency if isinstance(latency, tuple) else (latency, latency)
    if len(bounds) != len(("low", "high")) or not all(
        isinstance(bound, (int, float)) for bound in bounds
    ):
        raise misuse(
            "latency",
            latency,
            "must be seconds or a span of seconds.",
            "Write latency=0.05 or latency=(0.05, 0.15).",
        )
    for bound in bounds:
        if bound < 0:
            raise misuse(
                "latency",
                latency,
                "must not be negative: no answer comes before its question.",
                "Use 0 for an answer at once.",
            )
        to_ns(bound, "latency")
    if bounds[0] > bounds[1]:
        raise misuse(
            "latency",
            latency,
            "must be a span from low to high.",
            f"Write latency=({bounds[1]}, {bounds[0]}).",
        )


def _check_error(name: str, error: object) -> None:
    if isinstance(error, type):
        fits = issubclass(error, BaseException)
    else:
        fits = error is None or isinstance(error, BaseException) or callable(error)
    if not fits:
        raise misuse(
            name,
            error,
            "must be an exception, its class, or a function that makes one.",
            f"Write {name}=TransientError.",
        )


def _check_at_least(name: str, value: int | None, least: int, way_out: str) -> None:
    if value is not None and value < least:
        raise misuse(name, value, f"must be at least {least}.", way_out)
