"""Posts webhooks: only to public addresses, and within one deadline.

Administrators enter webhook URLs, but the requests come from inside the deployment's network,
where more can be reached than the internet. So the host is resolved once, every address is checked,
and the connection goes to an address that was checked: a name that resolves differently a moment
later changes nothing. Redirects are not followed, nothing is retried, no proxy is used.
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
from typing import cast

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from automart.core.db import refuse_in_transaction
from automart.web.urls import HOST
from jobs.http.public_addresses import why_not_public
from jobs.http.response import WebhookResponse, read_response
from jobs.http.transport import Deadline, Transport

USER_AGENT = f"Automart/{version('automart')}"

_NO_ADDRESS = {socket.EAI_NONAME, socket.EAI_NODATA}
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


class NotDelivered(Exception):
    """There is no response. The message is one line for the delivery's log."""


class AddressRefused(NotDelivered):
    """The URL leads to an address that is not allowed; no connection was made."""


class NoResponse(NotDelivered):
    """The receiver could not be reached, or sent no valid response in time."""


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    allow_private: bool,
    timeout: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> WebhookResponse:
    """Send a webhook and return the response, whatever its status. Raises `NotDelivered`.

    `timeout` is for everything together, from resolving the name to the last byte of the response.
    `allow_private` skips the check of addresses. `tls` replaces `default_tls()`.
    """
    refuse_in_transaction("posting a webhook")
    deadline = Deadline(timeout)
    target, host = _parse(url)
    connection_class = _CONNECTIONS[target.scheme or ""]
    # Without a port, http.client takes the end of an IPv6 address for one.
    connection = connection_class(host, target.port or connection_class.default_port)
    addresses = _resolve(host, deadline)
    if not allow_private:
        _check(host, addresses)
    sock = _connect(addresses, connection.port, deadline)
    if target.scheme == "https":
        sock = _secure(sock, host, tls or default_tls(), deadline)
    with closing(sock), _described("waiting for the response", deadline):
        connection.sock = cast("socket.socket", Transport(sock, deadline))
        ours = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}
        # A receiver may respond and close before it has read everything. Its response counts.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(
                "POST",
                target.request_uri,
                body,
                {**headers, **ours},
                preload_content=False,
                decode_content=False,
            )
        return read_response(connection.getresponse())


@cache
def default_tls() -> ssl.SSLContext:
    """Trust the system's authorities, or Mozilla's if the system has none.

    Loaded once per process: it takes a tenth of a second.
    """
    context = create_urllib3_context()
    context.load_default_certs()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


def _parse(url: str) -> tuple[Url, str]:
    """Return the parts of a URL, and its host without brackets."""
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


def _resolve(host: str, deadline: Deadline) -> list[str]:
    """Return all addresses of a host, with the scope where IPv6 has one.

    getaddrinfo has no timeout and can wait a minute for a silent name server. So a thread calls it,
    which is abandoned at the deadline: it ends when getaddrinfo gives up, or with the process.
    """
    found: Future[list[str]] = Future()

    def resolve() -> None:
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.set_result([_address(*info[4]) for info in infos])
        except Exception as error:  # raised again where the result is read
            found.set_exception(error)

    threading.Thread(target=resolve, name="resolve", daemon=True).start()
    try:
        return found.result(deadline.left())
    except TimeoutError:
        raise _late(f"resolving the name {host}", deadline) from None
    except socket.gaierror as error:
        if error.errno in _NO_ADDRESS:
            raise NoResponse(f"The name {host} has no address.") from None
        raise NoResponse(f"The name {host} cannot be resolved at present.") from None
    except UnicodeError:
        raise NoResponse(f"{host} cannot be the name of a host.") from None


def _address(address: str, _port: int, _flow: int = 0, scope: int = 0) -> str:
    return f"{address}%{scope}" if scope else address


def _check(host: str, addresses: Sequence[str]) -> None:
    """Refuse a host if any of its addresses is not public: no receiver needs such a mix."""
    for address in addresses:
        if kind := why_not_public(address):
            bare = address.partition("%")[0]
            subject = bare if bare == host else f"{host} resolves to {bare}, which"
            raise AddressRefused(f"{subject} is {kind}.")


def _connect(addresses: Sequence[str], port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address that can be reached. Each gets its share of the time."""
    failure = NoResponse("The name has no address.")
    for tried, address in enumerate(addresses):
        try:
            with _described("connecting", deadline):
                # Parses the address; a number is never looked up.
                sock = socket.create_connection(
                    (address, port), deadline.left(len(addresses) - tried)
                )
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        except NoResponse as error:
            failure = error
    raise failure


def _secure(
    sock: socket.socket, host: str, context: ssl.SSLContext, deadline: Deadline
) -> ssl.SSLSocket:
    name = host.partition("%")[0].rstrip(".")
    with _described("agreeing on TLS", deadline):
        sock.settimeout(deadline.left())  # applies to the handshake as a whole
        return context.wrap_socket(sock, server_hostname=name)


@contextmanager
def _described(doing: str, deadline: Deadline) -> Iterator[None]:
    """Turn what goes wrong into a `NoResponse` with a message for the delivery's log."""
    try:
        yield
    except TimeoutError:
        raise _late(doing, deadline) from None
    except (OSError, HTTPException) as error:
        raise NoResponse(_explain(error)) from error


def _late(doing: str, deadline: Deadline) -> NoResponse:
    return NoResponse(f"The time of {deadline.seconds:g} seconds ran out while {doing}.")


def _explain(error: OSError | HTTPException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"The certificate was not accepted: {error.verify_message.rstrip('.')}."
        case ssl.SSLError():
            return f"TLS failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}."
        case RemoteDisconnected():
            return "The connection was closed without a response."
        case ConnectionRefusedError():
            return "The connection was refused."
        case ConnectionError():
            return "The connection was lost."
        case OSError():
            reason = os.strerror(error.errno) if error.errno else "no reason given"
            return f"The connection failed: {reason}."
        case BadStatusLine() | UnknownProtocol():
            return "The response is not HTTP."
        case _:
            return "The headers of the response are too large."
