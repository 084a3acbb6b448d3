"""What verdicts say, whole: one text for each way to go wrong that they have words for.

When the words change on purpose, `python -m tests.report.test_text_verdicts` writes them anew; what
changed is then read in the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.explore import Exploration, explore
from tests.programs import told

pytestmark = pytest.mark.one_ground

VERDICTS = Path(__file__).with_name("verdicts.txt")
TOKEN = re.compile(r"t1:[\w-]+")

#: The programs, with the settings that are not the default.
PROGRAMS: dict[str, dict[str, str]] = {
    "lost_update": {},
    "check_then_act": {},
    "crossed_locks": {},
    "own_lock": {},
    "kept_lock": {},
    "left_behind": {},
    "polling": {},
    "nobody_took_it": {},
    "too_many": {},
    "too_long": {},
    "waits_for_its_own_loop": {},
    "thread_and_loop": {},
    "two_tasks": {},
    "unreturned": {},
    "slow_machine": {"timeouts": "race"},
    "one_wait_for_all": {},
    "executor_in_itself": {},
    "set_between": {},
    "given_back_late": {},
    "granted_too_late": {},
    "set_from_outside": {},
    "loop_without_tasks": {},
    "crossed_locks_of_a_loop": {},
    "await_each_other": {},
    "gathered_under_a_lock": {},
    "grouped_under_a_lock": {},
    "own_lock_of_a_loop": {},
}


def explored(name: str) -> Exploration:
    """Explore one of the programs."""
    # Random walks, since other strategies are tuned every now and then.
    return explore(getattr(told, name), name=name, strategy="random", **PROGRAMS[name])


def said_of(name: str) -> str:
    """Return the verdict on one of the programs, without its token."""
    return TOKEN.sub("t1:…", str(explored(name).violation))


def sections() -> dict[str, str]:
    """Return the texts that are expected, by program."""
    parts = re.split(r"^--- (\w+)\n", VERDICTS.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_verdict_says_what_it_is_known_to_say(name: str) -> None:
    """Every row of it, on every version of Python."""
    assert said_of(name) == sections()[name]


def test_every_text_is_of_a_program() -> None:
    """No text is left of a program that is no longer run."""
    assert list(sections()) == list(PROGRAMS)


if __name__ == "__main__":
    VERDICTS.write_text("".join(f"--- {name}\n{said_of(name)}\n\n" for name in PROGRAMS), "utf-8")
