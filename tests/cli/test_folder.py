"""The folder `instance`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from automart.cli.folder import locked


@pytest.fixture
def _default_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_default_umask")
def test_files_that_other_users_could_read_become_private(tmp_path: Path) -> None:
    instance = tmp_path / "instance"
    (instance / "photos").mkdir(parents=True)
    for name in ("automart.sqlite", "photos/1"):
        (instance / name).write_text("personal")
    with locked(instance):
        (instance / "automart.sqlite-wal").write_text("personal")
        found = [instance, *instance.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o600}
