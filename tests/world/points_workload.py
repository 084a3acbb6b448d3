"""Rewrites much of the standard library, uses it before, during and after, prints what differs.

A process of its own, started by `test_points_selfcheck.py`: while it runs, the interpreter's own
modules are rewritten. It does not judge; it prints figures as JSON.
"""

import _pydecimal
import argparse
import ast
import asyncio
import base64
import calendar
import collections
import concurrent.futures
import configparser
import contextlib
import copy
import csv
import dataclasses
import datetime
import difflib
import dis
import email.message
import email.parser
import email.policy
import enum
import fnmatch
import fractions
import functools
import gc
import graphlib
import gzip
import html
import html.parser
import inspect
import io
import ipaddress
import itertools
import json
import linecache
import logging
import logging.handlers
import optparse
import pathlib
import pickle
import pprint
import queue
import random
import shlex
import statistics
import string
import sys
import sysconfig
import tarfile
import tempfile
import textwrap
import threading
import time
import tokenize
import traceback
import types
import typing
import unittest
import unittest.mock
import urllib.parse
import uuid
import weakref
import xml.dom.minidom
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable

from harness.world import points
from harness.world.points import CodeSite, Rewriter, sites_of

STANDARD = sysconfig.get_path("stdlib")
SOURCE = pathlib.Path(textwrap.__file__).read_text(encoding="utf-8")


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


@dataclasses.dataclass(order=True)
class Item:
    name: str
    size: int = 0
    tags: list[str] = dataclasses.field(default_factory=list)


def parse_arguments() -> object:
    parser = argparse.ArgumentParser(prog="prog", description="words " * 30, exit_on_error=False)
    parser.add_argument("--size", type=int, default=3, choices=range(9), help="a size")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-v", action="count")
    group.add_argument("-q", action="store_true")
    sub = parser.add_subparsers(dest="command")
    sub.add_parser("run", help="runs").add_argument("paths", nargs="*")
    seen = [vars(parser.parse_args(words.split())) for words in ("", "-vv run a b", "--size 4 -q")]
    try:
        parser.parse_args(["--size", "99"])
    except argparse.ArgumentError as exc:
        seen.append(str(exc))
    option = optparse.OptionParser(prog="prog")
    option.add_option("-n", type="int", default=2)
    return seen, parser.format_help(), option.parse_args(["-n", "4", "x"])[1]


def run_threads() -> object:
    jobs: queue.Queue[int | None] = queue.Queue(2)
    done: queue.PriorityQueue[int] = queue.PriorityQueue()
    gate = threading.Barrier(3)

    def work() -> None:
        gate.wait()
        while (job := jobs.get()) is not None:
            done.put(job * job)
            jobs.task_done()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.wait()
    for number in range(20):
        jobs.put(number)
    jobs.join()
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        thread.join()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        squares = list(pool.map(lambda n: n * n, range(10)))
        late = pool.submit(divmod, 1, 0)
        failure = type(late.exception()).__name__
    limit, event = threading.BoundedSemaphore(1), threading.Event()
    with contextlib.suppress(ValueError):
        limit.release()
    timer = threading.Timer(0.001, event.set)
    timer.start()
    return [done.get() for _ in range(20)], squares, failure, event.wait(5), timer.join()


async def run_tasks() -> object:
    jobs: asyncio.Queue[int] = asyncio.Queue(2)
    order: list[object] = []

    async def produce() -> None:
        for number in range(8):
            await jobs.put(number)

    async def consume() -> None:
        for _ in range(8):
            order.append(await jobs.get())
            jobs.task_done()

    async def count(n: int):
        for number in range(n):
            await asyncio.sleep(0)
            yield number

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
    order += [n async for n in count(4) if n != 2]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    outcome = await asyncio.gather(asyncio.sleep(0, 1), asyncio.to_thread(len, "abc"))
    lock, condition = asyncio.Lock(), asyncio.Condition()
    async with lock, condition:
        condition.notify_all()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"user:1\n")
        order.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
    return order, outcome


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


def handle_mail() -> object:
    message = email.message.EmailMessage(policy=email.policy.default)
    message["Subject"] = "Grüße " * 20
    message["To"] = '"A, B" <a@example.org>, c@example.org'
    message.set_content("one\ntwo\n")
    message.add_alternative("<p>one</p>", subtype="html")
    message.add_attachment(b"\x00\x01", maintype="application", subtype="x", filename="é.bin")
    random.seed(1)  # the inner boundary is drawn
    message.set_boundary("=====edge=====")
    again = email.parser.BytesParser(policy=email.policy.default).parsebytes(message.as_bytes())
    parts = [(part.get_content_type(), part.get_filename()) for part in again.walk()]
    return parts, again["to"].addresses, again["subject"], message.as_string()


def handle_text() -> object:
    words = SOURCE.split()
    config = configparser.ConfigParser()
    config.read_string("[one]\na = 1\nb = %(a)s2\n[two]\nlist =\n  x\n  y\n")
    out = io.StringIO()
    config.write(out)
    other = SOURCE.replace("self", "me").splitlines()
    return (
        textwrap.fill(" ".join(words[:200]), 50),
        list(difflib.unified_diff(SOURCE.splitlines()[:80], other[:80], lineterm="")),
        difflib.get_close_matches("texwrap", words),
        [token[:3] for token in tokenize.generate_tokens(io.StringIO(SOURCE).readline)][:500],
        out.getvalue(),
        dict(config["one"]),
        shlex.split('a \'b c\' "d\\"e" # f', comments=True),
        string.Template("$a ${b}").safe_substitute(a=1),
        pprint.pformat({word: list(word) for word in words[:40]}, width=40),
        html.unescape(html.escape("<a&b>")),
        [calendar.TextCalendar().formatmonth(2024, 2)],
        fnmatch.filter(words[:50], "*a*"),
    )


def handle_data() -> object:
    data = {"a": [1, 2.5, None, True], "b": {"c": "é\n"}, "d": list(range(30))}
    counter = collections.Counter(SOURCE)
    ordered = collections.OrderedDict.fromkeys("abc")
    ordered.move_to_end("a")
    chain = collections.ChainMap({"a": 1}, {"a": 2, "b": 3})
    stack = collections.deque(range(5), 3)
    point = collections.namedtuple("Point", "x y")(1, 2)  # noqa: PYI024 - both kinds are wanted
    rows = io.StringIO()
    csv.DictWriter(rows, ["a", "b"]).writerow({"a": 1, "b": "x,y"})
    items = [Item("b", 2), Item("a", 1, ["t"])]
    context = _pydecimal.Context(prec=30)
    number = context.sqrt(_pydecimal.Decimal(2)) + _pydecimal.Decimal("1e-5")
    return (
        json.dumps(data, indent=2, sort_keys=True),
        json.JSONEncoder(indent=1).encode(data),
        json.loads(json.dumps(data)) == data,
        counter.most_common(5),
        list(ordered),
        dict(chain),
        list(stack),
        point._replace(x=5),
        rows.getvalue(),
        sorted(items),
        dataclasses.asdict(items[1]),
        dataclasses.replace(items[0], size=9),
        copy.deepcopy(data) == data,
        pickle.loads(pickle.dumps(items)) == items,  # noqa: S301 (our own)
        pickle._loads(pickle._dumps(data, 2)) == data,
        list(graphlib.TopologicalSorter({1: [2, 3], 2: [3]}).static_order()),
        str(number),
        str(_pydecimal.Decimal(355) / _pydecimal.Decimal(113)),
        str(number.quantize(_pydecimal.Decimal("0.001"))),
        fractions.Fraction("3.25") + fractions.Fraction(1, 3),
        statistics.fmean([1, 2, 4]),
        statistics.quantiles(range(20)),
        Colour["RED"],
        Colour(2).name,
        uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"),
        [str(net) for net in ipaddress.ip_network("10.0.0.0/29").subnets(1)],
        base64.b85encode(b"storm").decode(),
        urllib.parse.urlsplit("http://u:p@h:80/a;b?c=d#e").geturl(),
        urllib.parse.parse_qs("a=1&a=2&b=%20"),
        random.Random(5).sample(range(99), 5),
    )


def handle_code() -> object:
    tree = ast.parse(SOURCE)
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    listing = io.StringIO()
    dis.dis(sum_up, file=listing)

    @functools.lru_cache(maxsize=4)
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    @functools.singledispatch
    def kind(value: object) -> str:
        return "object"

    kind.register(int, lambda value: "int")
    double = unittest.mock.MagicMock(side_effect=[1, 2])
    double(3)
    with unittest.mock.patch.object(textwrap, "dedent", double):
        textwrap.dedent("x")
    return (
        names,
        ast.unparse(tree)[:2000],
        str(inspect.signature(textwrap.TextWrapper.__init__)),
        inspect.getsource(sum_up),
        inspect.getdoc(textwrap.fill),
        inspect.getmembers(Item, inspect.isroutine)[0][0],
        typing.get_type_hints(Item),
        [line.split()[1:3] for line in listing.getvalue().splitlines() if line][:5],
        fib(20),
        kind(1) + kind("1"),
        [str(call) for call in double.mock_calls],
        explain(),
        linecache.getline(textwrap.__file__, 3),
        functools.reduce(lambda a, b: a + b, itertools.accumulate(range(9))),
    )


def sum_up(numbers: list[int]) -> int:
    return sum(number * 2 for number in numbers)


def explain() -> str:
    try:
        json.loads("[1, }")
    except ValueError:
        text = traceback.format_exc()
    return text


def handle_files() -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
        with zipfile.ZipFile(path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path / "a.txt", "in/a.txt")
        with tarfile.open(path / "a.tar.gz", "w:gz") as tar:
            tar.add(path / "a.txt", "a.txt")
        with gzip.open(path / "a.gz", "wt") as packed:
            packed.write("three")
        with zipfile.ZipFile(path / "a.zip") as archive, tarfile.open(path / "a.tar.gz") as tar:
            names = archive.namelist() + tar.getnames(), archive.read("in/a.txt")
        with gzip.open(path / "a.gz", "rt") as packed:
            return names, packed.read(), sorted(p.name for p in path.rglob("*"))


def handle_markup() -> object:
    root = ET.fromstring("<a x='1'><b>t</b><b/><c>u<d/>v</c></a>")  # noqa: S314 (our own)
    ET.indent(root)

    class Reader(html.parser.HTMLParser):
        seen: typing.ClassVar[list[object]] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            super().handle_starttag(tag, attrs)
            self.seen.append((tag, attrs))

    Reader.seen.clear()
    Reader().feed("<p class=x>a&amp;b<br/><!-- c --></p>")
    document = xml.dom.minidom.parseString("<a><b c='d'/></a>")  # noqa: S318 (our own)
    return (
        ET.tostring(root),
        [element.tag for element in root.iterfind(".//b")],
        list(Reader.seen),
        document.toprettyxml(),
    )


def write_logs() -> object:
    out = io.StringIO()
    logger = logging.Logger("storm")
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("{levelname}:{name}:{message}", style="{"))
    memory = logging.handlers.MemoryHandler(10, target=handler)
    logger.addHandler(memory)
    logger.warning("%s is %d", "x", 1)
    try:
        raise KeyError("caller-7")
    except KeyError:
        logger.exception("failed")
    memory.close()

    class Case(unittest.TestCase):
        def test_one(self) -> None:
            with self.assertRaises(KeyError), self.subTest(n=1):
                {}[1]
            self.assertEqual([1, 2], [1, 2])

        def test_two(self) -> None:
            self.assertEqual({"a": 1}, {"a": 2})

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    return out.getvalue(), result.testsRun, [text for _, text in result.failures]


def use_weak_and_lazy() -> object:
    class Thing:
        @functools.cached_property
        def costly(self) -> int:
            return 7

    things = [Thing() for _ in range(3)]
    table = weakref.WeakKeyDictionary(zip(things, range(3), strict=True))
    values = weakref.WeakValueDictionary(enumerate(things))
    costly = [thing.costly for thing in things]
    with contextlib.ExitStack() as stack:
        stack.callback(things.clear)
        things_seen = len(table), len(values)
    gc.collect()
    moment = datetime.datetime.strptime("2024-02-29 12:00", "%Y-%m-%d %H:%M")
    return costly, things_seen, moment.isoformat(), types.SimpleNamespace(a=1)


WORK: list[Callable[[], object]] = [
    parse_arguments,
    run_threads,
    lambda: asyncio.run(run_tasks()),
    handle_mail,
    handle_text,
    handle_data,
    handle_code,
    handle_files,
    handle_markup,
    write_logs,
    use_weak_and_lazy,
]


def run_workload() -> list[str]:
    return [repr(work()) for work in WORK]


class Count:
    """Counts what the hook is told, by means that are safe among threads."""

    def __init__(self) -> None:
        self.points = itertools.count()
        self.sites: set[int] = set()

    def hook(self, _: object, site: CodeSite) -> None:
        next(self.points)
        self.sites.add(id(site))


# What the workload uses most, by folder or file: more would only take longer.
REWRITTEN = (
    *("argparse.py", "ast.py", "asyncio/", "collections/", "concurrent/", "configparser.py"),
    *("contextlib.py", "copy.py", "csv.py", "dataclasses.py", "difflib.py", "dis.py", "email/"),
    *("enum.py", "fnmatch.py", "fractions.py", "functools.py", "graphlib.py", "gzip.py", "html/"),
    *("inspect.py", "json/", "logging/", "pathlib", "pickle.py", "pprint.py", "_pydecimal.py"),
    *("queue.py", "random.py", "re/", "shlex.py", "statistics.py", "string.py", "tarfile.py"),
    *("tempfile.py", "textwrap.py", "threading.py", "tokenize.py", "traceback.py", "types.py"),
    *("unittest/", "urllib/", "weakref.py", "_weakrefset.py", "xml/etree/", "zipfile"),
)


def is_standard(filename: str) -> bool:
    part = filename.removeprefix(STANDARD + "/")
    return part != filename and part.startswith(REWRITTEN)


def main(granularity: points.Granularity) -> None:
    sys.setswitchinterval(1e-4)
    run_workload()
    before = run_workload()
    codes = [(function, function.__code__) for function in points._functions(is_standard)]
    count = Count()
    handed: list[int] = []
    rewriter = Rewriter(
        count.hook,
        granularity=granularity,
        is_under_test=is_standard,
        handed=lambda _thing, mode: handed.append(mode),
    )
    started = time.perf_counter()
    rewriter.install()
    seconds = time.perf_counter() - started
    rewritten = [f for f, code in codes if f.__code__ is not code]
    positions_differ = [f.__qualname__ for f, code in codes if not has_same_lines(code, f.__code__)]
    during = run_workload()
    rewriter.restore()
    after = run_workload()
    figures = {
        "functions": len(codes),
        "rewritten": len(rewritten),
        "sites": sum(len(sites_of(code)) for code, _ in points._OURS.values()),
        "points": next(count.points),
        "places": len(count.sites),
        "handed": len(handed),
        "fill_seconds": round(seconds, 2),
        "differs": [n for n, (a, b) in enumerate(zip(before, during, strict=True)) if a != b],
        "differs_after": [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b],
        "not_restored": [f.__qualname__ for f, code in codes if f.__code__ is not code],
        "left_over": sum(rewriter.is_rewritten(f.__code__) for f in points._functions(is_standard)),
        "positions_differ": positions_differ,
    }
    for n in figures["differs"]:
        sys.stderr.write(f"{WORK[n].__name__}\n  {before[n][:3000]}\n  {during[n][:3000]}\n")
    print(json.dumps(figures))


def has_same_lines(old: types.CodeType, new: types.CodeType) -> bool:
    """Say whether positions, repetitions left out, and flags are those of `old`."""

    def path(code: types.CodeType) -> list[object]:
        return [position for position, _ in itertools.groupby(code.co_positions())]

    return old.co_flags == new.co_flags and path(old) == path(new)


if __name__ == "__main__":
    main(sys.argv[1])  # type: ignore[arg-type]  # the caller is a test
