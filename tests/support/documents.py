"""Runs the commands of a document in one shell, and compares their output with the document.

A block of `console` is run: lines that begin with "$ " are commands, and what follows is their
output, in which "…" stands for any text. A block of `sh` is not run: it needs root, a network,
containers or a cluster.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.limits import LIMIT

BLOCK = r"^```{language}\n(.*?)^```$"
PROMPT = "$ "
HEREDOC = re.compile(r"<<-?'?([A-Z]+)'?")

# Texts that differ from run to run, and their placeholders in comparisons.
VARIABLE = (
    (r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "UUID"),
    (r"(?:\bmsg_|\b)[0-9a-f]{32}\b", "ID"),
    (r"whsec_[A-Za-z0-9+/=]+", "WHSEC"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|\+00:00)", "TIME"),
    (r'("client_secret": ?")[^"]+', r"\1SECRET"),
    (r'("next_cursor": ?")[^"]+', r"\1CURSOR"),
    (r'("(?:last_)?at": ?)\d+(?:\.\d+)?', r"\1TIME"),
    (r"(Password +)\S+", r"\1PASSWORD"),
    (r"\S+/redis\.sock", "FOLDER/redis.sock"),
    (r'": ', '":'),
    (r", ", ","),
)


@dataclass(frozen=True)
class Step:
    """A command of a document, with the output that the document shows."""

    command: str
    output: str
    place: str


def steps(path: Path, heading: str = "") -> list[Step]:
    """Return the commands of a document, or of its section of this heading, in their order."""
    found = []
    for block in _blocks(path, "console", heading):
        first = block.string.count("\n", 0, block.start(1)) + 1
        found += _steps_of(block[1].splitlines(), f"{path.name}:", first)
    return found


def code_block(path: Path, language: str, heading: str) -> str:
    """Return the only block in this language of a document's section."""
    (block,) = _blocks(path, language, heading)
    return block[1]


def _blocks(path: Path, language: str, heading: str) -> list[re.Match[str]]:
    text = path.read_text(encoding="utf-8")
    start = text.index(f"\n## {heading}\n") if heading else 0
    end = text.find("\n## ", start + 1) if heading else -1
    pattern = re.compile(BLOCK.format(language=language), re.DOTALL | re.MULTILINE)
    return list(pattern.finditer(text, start, end if end >= 0 else len(text)))


def _steps_of(lines: list[str], name: str, first: int) -> Iterator[Step]:
    number = 0
    while number < len(lines):
        place = f"{name}{first + number}"
        assert lines[number].startswith(PROMPT), f"{place}: output without a command"
        command = [lines[number].removeprefix(PROMPT)]
        number += 1
        while not _is_whole("\n".join(command)):
            command.append(lines[number])
            number += 1
        output = []
        while number < len(lines) and not lines[number].startswith(PROMPT):
            output.append(lines[number])
            number += 1
        yield Step("\n".join(command), "\n".join(output), place)


def _is_whole(command: str) -> bool:
    heredoc = HEREDOC.search(command)
    if heredoc:
        return command.splitlines()[-1] == heredoc[1]
    return not command.endswith("\\")


def is_shown(shown: str, printed: str) -> bool:
    """Return whether the output is as shown, except for ids, times and blank lines."""
    parts = [re.escape(part) for part in _comparable(shown).split("…")]
    return re.fullmatch(r"[\s\S]*?".join(parts), _comparable(printed)) is not None


def _comparable(text: str) -> str:
    for pattern, replacement in VARIABLE:
        text = re.sub(pattern, replacement, text)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


class Shell:
    """A bash that runs commands one after the other and keeps variables and functions."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._script = folder / "command.sh"
        self._mark = f"ended-{secrets.token_hex(8)}"

    def run(self, command: str) -> tuple[int, str]:
        """Run a command. Return its exit status, and all that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._script.write_text(f"{command}\n", encoding="utf-8")
        self._process.stdin.write(
            f". {shlex.quote(str(self._script))} </dev/null; printf '\\n{self._mark} %s\\n' $?\n"
        )
        self._process.stdin.flush()
        printed = []
        limit = threading.Timer(LIMIT, self.end)
        limit.start()
        try:
            for line in self._process.stdout:
                if line.startswith(self._mark):
                    return int(line.split()[1]), "".join(printed)
                printed.append(line)
        finally:
            limit.cancel()
        raise AssertionError(f"The shell ended during: {command}\n{''.join(printed)}")

    def end(self) -> None:
        """End the shell and all its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)


@contextmanager
def shell(folder: Path, scratch: Path, env: Mapping[str, str]) -> Iterator[Shell]:
    """Yield a bash in `folder`. All its processes are ended at the end."""
    process = subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    bash = Shell(process, scratch)
    try:
        yield bash
    finally:
        bash.end()
        process.communicate()


def run(found: list[Step], bash: Shell, stand_ins: Mapping[str, str]) -> None:
    """Run commands. Fail at the first whose output differs from the document.

    `stand_ins` maps texts that a test must replace, such as a port, to their replacements.
    """
    for step in found:
        command = replaced(step.command, stand_ins)
        status, printed = bash.run(command)
        printed = replaced(printed, {new: old for old, new in stand_ins.items()})
        assert status == 0, f"{step.place}: exit status {status} of {command}\n{printed}"
        assert is_shown(step.output, printed), (
            f"{step.place}: {command}\n--- shown\n{step.output}\n--- printed\n{printed}"
        )


def replaced(text: str, stand_ins: Mapping[str, str]) -> str:
    for old, new in stand_ins.items():
        text = text.replace(old, new)
    return text
