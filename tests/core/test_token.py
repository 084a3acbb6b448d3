"""The token: round trip, every damage is one clear line, and no text is costly."""

from __future__ import annotations

import base64
import dataclasses
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.core.token import MAX_BYTES, MAX_CHOICES, MAX_TEXT, PREFIX, Token
from harness.errors import HarnessError

COLD_KEY = Token(
    scenario="scenarios/cache/storms.py::cold_key",
    class_name="CheckThenAct",
    strategy="random",
    seed=7,
    granularity="shared",
    timeouts="idle",
    order="tasks",
    interpreter="3.11",
    fingerprint="0f3c9a",
    choices=(0, 0, 3, 0, 1, 0, 0, 0, 65_535),
)

# Any text at all: a scenario's path may hold bytes that are no text (surrogates), or nothing.
TEXTS = st.text(st.characters(), max_size=30)

TOKENS = st.builds(
    Token,
    scenario=TEXTS,
    class_name=TEXTS,
    strategy=TEXTS,
    seed=st.integers(0, 2**64 - 1),
    granularity=TEXTS,
    timeouts=TEXTS,
    order=TEXTS,
    interpreter=TEXTS,
    fingerprint=TEXTS,
    choices=st.lists(
        st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 2**64 - 1)), max_size=60
    ).map(tuple),
)


def packed(body: bytes, checksum: int | None = None) -> str:
    """Write a token's text round any bytes."""
    plain = (zlib.crc32(body) if checksum is None else checksum).to_bytes(4, "big") + body
    deflated = zlib.compress(plain, 9, -zlib.MAX_WBITS)
    return PREFIX + base64.urlsafe_b64encode(deflated).decode().rstrip("=")


#: The eight empty texts and the seed 0 of the smallest token.
SMALLEST = bytes(9)


@given(TOKENS)
@example(COLD_KEY)
def test_a_token_comes_back_as_it_was(token: Token) -> None:
    """What is written down is read back equal, from characters that no shell touches."""
    text = token.encode()

    assert Token.decode(text) == token
    assert text.startswith("t1:")
    assert text.isascii()
    assert text.removeprefix("t1:").replace("-", "").replace("_", "").isalnum()


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 30))
def test_zeros_at_the_end_are_not_kept(choices: list[int], zeros: int) -> None:
    """Two tapes that differ by zeros at the end are one run, and one token."""
    bare = dataclasses.replace(COLD_KEY, choices=tuple(choices))
    padded = dataclasses.replace(COLD_KEY, choices=(*choices, *[0] * zeros))

    assert padded == bare
    assert padded.encode() == bare.encode()
    assert padded.choices[-1:] != (0,)


@given(st.integers(0, 40))
def test_white_space_round_a_token_is_ignored(blanks: int) -> None:
    """A token pasted with the spaces and line ends round it is the same token."""
    text = " " * blanks + COLD_KEY.encode() + "\n" * blanks

    assert Token.decode(text) == COLD_KEY


@given(st.data())
def test_a_damaged_token_is_one_clear_line(data: st.DataObject) -> None:
    """Change, drop, insert characters: a token or a `HarnessError` comes of it, nothing else."""
    text = list(data.draw(TOKENS).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        removed = data.draw(st.integers(0, 3))
        text[place : place + removed] = data.draw(st.text(max_size=3))

    assert_token_or_one_line("".join(text))


@given(st.one_of(st.text(), st.text().map(lambda text: PREFIX + text)))
@example("t1:zz")
@example("t1:é")
@example("")
def test_any_text_is_a_token_or_one_clear_line(text: str) -> None:
    """Whatever stands after `replay`, the answer is a token or one line."""
    assert_token_or_one_line(text)


@given(st.binary(max_size=60))
@example(SMALLEST + b"\x80" * 12)
@example(SMALLEST + b"\x00" + b"\xff" * 9 + b"\x01")
def test_any_body_with_a_right_checksum_is_a_token_or_one_clear_line(body: bytes) -> None:
    """A text made by hand passes the checksum: what is inside is checked all the same."""
    assert_token_or_one_line(packed(body))


def assert_token_or_one_line(text: str) -> None:
    """Decode `text`; if it is no token, the error is one line that begins with what was given."""
    try:
        token = Token.decode(text)
    except HarnessError as error:
        line = str(error)
    else:
        # A token that was read can be written again: nothing half valid gets through.
        assert Token.decode(token.encode()) == token
        return
    assert line.startswith("token=")
    assert " is not a token: " in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it does not start with t1:"),
        ("t2:abc", "it does not start with t1:"),
        ("t1:z!", "it holds characters that no token has"),
        ("t1:a", "its end is missing"),
        ("t1:zz", "its end is missing"),
        (COLD_KEY.encode()[:-2], "its end is missing"),
        (packed(b"", checksum=1), "its checksum is wrong"),
        (packed(b"\x20abc"), "its scenario is cut off"),
        (packed(b"\x01\xff"), "its scenario is no text"),
        (packed(bytes(8)), "its end is missing"),
        (packed(bytes(8) + b"\xff" * 10), "it holds a number of more than 64 bits"),
        (packed(SMALLEST + b"\x01"), "its end is missing"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    """The line names the problem, shows at most the beginning of the text, and says the way out."""
    with pytest.raises(HarnessError) as caught:
        Token.decode(text)

    shown = text if len(text) <= 20 else f"{text[:20]}…"
    assert str(caught.value) == (
        f"token={shown!r} is not a token: {problem}. "
        "Copy the whole of it from the verdict's replay row."
    )


def test_something_behind_the_end_is_refused() -> None:
    """Two tokens run together are not the first of them."""
    deflated = base64.urlsafe_b64decode(packed(SMALLEST).removeprefix(PREFIX) + "==")
    text = PREFIX + base64.urlsafe_b64encode(deflated + b"\x00\x00\x00").decode().rstrip("=")

    with pytest.raises(HarnessError, match="something follows its end"):
        Token.decode(text)


def test_what_is_no_text_is_refused() -> None:
    """A pin that is no string is misuse, not a crash."""
    with pytest.raises(HarnessError, match="token=7 is not a token: it is no text"):
        Token.decode(7)


def test_a_zip_bomb_is_refused_before_it_unfolds() -> None:
    """Twenty million bytes folded into twenty thousand characters are not unfolded."""
    text = packed(bytes(MAX_BYTES + 1))

    assert len(text) < 40_000
    with pytest.raises(HarnessError, match=f"it unpacks to more than {MAX_BYTES} bytes"):
        Token.decode(text)


@pytest.mark.parametrize("gap", [b"\x80\x80\x80\x80\x20", b"\xff" * 9 + b"\x01"])
def test_a_gap_that_stands_for_a_huge_tape_is_refused(gap: bytes) -> None:
    """One small number may stand for any count of zeros: it is bounded before memory is taken."""
    with pytest.raises(HarnessError, match=f"its tape is longer than {MAX_CHOICES} choices"):
        Token.decode(packed(SMALLEST + gap + b"\x00"))


def test_a_text_of_any_length_is_not_even_looked_at() -> None:
    """The text itself is bounded too."""
    with pytest.raises(HarnessError, match=f"it is longer than {MAX_TEXT} characters"):
        Token.decode(PREFIX + "A" * MAX_TEXT)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    """A token cannot hold a seed that the search would refuse."""
    with pytest.raises(HarnessError, match=rf"seed={seed} must be in 0 ≤ seed < 2\*\*64\."):
        dataclasses.replace(COLD_KEY, seed=seed)


@pytest.mark.parametrize("choices", [(1, -1, 2), (2**64,)])
def test_a_choice_out_of_range_is_refused(choices: tuple[int, ...]) -> None:
    """A choice is a place in a list: never negative, and never beyond 64 bits."""
    with pytest.raises(HarnessError, match="choices="):
        dataclasses.replace(COLD_KEY, choices=choices)


def test_a_tape_too_long_to_be_written_down_is_refused() -> None:
    """What cannot be read back is not written."""
    with pytest.raises(HarnessError, match=f"must be at most {MAX_CHOICES}"):
        dataclasses.replace(COLD_KEY, choices=(*[0] * MAX_CHOICES, 1))


def test_a_token_of_a_long_run_stays_short() -> None:
    """Only deviations are written: ten in a hundred thousand choices fit a line."""
    choices = [0] * 100_000
    choices[9_999::10_000] = range(1, 11)

    text = dataclasses.replace(COLD_KEY, choices=tuple(choices)).encode()

    assert len(text) < 250
