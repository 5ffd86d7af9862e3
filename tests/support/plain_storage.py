"""`pytest -p tests.support.plain_storage`: files are stored in folders without obstore.

mutmut runs the tests once, and then in a fork for each mutant. The forks do not have the threads of
obstore, and would wait for them until their time is over: each mutant would seem to be noticed.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automart.core import storage


def pytest_configure() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(storage, "LocalStore", _folder)
    patch.setattr(storage, "obstore", SimpleNamespace(put=_put, get=_get, delete=_delete))


def _folder(path: Path, *, mkdir: bool) -> Path:
    path.mkdir(parents=mkdir, exist_ok=True)
    return path


def _put(folder: Path, key: str, content: bytes, **_: Any) -> None:
    (folder / key).parent.mkdir(exist_ok=True)
    (folder / key).write_bytes(content)


def _get(folder: Path, key: str) -> Any:
    content = (folder / key).read_bytes()
    return SimpleNamespace(bytes=lambda: content)


def _delete(folder: Path, key: str) -> None:
    (folder / key).unlink()
