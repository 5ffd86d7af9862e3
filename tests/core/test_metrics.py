"""The files in which the processes of a server count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automart.core.metrics import open_folder, remove_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def test_a_server_has_one_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "of-another-program"))
    open_folder()
    folder = Path(os.environ[VARIABLE])
    assert folder.is_dir()
    assert folder.name.startswith(f"automart-metrics-{os.getpid()}-")
    open_folder()
    assert Path(os.environ[VARIABLE]) == folder
    (folder / "counter_1.db").touch()
    remove_folder()
    assert not folder.exists()
    remove_folder()
