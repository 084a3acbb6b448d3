"""What reads something shared where there is no point depends on who changes it, and no more does.

Exhaustive search may call a program correct only if it has seen every order that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.explore import explore, shared_ground
from tests.programs import handed_over
from tests.programs.handed_over import CHANGES, HARMLESS, ITERATORS, SILENT, TABLES, UNSEEN

READERS = [(kind, name) for kind, (_, _, table) in TABLES.items() for name in table]


@pytest.fixture(autouse=True, scope="module")
def one_ground() -> Iterator[None]:
    """Prepare once for all explorations of this file: preparing takes longer than most of them."""
    with shared_ground():
        yield


@pytest.mark.parametrize(("kind", "name"), READERS)
def test_who_reads_it_whole_may_come_between_two_changes(kind: str, name: str) -> None:
    """He tells half of what is new: that order is tried, whoever is first in the plain run."""
    program = handed_over.told_whole(kind, name)

    verdicts = {explore(program, strategy="exhaustive", seed=seed).verdict for seed in (0, 1)}

    assert verdicts == {"Failed"}


def test_an_attribute_is_set_where_the_class_above_sets_it() -> None:
    """Not where the assignment stands that calls `__setattr__`."""
    found = explore(handed_over.announced, strategy="exhaustive")

    assert found.verdict == "Failed"


@pytest.mark.parametrize("name", CHANGES)
def test_who_looks_for_a_change_may_come_before_it(name: str) -> None:
    """He sees nothing of it yet: that order is tried, whoever is first in the plain run."""
    program = handed_over.seen_later(*CHANGES[name])

    verdicts = {explore(program, strategy="exhaustive", seed=seed).verdict for seed in (0, 1)}

    assert verdicts == {"Failed"}


@pytest.mark.parametrize("name", CHANGES)
def test_who_looks_for_a_change_may_be_begun_before_it(name: str) -> None:
    """As above, with him being the first in the plain run, where he promises the opposite."""
    program = handed_over.seen_before(*CHANGES[name])

    verdicts = {explore(program, strategy="exhaustive", seed=seed).verdict for seed in (0, 1)}

    assert verdicts == {"Failed"}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_log_tells_of_is_never_called_exhausted(name: str) -> None:
    """Whether it was found or not."""
    for program in (handed_over.seen_later(*UNSEEN[name]), handed_over.seen_before(*UNSEEN[name])):
        assert not explore(program, strategy="exhaustive").exhausted


@pytest.mark.parametrize("name", ITERATORS)
def test_who_takes_from_an_iterator_may_be_second(name: str) -> None:
    """What one has taken, the other one does not get: both orders are tried."""
    program = handed_over.shared_out(name)

    verdicts = {explore(program, strategy="exhaustive", seed=seed).verdict for seed in (0, 1)}

    assert verdicts == {"Failed"}


@pytest.mark.parametrize("name", SILENT)
def test_who_does_not_look_into_it_depends_on_nothing_there(name: str) -> None:
    """What is only kept, passed on or copied as it is can be changed at any time."""
    found = explore(handed_over.looked_past(name), strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 1 trace)"


@pytest.mark.parametrize("name", HARMLESS)
def test_two_who_only_look_do_not_depend_on_each_other(name: str) -> None:
    """Nor do two who each make what they hand on, wherever it lies."""
    found = explore(handed_over.looked_at_twice(name), strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 1 trace)"


def test_two_who_ask_a_queue_do_not_depend_on_each_other() -> None:
    """Who asks it changes nothing."""
    found = explore(handed_over.two_who_ask_a_queue, strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 1 trace)"


@pytest.mark.parametrize("program", [handed_over.two_attributes, handed_over.two_of_a_pattern])
def test_an_attribute_that_is_read_by_its_name_is_that_attribute(
    program: Callable[[Any], None],
) -> None:
    """Who changes another one makes no difference."""
    found = explore(program, strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 1 trace)"


def test_where_too_much_is_handed_on_all_containers_count() -> None:
    """Who changes one that was not in it is taken for somebody who changes one that was."""
    found = explore(handed_over.two_and_many, strategy="exhaustive")

    assert found.summary == "Holds (exhausted: 2 traces)"
