"""The deployment files name the programs and all settings."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile

from automart.core.config import Settings
from tests.support.programs import ROOT

pytestmark = pytest.mark.processes

SETTINGS = set(Settings.names())


def test_every_setting_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    assert [name for name in sorted(SETTINGS) if f"`{name}`" not in table] == []


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def test_every_setting_can_be_set_with_compose() -> None:
    for name in ("migration", "web", "worker"):
        given = {setting.removesuffix("_FILE") for setting in services()[name]["environment"]}
        assert given >= SETTINGS - {"PORT"}  # the image has it


def test_the_procfile_names_the_programs_that_containers_run() -> None:
    programs = Path(sys.executable).parent
    check = [programs / "honcho", "check"]
    checked = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    named = parse_procfile((ROOT / "Procfile").read_text()).processes
    commands = {name: shlex.split(command) for name, command in named.items()}
    in_containers = {"release": "migration", "web": "web", "worker": "worker"}
    assert commands == {
        name: services()[service]["command"] for name, service in in_containers.items()
    }
    assert all(shutil.which(program, path=str(programs)) for program, *_ in commands.values())


def test_redis_has_a_password_and_the_web_is_published_on_loopback() -> None:
    redis = services()["redis"]
    assert "requirepass" in redis["command"][-1]
    assert redis["secrets"] == ["redis_password"]
    for name in ("migration", "web", "worker"):
        assert "redis_url" in services()[name]["secrets"]
        assert services()[name]["environment"]["REDIS_URL_FILE"] == "/run/secrets/redis_url"
    assert services()["web"]["ports"] == ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"]


def test_automart_is_not_the_root_of_minio() -> None:
    minio, bucket = services()["minio"], services()["bucket"]
    assert minio["secrets"] == ["minio_root_password"]
    for name in ("migration", "web", "worker"):
        assert "minio_root_password" not in services()[name]["secrets"]
    (script,) = bucket["command"]
    policy = json.loads(script.partition("printf '%s' '")[2].partition("'")[0])
    assert {resource for each in policy["Statement"] for resource in each["Resource"]} == {
        *("arn:aws:s3:::automart", "arn:aws:s3:::automart/*")
    }
    assert "mc admin policy attach root automart-photos --user" in script


def test_every_secret_of_compose_is_generated(tmp_path: Path) -> None:
    script = shutil.copy(ROOT / "deploy" / "make-secrets.sh", tmp_path)
    subprocess.run(["sh", script], check=True, capture_output=True)
    named = yaml.safe_load((ROOT / "compose.yaml").read_text())["secrets"]
    generated = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert generated == set(named)
    password = (tmp_path / "secrets" / "redis_password").read_text()
    url = (tmp_path / "secrets" / "redis_url").read_text()
    assert len(password) >= 32
    assert url == f"redis://:{password}@redis:6379/0"
