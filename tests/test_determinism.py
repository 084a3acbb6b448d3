"""One token, one history: in every process, under every hash seed, on every version.

The digest of a history covers actor path, operation, object name, virtual time and outcome of all
that happened. What must agree between versions of Python is compared with `golden_digests.json`,
which one interpreter wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import replay
from harness.core.token import Token
from harness.errors import Nondeterminism
from harness.explore import explore, run_token
from tests.programs import digests, lost_updates, lost_wake_ups, recorded

pytestmark = pytest.mark.one_ground

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).with_name("golden_digests.json")
COVERAGE_CORES = ["ctrace"] if sys.version_info < (3, 12) else ["ctrace", "sysmon"]
#: Choices that are no plain run, for the rows that go through sets.
DEVIATING = digests.choices(7)


def in_another_process(
    *command: str, modules: tuple[str, ...] = ("tests.programs.digests",), **environment: str
) -> dict[str, str]:
    """Run `python COMMAND… -m MODULE` from the project's root; return the digests printed."""
    finished = subprocess.run(
        [sys.executable, *command, "-m", *modules],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    printed: dict[str, str] = json.loads(finished.stdout)
    return printed


@cache
def here() -> dict[str, str]:
    """Return the digests of this process."""
    return digests.everything()


# --- between processes ----------------------------------------------------------------------------


def test_another_process_sees_the_same_histories() -> None:
    """Digests are equal in this process, which has run other tests, and in a fresh one."""
    assert in_another_process() == here()


@pytest.mark.parametrize("seed", ["0", "1", "2", "42", "4294967295"])
def test_the_hash_seed_makes_no_difference(seed: str) -> None:
    """Digests are equal under five values of PYTHONHASHSEED."""
    assert in_another_process(PYTHONHASHSEED=seed) == here()


#: Two threads that touch three things by name: the order of names decides what is drawn.
SEARCHED = """
from harness import Calls, scenario

class Rates:
    def __init__(self, ask):
        self.ask = ask
        self.known = {}

    def rate(self, currency):
        if currency not in self.known:
            self.known[currency] = self.ask(currency)
        return self.known[currency]

@scenario
def asked_once(sim):
    bank = sim.pool("bank")
    rates = Rates(bank.call)
    with sim.storm(Calls(bank, 1)) as storm:
        storm.spawn(rates.rate, "EUR", copies=2)
"""


def test_the_hash_seed_makes_no_difference_to_a_search(tmp_path: Path) -> None:
    """The default search draws by names; it finds the same, by the same tape, as late."""
    (tmp_path / "storms_rates.py").write_text(SEARCHED, "utf-8")

    def found(seed: str) -> list[dict[str, Any]]:
        finished = subprocess.run(
            [sys.executable, "-m", "harness", "run", "storms_rates.py", "--json", "--no-corpus"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        rows: list[dict[str, Any]] = json.loads(finished.stdout)
        return [{**row, "seconds": 0} for row in rows]

    first, *others = (found(str(seed)) for seed in range(1, 7))

    assert others == [first] * len(others)


@pytest.mark.parametrize("core", COVERAGE_CORES)
def test_coverage_makes_no_difference(core: str, tmp_path: Path) -> None:
    """Digests are equal under every coverage core that this version of Python has."""
    data = str(tmp_path / "coverage")

    measured = in_another_process(
        "-m",
        "coverage",
        "run",
        "--source=tests.programs",
        f"--data-file={data}",
        COVERAGE_CORE=core,
    )

    assert measured == here()
    assert Path(data).exists(), "coverage did measure"


def test_xdist_makes_no_difference(tmp_path: Path) -> None:
    """Digests are equal in a worker of pytest-xdist."""
    test = tmp_path / "test_digests.py"
    printed = tmp_path / "digests.json"
    test.write_text(
        "import json, os, pathlib\n"
        "from tests.programs import digests\n"
        "def test_digests():\n"
        "    assert os.environ['PYTEST_XDIST_WORKER'].startswith('gw')\n"
        f"    pathlib.Path({str(printed)!r}).write_text(json.dumps(digests.everything()))\n",
        "utf-8",
    )

    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "1", f"--rootdir={tmp_path}", str(test)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert json.loads(printed.read_text("utf-8")) == here()


def test_every_version_of_python_sees_the_same_histories() -> None:
    """At granularity `sync` the digests are those that another interpreter committed."""
    golden = json.loads(GOLDEN.read_text("utf-8"))

    assert digests.golden() == golden


def test_the_golden_digests_tell_runs_apart() -> None:
    """No two programs share a digest, and seeds lead to different histories."""
    golden: dict[str, str] = json.loads(GOLDEN.read_text("utf-8"))

    by_program = {
        program.__name__: {
            digest for row, digest in golden.items() if row.startswith(f"{program.__name__} ")
        }
        for program in recorded.SYNC
    }

    assert all(len(found) > 1 for found in by_program.values()), by_program
    assert sum(map(len, by_program.values())) == len(set(golden.values()))


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [lost_updates.attribute, lost_updates.jobs_of_to_thread, lost_wake_ups.notify_one],
    ids=lambda program: program.__name__,
)
def test_a_token_replays_the_history_it_was_made_of(program: Callable[[Any], Any]) -> None:
    """The token of a violation leads to the same verdict, steps and digest, again and again."""
    failure = explore(program).failures[0]

    [first] = run_token(program, Token.decode(failure.token)).failures
    [second] = run_token(program, Token.decode(failure.token)).failures

    for again in (first, second):
        assert again.check == failure.check
        assert again.digest == failure.digest
        assert again.steps == failure.steps
        assert again.token == failure.token


def test_a_token_is_enough_to_find_and_replay_its_program() -> None:
    """`harness.replay` finds the program by the name in the token and leads to the same end."""
    failure = explore(lost_updates.attribute).failures[0]

    again = replay(failure.token)

    assert again.verdict == failure.check
    assert again.failures[0].digest == failure.digest


@pytest.mark.parametrize("program", recorded.SHARED, ids=lambda program: program.__name__)
def test_two_explorations_are_equal(program: Callable[[Any], Any]) -> None:
    """The same seed leads to the same violations by the same tokens in the same schedules."""
    first, second = (explore(program, stop_after=5) for _ in range(2))

    assert [failure.token for failure in first.failures] == [
        failure.token for failure in second.failures
    ]
    assert [failure.schedule for failure in first.failures] == [
        failure.schedule for failure in second.failures
    ]
    assert (first.verdict, first.steps, first.virtual_seconds) == (
        second.verdict,
        second.steps,
        second.virtual_seconds,
    )


# --- sets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", [(), DEVIATING], ids=["plain", "deviating"])
@pytest.mark.parametrize("program", recorded.ORDERED, ids=lambda program: program.__name__)
def test_sets_of_the_standard_library_have_one_order(
    program: Callable[[Any], Any], choices: tuple[int, ...]
) -> None:
    """What goes through sets replays identically a hundred times in one process."""
    [runs] = digests.runs([program], [choices] * 100)

    assert len({run.digest for run in runs}) == 1
    assert len({run.choices for run in runs}) == 1
    assert len({run.verdict for run in runs}) == 1


@pytest.fixture(scope="module")
def five_processes() -> list[dict[str, str]]:
    """Return the digests of the ordered programs from each of five processes."""
    return [in_another_process(modules=("tests.programs.digests", "--ordered")) for _ in range(5)]


@pytest.mark.parametrize("program", recorded.ORDERED, ids=lambda program: program.__name__)
def test_sets_have_the_same_order_in_five_other_processes(
    program: Callable[[Any], Any], five_processes: list[dict[str, str]]
) -> None:
    """The same programs, once in each of five other processes."""
    mine = digests.digests((program,), "shared")

    assert all(theirs.items() >= mine.items() for theirs in five_processes)


def test_leftovers_that_a_run_cancels_are_a_leak_and_no_nondeterminism() -> None:
    """Eight tasks that `asyncio.run` cancels are named in the same order every time."""
    [runs] = digests.runs([recorded.leftovers_cancelled], [DEVIATING] * 10)
    verdicts = {str(run.violation) for run in runs}

    [verdict] = verdicts
    assert "8 tasks" in verdict


# --- nondeterminism -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program", recorded.ORDERED + recorded.SYNC, ids=lambda program: program.__name__
)
def test_nothing_of_the_standard_library_is_called_nondeterministic(
    program: Callable[[Any], Any],
) -> None:
    """Run twice and compared, no program is refused that takes no order from addresses."""
    explore(program, check_determinism=True, schedules=20)


def test_an_order_taken_from_addresses_is_nondeterminism_that_names_the_step() -> None:
    """Going through a set of plain objects is refused, with the step and both sides."""
    with pytest.raises(Nondeterminism, match=r"nondeterminism at step \d+") as raised:
        explore(recorded.accounts_by_address, check_determinism=True)

    assert "in one run and to" in str(raised.value)
    assert "account" in str(raised.value), "what each side did there"


def test_a_violation_that_does_not_come_back_is_nondeterminism() -> None:
    """A verdict that depends on addresses is not given: it is run again first, and compared."""
    with pytest.raises(Nondeterminism, match=r"nondeterminism at step \d+"):
        explore(recorded.first_account_by_address)
