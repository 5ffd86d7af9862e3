"""Request ids, and logs: one JSON object a line, with the id of its request or job."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from typing import Any

import structlog
from flask import Flask, Response, g, request
from structlog.typing import EventDict, Processor

from automart.core.config import Settings

log = structlog.get_logger(__name__)

_DETAIL = re.compile(r"\nDETAIL: .*?(?=\n\n|\n\[SQL|\n(HINT|CONTEXT|QUERY): |\Z)", re.DOTALL)
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_logging(log_format: str) -> None:
    """Send all logs of this process, libraries' included, to standard error in one form."""
    # Without the locals of each frame, which may be personal or secret.
    plain = structlog.dev.plain_traceback
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_values,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # Each outbound request and each RQ heartbeat would be a line that nobody reads.
    for name in ("rq.worker", "werkzeug", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its warnings about malformed headers quote the URL, and a webhook's may hold a secret.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def start_logging(settings: Settings) -> None:
    """Configure the logging of a server, and log what is suspicious about its settings."""
    configure_logging(settings.log_format)
    for warning in settings.warnings:
        log.warning("suspicious_setting", detail=warning)


def _without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """PostgreSQL's DETAIL quotes whole rows, which may be personal or secret."""
    if "exception" in event:
        event["exception"] = _DETAIL.sub("", event["exception"])
    return event


def trace_requests(app: Flask) -> None:
    """Give every request an id, return it as `X-Request-ID`, and log one line a request."""
    app.before_request(_begin)
    app.after_request(_finish)


def current_request_id() -> str | None:
    """The id of the request or job that is being worked on."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return str(found) if found else None


def _begin() -> None:
    asked = request.headers.get("X-Request-ID", "")
    g.request_id = asked if SANE_REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
    g.started = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    if "request_id" in g:
        response.headers["X-Request-ID"] = g.request_id
        log.info(
            "request",
            method=request.method,
            path=request.script_root + g.get("logged_path", request.path),
            route=request.url_rule.rule if request.url_rule else None,
            status=response.status_code,
            duration_ms=round((time.perf_counter() - g.started) * 1000, 1),
            address=request.remote_addr,
        )
    return response
