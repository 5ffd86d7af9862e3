"""The pauses before a process is started again."""

from __future__ import annotations

from automart.core.parent_death import Restarts


def test_pauses_before_restarts_become_longer_until_a_process_has_run_for_a_while() -> None:
    restarts = Restarts()
    assert [restarts.pause_after(30) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert restarts.early_ends == 6
    assert [restarts.pause_after(lived) for lived in (30.1, 0, 0)] == [0.5, 1, 2]
