"""Requests at random, from the document: examples, coverage of its limits, fuzzing, and stories.

`make fuzz` runs this. EXAMPLES is the number of requests for each operation in each phase.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest
import schemathesis
import werkzeug
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema

from automart.background import prefer_wait
from automart.core import schema_version
from automart.operations import health
from tests.fuzz.callers import ROLES, TOKEN, Caller, make_world
from tests.fuzz.findings import Findings

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("default")]

EXAMPLES = int(os.environ.get("EXAMPLES", "15"))
PHASES = os.environ.get("PHASES", "examples,coverage,fuzzing,stateful").split(",")


class InProcessClient(werkzeug.Client):
    """Werkzeug's client without the settings of a network.

    Schemathesis removes them from requests, but not from those that its checks send.
    """

    def open(self, *args: Any, **kwargs: Any) -> Any:
        of_network = ("max_redirects", "verify", "cert", "proxies")
        return super().open(*args, **{k: v for k, v in kwargs.items() if k not in of_network})


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for no jobs, which nobody runs, send requests in this process, and log nothing."""
    monkeypatch.setattr(prefer_wait, "LONGEST_WAIT", 0)
    for module, name in ((health, "TIMEOUT_SECONDS"), (schema_version, "CHECK_TIMEOUT_SECONDS")):
        monkeypatch.setattr(module, name, 60)  # a slow machine is no finding
    monkeypatch.setattr(schemathesis.python.wsgi, "get_client", InProcessClient)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def api_for(app: Flask, role: str) -> BaseSchema:
    """Return the document's operations, as a caller of this role sends them."""
    makers = make_world()
    phases = ("examples", "coverage", "fuzzing", "stateful")
    config = SchemathesisConfig.from_dict(
        {
            "phases": {name: {"enabled": name in PHASES} for name in phases},
            "generation": {
                "max-examples": EXAMPLES,
                "database": "none",
                "with-security-parameters": False,
            },
            # `Findings` looks at the reasons.
            "checks": {"positive_data_acceptance": {"enabled": False}},
        }
    )
    sender = app if role == "nobody" else Caller(app, makers[role], is_admin=role == "admin")
    api = Context().run(schemathesis.openapi.from_wsgi, "/openapi.json", sender, config=config)
    if role != "nobody":
        api.config.headers = {"Authorization": f"Bearer {TOKEN}"}
    return api


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("role", ROLES)
def test_every_response_is_documented_whatever_is_sent(app: Flask, role: str) -> None:
    findings = Findings(role)
    for event in from_schema(api_for(app, role)).execute():
        if isinstance(event, events.ScenarioFinished):
            findings.add(event.phase.value, event.recorder)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            findings.problems[f"schemathesis: {event}"] = ""
    print(f"{role}: {dict(findings.counts)}")
    assert findings.problems == {}
