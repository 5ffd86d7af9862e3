"""`docs/deploy.md` counts the processes that there are."""

from __future__ import annotations

from pathlib import Path

from automart.background.kinds import Queue
from jobs.supervisor import PROCESSES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
# Those that serve no queue: the supervisor and housekeeping.
OTHERS = 2


def test_a_worker_has_as_many_processes_as_it_is_said_to_have() -> None:
    count = OTHERS + sum(PROCESSES.get(queue, 1) for queue in Queue)
    assert f"{PROCESSES[Queue.WEBHOOKS]} webhooks at a time" in DOCUMENT
    assert f"{count} processes" in DOCUMENT
