"""Generators of clients, and linters of the OpenAPI document, installed when they are first needed.

They are locked apart from the development tools, because they need older packages than the product
has, or Node.js. They live in the folder `clients` of the virtual environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCES = ROOT / "tests" / "clients"
FOLDER = Path(sys.prefix) / "clients"
OLDEST_NODE = 20
# What npm and pip print if a package index does not answer.
UNREACHABLE = (
    "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT",
    "NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError",
)  # fmt: skip


class Unavailable(Exception):
    """The tools cannot be installed on this machine. The message says why."""


def are_required() -> bool:
    """Return whether it is a failure if the tools cannot be installed."""
    return bool(os.environ.get("REQUIRE_CLIENTS"))


def java_tools() -> Path:
    """Return `python_tools`, of which one needs Java. Raise `Unavailable` if it is missing."""
    if shutil.which("java") is None:
        raise Unavailable("Java is not installed.")
    return python_tools()


def node_tools() -> Path:
    """Return the folder with the packages of Node.js. Raise `Unavailable` if they cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("Node.js is not installed.")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise Unavailable(f"Node.js is older than {OLDEST_NODE}.")

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, folder)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        _run(npm, "ci", *options, cwd=folder)

    return _installed("node", (SOURCES / "package.json", SOURCES / "package-lock.json"), install)


def python_tools() -> Path:
    """Return a virtual environment with the generators. Raise `Unavailable` if it cannot be had."""
    return installed_packages("python", ROOT / "requirements" / "clients.txt")


def installed_packages(name: str, lock: Path) -> Path:
    """Return a virtual environment with the packages of `lock`. Raise `Unavailable` without one."""

    def install(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder), cwd=folder)
        options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
        pip = (str(folder / "bin" / "python"), "-m", "pip", "install", *options)
        _run(*pip, "--requirement", str(lock), cwd=folder)

    return _installed(name, [lock], install)


def _installed(name: str, inputs: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """Return the folder with a set of tools, installed anew if one of its inputs has changed."""
    folder = FOLDER / name
    stamp = folder / "installed"
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            stamp.write_text(wanted)
    return folder


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        raise Unavailable("The package index is not reachable.")
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stdout}{done.stderr}")
