"""The queries of the dashboard and of the alerts match what `/metrics` exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from tests.operations.test_metrics import scrape
from tests.support.sync import add_models

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
OURS = re.compile(r"(automart_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
# Labels that Prometheus adds to each series.
OF_PROMETHEUS = {"instance", "job"}
DURATION = re.compile(r"\d+[smhd]")


def queries_of_dashboard() -> Iterator[tuple[str, str]]:
    board = json.loads((DEPLOY / "grafana/automart.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def all_queries() -> list[tuple[str, str]]:
    return [*queries_of_dashboard(), *((rule["alert"], rule["expr"]) for rule in alerts())]


@pytest.fixture
def exposed(as_admin: FlaskClient, run_jobs: Callable[[], None]) -> dict[str, dict[str, set[str]]]:
    """Return the labels of each metric with their values, after some activity."""
    add_models({474: {}})
    as_admin.get("/v1/makes")
    assert as_admin.post("/v1/vehicle-syncs").status_code == 202
    run_jobs()
    found: dict[str, dict[str, set[str]]] = {}
    for name, labels in scrape(as_admin):
        of_metric = found.setdefault(name, {})
        for label, value in labels:
            of_metric.setdefault(label, set()).add(value)
    return found


def test_every_query_uses_existing_metrics_and_labels(
    exposed: dict[str, dict[str, set[str]]],
) -> None:
    wrong = []
    for where, query in all_queries():
        metrics = OURS.findall(query)
        if not metrics and "up{" not in query:
            wrong.append((where, "asks for nothing of ours"))
        grouped = {label.strip() for by in GROUPED.findall(query) for label in by.split(",")}
        for name, selectors in metrics:
            known = exposed.get(name)
            if known is None:
                wrong.append((where, f"there is no {name}"))
                continue
            for label, sign, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', selectors):
                if label not in known:
                    wrong.append((where, f"{name} has no label {label}"))
                elif sign == "=" and value not in known[label]:
                    wrong.append((where, f"{name} has no {label} {value}"))
            wrong += [
                (where, f"{name} has no label {label}")
                for label in grouped - known.keys() - OF_PROMETHEUS
            ]
    assert wrong == []


def test_every_query_is_balanced_and_rates_are_of_counters() -> None:
    for where, query in all_queries():
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), where
        for inner in re.findall(r"rate\((automart_\w+)", query):
            assert inner.endswith(("_total", "_bucket", "_count", "_sum")), where


def test_alerts_have_a_summary_and_instructions() -> None:
    rules = alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"].keys() == {"summary", "action"}
        assert DURATION.fullmatch(rule.get("for", "1m"))


def test_panels_do_not_overlap() -> None:
    board = json.loads((DEPLOY / "grafana/automart.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])
