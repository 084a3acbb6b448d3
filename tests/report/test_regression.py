"""A failure that is written down as a test fails there too, and holds once the bug is mended."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError, Violation
from harness.report.regression import Named, Regression
from tests.test_pytest_plugin import LOADED, environment

REFERENCE = """
class Counter:
    def __init__(self):
        self.total = 0

    def add(self, more):
        self.total += more
"""

BROKEN = """
from reference import Counter

class Forgetful(Counter):
    '''C1: forgets.'''

    def add(self, more):
        self.total = self.total + more
"""

STORMS = '''
import asyncio
import pytest
from harness import scenario
from broken import Forgetful
from reference import Counter

@scenario(Counter, matrix=False, catches={Forgetful: "Failed"})
def adds(sim, cls):
    """Two add."""
    counter = cls()
    with sim.storm() as storm:
        storm.spawn(counter.add, 1, copies=2)
    assert counter.total == 2

@scenario
async def test_takes(sim):
    """Two take one."""
    left = [1]

    async def take():
        if left[0]:
            await asyncio.sleep(0)
            left[0] -= 1

    async with sim.storm() as storm:
        storm.spawn(take, copies=2)
    assert left[0] == 0

@pytest.fixture
def many():
    return 3

@scenario(under_test=["bisect"])
def test_counts(sim, many):
    """Many add."""
    counter = Forgetful()
    with sim.storm() as storm:
        storm.spawn(counter.add, 1, copies=many)
    assert counter.total == many
'''

WAITS = '''
import threading
from harness import scenario

@scenario
def test_waits(sim):
    """Somebody waits for what takes longer on a slow machine."""
    ready = threading.Event()
    with sim.storm() as storm:
        storm.spawn(ready.set)
        storm.spawn(ready.wait, 0.001)
    assert storm.results()[1]
'''

FIXTURES = '''
import pytest
from harness import scenario

class Counter:
    step = 0

    def __init__(self):
        self.total = 0

    def add(self):
        self.total = self.total + self.step

def adds(sim, copies):
    counter = Counter()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=copies)
    assert counter.total == copies * Counter.step

@pytest.fixture(autouse=True)
def steps(monkeypatch):
    monkeypatch.setattr(Counter, "step", 1)

@pytest.fixture
def one():
    return 1

@pytest.fixture
def two(one):
    return one + 1

@pytest.fixture(name="many")
def _many():
    return 3

@pytest.fixture(params=[1, 2])
def doubled(request):
    return 2 * request.param

@pytest.fixture
def in_tens(monkeypatch):
    monkeypatch.setattr(Counter, "step", 10)

@scenario
def test_two(sim, two):
    """Two add."""
    adds(sim, two)

@scenario
def test_many(sim, many):
    """Many add."""
    adds(sim, many)

@scenario
def test_doubled(sim, doubled):
    """As many add as are asked for."""
    adds(sim, doubled)

@pytest.mark.parametrize(("size", "name"), [(2, "'two'"), (3, "three")])
@scenario
def test_sized(sim, size, name):
    """As many add as are named."""
    adds(sim, size if name else 0)

@pytest.mark.usefixtures("in_tens")
@scenario(Counter)
def test_in_tens(sim, cls, two):
    """Ten are added at once, or nothing is lost."""
    if cls.step == 10:
        adds(sim, two)

@pytest.mark.parametrize("size", [range(2)])
@scenario
def test_ranged(sim, size):
    """What is asked for cannot be told."""
    adds(sim, len(size))
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one component in a folder of its own."""
    folder = tmp_path / "scenarios" / "counting"
    folder.mkdir(parents=True)
    for name, text in (("reference", REFERENCE), ("broken", BROKEN), ("storms", STORMS)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "regressions").mkdir()
    return tmp_path


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def run_test(folder: Path, *words: str) -> str:
    """Return what pytest prints when it runs a file that was written, and nothing is searched."""
    alone = ("-q", "--storm-strategy", "plain", "--no-storm-corpus", *words)
    return command(folder, "pytest", *LOADED, *alone).stdout


def test_a_variant_that_is_caught_is_written_down(project: Path) -> None:
    """To a file: it imports scenario and class, and fails by its pin alone, until it is mended."""
    target = project / "regressions" / "test_forgetful.py"

    done = command(
        project, "harness", "run", "adds", "--class", "Forgetful", f"--emit-test={target}"
    )
    broken = run_test(project, str(target))
    (project / "scenarios" / "counting" / "broken.py").write_text(
        BROKEN.replace("    def add", "    def unused"), "utf-8"
    )
    (project / "scenarios" / "counting" / "reference.py").write_text(
        REFERENCE.replace("self.total = 0", "self.total = 0; self.lock = threading.Lock()")
        .replace("        self.total +=", "        with self.lock: self.total +=")
        .replace("class", "import threading\n\nclass"),
        "utf-8",
    )
    mended = run_test(project, str(target))

    assert done.returncode == 0, done.stderr
    assert f"The failure is written down as a test: {target}" in done.stdout
    text = target.read_text("utf-8")
    assert text.startswith('"""Regression: an assert of the scenario failed: assert 1 == 2\n')
    assert "stopped at broken.py:8 (write self.total)" in " ".join(text.split())
    assert "from broken import Forgetful\n" in text
    assert "test_adds_again[Forgetful]" in broken
    assert "an assert of the scenario failed" in broken
    assert "1 failed" in broken
    assert "1 passed" in mended


def test_what_only_a_slow_machine_shows_is_written_down(project: Path) -> None:
    """It fails in the modes of its token, with no option, under pytest and by the command."""
    target = project / "regressions" / "test_waits_again.py"
    (project / "scenarios" / "waits.py").write_text(WAITS, "utf-8")
    storms = "scenarios/waits.py"

    done = command(
        project, "harness", "run", storms, "--timeouts=race", "--no-corpus", f"--emit-test={target}"
    )
    shown = run_test(project, str(target))
    run = command(project, "harness", "run", str(target), "--no-corpus", "--strategy=plain")
    matrix = command(project, "harness", "matrix", str(target), "--strategy=plain")

    assert "The failure is written down" in done.stdout, done.stderr
    assert "--storm-" not in target.read_text("utf-8")
    assert "1 failed" in shown
    assert "timeouts race" in shown
    assert (run.returncode, matrix.returncode) == (1, 1)
    assert "timeouts race" in run.stdout
    assert "NOT AS DECLARED" in matrix.stdout


def test_an_asynchronous_scenario_is_written_to_the_screen(project: Path) -> None:
    """With the name of a file beside it, in which it fails."""
    done = command(project, "harness", "run", "test_takes", "--no-corpus", "--emit-test")
    _, _, printed = done.stdout.partition("\n# ")
    name, _, text = printed.partition("\n")
    (project / name).write_text(text, "utf-8")

    shown = run_test(project, name)

    assert name == "scenarios/counting/test_takes_again.py"
    assert "async def test_takes_again(sim):" in text
    assert "    await original(sim)" in text
    assert "1 failed" in shown


def test_pytest_writes_a_failure_down_with_its_fixtures(project: Path) -> None:
    """A section of the report, or a file: what is taken from fixtures is asked for again."""
    target = project / "regressions" / "test_counts_again.py"
    storms = ("scenarios/counting/storms.py", "-k", "test_counts", "--no-storm-corpus")

    shown = command(project, "pytest", *LOADED, *storms, "--storm-emit-test").stdout
    done = command(project, "pytest", *LOADED, *storms, f"--storm-emit-test={target}").stdout
    again = command(project, "pytest", *LOADED, *storms, f"--storm-emit-test={target}").stdout

    assert "storm regression test" in shown
    assert "def test_counts_again(sim, many):" in shown
    assert "under_test=('bisect',)" in shown
    assert f"written to {target}" in done
    assert "not written: File exists" in again
    assert "1 failed" in run_test(project, str(target))


@pytest.mark.parametrize("stem", ["test_sums", "test_sums-up"])
def test_what_pytest_has_given_is_asked_for_again(project: Path, stem: str) -> None:
    """Fixtures of its own file and parameters: each test that is written loads, and fails.

    In whatever file: a name that no `import` can say is imported all the same.
    """
    (project / f"{stem}.py").write_text(FIXTURES, "utf-8")

    done = command(
        project, "pytest", *LOADED, f"{stem}.py", "--no-storm-corpus", "--storm-emit-test"
    )
    written = re.findall(
        r"-+ storm regression test -+\n# \S+\n(.*?)\n(?=_____|-----|=====)", done.stdout, re.DOTALL
    )
    for number, text in enumerate(written):
        (project / f"test_again_{number}.py").write_text(text, "utf-8")
    shown = run_test(project, *(f"test_again_{number}.py" for number in range(len(written))))

    assert "8 failed" in done.stdout
    assert "parameter size is a range, which is not told by a literal. Replay the" in done.stdout
    assert len(written) == 7
    assert "7 failed in " in shown, "and no errors"
    assert shown.count("declared to hold, violated Failed on 1 of ") == 7


def test_a_fixture_that_does_not_reach_a_file_is_said(project: Path) -> None:
    """What a `conftest.py` defines is for its folder: elsewhere nothing is written."""
    folder = project / "scenarios" / "counting"
    (folder / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef several():\n    return 2\n", "utf-8"
    )
    (folder / "storms_later.py").write_text(
        "from broken import Forgetful\nfrom harness import scenario\n\n@scenario\n"
        "def adds(sim, several):\n    counter = Forgetful()\n    with sim.storm() as storm:\n"
        "        storm.spawn(counter.add, 1, copies=several)\n    assert counter.total == 2\n",
        "utf-8",
    )
    storms = ("scenarios/counting/storms_later.py", "--no-storm-corpus")
    away, beside = project / "regressions" / "test_it.py", folder / "test_it.py"

    refused = command(project, "pytest", *LOADED, *storms, f"--storm-emit-test={away}").stdout
    done = command(project, "pytest", *LOADED, *storms, f"--storm-emit-test={beside}").stdout

    assert f"no test can be written to {away.parent}: it has no fixture several" in refused
    assert not away.exists()
    assert f"written to {beside}" in done
    assert "1 failed" in run_test(project, str(beside))


def test_no_file_is_written_over(project: Path) -> None:
    """A file that is there is refused before anything runs, and so is one that cannot be made."""
    storms = project / "scenarios" / "counting" / "storms.py"
    before = storms.read_text("utf-8")

    over = command(project, "harness", "run", "--emit-test", str(storms))
    lost = command(project, "harness", "run", "--emit-test=nowhere/test_it.py")
    long = command(project, "harness", "run", f"--emit-test=test_{'n' * 300}.py")

    assert (over.returncode, lost.returncode, long.returncode) == (2, 2, 2)
    assert "cannot be written: File name too long. Name a file" in long.stderr
    assert "is there already. Write --emit-test=NEW_FILE." in over.stderr
    assert "lies in no folder" in lost.stderr
    assert storms.read_text("utf-8") == before


def test_what_cannot_be_imported_is_said() -> None:
    """A class inside a function has no name that a file could import."""

    class Local:
        pass

    with pytest.raises(HarnessError, match="cannot be imported"):
        Named.of(Local, Path(__file__))


def test_any_text_fits_into_the_docstring() -> None:
    """Quotes and backslashes of a verdict do not end it."""
    here = Named("flies", "storms", Path(__file__).parent, Path(__file__))
    violation = Violation("Calls", 'said """no""" \\ yes', [("because", "it does")])

    text = Regression(here, None, False, (), (), "t1:…", violation).text(Path(__file__).parent)

    compiled = compile(text, "test_flies_again.py", "exec")
    assert compiled.co_consts[0] == "Regression: said '''no''' \\ yes\n\nit does\n"
