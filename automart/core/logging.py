"""Logs: one JSON object per line, with the id of its request or job."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from automart.core.config import Settings
from automart.core.text import escape_controls

log = structlog.get_logger(__name__)

# DETAIL quotes whole rows, CONTEXT may quote parameters. In a repr() a line break is \\n.
_VALUES = re.compile(
    r"(?:\n|\\n)(?:DETAIL|CONTEXT): .*?(?=\n\n|\n\[SQL|(?:\n|\\n)(?:HINT|QUERY): |\Z)", re.DOTALL
)
# They have several lines.
_TEXTS = ("event", "exception")

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats what structlog logs without a traceback at once. Almost all lines are such."""

    def format(self, record: logging.LogRecord) -> str:
        event: Any = record.msg
        if not isinstance(event, dict) or "exc_info" in event or record.exc_info:
            return super().format(record)
        return _to_json(_without_values(None, "", event.copy()))


_to_json = json.JSONEncoder(default=repr).encode


def configure_logging(log_format: str) -> None:
    """Send all logs of this process, libraries' included, to standard error in one form."""
    # Leaves out the local variables of each frame, which may be personal or secret.
    plain = structlog.dev.plain_traceback
    renderers: list[Processor] = (
        [lambda _logger, _method, event: _to_json(event)]
        if log_format == "json"
        else [
            _without_control_characters,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = _JsonFormatter if log_format == "json" else structlog.stdlib.ProcessorFormatter
    handler.setFormatter(
        formatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_values,
                *renderers,
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
    """Remove what PostgreSQL quotes, wherever a library or our code has put its message."""
    for name, value in event.items():
        if isinstance(value, str) and ": " in value:
            event[name] = without_values(value)
    return event


def without_values(text: str) -> str:
    """Return the text of an error without PostgreSQL's DETAIL and CONTEXT.

    They quote rows and parameters, which may be personal or secret.
    """
    return _VALUES.sub("", text)


def _without_control_characters(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape control characters, which JSON escapes by itself."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = escape_controls(value, keep_lines=name in _TEXTS)
    return event


def current_request_id() -> str | None:
    """Return the id of the current request, or of the request that submitted the current job."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return str(found) if found else None
