"""The only way in which webhooks leave the house: to public addresses, and never for long.

A URL that somebody has typed in is asked for from inside the deployment's network, where there is
more to be reached than the internet. So the host's name is resolved here, once, each address is
checked, and the connection is made to exactly what was checked: a name that changes its mind in
between changes nothing. Nothing is followed, repeated or kept, and no proxy is used.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from functools import cache
from http.client import BadStatusLine, HTTPException, RemoteDisconnected, UnknownProtocol
from importlib.metadata import version

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from automart.api.urls import HOST
from jobs.addresses import why_not_public
from jobs.answers import Answer, read_answer
from jobs.deadline import Deadline

USER_AGENT = f"Automart/{version('automart')}"

_PIECE = 16_384
_NO_ADDRESS = {socket.EAI_NONAME, socket.EAI_NODATA}
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}

# Family, type, protocol, and what `connect` takes: an address, a port, and what IPv6 has more.
_Place = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[str | int, ...]]


class NotDelivered(Exception):
    """There is no answer. The message is one line for the delivery's log."""


class AddressRefused(NotDelivered):
    """The URL leads where we do not go; no connection was made."""


class NoAnswer(NotDelivered):
    """The other side could not be reached, or said nothing of sense, or not in time."""


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    allow_private: bool,
    timeout: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send a webhook and return the answer, whatever its status. Raises `NotDelivered`.

    `timeout` holds for all of it together, from the name's resolution to the answer's last byte.
    `allow_private` lifts the check of addresses. `tls` says whom to trust, if not `trusted()`.
    """
    deadline = Deadline(timeout)
    target, host = _target(url)
    places = _resolve(host, target, deadline)
    if not allow_private:
        _check(host, places)
    sock = _connect(places, deadline)
    if target.scheme == "https":
        sock = _secure(sock, host, tls or trusted(), deadline)
    connection = _CONNECTIONS[target.scheme or ""](host, target.port)
    connection.sock = sock
    with closing(connection), _in_words("waiting for the answer", deadline):
        _send(connection, target.request_uri, body, headers, deadline)
        return read_answer(sock, deadline)


@cache
def trusted() -> ssl.SSLContext:
    """The authorities that this system trusts; those that Mozilla trusts, if it names none.

    Read once in a process: it takes a tenth of a second.
    """
    context = create_urllib3_context()
    context.load_default_certs()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


def _target(url: str) -> tuple[Url, str]:
    """Take a URL apart. Returns the host as it is written in certificates, too."""
    try:
        target = parse_url(url)
    except LocationParseError:
        raise AddressRefused("This is not a URL.") from None
    host = (target.host or "").strip("[]")
    if target.scheme not in _CONNECTIONS or not HOST.fullmatch(host):
        raise AddressRefused("This is not an http or https URL.")
    if target.auth is not None:
        raise AddressRefused("The URL has a user name or a password in it.")
    return target, host


def _resolve(host: str, target: Url, deadline: Deadline) -> list[_Place]:
    """All addresses of the host.

    getaddrinfo knows no limit of time, and can wait a minute for a name server that is silent. So
    a thread calls it, which is left to itself when time is up: it ends when getaddrinfo gives up,
    or with the process.
    """
    found: Future[list[_Place]] = Future()

    def ask() -> None:
        try:
            port = target.port or _CONNECTIONS[target.scheme or ""].default_port
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result([(*answer[:3], answer[4]) for answer in answers])
        except Exception as error:  # is raised where the result is read
            found.set_exception(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        return found.result(deadline.left())
    except TimeoutError:
        raise _late(f"resolving the name {host}", deadline) from None
    except socket.gaierror as error:
        if error.errno in _NO_ADDRESS:
            raise NoAnswer(f"The name {host} has no address.") from None
        raise NoAnswer(f"The name {host} cannot be resolved at present.") from None
    except UnicodeError:
        raise NoAnswer(f"{host} cannot be the name of a host.") from None


def _check(host: str, places: Sequence[_Place]) -> None:
    """Refuse a host of which even one address is not public: there is no good reason for it."""
    for *_, place in places:
        address, scope = str(place[0]), place[3] if len(place) > 3 else 0
        if kind := why_not_public(f"{address}%{scope}" if scope else address):
            told = address if address == host else f"{host} resolves to {address}, which"
            raise AddressRefused(f"{told} is {kind}.")


def _connect(places: Sequence[_Place], deadline: Deadline) -> socket.socket:
    """Connect to the first address that can be reached. Each gets its share of the time."""
    failure = NoAnswer("The name has no address.")
    for tried, place in enumerate(places):
        try:
            with _in_words("connecting", deadline):
                return _connect_to(place, deadline.left(len(places) - tried))
        except NoAnswer as error:
            failure = error
    raise failure


def _connect_to(place: _Place, timeout: float) -> socket.socket:
    family, kind, protocol, address = place
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _secure(
    sock: socket.socket, host: str, context: ssl.SSLContext, deadline: Deadline
) -> ssl.SSLSocket:
    name = host.partition("%")[0].rstrip(".")
    with _in_words("agreeing on TLS", deadline):
        sock.settimeout(deadline.left())  # holds for the handshake as a whole
        return context.wrap_socket(sock, server_hostname=name)


def _send(
    connection: HTTPConnection,
    target: str,
    body: bytes,
    headers: Mapping[str, str],
    deadline: Deadline,
) -> None:
    ours = {
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(body)),
    }
    connection.timeout = deadline.left()
    # Who answers before it has read everything may close the connection. What it said counts.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", target, _pieces(body, connection, deadline), {**headers, **ours})


def _pieces(body: bytes, connection: HTTPConnection, deadline: Deadline) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        connection.sock.settimeout(deadline.left())
        yield body[start : start + _PIECE]


@contextmanager
def _in_words(doing: str, deadline: Deadline) -> Iterator[None]:
    """Raise what goes wrong as `NoAnswer`, in words that help who reads the log."""
    try:
        yield
    except TimeoutError:
        raise _late(doing, deadline) from None
    except (OSError, HTTPException) as error:
        raise NoAnswer(_in_one_line(error)) from error


def _late(doing: str, deadline: Deadline) -> NoAnswer:
    return NoAnswer(f"The time of {deadline.seconds:g} seconds ran out while {doing}.")


def _in_one_line(error: OSError | HTTPException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"The certificate was not accepted: {error.verify_message.rstrip('.')}."
        case ssl.SSLError():
            return f"TLS failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}."
        case RemoteDisconnected():
            return "The connection was closed without an answer."
        case ConnectionRefusedError():
            return "The connection was refused."
        case ConnectionError():
            return "The connection was broken off."
        case OSError():
            reason = os.strerror(error.errno) if error.errno else "no reason given"
            return f"The connection failed: {reason}."
        case BadStatusLine() | UnknownProtocol():
            return "The answer is not HTTP."
        case _:
            return "The head of the answer is too large."
