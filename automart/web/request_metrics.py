"""Metrics of requests: their number, and how long they take."""

from __future__ import annotations

import time
from functools import cache

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from automart.core.metrics import REGISTRY

# A client may send any method, and each value of a label is a time series of its own.
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "automart_http_requests",
    "Requests that were answered.",
    ("method", "route", "status"),
    registry=REGISTRY,
)
DURATION = Histogram(
    "automart_http_request_duration_seconds",
    "Time from the headers of a request to its response.",
    ("method", "route"),
    buckets=BUCKETS,
    registry=REGISTRY,
)


def measure_requests(app: Flask) -> None:
    """Count the requests of `app` by route. `log_requests` starts the clock."""
    # Finding a time series takes longer than counting.
    number, duration = cache(REQUESTS.labels), cache(DURATION.labels)

    @app.after_request
    def count(response: Response) -> Response:
        method = request.method if request.method in KNOWN_METHODS else "other"
        rule = request.url_rule
        route = rule.rule if rule else "none"
        number(method, route, response.status_code).inc()
        duration(method, route).observe(time.perf_counter() - g.started)
        return response
