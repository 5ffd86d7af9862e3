"""The backup of SQLite in `docs/backup.md`: two backups, a restore, and a damaged backup."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.programs import ROOT, clean_environment

STEPS = documents.steps(ROOT / "docs" / "backup.md", "SQLite")
RESTORING = next(i for i, step in enumerate(STEPS) if step.command.startswith("check()"))
NOW = "$(date -u +%Y-%m-%dT%H-%M-%S)"


@pytest.fixture
def instance(tmp_path: Path, sqlite_template: Path) -> Path:
    """The data of an Automart without photos yet."""
    instance = tmp_path / "instance"
    instance.mkdir()
    shutil.copy(sqlite_template, instance / "automart.sqlite")
    (instance / "secret_key").write_text("a secret")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return instance


@pytest.fixture
def bash(instance: Path, tmp_path: Path) -> Iterator[documents.Shell]:
    with documents.shell(tmp_path, tmp_path, clean_environment()) as bash:
        yield bash


def add_dealer(instance: Path, name: str) -> None:
    with closing(sqlite3.connect(instance / "automart.sqlite")) as db, db:
        db.execute("INSERT INTO dealer (name, location) VALUES (?, 'Munich')", [name])


def dealers(instance: Path) -> list[str]:
    with closing(sqlite3.connect(instance / "automart.sqlite")) as db:
        return [name for (name,) in db.execute("SELECT name FROM dealer ORDER BY id")]


def test_the_second_backup_can_be_restored(instance: Path, bash: documents.Shell) -> None:
    add_dealer(instance, "of the first night")
    documents.run(STEPS[:RESTORING], bash, {NOW: "first"})
    add_dealer(instance, "of the second night")
    (instance / "photos" / "a.webp").write_bytes(b"a photo")
    documents.run(STEPS[:RESTORING], bash, {NOW: "second"})
    add_dealer(instance, "of the day after")
    shutil.rmtree(instance / "photos")
    (instance / "secret_key").unlink()

    documents.run(STEPS[RESTORING:], bash, {})

    assert dealers(instance) == ["of the first night", "of the second night"]
    assert (instance / "photos" / "a.webp").read_bytes() == b"a photo"
    assert (instance / "secret_key").read_text() == "a secret"


def test_a_backup_can_be_restored_into_an_empty_instance(
    instance: Path, bash: documents.Shell
) -> None:
    add_dealer(instance, "kept")
    documents.run(STEPS[:RESTORING], bash, {NOW: "first"})
    shutil.rmtree(instance)
    documents.run(STEPS[RESTORING:], bash, {})
    assert dealers(instance) == ["kept"]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_backup_removes_nothing(
    instance: Path, bash: documents.Shell, tmp_path: Path, damage: str
) -> None:
    add_dealer(instance, "kept")
    documents.run(STEPS[:RESTORING], bash, {NOW: "first"})
    backup = tmp_path / "backups" / "first" / "automart.sqlite"
    if damage == "missing":
        backup.unlink()
    else:
        content = backup.read_bytes()
        backup.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")

    *definitions, restore = STEPS[RESTORING:]
    documents.run(definitions, bash, {})
    status, _ = bash.run(restore.command)

    assert status != 0
    assert dealers(instance) == ["kept"]
