"""Installs Automart into `.venv` of this checkout: `python3 deploy/install.py [--dev]`.

Installs the packages of `requirements/base.txt`; `--dev` adds those of `requirements/dev.txt`. The
locked versions are installed without resolving, so that later releases of a package have no effect.
The pip that comes with Python does this: it reads the machine's settings for the package index,
certificates and proxies. If everything is installed already, it does nothing and needs no network.

A `.venv` of another Python, another folder or other locks, or one whose installation was
interrupted, is replaced.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed.json"
INPUTS = (
    "requirements/base.txt",
    "requirements/dev.txt",
    "deploy/install.py",
    "deploy/checkout.py",
)
OLDEST, NEWEST = (3, 11), (3, 13)
LEAST_FREE_MB = 100


class CannotInstall(Exception):
    """The installation failed. The message says what to do."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", action="store_true", help="also install the development tools")
    dev = parser.parse_args().dev
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit("Automart needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.13")
    # Concurrent installations wait for each other. A folder can be locked without writing to it.
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        install(dev=dev)
    except CannotInstall as reason:
        sys.exit(f"Automart is not installed. {reason}")
    except OSError as error:
        sys.exit(f"Automart is not installed. {ROOT}: {error.strerror}.{_advice(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        os.close(folder)


def install(*, dev: bool) -> None:
    """Update `.venv`. Development tools that are installed stay installed."""
    # In an activated environment this is a link, and the environment may be about to be replaced.
    python = os.path.realpath(sys.executable)
    wanted = fingerprint(python)
    present, has_dev = read_stamp()
    is_current = present == wanted
    if is_current and (has_dev or not dev):
        return
    dev = dev or has_dev
    duration = "one to two minutes" if dev else "about half a minute"
    print(f"Installing into .venv ({duration}).", flush=True)
    STAMP.unlink(missing_ok=True)  # first, so that an interrupted installation leaves no stamp
    if not is_current:
        run(python, "-m", "venv", "--clear", str(VENV))
        install_lock("base.txt")
        # The build backend is in the checkout and needs no package, so there is nothing to isolate.
        pip("--no-build-isolation", "--editable", str(ROOT))
    if dev:
        # Tests use few of its modules, and Python compiles these when they are imported.
        install_lock("dev.txt", "--no-compile")
    STAMP.write_text(json.dumps({"fingerprint": wanted, "dev": dev}), encoding="utf-8")


def fingerprint(python: str) -> str:
    """Return a hash of everything that an environment depends on."""
    import tomllib  # missing in Pythons that are too old  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    contents = [(ROOT / name).read_text(encoding="utf-8") for name in INPUTS]
    known = [python, sys.version, str(ROOT), project, contents]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def read_stamp() -> tuple[str, bool]:
    """Return the fingerprint of the current environment, and whether it has the tools."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return str(stamp["fingerprint"]), bool(stamp["dev"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return "", False


def install_lock(name: str, *options: str) -> None:
    # Wheels only: nothing is compiled, and no setup script of a package runs.
    wheels = ("--only-binary", ":all:")
    pip("--require-hashes", *wheels, *options, "--requirement", str(ROOT / "requirements" / name))


def pip(*arguments: str) -> None:
    quietly = ("--quiet", "--disable-pip-version-check", "--no-deps")
    run(str(VENV / "bin" / "python"), "-m", "pip", "install", *quietly, *arguments)


def run(*command: str) -> None:
    """Run a command. Raise `CannotInstall` if it fails."""
    if not os.access(ROOT, os.W_OK):
        raise CannotInstall(f"{ROOT} is not writable. Use a copy in a folder of your own.")
    if subprocess.run(command, cwd=ROOT).returncode == 0:
        return
    for folder in (ROOT, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free // 2**20
        if free < LEAST_FREE_MB:
            raise CannotInstall(
                f"The disk of {folder} has only {free} MB left. Free some space and try again."
            )
    if command[1:3] == ("-m", "venv"):
        raise CannotInstall(
            "Python cannot create a virtual environment (see above). On Debian and Ubuntu, install "
            "the package python3-venv."
        )
    raise CannotInstall(
        "pip failed (see above). Check that it can reach a package index; "
        "PIP_INDEX_URL or `pip config` sets another one."
    )


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return " Free some space and try again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return " Use a copy in a folder of your own."
    return ""


if __name__ == "__main__":
    main()
