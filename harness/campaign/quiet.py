"""Lets go what code under test prints and logs while it is run hundreds of times.

Nobody can tell the lines of one run from those of the next, and all of them together bury what was
found. Of a replay the lines of its one run are kept, and not those of the runs that prepare it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Any, TextIO


@contextmanager
def quiet() -> Iterator[Callable[[], AbstractContextManager[object]]]:
    """Inside the block, write what is printed nowhere; a debugger that is called is heard.

    What was made before and holds a stream goes on writing there. One thread.

    Yields:
        What has all be heard inside a block of its own.
    """
    out, err = sys.stdout, sys.stderr
    with _printing_to(_nowhere()):
        yield lambda: _printing_to(out, err)


@functools.cache
def _nowhere() -> TextIO:
    # Never closed: a module that is imported in a run may keep it, and print in runs to come. As
    # lenient as the streams of the command line.
    return Path(os.devnull).open("w", encoding="utf-8", errors="backslashreplace")


@contextmanager
def last_run_only() -> Iterator[Callable[[], None]]:
    """Write what is printed inside the block to stderr at its end, as far as it was not forgotten.

    Yields:
        What forgets all that was printed so far.
    """
    with TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as kept:

        def forget() -> None:
            kept.seek(0)
            kept.truncate()

        try:
            with _printing_to(kept):
                yield forget
        finally:
            kept.seek(0)
            copyfileobj(kept, sys.stderr)


@contextmanager
def _printing_to(out: TextIO, err: TextIO | None = None) -> Iterator[None]:
    heard, heard_of_errors, at_breakpoint = sys.stdout, sys.stderr, sys.breakpointhook

    def debug(*args: Any, **kwargs: Any) -> Any:
        sys.stdout, sys.stderr = heard, heard_of_errors
        return at_breakpoint(*args, **kwargs)

    sys.breakpointhook = debug
    try:
        with redirect_stdout(out), redirect_stderr(err or out):
            yield
    finally:
        sys.breakpointhook = at_breakpoint
