"""Middleware that gives each request a turn while the application computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

from automart.core.turns import Turns, has_turn, turn_released

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class RequestTurns:
    """WSGI middleware: few requests compute at the same time, unless they wait long.

    The server may have taken the turn. Then it also releases it while it waits for the client.
    """

    def __init__(self, app: WSGIApplication, turns: Turns) -> None:
        self._app = app
        self._turns = turns

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reading = nullcontext if has_turn() else turn_released
        environ["wsgi.input"] = _Body(environ["wsgi.input"], reading)
        with self._turns.taken():
            return self._app(environ, start_response)


@contextmanager
def _as_http_errors() -> Iterator[None]:
    """Raise HTTP errors for what the server raises while it reads a body.

    A socket with a timeout of its own (SO_RCVTIMEO) raises `BlockingIOError` after it.
    """
    # Imported late: setproctitle, which gunicorn imports, refuses arguments that are not UTF-8, and
    # commands may have such arguments.
    from gunicorn.http.errors import NoMoreData, ParseException  # noqa: PLC0415

    try:
        yield
    except (BlockingIOError, TimeoutError) as error:
        raise RequestTimeout("The body did not arrive in time.") from error
    except (ParseException, NoMoreData) as error:
        raise BadRequest("The chunks of the body are malformed, or end too early.") from error
    except ConnectionError as error:
        raise ClientDisconnected("The connection was closed before the end of the body.") from error


class _Body:
    """The body of a request. Its client may send it slowly."""

    def __init__(self, stream: Any, reading: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._reading = reading

    def read(self, *size: int) -> bytes:
        with self._reading(), _as_http_errors():
            data: bytes = self._stream.read(*size)
        return data

    def readline(self, *size: int) -> bytes:
        with self._reading(), _as_http_errors():
            line: bytes = self._stream.readline(*size)
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
