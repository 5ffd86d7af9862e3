"""`pytest -p tests.support.forked_tests`: tests that ran once can run again in a fork.

mutmut runs the tests once, and then in a fork for each mutant. The forks do not have the threads of
obstore and Apprise, and would wait for them until their time is over: each mutant would seem to be
noticed. Also, each test must compute anew what tests otherwise share, such as the OpenAPI document:
the forks would have what the code without the mutant has computed.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apprise.apprise
import pytest

from automart.core import storage
from automart.web import pagination, serialization
from tests.support import setup

# They store in S3, which needs these threads.
LEFT_OUT = ("test_secrets_in_logs.py", "test_storage.py")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return collection_path.name in LEFT_OUT or None


def pytest_configure() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(storage, "LocalStore", _folder)
    patch.setattr(storage, "obstore", SimpleNamespace(put=_put, get=_get, delete=_delete))
    os.register_at_fork(after_in_child=_forget_threads_of_apprise)


def pytest_runtest_setup() -> None:
    setup.forget_document()
    serialization.compiled.cache_clear()
    pagination.page_of_all.cache_clear()


def _forget_threads_of_apprise() -> None:
    apprise.apprise._shared_executor = None


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
