"""The tape: any list is a valid run, and what was answered replays."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from harness.core.tape import Tape, deviations, replayed

# What a run asks, in order: among how many, and whether it asks about a fault.
QUESTIONS = st.lists(st.tuples(st.integers(2, 70_000), st.booleans()), max_size=50)
# What a tape may hold, whoever made it: also what cannot be had.
ANSWERS = st.lists(st.integers(-3, 70_000), max_size=60)


def ask(tape: Tape, questions: list[tuple[int, bool]]) -> list[int]:
    """Ask all `questions` of `tape`."""
    return [
        tape.fault(options) if is_fault else tape.choose(options) for options, is_fault in questions
    ]


@given(QUESTIONS, ANSWERS)
def test_any_list_is_a_valid_run(questions: list[tuple[int, bool]], answers: list[int]) -> None:
    """Every question gets an answer that can be had, however short or odd the list."""
    given_answers = ask(replayed(answers), questions)

    assert all(
        0 <= answer < options for answer, (options, _) in zip(given_answers, questions, strict=True)
    )


@given(QUESTIONS, ANSWERS, st.integers(0, 60))
def test_a_shorter_list_is_a_simpler_run(
    questions: list[tuple[int, bool]], answers: list[int], length: int
) -> None:
    """A list cut short answers the same as before the cut and the default behind it."""
    whole = ask(replayed(answers), questions)
    cut = ask(replayed(answers[:length]), questions)

    assert cut == [*whole[:length], *[0] * len(whole[length:])]


@given(QUESTIONS, st.randoms(use_true_random=False))
def test_what_was_answered_replays(questions: list[tuple[int, bool]], random: Random) -> None:
    """The record of one run, replayed on the same questions, gives the same answers."""
    recorded = Tape(random.randrange)
    answers = ask(recorded, questions)

    again = replayed(recorded.choices)

    assert ask(again, questions) == answers == recorded.choices == again.choices
    assert again.widths == recorded.widths == [options for options, _ in questions]


@given(QUESTIONS)
def test_the_empty_list_is_the_plain_run(questions: list[tuple[int, bool]]) -> None:
    """Nothing on the tape: the default everywhere, and no deviation."""
    tape = replayed([])
    ask(tape, questions)

    assert tape.choices == [0] * len(questions)
    assert deviations(tape.choices) == 0


@given(ANSWERS)
def test_deviations_are_the_non_zeros(choices: list[int]) -> None:
    """The count of deviations is the count of answers that are not the default."""
    assert deviations(choices) == sum(1 for choice in choices if choice != 0)


def test_faults_may_be_drawn_apart_from_choices() -> None:
    """A strategy may answer faults by other odds; the record is one list in the order of asking."""
    tape = Tape(lambda options: options - 1, lambda options: 0)

    answers = [tape.choose(3), tape.fault(2), tape.choose(5)]

    assert answers == tape.choices == [2, 0, 4]
    assert tape.widths == [3, 2, 5]
