"""Runs every step of the Dockerfile without a container engine, and serves from the result.

    python deploy/try_image.py [--python /path/to/python3.13]

Linux, as root, with iproute2. Each stage gets its own root: the files of this machine, under an
overlay that takes all writes and is discarded. Steps run in a clean environment, with the files of
this folder that `.dockerignore` allows. The last stage then runs as its user, without network and
on a read-only root.

This cannot prove that the base image has what this machine's Python has, that the image contains
nothing superfluous (the compilers of this machine are visible), or how an engine sets up volumes.
"""

from __future__ import annotations

import argparse
import ctypes
import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent.parent
HEALTHY_SECONDS = 120.0
# Variables that `docker build` passes on too, or takes from the settings of the machine.
PASSED_ON = re.compile(r"PIP_.*|.*_proxy", re.IGNORECASE)


class Failed(Exception):
    """A step failed. The message says which."""


def steps(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions with their arguments."""
    text = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield instruction.upper(), rest.strip()


class Stage:
    """A stage of the Dockerfile: its root, and the settings of its instructions."""

    def __init__(self, layers: Path, name: str, python: Path) -> None:
        self.root = layers / name
        self.env = {"PATH": f"{python.parent}:/usr/bin:/bin"}
        self.folder = "/"
        self.user = "0:0"
        self.command: list[str] = []
        self.health: list[str] = []
        upper, work = layers / f"{name}-upper", layers / f"{name}-work"
        for path in (self.root, upper, work):
            path.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        _run("mount", "-t", "tmpfs", "tmpfs", str(self.root / "tmp"))
        _run("mount", "--bind", "/dev", str(self.root / "dev"))
        _run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(self.root / "dev" / "shm"))
        _run("mount", "-t", "proc", "proc", str(self.root / "proc"))
        for path in python.parents:  # for users who are not root, in this stage alone
            (self.root / path.relative_to("/")).chmod(0o755)

    def inside(self, path: str) -> Path:
        return self.root / Path(self.folder, path).relative_to("/")

    def arguments(self, command: list[str], *, env: dict[str, str] | None = None) -> list[str]:
        """Return the command line that runs `command` in this stage."""
        pairs = [f"{name}={value}" for name, value in (self.env | (env or {})).items()]
        enter = 'cd "$0" && exec "$@"'
        chroot = ["chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        return [*chroot, "env", "-i", *pairs, "sh", "-c", enter, self.folder, *command]

    def run(self, rest: str) -> None:
        passed_on = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
        _run(*self.arguments(["sh", "-c", rest], env=passed_on))

    def copy(self, rest: str, stages: dict[str, Stage], context: Path) -> None:
        words = shlex.split(rest)
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        if options.keys() - {"from"}:
            raise Failed(f"COPY {rest}: only --from is known here")
        *sources, target = [word for word in words if not word.startswith("--")]
        origin = stages[options["from"]].root if "from" in options else context
        for source in sources:
            found = origin / source.lstrip("/")
            if not found.exists():
                raise Failed(f"COPY {source}: .dockerignore leaves it out, or it is not there")
            goal = self.inside(target)
            if found.is_dir():
                _run("cp", "-a", "--no-preserve=ownership", f"{found}/.", str(_made(goal)))
            else:
                folder = _made(goal) if target.endswith("/") else _made(goal.parent)
                shutil.copy(found, folder / (found.name if target.endswith("/") else goal.name))


def build(dockerfile: str, layers: Path, python: Path, context: Path) -> Stage:
    """Take every step. Answers the last stage."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction, rest in steps(dockerfile):
        print(f"{instruction} {rest}"[:110], flush=True)
        if instruction == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            stage = stages[name] = Stage(layers, name, python)
            continue
        assert stage is not None, "the first instruction is FROM"
        if instruction == "RUN":
            stage.run(rest)
        elif instruction == "COPY":
            stage.copy(rest, stages, context)
        else:
            _note(stage, instruction, rest)
    assert stage is not None
    return stage


def _note(stage: Stage, instruction: str, rest: str) -> None:
    """Apply an instruction that changes no files."""
    if instruction == "ENV":
        pairs = dict(word.split("=", 1) for word in shlex.split(rest))
        path = stage.env["PATH"]
        stage.env |= {name: value.replace("$PATH", path) for name, value in pairs.items()}
    elif instruction == "WORKDIR":
        stage.folder = rest
        _made(stage.inside("."))
    elif instruction == "USER":
        stage.user = rest
    elif instruction == "CMD":
        stage.command = json.loads(rest)
    elif instruction == "HEALTHCHECK":
        stage.health = json.loads(rest.partition("CMD ")[2])
    elif instruction not in ("ARG", "LABEL", "EXPOSE", "VOLUME", "STOPSIGNAL"):
        raise Failed(f"{instruction} is not known here")


def try_out(stage: Stage) -> None:
    """Run the image as it is, and then each of its processes."""
    volume = stage.inside("instance")
    image = volume.stat()  # a new volume takes over its owner
    owner = f"uid={image.st_uid},gid={image.st_gid},mode={image.st_mode & 0o7777:o}"
    _run("mount", "-t", "tmpfs", "-o", owner, "tmpfs", str(volume))
    _run("mount", "-o", "remount,ro", str(stage.root))
    _run("ip", "link", "set", "lo", "up")
    for refused in (["touch", "/app/file"], ["python", "-m", "pip", "--version"]):
        if subprocess.run(stage.arguments(refused), capture_output=True).returncode == 0:
            raise Failed(f"{' '.join(refused)} works in the image")
    print("\nThe image as it is:", *stage.command)
    with_server(stage, stage.command)
    print("Each process:")
    _run(*stage.arguments(["flask", "--app", "wsgi", "db", "upgrade"]))
    with_server(stage, ["gunicorn", "wsgi:app"])
    worker = subprocess.Popen(stage.arguments(["python", "worker.py"]))
    time.sleep(10)
    if worker.poll() is not None:
        raise Failed("python worker.py ended by itself")
    _end(worker)


def with_server(stage: Stage, command: list[str]) -> None:
    """Run `command` until the health check passes and some pages have been served."""
    server = subprocess.Popen(stage.arguments(command))
    try:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while subprocess.run(stage.arguments(stage.health), capture_output=True).returncode:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{' '.join(command)} does not become healthy")
            time.sleep(1)
        for path in ("/health/ready", "/openapi.json", "/docs"):
            connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
            connection.request("GET", path)
            status = connection.getresponse().status
            print(f"    {' '.join(command)}: {path} returned {status}")
            if status != http.HTTPStatus.OK:
                raise Failed(f"{path} returned {status}")
    finally:
        _end(server)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    began = time.monotonic()
    process.wait(timeout=60)
    print(f"    ended {time.monotonic() - began:.0f} s after the signal, {process.returncode}")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _context(layers: Path) -> Path:
    """Return a copy of the files that `.dockerignore` allows. It lists all of them."""
    context = _made(layers / "context")
    for line in (HERE / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            found, goal = HERE / line[1:], context / line[1:]
            if found.is_dir():
                shutil.copytree(found, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(found, _made(goal.parent))
    return context


def _run(*command: str) -> None:
    done = subprocess.run(command)
    if done.returncode:
        raise Failed(f"{' '.join(command[-3:])[:300]} ended with {done.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, default=Path(sys.executable).resolve())
    options = parser.parse_args()
    if os.geteuid() != 0 or sys.platform != "linux":
        sys.exit("This needs Linux and root, because it mounts file systems.")
    if "INSIDE" not in os.environ:
        # The namespaces end with this process, and the mounts and the port with them.
        with tempfile.TemporaryDirectory(prefix="automart-image-") as layers:
            inside = ["unshare", "--mount", sys.executable, *sys.argv]
            sys.exit(subprocess.run(inside, env=os.environ | {"INSIDE": layers}).returncode)
    layers = Path(os.environ["INSIDE"])
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(layers))
    try:
        stage = build((HERE / "Dockerfile").read_text(), layers, options.python, _context(layers))
        # Only the build needs the network.
        _leave_network()
        try_out(stage)
    except Failed as error:
        sys.exit(f"Failed: {error}")
    print("All steps of the Dockerfile work, and the result serves.")


def _leave_network() -> None:
    new_network = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(new_network):
        raise Failed("cannot leave the network")


if __name__ == "__main__":
    main()
