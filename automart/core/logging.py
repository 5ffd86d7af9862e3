"""Logs: one JSON object per line, with the id of its request or job."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from automart.core.config import Settings

log = structlog.get_logger(__name__)

_POSTGRESQL_DETAIL = re.compile(
    r"\nDETAIL: .*?(?=\n\n|\n\[SQL|\n(HINT|CONTEXT|QUERY): |\Z)", re.DOTALL
)

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_logging(log_format: str) -> None:
    """Send all logs of this process, libraries' included, to standard error in one form."""
    # Leaves out the local variables of each frame, which may be personal or secret.
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
    # Nothing shows them, and the caller alone takes a stack walk per line ("Optimization" in the
    # Logging HOWTO of Python).
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # They would log a line for each outbound request and each heartbeat.
    for name in ("rq.worker", "werkzeug", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its warnings about malformed headers quote the URL. That of a webhook may contain a secret.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def start_logging(settings: Settings) -> None:
    """Configure the logging of a server, and log the warnings about its settings."""
    configure_logging(settings.log_format)
    for warning in settings.warnings:
        log.warning("suspicious_setting", detail=warning)


def _without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Remove PostgreSQL's DETAIL, which quotes whole rows. They may be personal or secret."""
    if "exception" in event:
        event["exception"] = _POSTGRESQL_DETAIL.sub("", event["exception"])
    return event


def current_request_id() -> str | None:
    """Return the id of the current request, or of the request that submitted the current job."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return str(found) if found else None
