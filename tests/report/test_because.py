"""Why a run violates: which turns are told, in which words, and what is left out."""

from __future__ import annotations

from harness.core.history import Aside, Event, History, Who
from harness.report.because import CLAUSES_MAX, PLAIN, TURNS_MAX, because

FILE = "somewhere/rates.py"


class _Site:
    """What is read at a place; its source cannot be read, so that its name is told."""

    def __init__(self, line: int, name: str) -> None:
        self.file = FILE
        self.line = line
        self.operation = "read"
        self.name = name
        self.span = None
        self.sync = False


def thread(number: int) -> Who:
    """Return the thread `caller-N`."""
    return Who(f"0.{number}", f"caller-{number}")


class _Run:
    """A record, in the making."""

    def __init__(self) -> None:
        self.history = History()

    def at(self, who: Who, line: int, name: str = ".known") -> None:
        """Have somebody come to a scheduling point."""
        target = f"read {name}"
        where = f"{FILE}:{line}"
        event = Event(
            0, who.path, who.name, "point", target, 0, where=where, by=who, site=_Site(line, name)
        )
        self.history.add(event)

    def without_place(self, who: Who, operation: str) -> None:
        """Have somebody do what has no place in code under test: `sleep`, `end`."""
        event = Event(0, who.path, who.name, operation, "", 0, by=who)
        self.history.add(event)

    def end(self, who: Who, ran: str = "") -> None:
        """Have a thread end."""
        self.without_place(who, "end")
        self.aside("done", who, text=ran)

    def aside(self, kind: str, who: Who, other: str = "", text: str = "", where: str = "") -> None:
        """Note something beside the events so far."""
        at = len(self.history.events)
        self.history.asides.append(Aside(at, kind, who, other, text, where))  # type: ignore[arg-type]  # as said

    def told(self) -> list[str]:
        """Return the story."""
        return [text for _, text in because(self.history, 1)]


def stopped_and_overtaken(run: _Run, first: Who, second: Who) -> None:
    """Have `first` stop before it reads, and `second` run meanwhile."""
    run.at(first, 19)
    run.aside("stop", first)
    run.at(second, 19)
    run.at(second, 21)
    run.aside("back", first)
    run.at(first, 20)


def test_who_stopped_who_ran_and_who_went_on() -> None:
    """The sentence of the design, with the object that was about to be read."""
    run = _Run()
    stopped_and_overtaken(run, thread(7), thread(31))

    (clause,) = run.told()
    assert clause.split(", ") == [
        "caller-7 stopped at rates.py:19 (read .known)",
        "caller-31 ran rates.py:19–21",  # noqa: RUF001 - a range of lines
        "caller-7 went on",
    ]


def test_who_met_no_scheduling_point_ran_what_it_was_to_run() -> None:
    """What the thread was started for is named; without a name, that it ran is told."""
    named, nameless = _Run(), _Run()
    for run, ran in ((named, "Event.set"), (nameless, "")):
        run.at(thread(1), 19)
        run.aside("stop", thread(1))
        run.end(thread(2), ran)
        run.aside("back", thread(1))
        run.end(thread(1), "read")

    assert named.told()[0].split(", ")[1:] == ["caller-2 ran Event.set", "caller-1 went on"]
    assert nameless.told()[0].split(", ")[1:] == ["caller-2 ran to its end", "caller-1 went on"]


def test_who_had_waited_ran_from_there() -> None:
    """To its end, to where it waits next, or to the next scheduling point: each is a turn."""
    run = _Run()
    for number in (2, 3, 4):
        run.without_place(thread(number), "sleep")
        run.aside("wait", thread(number), where=f"{FILE}:28")
    run.at(thread(1), 19)
    run.aside("stop", thread(1))
    run.aside("back", thread(2))
    run.end(thread(2), "hold")
    run.aside("back", thread(3))
    run.aside("wait", thread(3), where=f"{FILE}:30")
    run.aside("back", thread(4))
    run.at(thread(4), 32)
    run.aside("back", thread(1))

    (clause,) = run.told()
    assert clause.split(", ") == [
        "caller-1 stopped at rates.py:19 (read .known)",
        "caller-2 ran to its end (from rates.py:28)",
        "caller-3 ran rates.py:28–30",  # noqa: RUF001 - a range of lines
        "caller-4 ran rates.py:28–32",  # noqa: RUF001 - a range of lines
        "caller-1 went on",
    ]


def test_who_waits_again_where_it_has_waited_has_got_nowhere() -> None:
    """As whoever joins one thread after the other; a thread of a library has no other place."""
    run = _Run()
    joiner, worker = Who("0", "MainThread"), Who("0.9", "pool_0")
    run.aside("wait", joiner, where=f"{FILE}:50")
    run.aside("wait", worker)
    run.at(thread(1), 19)
    run.aside("stop", thread(1))
    run.end(thread(2), "Event.set")
    run.aside("back", joiner)
    run.aside("wait", joiner, where=f"{FILE}:50")
    run.aside("back", worker)
    run.aside("wait", worker)
    run.aside("back", thread(1))

    (clause,) = run.told()
    assert clause.split(", ") == [
        "caller-1 stopped at rates.py:19 (read .known)",
        "caller-2 ran Event.set",
        "pool_0 went on",
        "caller-1 went on",
    ]


def test_who_went_out_of_turn_is_told_where_it_did() -> None:
    """It waited and was the first to go on, without a switch; then it stopped for the other."""
    run = _Run()
    run.at(thread(1), 10)
    run.without_place(thread(1), "sleep")
    run.aside("order", thread(1), other="caller-2")
    run.at(thread(1), 19)
    run.aside("stop", thread(1))
    run.at(thread(2), 30)
    run.aside("back", thread(1))
    run.at(thread(1), 20)

    (clause,) = run.told()
    assert clause.split(", ") == [
        "caller-1 went before caller-2 and stopped at rates.py:19 (read .known)",
        "caller-2 ran rates.py:30",
        "caller-1 went on",
    ]


def test_what_was_in_order_is_left_out() -> None:
    """Two clauses, each of one thing out of order; what lies between them is not told."""
    run = _Run()
    run.at(thread(9), 10)
    stopped_and_overtaken(run, thread(1), thread(2))
    run.aside("wait", thread(1))
    run.at(thread(3), 30)
    run.aside("wait", thread(3))
    run.aside("order", thread(5), other="caller-4")
    run.at(thread(5), 40)
    run.at(thread(6), 50)

    first, second = run.told()
    assert "caller-3" not in first + second
    assert "caller-6" not in first + second
    assert "caller-9" not in first + second
    assert second == "caller-5 ran rates.py:40 before caller-4"


def test_faults_and_draws_are_told_where_they_came() -> None:
    """In order among the turns; a fault of which nobody was stopped is a clause of its own."""
    run = _Run()
    run.at(thread(1), 19)
    run.aside("stop", thread(1))
    run.at(thread(2), 19)
    run.aside("fault", thread(2), text="OSError struck caller-2 at call 1 of 'bank'")
    run.at(thread(2), 25)
    run.aside("back", thread(1))
    run.aside("draw", thread(1), text="{who} drew 3 instead of 0", where=f"{FILE}:26")

    story, draw = run.told()
    assert story.split(", ") == [
        "caller-1 stopped at rates.py:19 (read .known)",
        "caller-2 ran rates.py:19",
        "OSError struck caller-2 at call 1 of 'bank'",
        "caller-2 ran rates.py:25",
        "caller-1 went on",
    ]
    assert draw == "caller-1 drew 3 instead of 0 at rates.py:26"


def test_where_threads_and_tasks_meet_each_is_called_what_it_is() -> None:
    """A task with its thread; among threads alone, or tasks of one loop, names will do."""
    task = Who("0.2", "looper", "0.2.1", "Task-1")
    border, loop = _Run(), _Run()
    stopped_and_overtaken(border, thread(1), task)
    other = Who("0.2", "looper", "0.2.2", "Task-2")
    loop.at(task, 19)
    loop.aside("order", other, other="Task-1")
    loop.at(other, 20)

    (clause,) = border.told()
    assert clause.split(", ") == [
        "thread caller-1 stopped at rates.py:19 (read .known)",
        "task Task-1 of thread looper ran rates.py:19–21",  # noqa: RUF001 - a range of lines
        "thread caller-1 went on",
    ]
    assert loop.told() == ["Task-2 ran rates.py:20 before Task-1"]


def test_a_loop_that_stops_between_two_steps_says_so() -> None:
    """No task runs then, and no code under test."""
    run = _Run()
    loop = Who("0", "MainThread")
    run.at(thread(1), 19)
    run.aside("stop", loop)
    run.at(thread(2), 20)
    run.aside("back", loop)

    (clause,) = run.told()
    assert clause.split(", ") == [
        "MainThread stopped between two steps of its event loop",
        "caller-2 ran rates.py:20",
        "MainThread went on",
    ]


def test_a_story_that_is_too_long_is_cut_in_the_middle() -> None:
    """The first and the last are told, and how many are not: a run may not have been shrunk."""
    many, long = _Run(), _Run()
    for number in range(0, 40, 2):
        stopped_and_overtaken(many, thread(number), thread(number + 1))
        many.aside("wait", thread(number))
    long.at(thread(0), 19)
    long.aside("stop", thread(0))
    for number in range(1, 41):
        long.at(thread(number), 20)
    long.aside("back", thread(0))

    clauses = many.told()
    (clause,) = long.told()
    assert len(clauses) == CLAUSES_MAX
    assert clauses[CLAUSES_MAX // 2] == "… 15 clauses more …"
    assert clauses[-1].startswith("caller-38 stopped")
    assert len(clause.split(", ")) == TURNS_MAX
    assert "caller-3 ran rates.py:20, … 35 turns more …, caller-39 ran" in clause
    assert clause.endswith("caller-0 went on")


def test_the_plain_run_needs_no_story() -> None:
    """And choices that leave no trace in code under test are counted."""
    assert because(History(), 0) == [("because", PLAIN)]
    assert because(History(), 2) == [
        ("because", "2 choices that left no trace in the code under test")
    ]
