"""What is called is asked when it is called, and what nobody can know is never called exhausted.

Exhaustive search may call a program correct only if it has seen every order that matters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.explore import explore, shared_ground
from tests.programs import found_late, handed_over
from tests.programs.found_late import CALLED, CALLED_BACK, HELD, KEPT, LOOKED, UNSEEN


@pytest.fixture(autouse=True, scope="module")
def one_ground() -> Iterator[None]:
    """Prepare once for all explorations of this file: preparing takes longer than most of them."""
    with shared_ground():
        yield


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_may_change_what_it_is_given(name: str) -> None:
    """Whoever was found out only when it was called: who looks may come before."""
    program = handed_over.seen_later(*CALLED[name])

    verdicts = {explore(program, strategy="exhaustive", seed=seed).verdict for seed in (0, 1)}

    assert verdicts == {"Failed"}


@pytest.mark.parametrize("name", KEPT)
def test_who_looks_for_what_a_library_keeps_may_come_before(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He sees nothing of the change yet."""
    monkeypatch.setattr(found_late, "FILE", tmp_path / "tea")
    program = handed_over.seen_later(*KEPT[name])

    verdicts = {explore(program, strategy="exhaustive", seed=seed).verdict for seed in (0, 1)}

    assert verdicts == {"Failed"}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_log_tells_is_never_called_exhausted(name: str) -> None:
    """It holds, and that is all that is known."""
    found = explore(found_late.alone(UNSEEN[name]), strategy="exhaustive")

    assert found.verdict == "holds"
    assert not found.exhausted
    assert "what a library keeps for itself" in found.unexhausted


def test_what_cannot_be_read_runs_as_it_is() -> None:
    """On 3.13 `bytecode` fails at such a body of a class; the others read it."""
    found = explore(found_late.alone(found_late.define), strategy="exhaustive")

    assert found.verdict == "holds"
    assert bool(found.exhausted) == (sys.version_info < (3, 13))


@pytest.mark.parametrize("name", LOOKED)
def test_two_who_only_look_do_not_depend_on_each_other(name: str) -> None:
    """What is called was not known before, and changes nothing."""
    found = explore(found_late.looked_at_twice(name), strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 1 trace)"


@pytest.mark.parametrize("name", CALLED_BACK)
def test_what_a_loop_calls_back_is_asked_in_its_turn(name: str) -> None:
    """Whoever looks at what it changes depends on it, and nothing is left unknown."""
    related, unrelated = (
        explore(
            found_late.called_back(name, is_looked_at=looks), strategy="exhaustive", schedules=500
        )
        for looks in (True, False)
    )

    assert related.exhausted > unrelated.exhausted > 0


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("strategy", ["exhaustive", "random"])
def test_a_lock_that_is_held_for_nothing_can_be_found_held(name: str, strategy: str) -> None:
    """There is a point before the end of a `with` in which there is no other."""
    found = explore(found_late.tried(*HELD[name]), strategy=strategy, schedules=200)

    assert found.verdict == "Failed"
