"""Does what a page of the documentation says, step by step, and writes the page as it came out.

    Save this as `NAME`: + a fenced block    ──► the file, in the folder of the reader
    a block ```console   $ COMMAND, output   ──► the command, in a shell there, and what it printed

A page that tells the truth comes out as it went in. What differs from run to run is left out on
both sides: tokens, real seconds, folders. A token that a page uses, `t1:…`, is the last one that
was printed before. It does not know which page it is.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(
    r"(?:(?P<saved>`(?P<name>[^`\n]+)`):\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_SAVED = re.compile(r"Save (?:this|that|it)[^.]*$")
_TOKEN = re.compile(r"t1:[\w-]+")
_SECONDS = re.compile(r"(?<=\bin )\d+\.\d+(?= ?s\b)|(?<=, )\d+\.\d+(?= s\))")
HIDDEN = "t1:…"


class UntriedError(Exception):
    """A page has a block that nobody would try out."""


@dataclass
class Reader:
    """Somebody who does all that a page says, in a folder of their own.

    Args:
        folder: where.
        variables: the environment of their shell.
    """

    folder: Path
    variables: Mapping[str, str]
    token: str = HIDDEN
    commands: list[str] = field(default_factory=list)
    status: int = 0

    def follow(self, page: str) -> str:
        """Do what a page says, from top to bottom; return it with what was printed now."""
        return _BLOCK.sub(self._step, page)

    def _step(self, block: re.Match[str]) -> str:
        if block["language"] == "console":
            return block[0].replace(block["text"], self._session(block["text"]))
        before = block.string[: block.start()].rpartition("\n\n")[2]
        if block["name"] is None or not _SAVED.search(before):
            raise UntriedError(f"neither saved nor run: {block['text'].splitlines()[0]}")
        path = self.folder / block["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"].replace(HIDDEN, self.token), "utf-8")
        return block[0]

    def _session(self, text: str) -> str:
        """Run each command of a block; return the block as it looks now."""
        lines = []
        for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
            lines += [f"$ {command}\n", self._masked(self.run(command))]
        return "".join(lines)

    def run(self, command: str) -> str:
        """Run a line of shell; return all that it printed."""
        # As in one shell, `$?` is of the command before.
        line = f"(exit {self.status})\n{command.replace(HIDDEN, self.token)}"
        outcome = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=dict(self.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        self.commands.append(command)
        self.status = outcome.returncode
        self.token = (_TOKEN.findall(outcome.stdout) or [self.token])[-1]
        return outcome.stdout

    def _masked(self, printed: str) -> str:
        text = _SECONDS.sub("…", _TOKEN.sub(HIDDEN, printed))
        lines = text.replace(f"{self.folder}/", "").splitlines()
        return "".join(f"{line.rstrip()}\n" for line in lines)
