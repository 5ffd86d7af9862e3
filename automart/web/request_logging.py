"""Request ids, and one line in the log for each request."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger(__name__)

# Other ids are replaced: they might forge lines of a log or break headers.
# Anyone who has the path of a photo can see it.
SECRET = re.compile(r"[0-9a-f]{32}", re.ASCII | re.IGNORECASE)
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")


def log_requests(app: Flask) -> None:
    """Give every request an id, return it as `X-Request-ID`, and log one line per request."""
    app.before_request(_start_request)
    app.after_request(_log_request)
    app.teardown_request(_end_request)


def _start_request() -> None:
    sent = request.headers.get("X-Request-ID", "")
    g.request_id = sent if VALID_REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)
    g.started = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end_request(_error: BaseException | None) -> None:
    # What the server logs next in this thread belongs to no request.
    structlog.contextvars.clear_contextvars()


def _log_request(response: Response) -> Response:
    if "request_id" in g:
        response.headers["X-Request-ID"] = g.request_id
        log.info(
            "request",
            method=request.method,
            path=SECRET.sub("…", request.script_root + request.path),
            route=request.url_rule.rule if request.url_rule else None,
            status=response.status_code,
            duration_ms=round((time.perf_counter() - g.started) * 1000, 1),
            address=request.remote_addr,
        )
    return response
