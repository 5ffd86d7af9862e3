"""`/metrics`, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from flask import Response, request
from flask.views import MethodView
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from automart.core import metrics
from automart.operations.collectors import COLLECTORS
from automart.web import ADMIN, Blueprint, requires
from automart.web.openapi_conventions import unversioned

blp = Blueprint("metrics", __name__, description="Metrics for Prometheus")

FORMATS = {
    media_type: {"schema": {"type": "string"}}
    for media_type in ("text/plain", "application/openmetrics-text")
}


@blp.route("/metrics")
class Metrics(MethodView):
    @requires(ADMIN, scope="metrics")
    @unversioned
    @blp.doc(responses={"200": {"description": "All metrics", "content": FORMATS}})
    @blp.doc(operationId="getMetrics")
    def get(self) -> Response:
        """Get all metrics, in Prometheus' text format or in OpenMetrics."""
        registry = CollectorRegistry()
        registry.register(_AllMetrics())
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)


class _AllMetrics(Collector):
    """Collects the metrics of the processes, of the release, and of the database and Redis."""

    def collect(self) -> Iterator[Metric]:
        yield from metrics.counted_metrics().collect()
        yield InfoMetricFamily("automart", "The running release.", {"version": version("automart")})
        for collect in COLLECTORS:
            yield from collect()
