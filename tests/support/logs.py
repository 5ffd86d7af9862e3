"""What the application logs."""

from __future__ import annotations

from typing import Any

import pytest


def logged(caplog: pytest.LogCaptureFixture, *names: str) -> list[dict[str, Any]]:
    """Return the events with these names, without what every line has."""
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    common = {"level", "logger", "timestamp", "request_id"}
    return [
        {key: value for key, value in event.items() if key not in common}
        for event in events
        if event["event"] in names
    ]
