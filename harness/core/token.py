"""The text form of a run: one line that names the scenario and holds every choice but the defaults.

    t1: base64url(deflate(checksum, scenario, class, …, seed, (gap, value) of each non-zero choice))

Zeros at the end of a tape say nothing (where a tape ends, the answer is 0), so they are not kept. A
token is read from anywhere, so its text is trusted with nothing: sizes are bounded before memory is
taken, and whatever is wrong with it is one `HarnessError`. It does not know whether scenario, class
or modes exist; who runs it does.
"""

from __future__ import annotations

import base64
import binascii
import string
import zlib
from dataclasses import dataclass

from harness.errors import HarnessError, misuse

PREFIX = "t1:"

#: Longest text that is looked at, most bytes it may unpack to, and longest tape.
MAX_TEXT = 8_000_000
MAX_BYTES = 16_000_000
MAX_CHOICES = 4_000_000

#: First seed, and first choice, that does not fit.
LIMIT = 1 << 64

_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")
_CHECKSUM_SIZE = 4
_SHOWN = 20
_TEXTS = (
    "scenario",
    "class_name",
    "strategy",
    "granularity",
    "timeouts",
    "order",
    "interpreter",
    "fingerprint",
)


@dataclass(frozen=True, slots=True)
class Token:
    """One run, to be done again.

    Args:
        scenario: its name, `path/to/storms.py::cold_key` or `module:qualname`.
        class_name: the class it ran with, empty if there is none.
        strategy: who made the choices.
        seed: base seed of the search that found it, 0 ≤ seed < 2**64.
        granularity: `sync` or `shared`.
        timeouts: time-out mode.
        order: asyncio order.
        interpreter: version of Python, such as `3.11`.
        fingerprint: hash over the code that the choices belong to.
        choices: the tape; zeros at its end are dropped.

    Raises:
        HarnessError: the seed or a choice is out of range, or the tape is too long.
    """

    scenario: str
    class_name: str
    strategy: str
    seed: int
    granularity: str
    timeouts: str
    order: str
    interpreter: str
    fingerprint: str
    choices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < LIMIT:
            raise misuse(
                "seed", self.seed, "must be in 0 ≤ seed < 2**64.", "Use 0 for the default search."
            )
        end = len(self.choices)
        while end and not self.choices[end - 1]:
            end -= 1
        choices = tuple(self.choices[:end])
        if end > MAX_CHOICES:
            raise misuse(
                "choices",
                f"{end} of them",
                f"must be at most {MAX_CHOICES}.",
                "Shrink the run first.",
            )
        if choices and not 0 <= min(choices) <= max(choices) < LIMIT:
            raise misuse(
                "choices",
                f"{min(choices)}…{max(choices)}",
                "must be in 0 ≤ choice < 2**64.",
                "0 is the default.",
            )
        object.__setattr__(self, "choices", choices)

    def encode(self) -> str:
        """Return the token as one line of text, `t1:…`."""
        body = bytearray()
        for name in _TEXTS:
            text = getattr(self, name).encode("utf-8", "surrogatepass")
            _write_number(body, len(text))
            body += text
        _write_number(body, self.seed)
        gap = 0
        for choice in self.choices:
            if choice:
                _write_number(body, gap)
                _write_number(body, choice - 1)
                gap = 0
            else:
                gap += 1
        packed = zlib.compress(
            zlib.crc32(body).to_bytes(_CHECKSUM_SIZE, "big") + bytes(body), 9, -zlib.MAX_WBITS
        )
        return PREFIX + base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Token:
        """Read a token back; white space around it is ignored.

        Raises:
            HarnessError: `text` is no token, or not a whole one.
        """
        try:
            return _read(text)
        except _Malformed as problem:
            raise malformed(text, str(problem)) from None


def malformed(text: object, problem: str) -> HarnessError:
    """Make the one line for a text that is no token."""
    shown = text if not isinstance(text, str) or len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return misuse(
        "token",
        shown,
        f"is not a token: {problem}.",
        "Copy the whole of it from the verdict's replay row.",
    )


class _Malformed(Exception):
    """What is wrong with a token, in a few words."""


def _read(text: str) -> Token:
    if not isinstance(text, str):
        raise _Malformed("it is no text")
    text = text.strip()
    if not text.startswith(PREFIX):
        raise _Malformed(f"it does not start with {PREFIX}")
    if len(text) > MAX_TEXT:
        raise _Malformed(f"it is longer than {MAX_TEXT} characters")
    body = memoryview(_checked(_unpack(text[len(PREFIX) :])))
    texts = {}
    position = 0
    for name in _TEXTS:
        length, position = _number(body, position)
        if length > len(body) - position:
            raise _Malformed(f"its {name} is cut off")
        try:
            texts[name] = bytes(body[position : position + length]).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise _Malformed(f"its {name} is no text") from None
        position += length
    seed, position = _number(body, position)
    return Token(**texts, seed=seed, choices=_read_choices(body, position))


def _read_choices(body: memoryview, position: int) -> tuple[int, ...]:
    choices: list[int] = []
    while position < len(body):
        gap, position = _number(body, position)
        less_one, position = _number(body, position)
        # Before the memory is taken: a gap is one small number, whatever it stands for.
        if len(choices) + gap >= MAX_CHOICES:
            raise _Malformed(f"its tape is longer than {MAX_CHOICES} choices")
        if less_one + 1 >= LIMIT:
            raise _Malformed("it holds a number of more than 64 bits")
        choices.extend([0] * gap)
        choices.append(less_one + 1)
    return tuple(choices)


def _unpack(text: str) -> bytes:
    if not _ALPHABET.issuperset(text):
        raise _Malformed("it holds characters that no token has")
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise _Malformed("its end is missing") from None
    # Bits beyond the last byte are dropped by the decoder: two texts would be one token.
    if base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=") != text:
        raise _Malformed("its end is missing")
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflating.decompress(packed, MAX_BYTES)
    except zlib.error:
        raise _Malformed("it is damaged") from None
    if not inflating.eof and len(plain) == MAX_BYTES:
        raise _Malformed(f"it unpacks to more than {MAX_BYTES} bytes")
    if not inflating.eof:
        raise _Malformed("its end is missing")
    if inflating.unused_data:
        raise _Malformed("something follows its end")
    return plain


def _checked(plain: bytes) -> bytes:
    body = plain[_CHECKSUM_SIZE:]
    if len(plain) < _CHECKSUM_SIZE or zlib.crc32(body) != int.from_bytes(
        plain[:_CHECKSUM_SIZE], "big"
    ):
        raise _Malformed("its checksum is wrong")
    return body


# Numbers are written seven bits a byte, low bits first; the top bit says that more follow.


def _write_number(body: bytearray, number: int) -> None:
    while number > 0x7F:
        body.append(number & 0x7F | 0x80)
        number >>= 7
    body.append(number)


def _number(body: memoryview, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(body):
            raise _Malformed("its end is missing")
        byte = body[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise _Malformed("it holds a number of more than 64 bits")
    if number >= LIMIT:
        raise _Malformed("it holds a number of more than 64 bits")
    return number, position
