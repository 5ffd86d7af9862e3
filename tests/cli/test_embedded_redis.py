"""The Redis of `automart up`, beyond what `test_up` shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from automart.cli.embedded_redis import _end_orphan


def test_a_start_does_not_repeat_its_search_for_an_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", pauses.append)
    _end_orphan(tmp_path / "redis.sock")
    assert pauses == []
