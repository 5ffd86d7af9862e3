"""A service that receives notices, as NOTIFY_URLS name it: `json://…`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PASSWORD = "hunter2-of-the-service"


class NotifiedService(ThreadingHTTPServer):
    """Accepts messages, or answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = HTTPStatus.OK
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"json://bot:{PASSWORD}@127.0.0.1:{self.server_port}/a-secret-path"

    @property
    def titles(self) -> list[str]:
        return [request["title"] for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: NotifiedService

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def notified_service() -> Iterator[NotifiedService]:
    """Run a service that receives notices."""
    with NotifiedService() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
