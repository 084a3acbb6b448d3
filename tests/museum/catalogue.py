"""What hangs in the museum: every program, its fixed twin, and what was published about it.

It runs nothing. The figures are those of a reference model whose events are the points of these
programs, so that counts can be compared; how hard a program is depends on little else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, Final

from tests.museum.programs import (
    asyncio_and_mixed,
    classics_data,
    classics_shutdown,
    classics_waiting,
    goker_channels,
    goker_locks,
    passing_time,
    sctbench_a,
    sctbench_b,
    sctbench_c,
)

Program = Callable[[Any], Any]

#: The columns of published means, in the order of the table.
STRATEGIES: Final = ("random", "pct2", "pct3", "pos", "urw", "surw")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One program with a known bug.

    Args:
        row: where it stands in the published table; sizes of one program share a row.
        name: what it is called, once in the museum.
        program: the program.
        fixed: its twin without the bug.
        oracle: the verdicts that a violation may have.
        depth: how many orderings the bug needs (PCT), None if nobody has judged it.
        preemptions: with how many preemptions at least it fails, None if nobody found out.
        events: events of one run of the reference model, None beyond the table.
        traces: traces of the reference model, None if it did not come to an end.
        core: whether every strategy is measured on it and the portfolio must find it.
        published: mean schedules to the first bug by strategy; None if a trial found none.
        differs: which point is one too many or is missing, if it has other traces than published.
        settings: what must be set for it, beyond the defaults of an exploration.
    """

    row: str
    name: str
    program: Program
    fixed: Program
    oracle: tuple[str, ...]
    depth: int | None
    preemptions: int | None
    events: int | None
    traces: int | None
    core: bool
    published: Mapping[str, float | None]
    differs: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timed:
    """A program about time, with the one verdict that it has in each time-out mode.

    Args:
        row: T1 to T5.
        name: what it is called.
        program: the program.
        verdicts: by mode; where it is a violation, some schedule must reach it.
    """

    row: str
    name: str
    program: Program
    verdicts: Mapping[str, str]


# d: depth. p: preemptions. Then events, traces and the published means; `-`: there is none.
_TABLE: Final = """
row program                        verdict   d p evs trcs    RW  PCT2  PCT3   POS   URW  SURW
A01 account                        Unhandled 1 0  17    6   7.5   4.5   6.7   5.5   2.6   3.4
A03 bluetooth_driver               Failed    2 1  12   10  28.6  14.8  20.1  18.7   128  10.8
A04 carter01                       Deadlock  2 1  28    4   1.7   6.2   4.2   2.2   1.3   1.3
A05 circular_buffer                Unhandled 2 1  57  587   1.1  18.6   5.5   1.1   1.1   1.4
A06 deadlock01                     Deadlock  2 1  16    3   2.5   9.7   7.3   4.8     2   3.1
A07 din_phil_2                     Deadlock  2 1  12    3   2.5   9.3   4.7   4.8   1.8     4
A07 din_phil_3                     Deadlock  3 1  18    7     6  50.8  20.9   8.3     3   6.9
A07 din_phil_5                     Deadlock  5 1  30   31  39.3  1612   936  49.5   6.6  46.8
A09 lazy01                         Unhandled 1 0  17   10   1.7   1.6   1.9   1.6   1.8   2.6
A11 queue                          Unhandled 2 1 115    -     1  13.8     5     1     1   1.2
A12 reorder_3                      Unhandled 2 1  14   52  32.8  23.1  20.1  18.4   8.8   5.6
A12 reorder_4                      Unhandled 2 1  17 1089   136  47.4  44.5  30.1  17.6   9.8
A12 reorder_5                      Unhandled 2 1  21    -   560  81.3  93.2  84.7  15.8  10.1
A12 reorder_10                     Unhandled 2 -  41    -     -   528   502     -    66  23.3
A12 reorder_20                     Unhandled 2 -  90    -     -   413   196     -   9.4     5
A12 reorder_50                     Unhandled 2 - 201    -     -     -     -     -     -  70.2
A14 stack                          Unhandled 2 1 104    -   1.4   5.6   5.1   1.9   1.2   1.9
A15 sync01                         Deadlock  1 0  12    3     1     1     1     1     1     1
A16 sync02                         Deadlock  1 0  26    9     1     1     1     1     1     1
A18 twostage                       Unhandled 2 1  17    3  23.1  14.5   9.8  10.8  35.4   7.3
A18 twostage_20                    Unhandled 2 - 179    -     -     -   709   599   312   128
A18 twostage_50                    Unhandled 2 - 449    -     -     -     -     -  1261   416
A19 wronglock_3                    Unhandled 2 1  26  382   3.4  12.8     8   3.4   3.3   4.9
A19 wronglock                      Unhandled 2 -  50    -   3.5  29.5  12.6   2.8   3.4   6.5
A21 work_steal_queue               Failed    2 2  64    -   144  19.9  12.6  32.4     3   3.9
B01 bounded_buffer                 Deadlock  2 0  66    -     3   5.8   3.6   2.4   3.5     4
B02 wait_with_if                   Unhandled 2 0  30   72   2.8   1.9   2.9   2.9   3.2   4.7
B03 notify_before_wait             Deadlock  2 1  13    3   8.6  13.9   9.4   5.8   9.9   4.2
B04 double_checked_publish         Unhandled 2 1  16    6  17.9  14.3  12.6   6.5  19.4   8.2
B06 treiber_aba                    Unhandled 2 1  10   10   4.3   6.8   5.9   5.8   5.2  12.2
A22 safe_stack                     Unhandled - -  91    -     -     -     -     -     -     -
C01 kubernetes_6632                Deadlock  - 0  13    4   1.8   2.3   2.6   1.6   1.2   2.1
C02 etcd_6857                      LeakBound - 0  12   64   4.6   5.8   5.6   5.2   2.5   2.9
C04 cockroach_16167                Deadlock  - 1   8    5   4.6   8.7   5.7   3.8   3.4   4.2
C05 cockroach_6181                 Deadlock  - 1  27    -   3.2  12.8     7   4.8   3.1   3.8
C06 kubernetes_10182               Deadlock  - 0  17   14   1.4   3.8   3.1   2.6   1.7   1.8
C08 kubernetes_1321                Deadlock  - 1  29    9   1.1   3.5   2.5   1.6     1     1
C10 cockroach_1055                 Deadlock  - 0  26  225     1     1     1   1.1     1   1.1
C11 grpc_1687                      Unhandled - 0  12  166   1.8   1.4   1.3   2.9   1.8   4.5
A02 arithmetic_prog                Failed    1 0  49   58     1     1     1     1     1     1
A08 fsbench                        Unhandled 1 0 154    -     1     1     1     1     1     1
A10 phase01                        Deadlock  1 0  12    6     1     1     1     1     1     1
A13 sigma_4                        Failed    2 1  16  576   1.2   5.2   3.2   1.6   1.1     1
C14 kubernetes_62464               Deadlock  - 1  11   35   8.6  20.4     7   7.2   4.3     4
C15 cockroach_3710                 Deadlock  - 1  15    7   1.1   6.2   2.9   1.9   1.4     2
C16 cockroach_7504                 Deadlock  - 1  12    3   4.8  12.2   4.7   4.5   2.4     4
C17 moby_25384                     Deadlock  1 0   2    1     1     1     1     1     1     1
C19 grpc_1353                      Deadlock  - 0  25   17   1.4   1.8   1.6   1.2   1.1   1.2
C20 kubernetes_5316                LeakBound - 0   6    5   1.6   1.4   1.3   1.5   1.4   1.3
C22 kubernetes_13058               Unhandled - 0   6    4   1.2   1.6   1.5   1.8   1.4   1.6
C23 cockroach_4407                 Unhandled - 0   7   10     2   1.7   1.9   1.6   2.2   2.1
B13 async_appender                 Deadlock  2 0  45  180   5.5   114  27.2   8.2   9.1     6
B08 check_then_act                 Failed    2 1   8    4   2.7     7   3.5   4.3   2.4   1.8
B09 peterson                       Unhandled 3 2  18   17  59.5     -   114    35  37.8    21
B10 release_in_finally             Unhandled 2 1  16   30  19.9  16.7  12.9   4.8  14.2  11.2
B11 submit_after_shutdown          Deadlock  2 1  12    3   9.3  23.4  13.6   7.3    12   7.5
D01 lost_update_across_await       Failed    2 1  12   70   1.3   5.6   3.5   1.6   1.2   1.1
D02 cancel_between_acquire_and_try Deadlock  2 0  13    4   2.9   7.2   4.3     3   2.9     4
D04 executor_self_submit           Deadlock  1 0   4    1     1     1     1     1     1     1
D06 finaliser_reentry              Deadlock  - 0   8    2   1.9   3.8   2.4     2   2.5   2.3
D07 fork_while_locked              Deadlock  - 2   7    5   2.6   5.8   4.8   2.6   3.6   2.4
D08 blocking_call_in_the_loop      Deadlock  - -   -    -     -     -     -     -     -     -
D09 lock_of_two_loops              LeakBound - -   -    -     -     -     -     -     -     -
D10 unawaited_shutdown             LeakBound - -   -    -     -     -     -     -     -     -
"""

_WAITING: Final = "who has to wait for it meets its point twice, before the wait and behind it"

# Where the traces are not those of the table. What is said of the model follows from counting all
# interleavings of the steps that are listed for it.
_DIFFERS: Final = {
    "wronglock_3": "none: all interleavings of the listed points are 776 traces, 662 of which fail;"
    " the published search lets the step that fails sleep, and then leaves out ways to fail",
    "etcd_6857": f"missing: the select, whose two requests come through one channel; {_WAITING}",
    "cockroach_1055": "missing: in the model every step depends on every other; a wait group"
    " that is waited for is a lock here",
    "grpc_1687": f"a channel: {_WAITING}",
    "peterson": f"the door: {_WAITING}; turn and flag are one thing there",
    "submit_after_shutdown": "shutting is ordered with handing in and taking, too",
    "cancel_between_acquire_and_try": "each turn of a task is a point, its end and the wake-up of"
    " whoever waits for it included",
}

_ROOMS: Final[tuple[ModuleType, ...]] = (
    sctbench_a,
    sctbench_b,
    sctbench_c,
    classics_data,
    classics_shutdown,
    classics_waiting,
    goker_channels,
    goker_locks,
    asyncio_and_mixed,
)

#: Beyond what strategies can be measured on: needs five preemptions, or models what it is about.
_NOT_CORE: Final = frozenset({"A22", "D06", "D07"})


def _exhibits() -> Iterator[Exhibit]:
    for line in _TABLE.strip().splitlines()[1:]:
        row, name, oracle, depth, preemptions, events, traces, *means = line.split()
        yield Exhibit(
            row=row,
            name=name,
            program=_program(name),
            fixed=_program(f"{name}_fixed"),
            oracle=(oracle,),
            depth=_whole(depth),
            preemptions=_whole(preemptions),
            events=_whole(events),
            traces=_whole(traces),
            core=row not in _NOT_CORE,
            published={
                strategy: None if mean == "-" else float(mean)
                for strategy, mean in zip(STRATEGIES, means, strict=True)
            },
            differs=_DIFFERS.get(name, ""),
        )


def _program(name: str) -> Program:
    found = [vars(room).get(name) for room in _ROOMS]
    [program] = [each for each in found if isinstance(each, FunctionType)]
    return program


def _whole(text: str) -> int | None:
    return None if text == "-" else int(text)


#: In the order of the published table, then what is beyond it.
EXHIBITS: Final[tuple[Exhibit, ...]] = tuple(_exhibits())

#: Programs about time. `idle`: a time-out fires when nobody can run. `race`: the clock is one more
#: actor. `cost`: each decision takes a little time.
TIMED: Final[tuple[Timed, ...]] = (
    Timed(
        "T1",
        "spin_until_deadline",
        passing_time.spin_until_deadline,
        {"idle": "holds", "race": "Failed", "cost": "holds"},
    ),
    Timed(
        "T2",
        "latch_times_out",
        passing_time.latch_times_out,
        # On a slow machine the second may be over before the wait of a millisecond has begun.
        {"idle": "holds", "race": "Failed", "cost": "holds"},
    ),
    Timed(
        "T3",
        "spinner_shows_progress",
        passing_time.spinner_shows_progress,
        {"idle": "holds", "race": "holds", "cost": "holds"},
    ),
    Timed(
        "T4",
        "spinner_never_done",
        passing_time.spinner_never_done,
        {"idle": "Livelock", "race": "Livelock", "cost": "Livelock"},
    ),
    Timed(
        "T5",
        "sleep_is_no_synchronisation",
        passing_time.sleep_is_no_synchronisation,
        {"idle": "holds", "race": "Failed", "cost": "holds"},
    ),
)
