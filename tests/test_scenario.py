"""A scenario is a plain function with columns; a cell is as declared, or says what is not."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import (
    AsyncSimulation,
    Deadlock,
    Elapsed,
    Failed,
    HarnessError,
    LeakBound,
    MaxInFlight,
    Settings,
    Simulation,
    Token,
    Violation,
    fail_each,
    replay,
    scenario,
)
from harness.explore import explore, modes_of, record
from harness.scenario import Cell, Column, Scenario, find, load, run_cell, scenario_of, scenarios_in

pytestmark = pytest.mark.one_ground


class Counter:
    """Counts under a lock."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """Add one."""
        with self._lock:
            self.value += 1


class Unlocked(Counter):
    """C1: counts without the lock."""

    def add(self) -> None:
        """Add one, or lose one."""
        self.value += 1


class Held(Counter):
    """C2b: never lets go of the lock."""

    def add(self) -> None:
        """Add one, the last one."""
        self._lock.acquire()
        self.value += 1


class Renamed(Counter):
    """Counts as its parent does."""


def adding(sim: Simulation, cls: type[Counter]) -> None:
    """Two threads add one each."""
    counter = cls()
    with sim.storm(LeakBound()) as storm:
        storm.spawn(counter.add, copies=2)
    assert counter.value == 2


def made(catches: dict[type, Any] | None = None, **options: Any) -> Scenario:
    """Return the scenario `adding` of `Counter`."""
    found = scenario_of(scenario(Counter, catches=catches or {}, **options)(adding))
    assert found is not None
    return found


def cell(this: Scenario, cls: type | None, **settings: Any) -> Cell:
    """Run the column of one class."""
    column = next(column for column in this.columns() if column.cls is cls)
    return run_cell(this, column, Settings(**settings))


# --- what the decorator returns -------------------------------------------------------------------


def test_a_scenario_is_a_plain_function_without_sim_and_class() -> None:
    """The rest of the signature is fixtures."""

    @scenario(Counter)
    def with_fixture(sim: Simulation, cls: type[Counter], tmp_path: Path, *, size: int = 3) -> None:
        """Claim."""

    assert inspect.isfunction(with_fixture)
    assert list(inspect.signature(with_fixture).parameters) == ["tmp_path", "size"]
    assert with_fixture.__doc__ == "Claim."
    assert with_fixture.__name__ == "with_fixture"


def test_an_asynchronous_scenario_is_a_synchronous_function() -> None:
    """No async plugin can take it away: nothing shows that there is a coroutine function inside."""

    @scenario
    async def sleepers(sim: AsyncSimulation) -> None:
        async with sim.storm(Elapsed(1)) as storm:
            storm.spawn(asyncio.sleep, 1, copies=3)

    assert not inspect.iscoroutinefunction(sleepers)
    assert not inspect.iscoroutinefunction(inspect.unwrap(sleepers))
    assert sleepers() is None


def test_a_plain_with_over_an_asynchronous_storm_says_what_to_write() -> None:
    """It is the harness that is misused; nothing is wrong with the code under test."""

    @scenario
    async def forgetful(sim: Any) -> None:
        with sim.storm():
            pass

    with pytest.raises(HarnessError, match=r"Write 'async with sim.storm\(…\)'."):
        forgetful()


def test_a_direct_call_runs_the_subject() -> None:
    """It holds with the subject, on more than the plain run, and returns nothing."""
    seen: list[type] = []

    @scenario(Counter, catches={Unlocked: Failed})
    def counted(sim: Simulation, cls: type[Counter]) -> None:
        seen.append(cls)

    counted()

    assert set(seen) == {Counter}
    assert len(seen) > 2


def test_a_direct_call_raises_the_violation() -> None:
    """A test of one's own, without a subject and called like any function, fails like one."""

    @scenario
    def lost_update(sim: Simulation) -> None:
        counter = Unlocked()
        with sim.storm() as storm:
            storm.spawn(counter.add, copies=2)
        assert counter.value == 2

    with pytest.raises(Violation, match="an assert of the scenario failed"):
        lost_update()


def test_fixtures_are_handed_over_in_a_direct_call() -> None:
    """By place or by name, as the trimmed signature says."""
    seen: list[object] = []

    @scenario
    def takes(sim: Simulation, folder: str, size: int = 3) -> None:
        seen.append((folder, size))

    takes("here", size=4)
    with pytest.raises(TypeError):
        takes()

    assert set(seen) == {("here", 4)}


# --- columns and cells ----------------------------------------------------------------------------


def test_rows_are_read_from_docstrings() -> None:
    """The first word, if it ends in a colon and looks like a row."""
    this = made({Unlocked: Failed, Held: Deadlock, Renamed: Failed})

    assert [(column.name, column.row) for column in this.columns()] == [
        ("Counter", None),
        ("Unlocked", "C1"),
        ("Held", "C2b"),
        ("Renamed", None),
    ]


def test_a_holding_cell_and_a_caught_one_are_as_declared() -> None:
    """A caught cell has made its point after three violations."""
    this = made({Unlocked: Failed})

    holding, caught = cell(this, Counter, schedules=20), cell(this, Unlocked, schedules=1000)

    assert (holding.verdict, holding.is_as_declared) == ("holds", True)
    assert (caught.verdict, caught.is_as_declared) == ("Failed", True)
    assert caught.exploration is not None
    assert caught.exploration.violating == 3
    assert caught.exploration.schedules < 1000
    assert caught.explain() == ""


def test_a_variant_that_is_not_caught_fails_its_cell() -> None:
    """Declared to be caught, it held."""
    survivor = cell(made({Renamed: Failed}), Renamed, schedules=20, strategy="random")

    assert (survivor.verdict, survivor.is_as_declared) == ("holds", False)
    assert survivor.explain().endswith("declared to be caught by Failed, held on 20 schedules.")


@pytest.mark.parametrize(
    ("shown", "schedules"), [(False, 7), (True, 70)], ids=["among others", "alone"]
)
def test_a_survivor_is_searched_by_a_tenth_of_the_schedules(*, shown: bool, schedules: int) -> None:
    """It says little about the subject; looked at alone, it is searched in full."""
    settings = Settings(schedules=70, strategy="random")

    survivor = run_cell(made(), Column(Renamed, is_variant=True), settings, shown=shown)
    subject = run_cell(made(), Column(Counter), settings)

    assert survivor.exploration is not None
    assert subject.exploration is not None
    assert survivor.exploration.schedules == schedules
    assert subject.exploration.schedules == 70


def test_a_sweep_over_a_survivor_is_finished() -> None:
    """What is a tenth of the schedules may be less than it takes to let each call fail once."""

    @scenario(Counter)
    def failing(sim: Simulation, cls: type[Counter]) -> None:
        sim.inject(fail_each())
        pool = sim.pool("pool")
        for number in range(5):
            with suppress(Exception):
                pool.call(str(number))
        cls().add()

    this = scenario_of(failing)
    assert this is not None

    survivor = run_cell(this, Column(Renamed, is_variant=True), Settings(schedules=20))

    assert survivor.verdict == "holds"
    assert survivor.exploration is not None
    assert survivor.exploration.schedules == 1 + 5


def test_a_variant_caught_by_another_check_fails_its_cell() -> None:
    """A check that fails everything cannot hide."""
    wrong = cell(made({Held: Failed}), Held)

    assert (wrong.verdict, wrong.is_as_declared) == ("Deadlock", False)
    assert "declared to be caught by Failed, violated Deadlock." in wrong.explain()
    assert "\nViolation: " in wrong.explain()


def test_one_of_several_checks_is_enough() -> None:
    """The expectation is the list of them."""
    caught = cell(made({Held: (Failed, Deadlock)}), Held)

    assert caught.column.expected == ["Failed", "Deadlock"]
    assert (caught.verdict, caught.is_as_declared) == ("Deadlock", True)


def test_the_subject_must_hold() -> None:
    """A violation of the reference says on how many schedules."""

    @scenario(Unlocked)
    def wrong(sim: Simulation, cls: type[Counter]) -> None:
        adding(sim, cls)

    this = scenario_of(wrong)
    assert this is not None
    failed = cell(this, Unlocked)

    assert (failed.verdict, failed.is_as_declared) == ("Failed", False)
    assert "declared to hold, violated Failed on 1 of " in failed.explain()


# --- pins -----------------------------------------------------------------------------------------


def test_a_pin_runs_before_any_search() -> None:
    """It violates on the first schedule, in the column of its class and in no other."""
    token = cell(made({Unlocked: Failed}), Unlocked).token
    assert token is not None
    pinned = made({Unlocked: Failed}, schedules=[token])

    caught = cell(pinned, Unlocked)

    assert caught.exploration is not None
    assert caught.exploration.failures[0].schedule == 1
    assert caught.is_as_declared
    assert cell(pinned, Counter, schedules=3).exploration.schedules == 3  # type: ignore[union-attr]


def test_a_stale_pin_fails_its_cell() -> None:
    """It names the command that finds a new one, though the search found another violation."""
    this = made({Unlocked: Failed})
    token = cell(this, Unlocked).token
    assert token is not None
    read = Token.decode(token)
    stale = Token(
        read.scenario,
        read.class_name,
        read.strategy,
        read.seed,
        read.granularity,
        read.timeouts,
        read.order,
        read.interpreter,
        read.fingerprint,
    ).encode()

    failed = cell(made({Unlocked: Failed}, schedules=[stale]), Unlocked)

    assert not failed.is_as_declared
    assert f"stale pin {stale} no longer violates Failed" in failed.explain()
    assert "--class Unlocked" in failed.explain()


def test_a_pin_of_the_subject_must_hold() -> None:
    """A regression that was mended stays mended."""
    plain = Token(
        "x.py::adding", "Counter", "random", 0, "shared", "idle", "tasks", "cpython-3.11", ""
    ).encode()

    assert cell(made(schedules=[plain]), Counter, schedules=3).is_as_declared


def is_waited_for(sim: Simulation) -> None:
    """Somebody waits for what takes longer on a slow machine."""
    ready = threading.Event()
    with sim.storm() as storm:
        storm.spawn(ready.set)
        storm.spawn(ready.wait, 0.001)
    assert storm.results()[1]


def takes_no_time(sim: Simulation) -> None:
    """Whoever works does not look at the clock twice in one moment."""
    began = time.monotonic()
    with sim.storm() as storm:
        storm.spawn(Counter().add, copies=2)
    assert time.monotonic() == began


async def keeps_the_order_of_callbacks(sim: AsyncSimulation) -> None:
    """Two callbacks come in the order in which they were asked for."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(seen.append, 2)
    await asyncio.sleep(0.1)
    assert seen == [1, 2]


def adds_in_two_blocks(sim: Simulation) -> None:
    """Two threads read under a lock, and write under it later."""
    lock, counter = threading.Lock(), Counter()

    def add() -> None:
        with lock:
            value = counter.value
        with lock:
            counter.value = value + 1

    with sim.storm() as storm:
        storm.spawn(add, copies=2)
    assert counter.value == 2


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (is_waited_for, {"timeouts": "race"}),
        (is_waited_for, {"timeouts": "race:2"}),
        (takes_no_time, {"timeouts": "cost"}),
        (keeps_the_order_of_callbacks, {"order": "any"}),
        (adds_in_two_blocks, {"granularity": "sync"}),
    ],
)
def test_a_pin_runs_in_the_modes_of_its_token(
    function: Callable[[Any], Any], mode: dict[str, str]
) -> None:
    """The same choices are another run in other modes, which may well hold; the search keeps its.

    One run beside the pin, in the default modes, holds: what fails is the pin.
    """
    token = explore(function, **mode).token

    done = explore(function, schedules=1, strategy="plain", stop_after=3, pins=(token,))

    assert [each.schedule for each in done.failures] == [1]
    assert modes_of(Token.decode(done.token)) == modes_of(Token.decode(token))
    assert done.settings.pins == (token,)
    assert modes_of(Token.decode(record(function, settings=done.settings).token)) == {
        "granularity": "shared",
        "order": "tasks",
        "timeouts": "idle",
    }


def test_a_pin_of_a_mode_that_is_none_is_refused() -> None:
    """A token of a build that knew more is not run as something else."""
    pin = Token("x.py::adding", "", "random", 0, "shared", "never", "tasks", "", "").encode()

    with pytest.raises(HarnessError, match=r"^timeouts='never' must be one of race, cost, idle\."):
        explore(is_waited_for, pins=(pin,))


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda: made({str: Failed}), "catches=str is no variant: it is no subclass of Counter."),
        (lambda: made({Counter: Failed}), "catches=Counter is no variant"),
        (lambda: made({Unlocked: "MaxFlight"}), "'MaxFlight' is not known. Checks are MaxInFlight"),
        (lambda: made({Unlocked: ()}), "names no check"),
        (lambda: made({Unlocked: int}), "'int' is not known"),
        (lambda: scenario(3), "subject=3 must be a class"),
        (lambda: scenario(catches={Unlocked: Failed}), "there is no subject"),
        (lambda: made(schedules=["t1:nonsense"]), "is not a token"),
        (lambda: made(schedules="t1:nonsense"), "must be a list of texts"),
        (lambda: scenario(Counter)(lambda sim: None), "must take sim and the class first"),
        (lambda: scenario(lambda: None), "must take sim first"),
        (lambda: scenario(Counter)(Counter), "must be a function"),
    ],
)
def test_misuse_of_the_decorator_is_one_line(wrong: Callable[[], object], line: str) -> None:
    """What was given, the rule, the way out."""
    with pytest.raises(HarnessError) as caught:
        wrong()

    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what is said about a scenario ----------------------------------------------------------------


def flavour(function: Callable[..., Any]) -> str:
    """Return the flavour of the scenario that `function` becomes."""
    found = scenario_of(scenario(function))
    assert found is not None
    return found.flavour


def test_flavours_are_seen() -> None:
    """Threads, asyncio, or one inside the other."""

    def threads(sim: Simulation) -> None:
        time.sleep(1)

    async def tasks(sim: AsyncSimulation) -> None:
        await asyncio.sleep(1)

    async def loop_over_threads(sim: AsyncSimulation) -> None:
        await asyncio.to_thread(time.sleep, 1)

    def thread_with_a_loop(sim: Simulation) -> None:
        asyncio.run(asyncio.sleep(1))

    assert [flavour(each) for each in (threads, tasks, loop_over_threads, thread_with_a_loop)] == [
        "threads",
        "asyncio",
        "mixed",
        "mixed",
    ]


def test_promises_are_read_from_the_function() -> None:
    """What it states, then what its variants are caught by."""
    assert made({Held: (Deadlock, Failed)}).promises == ["LeakBound", "Deadlock", "Failed"]


# --- files ----------------------------------------------------------------------------------------

REFERENCE = """
    import threading

    class Flight:
        def __init__(self):
            self.lock = threading.Lock()

        def go(self, origin):
            with self.lock:
                origin.call("user:1")
"""

BROKEN = """
    from {reference} import Flight

    executed = 0
    executed += 1

    class Unlocked(Flight):
        '''F1: flies without the lock.'''

        def go(self, origin):
            origin.call("user:1")

    class Same(Flight):
        '''F2: flies as it should.'''

    class Stranger:
        '''Derives from nothing.'''
"""

STORMS = """
    from harness import MaxInFlight, scenario
    from {reference} import Flight
    {imported}

    @scenario(Flight{catches})
    def take_off(sim, cls):
        '''One at a time.'''
        origin = sim.pool("origin", latency=1.0)
        flight = cls()
        with sim.storm(MaxInFlight(origin, 1)) as storm:
            storm.spawn(flight.go, origin, copies=3)
"""


def write(folder: Path, *, relative: bool = True, listed: bool = True) -> Path:
    """Write a component; return its scenario file."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = ".reference" if relative else "reference"
    imported = f"from {'.broken' if relative else 'broken'} import Unlocked" if listed else ""
    catches = ", catches={Unlocked: MaxInFlight}" if listed else ""
    for name, text in (("reference", REFERENCE), ("broken", BROKEN), ("storms", STORMS)):
        source = textwrap.dedent(text)
        for key, value in (("reference", reference), ("imported", imported), ("catches", catches)):
            source = source.replace(f"{{{key}}}", value)
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return folder / "storms.py"


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_columns_are_the_subject_and_its_variants_beside_it(
    tmp_path: Path, *, relative: bool, listed: bool
) -> None:
    """Listed or not; strangers are left out; `broken.py` is executed once, however imported."""
    (this,) = scenarios_in(load(write(tmp_path / "flights", relative=relative, listed=listed)))

    columns = this.columns()

    assert [column.name for column in columns] == ["Flight", "Unlocked", "Same"]
    assert [column.row for column in columns] == [None, "F1", "F2"]
    assert [column.expected for column in columns] == [
        "holds",
        "MaxInFlight" if listed else "holds",
        "holds",
    ]
    assert this.columns()[1].cls is columns[1].cls
    assert run_cell(this, columns[1], Settings(schedules=3)).is_as_declared is listed


def test_two_components_may_use_the_same_bare_names(tmp_path: Path) -> None:
    """`from broken import …` means the one beside the file, in either order."""
    first = scenarios_in(load(write(tmp_path / "first", relative=False)))[0]
    second = scenarios_in(load(write(tmp_path / "second", relative=False)))[0]

    assert first.subject is not second.subject
    assert [column.cls for column in first.columns()] != [column.cls for column in second.columns()]
    assert len(second.columns()) == 3


def test_matrix_false_leaves_unlisted_variants_out(tmp_path: Path) -> None:
    """Only the subject and what is listed."""
    file = write(tmp_path / "flights")
    file.write_text(
        file.read_text(encoding="utf-8").replace(
            "@scenario(Flight", "@scenario(Flight, matrix=False"
        ),
        encoding="utf-8",
    )

    (this,) = scenarios_in(load(file))

    assert [column.name for column in this.columns()] == ["Flight", "Unlocked"]


def test_components_are_folders_below_scenarios(tmp_path: Path) -> None:
    """Or the folder of the file."""
    inside = scenarios_in(load(write(tmp_path / "scenarios" / "airport" / "tower")))[0]
    outside = scenarios_in(load(write(tmp_path / "flights")))[0]

    assert (inside.component, outside.component) == ("airport/tower", "flights")


def test_a_file_that_raises_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, kind of exception, message, and where the user's own code raised it."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "storms.py"
    file.write_text("import timetable", encoding="utf-8")
    (tmp_path / "timetable.py").write_text(
        "from concurrent.futures import Future\n"
        "read = Future()\n"
        "read.set_exception(RuntimeError('no\\nluck'))\n"
        "read.result()\n",
        encoding="utf-8",
    )

    with pytest.raises(
        HarnessError,
        match=r"^storms\.py cannot be imported: RuntimeError: no luck \(timetable.py:4\)$",
    ):
        load(file)


def test_a_broken_file_that_raises_is_one_line(tmp_path: Path) -> None:
    """The same for the variants."""
    file = write(tmp_path / "flights", listed=False)
    (file.parent / "broken.py").write_text("import nothing_of_that_name", encoding="utf-8")
    (this,) = scenarios_in(load(file))

    with pytest.raises(HarnessError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        this.columns()


def test_a_failing_assert_of_a_scenario_file_shows_its_operands(tmp_path: Path) -> None:
    """Files are imported through pytest's rewriting, since it moves scheduling points."""
    file = tmp_path / "flights" / "storms.py"
    file.parent.mkdir()
    file.write_text(
        "from harness import scenario\n"
        "@scenario\n"
        "def sums(sim):\n"
        "    total = 40 + 1\n"
        "    assert total == 42\n",
        encoding="utf-8",
    )
    (this,) = scenarios_in(load(file))

    violation = cell(this, None, schedules=1).violation

    assert violation is not None
    assert "assert 41 == 42" in str(violation)


# --- replay ---------------------------------------------------------------------------------------


def test_a_token_finds_its_scenario_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path and name lead to the function, the class name to the column."""
    monkeypatch.chdir(tmp_path)
    this = scenarios_in(load(write(tmp_path / "flights")))[0]
    caught = cell(this, this.column("Unlocked").cls)
    assert caught.token is not None
    assert Token.decode(caught.token).scenario == "flights/storms.py::take_off"

    again = replay(caught.token)

    assert (again.verdict, again.schedules) == ("MaxInFlight", 1)
    assert again.token == caught.token


def plain_program(sim: Simulation) -> None:
    """Lose an update."""
    counter = Unlocked()
    with sim.storm() as storm:
        storm.spawn(counter.add, copies=2)
    assert counter.value == 2


def test_a_token_of_a_plain_function_is_replayed_by_its_module() -> None:
    """`harness.explore` needs no scenario."""
    done = harness.explore(plain_program)

    assert replay(done.token).verdict == "Failed"


@pytest.mark.parametrize("name", ["nowhere:function", "harness:nothing", "nothing", ":", "os:sep"])
def test_a_token_of_an_unknown_function_is_one_line(name: str) -> None:
    """What it names is not there."""
    token = Token(name, "", "random", 0, "shared", "idle", "tasks", "cpython-3.11", "")

    with pytest.raises(HarnessError, match="is unknown"):
        replay(token)


def test_names_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither file, nor function, nor class."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "scenarios" / "flights")

    with pytest.raises(HarnessError, match="no such file"):
        find("nowhere.py::take_off")
    with pytest.raises(HarnessError, match="is unknown"):
        find("land")
    with pytest.raises(HarnessError, match="Its classes are Flight, Unlocked, Same"):
        find("take_off").column("Boeing")


# --- the front door -------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    """Also those that a module shares its name with, after that module was imported."""
    import harness.explore
    import harness.scenario
    import harness.snapshot

    for name in harness.__all__:
        assert getattr(harness, name) is not None
    assert list(harness.__all__) == sorted(harness.__all__, key=_as_ruff_does)
    assert inspect.isfunction(harness.explore)
    assert inspect.isfunction(harness.scenario)
    assert inspect.isfunction(harness.snapshot)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harness.nothing  # noqa: B018 - reading it is the test


def _as_ruff_does(name: str) -> tuple[int, str]:
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def test_a_column_without_a_class_has_no_name() -> None:
    """It stands for a test of the user's own."""
    assert Column(None).name == ""
    assert Column(MaxInFlight, ("Failed",)).expected == "Failed"


# --- whose fault ----------------------------------------------------------------------------------


def misused_in_the_body(sim: Simulation) -> None:
    """No slots."""
    sim.pool("origin", size=0)


def misused_in_a_storm(sim: Simulation) -> None:
    """No slots, seen by one of the storm's own."""
    with sim.storm() as storm:
        storm.spawn(misused_in_the_body, sim)


def misused_in_a_thread(sim: Simulation) -> None:
    """No slots, seen by a thread of the code under test."""
    thread = threading.Thread(target=misused_in_the_body, args=(sim,))
    thread.start()
    thread.join()


def misused_and_waited_for(sim: Simulation) -> None:
    """No slots, and somebody waits for what will never come."""
    opened = threading.Event()

    def opener() -> None:
        misused_in_the_body(sim)
        opened.set()

    with sim.storm() as storm:
        storm.spawn(opened.wait)
        storm.spawn(opener)


async def misused_in_a_task(sim: AsyncSimulation) -> None:
    """No slots, seen by a task."""

    async def opener() -> None:
        sim.pool("origin", size=0)

    async with sim.storm() as storm:
        storm.spawn(opener)


@pytest.mark.parametrize(
    "program",
    [
        misused_in_the_body,
        misused_in_a_storm,
        misused_in_a_thread,
        misused_and_waited_for,
        misused_in_a_task,
    ],
)
def test_misuse_is_never_a_verdict(program: Callable[..., Any]) -> None:
    """Wherever it happens it is the caller's fault; a variant must not seem caught by it."""
    with pytest.raises(HarnessError, match="size=0 must be at least 1"):
        harness.explore(program, schedules=3)
