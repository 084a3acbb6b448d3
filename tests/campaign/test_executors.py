"""Processes are killed, and a cluster loses a worker: the results are those of one process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from harness import cli
from harness.campaign import executors as module
from harness.campaign.executors import Executing, check_address, cluster, processes
from harness.campaign.ledger import Ledger, Plan
from harness.campaign.outcomes import versions
from harness.campaign.results import Results
from harness.campaign.stress import Campaign, Tally
from harness.campaign.workers import run_apart
from harness.errors import HarnessError
from harness.explore import shared_ground
from tests.campaign.making import (
    COUNTING,
    DEADLY,
    ROOT,
    done_in,
    kept,
    made_here,
    outcome,
    plan_of,
    units,
    written,
)


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units name files from the folder that they are run in, and workers begin there."""
    monkeypatch.chdir(ROOT)


def campaign(
    path: Path, made: Plan, file: str, workers: Any, told: Callable[[Tally], object]
) -> Tally:
    """Run a campaign."""
    with Ledger(path) as ledger:
        ledger.begin(made)
        return Campaign(made, ledger, [file], told=told).run(workers)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a campaign is kept."""
    return tmp_path / "campaign.sqlite"


def expected(path: Path) -> list[Any]:
    """Return what one process comes to."""
    with shared_ground():
        return made_here(path)


def test_a_worker_that_is_killed_loses_nothing(path: Path) -> None:
    """Killed half-way by somebody else: what it was at is run again, and nobody is blamed."""
    made = plan_of(COUNTING, 1_000, "counted", "wrong")
    killed: list[int] = []

    def kill(tally: Tally) -> None:
        crumbs = sorted(Path(workers.folder).glob("worker-*"))
        if tally.done > 4 and not killed and crumbs:
            killed.append(int(crumbs[0].name.partition("-")[2]))
            os.kill(killed[0], signal.SIGKILL)

    (path.parent / "notes").mkdir()
    with processes(2, str(path.parent / "notes")) as workers:
        tally = campaign(path, made, COUNTING, workers, kill)

    assert len(killed) == 1
    assert (tally.done, tally.crashed) == (20, 0)
    assert kept(path) == expected(path)


def check_poison(path: Path) -> None:
    """See that the scenario that kills is named, and none beside it."""
    with Results([path]) as results:
        harmless, deadly = results.merged()
    assert harmless.is_as_declared
    assert [each.is_crash for each in deadly.outcomes] == [True, True]
    assert deadly.explain() == (
        "tests/campaign/deadly.py::ends_its_process: shard 1 of 2: it ends the process that runs "
        "it (SIGKILL), 2 times of 2, and alone: tests/campaign/deadly.py::ends_its_process 1/2 "
        "exhaustive@0x2 (and 1 more)"
    )


def test_a_shard_that_kills_its_worker_is_named(path: Path) -> None:
    """Its neighbours, who were lost with it, are run again and not blamed."""
    made = plan_of(DEADLY, 8, "harmless", "ends_its_process")

    (path.parent / "notes").mkdir()
    with processes(2, str(path.parent / "notes")) as workers:
        tally = campaign(path, made, DEADLY, workers, lambda _tally: None)

    assert (tally.done, tally.crashed) == (4, 2)
    check_poison(path)


def test_any_executor_will_do(path: Path) -> None:
    """Its workers have threads beside them, and share no folder: the results are the same."""
    made = plan_of(COUNTING, 1_000, "counted", "wrong")
    workers = Executing(lambda: ThreadPoolExecutor(2), lambda: 2, run_apart)

    tally = campaign(path, made, COUNTING, workers, lambda _tally: None)
    workers.close()

    assert (tally.done, tally.crashed) == (20, 0)
    assert kept(path) == expected(path)


def snippets() -> tuple[str, list[str]]:
    """Return the file and the words of the command that docs/campaigns.md has for an executor."""
    text = (ROOT / "docs" / "campaigns.md").read_text("utf-8").partition("## Any other executor")[2]
    code = text.partition("```python\n")[2].partition("```")[0]
    command = text.partition("```console\n$ ")[2].partition("\n")[0].partition("#")[0]
    return code, command.split()


def test_the_page_shows_how_to_bring_an_executor(tmp_path: Path) -> None:
    """What it shows is run as it is: the file beside the scenarios, and the command."""
    code, words = snippets()
    (tmp_path / "storms.py").write_text((ROOT / COUNTING).read_text("utf-8"), encoding="utf-8")
    (tmp_path / "machines.py").write_text(code, encoding="utf-8")
    command = [sys.executable, *words[1:], "--schedules", "8"]

    done = subprocess.run(
        [word.replace("scenarios", "storms.py::called") for word in command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "1 of 1 cells as declared; " in done.stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere:pool", "cannot be imported: No module named 'nowhere'. Write MODULE:FUNCTION"),
        ("json:pool", "names no function. Write MODULE:FUNCTION"),
        ("json:dumps", "makes no executor: TypeError: dumps() missing 1 required positional"),
        ("platform:node", "makes no executor: it returns a str. Return a concurrent.futures"),
    ],
)
def test_what_is_no_executor_is_told(
    path: Path, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    """One line, before anything runs."""
    words = ["stress", f"{COUNTING}::called", "--schedules", "8", "--db", str(path)]

    code = cli.main([*words, "--executor", name])

    [line] = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith(f"faultloom: executor='{name}' {why}")


def test_what_a_cluster_takes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address, and an extra."""
    with pytest.raises(HarnessError, match="address=None names no cluster"):
        check_address(None)

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    with pytest.raises(HarnessError, match=r"Install faultloom\[cluster\]"), cluster("tcp://a:1"):
        pass


class Distributed:
    """What a package for clusters shows of itself; its scheduler is gone after some questions."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.log = logging.getLogger("distributed.client")

    def Client(self, *_arguments: object, **_options: object) -> Distributed:  # noqa: N802 - its name
        """Make a client: itself."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.log.error("cannot be closed")

    def nthreads(self) -> dict[str, int]:
        """Answer, or log as the real one does, and fail."""
        self.answers -= 1
        if self.answers < 0:
            self.log.error("Failed to reconnect\nTraceback")
            logging.getLogger("distributed.core.deeper").warning("nor this")
            raise OSError("Timed out\n  after 10 s")
        return {"tcp://127.0.0.1:9": 1}

    def get_executor(self, *, pure: bool) -> Executor:
        """Return an executor that has lost its scheduler."""
        assert not pure
        return Gone()


class Gone(Executor):
    """Fails whatever it is given, as the client of a cluster does that has closed itself."""

    def submit(self, *_given: object) -> Future[Any]:  # type: ignore[override]  # fewer words do
        """Lose it at once."""
        future: Future[Any] = Future()
        future.cancel()
        return future


def test_a_cluster_that_is_lost_is_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found before is kept, what the cluster logs of itself is not shown, nor later on."""
    logging.getLogger("distributed.core").setLevel(logging.INFO)
    monkeypatch.setattr(module, "import_module", lambda _name: Distributed(answers=2))
    words = ["stress", f"{COUNTING}::counted", "--schedules", "8", "--db", str(path)]
    before = [
        outcome(unit, versions=versions(), fingerprint="")
        for unit in units(plan_of(COUNTING, 8, "counted"))[:1]
    ]
    written(path, replace(plan_of(COUNTING, 8, "counted"), targets=(words[1],)), before)

    code = cli.main([*words, "--resume", "--executor", "dask", "--address", "tcp://a:1"])

    assert code == 2
    assert capsys.readouterr().err == (
        "faultloom: address='tcp://a:1' does not answer any more (Timed out after 10 s). "
        "What was found is kept: go on with --resume.\n"
    )
    with Results([path]) as results:
        assert [each for cell in results.merged() for each in cell.outcomes] == before
    assert logging.getLogger("distributed.core").level == logging.INFO
    assert logging.getLogger("distributed.core").isEnabledFor(logging.WARNING)


# --- a cluster ------------------------------------------------------------------------------------


@pytest.fixture(name="dask", scope="module")
def _dask() -> Iterator[Any]:
    """A scheduler and two workers, each a process, on this machine."""
    import distributed

    before = Path.cwd()
    os.chdir(ROOT)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as made:
        yield made
    os.chdir(before)


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # what a cluster warns of is its own affair
def test_a_cluster_that_loses_a_worker_loses_nothing(path: Path, dask: Any) -> None:
    """Killed half-way: its chunk is run by the other, and counted once."""
    made = plan_of(COUNTING, 1_000, "counted", "wrong")
    pids = [worker.pid for worker in dask.workers.values()]
    killed: list[int] = []

    def kill(tally: Tally) -> None:
        if tally.done > 4 and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    with cluster(dask.scheduler_address) as workers:
        tally = campaign(path, made, COUNTING, workers, kill)

    assert killed == pids[:1]
    assert (tally.done, tally.crashed) == (20, 0)
    assert kept(path) == expected(path)


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # as above
def test_a_cluster_outlives_what_kills_its_worker(path: Path, dask: Any) -> None:
    """What ends its process is named; the workers themselves are not touched."""
    made = plan_of(DEADLY, 8, "harmless", "ends_its_process")
    pids = [worker.pid for worker in dask.workers.values()]

    with cluster(dask.scheduler_address) as workers:
        tally = campaign(path, made, DEADLY, workers, lambda _tally: None)

    assert (tally.done, tally.crashed) == (4, 2)
    check_poison(path)
    assert [worker.pid for worker in dask.workers.values()] == pids


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # as above
def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with the way out."""
    monkeypatch.setattr(module, "PATIENCE", 1)

    with pytest.raises(HarnessError) as caught, cluster("tcp://127.0.0.1:1"):
        pass

    assert str(caught.value).startswith("address='tcp://127.0.0.1:1' cannot be reached (")
    assert "\n" not in str(caught.value)


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # as above
def test_an_address_that_cannot_be_reached_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and what was found before is there."""
    monkeypatch.setattr(module, "PATIENCE", 1)
    made = replace(plan_of(COUNTING, 1_000, "counted"), targets=(f"{COUNTING}::counted",))
    before = [outcome(units(made)[0], versions=versions(), fingerprint="")]
    written(path, made, before)
    options = ("--resume", "--executor", "dask", "--address", "tcp://127.0.0.1:1")

    code = cli.main(["stress", "--db", str(path), *options])

    [line] = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("faultloom: address='tcp://127.0.0.1:1' cannot be reached (")
    with Results([path]) as results:
        assert [each for cell in results.merged() for each in cell.outcomes] == before


def stress(path: Path, address: str, *words: str) -> subprocess.Popen[str]:
    """Begin a campaign on a cluster, in a process of its own."""
    command = [sys.executable, "-m", "harness", "stress", *words, "--db", str(path)]
    return subprocess.Popen(
        [*command, "--executor", "dask", "--address", address],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")  # as above
def test_the_command_runs_on_a_cluster(path: Path, dask: Any) -> None:
    """From the address to the exit code, and nothing but what it has to say."""
    words = (f"{COUNTING}::called", "--schedules", "1_000")

    process = stress(path, dask.scheduler_address, *words)
    out, err = process.communicate(timeout=100)

    assert (process.returncode, err) == (0, "")
    assert "1 of 1 cells as declared; " in out
    assert kept(path) == expected(path)


#: A cluster that may be killed for good, with all its processes.
CLUSTER = """
import sys, distributed
if __name__ == "__main__":
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as made:
        print(made.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.mark.cluster
def test_a_scheduler_that_is_killed_ends_the_campaign_in_one_line(path: Path) -> None:
    """With what was found, and the way to go on."""
    file = path.with_name("host.py")
    file.write_text(CLUSTER, encoding="utf-8")
    host = subprocess.Popen(
        [sys.executable, str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert host.stdout is not None
    address = host.stdout.readline().strip()

    process = stress(path, address, f"{COUNTING}::called", "--schedules", "500_000")
    while done_in(path) < 1:
        assert process.poll() is None, "it is to lose its cluster, not to end"
        os.sched_yield()
    os.killpg(host.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    host.communicate()

    [line] = [each for each in err.splitlines() if " shards; " not in each]
    assert process.returncode == 2
    assert line.startswith(f"faultloom: address='{address}' does not answer any more (")
    assert line.endswith("What was found is kept: go on with --resume.")
    assert done_in(path) >= 1
