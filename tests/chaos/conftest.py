"""Fixtures of chaos: a deployment that can be damaged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from automart.core.config import Settings
from tests.chaos.deployment import settings_of_chaos
from tests.support.notified import NotifiedService, notified_service


@pytest.fixture
def notified() -> Iterator[NotifiedService]:
    with notified_service() as service:
        yield service


@pytest.fixture
def settings(settings: Settings, notified: NotifiedService) -> Settings:
    return settings_of_chaos(settings, notified)
