"""The installation of the checkout with locked packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.programs import ROOT

pytestmark = pytest.mark.processes

PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)
REQUIREMENT = re.compile(r"^[a-z0-9]", re.MULTILINE)


def lock(name: str) -> str:
    return (ROOT / "requirements" / name).read_text()


def test_both_locks_have_the_same_versions() -> None:
    production, development = (
        dict(PIN.findall(lock("base.txt"))),
        dict(PIN.findall(lock("dev.txt"))),
    )
    assert "flask" in production
    assert {name: development.get(name) for name in production} == production


@pytest.mark.parametrize("name", ["base.txt", "dev.txt"])
def test_every_package_of_a_lock_is_pinned_and_hashed(name: str) -> None:
    packages = REQUIREMENT.split(lock(name))[1:]
    assert len(packages) == len(PIN.findall(lock(name)))
    assert all("--hash=sha256:" in package for package in packages)


def pip(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    offline = os.environ | {"PIP_NO_INDEX": "1"}
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, env=offline, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What an installation needs of the checkout, in a folder with a blank in its name."""
    folder = tmp_path / "a checkout"
    for name in ("pyproject.toml", "requirements", "deploy/install.py", "deploy/checkout.py"):
        goal = folder / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, goal)
    return folder


def test_a_wheel_is_refused_in_one_sentence(checkout: Path, tmp_path: Path) -> None:
    built = pip("wheel", "--no-deps", "--wheel-dir", tmp_path / "wheels", checkout)
    assert built.returncode != 0
    assert "Automart is installed from its checkout" in built.stderr
    assert "Traceback" not in built.stderr
    assert not list(tmp_path.glob("wheels/*"))


def test_an_editable_installation_needs_no_network(checkout: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    done = pip("--python", python, "install", "--no-deps", "--editable", checkout)
    assert done.returncode == 0, done.stderr
    ask = "import importlib.metadata, sys; print(importlib.metadata.version('automart'), sys.path)"
    answer = subprocess.run([python, "-c", ask], cwd=tmp_path, capture_output=True, text=True)
    version, _, path = answer.stdout.partition(" ")
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert str(checkout) in path
    assert (python.parent / "automart").exists()


# Making a real one takes seconds. `.ci/run` makes one with each Python.
VENV = """
import os, shutil, sys
folder = sys.argv[-1]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(f"{folder}/bin")
os.symlink(sys.executable, f"{folder}/bin/python")
"""


@pytest.fixture
def steps(checkout: Path, tmp_path: Path) -> Path:
    """The calls of pip. Neither pip nor venv do anything but that in this checkout."""
    noted = tmp_path / "steps"
    (checkout / "venv.py").write_text(VENV)
    (checkout / "pip.py").write_text(
        f"import sys; open({str(noted)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"
    )
    return noted


def install(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, checkout / "deploy" / "install.py", *options]
    env = os.environ | {"PYTHONPATH": str(checkout)}
    return subprocess.run(command, env=env, capture_output=True, text=True)


def taken(steps: Path) -> list[str]:
    """The locks and folders that pip was asked to install, since this was last asked."""
    lines = steps.read_text().splitlines() if steps.exists() else []
    steps.unlink(missing_ok=True)
    asked = [re.split("--requirement |--editable ", line)[-1] for line in lines]
    return [Path(path).name for path in asked]


def test_only_what_is_missing_is_installed(checkout: Path, steps: Path) -> None:
    assert install(checkout).returncode == 0
    assert taken(steps) == ["base.txt", "a checkout"]
    assert install(checkout).stdout == ""
    assert taken(steps) == []
    assert install(checkout, "--dev").returncode == 0
    assert taken(steps) == ["dev.txt"]
    assert install(checkout).stdout == install(checkout, "--dev").stdout == ""
    assert taken(steps) == []


def test_an_outdated_environment_is_replaced_and_keeps_its_tools(
    checkout: Path, steps: Path, subtests: pytest.Subtests
) -> None:
    stamp = checkout / ".venv" / "installed.json"
    everything = ["base.txt", "a checkout", "dev.txt"]
    assert install(checkout, "--dev").returncode == 0
    assert taken(steps) == everything
    with subtests.test("another lock"):
        (checkout / "requirements" / "base.txt").write_text("")
        assert install(checkout).returncode == 0
        assert taken(steps) == everything
    with subtests.test("another Python"):
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"fingerprint": "another"}))
        assert install(checkout).returncode == 0
        assert taken(steps) == everything
    with subtests.test("an installation that was interrupted"):
        stamp.unlink()
        assert install(checkout).returncode == 0
        assert taken(steps) == everything[:2]


def test_a_failed_installation_is_repeated(checkout: Path, steps: Path) -> None:
    (checkout / "pip.py").write_text("raise SystemExit('no route to the index')")
    for _ in range(2):
        failed = install(checkout)
        assert failed.returncode == 1
        assert failed.stderr.splitlines()[0] == "no route to the index"
        assert failed.stderr.splitlines()[1].startswith("Automart is not installed. pip failed")
        assert "Traceback" not in failed.stderr


def test_a_python_that_is_too_old_is_refused_in_one_sentence(checkout: Path) -> None:
    program = checkout / "deploy" / "install.py"
    old = (
        "import runpy, sys; sys.version_info = (3, 10, 1); "
        f"runpy.run_path({str(program)!r}, run_name='__main__')"
    )
    refused = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Automart needs Python 3.11, 3.12 or 3.13")
