"""Outbound webhooks on real sockets: allowed addresses, deadlines, limits, and responses."""

from __future__ import annotations

import datetime as dt
import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from automart.web.urls import can_be_host
from automart.webhooks.schemas import WebhookUrl
from jobs.http import client
from jobs.http.client import AddressRefused, NoResponse, NotDelivered, post
from jobs.http.response import LONGEST_TEXT, WebhookResponse
from jobs.http.transport import Deadline, Transport
from tests.support.certificates import DAY, NOW, Authority
from tests.support.limits import LIMIT
from tests.support.peers import Peer, answering, dripping, silent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthank"
PUBLIC, OTHER_PUBLIC, PUBLIC_IPV6 = "93.184.215.14", "1.1.1.1", "2606:4700::1111"
BODY = b'{"type": "purchase.state_changed"}'


def send(
    url: str, *, allow_private: bool = True, timeout: float = LIMIT, body: bytes = BODY, **more: Any
) -> WebhookResponse:
    headers = {"Content-Type": "application/json", "webhook-id": "msg_1"}
    return post(
        url, body=body, headers=headers, allow_private=allow_private, timeout=timeout, **more
    )


def send_to(peer: Peer, **more: Any) -> WebhookResponse:
    return send(f"http://127.0.0.1:{peer.port}/hook?x=1", **more)


def answer_of(data: bytes, **more: Any) -> WebhookResponse:
    with Peer(answering(data)) as peer:
        return send_to(peer, **more)


class World:
    """The internet of a test: the addresses of names, and the servers at addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.peers: dict[str, int] = {}
        self.asked: list[str] = []
        self.connected: list[str] = []
        self._getaddrinfo = socket.getaddrinfo
        self._connect = socket.socket.connect
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)

        def connect(sock: socket.socket, to: tuple[Any, ...]) -> None:
            self.connect(sock, to)

        monkeypatch.setattr(socket.socket, "connect", connect)

    def resolve(self, host: str, port: int | None, *args: Any, **options: Any) -> list[Any]:
        """Return the next addresses of a name; the last ones again and again."""
        answers = self.names.get(host)
        if answers is None:  # a number: no look-up
            return list(self._getaddrinfo(host, port, *args, **options))
        self.asked.append(host)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            found
            for address in addresses
            for found in self._getaddrinfo(address, port, *args, **options)
        ]

    def connect(self, sock: socket.socket, to: tuple[Any, ...]) -> None:
        """Connect to the peer that has this address. Refuse if there is none."""
        self.connected.append(to[0])
        if to[0] not in self.peers:
            raise ConnectionRefusedError
        self._connect(sock, ("127.0.0.1", self.peers[to[0]]))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer(answering(OK)) as peer:
        yield peer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class TestRequests:
    def test_the_given_body_and_headers_are_sent_with_a_user_agent(self, peer: Peer) -> None:
        assert send_to(peer) == WebhookResponse(200, "thank", None)

        (heard,) = peer.heard
        assert heard.line == "POST /hook?x=1 HTTP/1.1"
        assert heard.body == BODY
        assert heard.headers == {
            "host": f"127.0.0.1:{peer.port}",
            "user-agent": client.USER_AGENT,
            "accept-encoding": "identity",
            "connection": "close",
            "content-type": "application/json",
            "content-length": str(len(BODY)),
            "webhook-id": "msg_1",
        }
        assert heard.headers["user-agent"].startswith("Automart/")

    def test_a_url_without_a_path_requests_the_root(self, peer: Peer) -> None:
        send(f"http://127.0.0.1:{peer.port}")

        assert peer.heard[0].line == "POST / HTTP/1.1"

    def test_a_path_in_any_script_is_encoded(self, peer: Peer) -> None:
        send(f"http://127.0.0.1:{peer.port}/köln ü#top")

        assert peer.heard[0].line == "POST /k%C3%B6ln%20%C3%BC HTTP/1.1"

    def test_a_body_of_many_pieces_arrives_whole(self, peer: Peer) -> None:
        body = bytes(range(256)) * 1000
        send_to(peer, body=body)

        assert peer.heard[0].body == body

    def test_an_empty_body_is_sent_as_one(self, peer: Peer) -> None:
        send_to(peer, body=b"")

        assert peer.heard[0].headers["content-length"] == "0"

    @pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
    def test_a_proxy_in_the_environment_is_not_used(
        self, peer: Peer, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "http://127.0.0.1:9")

        assert send_to(peer).status == 200

    def test_a_cookie_is_not_kept(self) -> None:
        with Peer(answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\n\r\n")) as peer:
            send_to(peer)
            send_to(peer)

        assert "cookie" not in peer.heard[1].headers

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, peer: Peer, status: int) -> None:
        location = f"http://127.0.0.1:{peer.port}/"
        answer = answer_of(f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\n\r\n".encode())

        assert answer.status == status
        assert peer.accepted == 0

    def test_ipv6_is_supported(self) -> None:
        if not socket.has_ipv6:
            pytest.skip("This machine has no IPv6.")
        with Peer(answering(OK), host="::1") as peer:
            assert send(f"http://[::1]:{peer.port}/").status == 200
            assert peer.heard[0].headers["host"] == f"[::1]:{peer.port}"


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "localhost",
            "LOCALHOST.",
            "0.0.0.0",  # noqa: S104 - nothing is bound
            "0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
        ],
    )
    def test_no_notation_of_a_local_address_reaches_this_machine(
        self, peer: Peer, host: str
    ) -> None:
        # Systems differ in the notations that they read. Others are refused as well.
        with pytest.raises(NotDelivered) as refused:
            send(f"http://{host}:{peer.port}/", allow_private=False)

        assert peer.accepted == 0
        assert isinstance(refused.value, AddressRefused) or "no address" in str(refused.value)

    @pytest.mark.parametrize(
        ("host", "kind"),
        [
            ("10.0.0.1", "10.0.0.1 is a private address."),
            ("172.16.0.1", "172.16.0.1 is a private address."),
            ("192.168.1.1", "192.168.1.1 is a private address."),
            ("169.254.169.254", "169.254.169.254 is a link-local address."),
            ("100.64.0.1", "100.64.0.1 is a carrier's private address."),
            ("[fd00::1]", "fd00::1 is a private address."),
            ("[64:ff9b::a9fe:a9fe]", "64:ff9b::a9fe:a9fe is a NAT64 address."),
        ],
    )
    def test_the_error_names_the_kind_of_address(self, world: World, host: str, kind: str) -> None:
        with pytest.raises(AddressRefused) as refused:
            send(f"https://{host}/", allow_private=False)

        assert str(refused.value) == kind
        assert world.connected == []

    def test_an_address_with_a_scope_is_refused(self, world: World) -> None:
        with pytest.raises(AddressRefused, match="within one network interface"):
            send("http://[fe80::1%25lo]/", allow_private=False)

        assert world.connected == []

    def test_a_name_that_resolves_to_a_private_address_is_refused(self, world: World) -> None:
        world.names["hooks.example"] = [["10.0.0.7"]]

        with pytest.raises(AddressRefused) as refused:
            send("http://hooks.example/", allow_private=False)

        assert (
            str(refused.value) == "hooks.example resolves to 10.0.0.7, which is a private address."
        )
        assert world.connected == []

    @pytest.mark.parametrize("addresses", [[PUBLIC, "127.0.0.1"], ["::1", PUBLIC]])
    def test_one_private_address_among_public_ones_is_refused(
        self, world: World, peer: Peer, addresses: list[str]
    ) -> None:
        world.names["hooks.example"] = [addresses]
        world.peers[PUBLIC] = peer.port

        with pytest.raises(AddressRefused, match="loopback"):
            send("http://hooks.example/", allow_private=False)

        assert world.connected == []

    def test_the_connection_goes_to_the_address_that_was_checked(
        self, world: World, peer: Peer
    ) -> None:
        with Peer(answering(OK)) as private:
            world.names["hooks.example"] = [[PUBLIC], ["127.0.0.1"]]
            world.peers = {PUBLIC: peer.port, "127.0.0.1": private.port}

            assert send("http://hooks.example/", allow_private=False).status == 200

        assert world.asked == ["hooks.example"]
        assert world.connected == [PUBLIC]
        assert (peer.accepted, private.accepted) == (1, 0)
        assert peer.heard[0].headers["host"] == "hooks.example"

    def test_a_redirect_to_a_private_address_is_not_followed(
        self, world: World, peer: Peer
    ) -> None:
        redirect = f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{peer.port}/\r\n\r\n"
        world.names["hooks.example"] = [[PUBLIC]]
        with Peer(answering(redirect.encode())) as public:
            world.peers = {PUBLIC: public.port, "127.0.0.1": peer.port}

            assert send("http://hooks.example/", allow_private=False).status == 307

        assert world.connected == [PUBLIC]

    def test_addresses_are_tried_in_order_until_one_accepts_the_connection(
        self, world: World, peer: Peer
    ) -> None:
        world.names["hooks.example"] = [[OTHER_PUBLIC, PUBLIC, "9.9.9.9"]]
        world.peers[PUBLIC] = peer.port

        assert send("http://hooks.example/", allow_private=False).status == 200
        assert world.connected == [OTHER_PUBLIC, PUBLIC]

    @pytest.mark.parametrize("host", ["hooks.example", f"[{PUBLIC_IPV6}]", f"[{PUBLIC_IPV6}]:81"])
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_public_ipv6_address_is_accepted(self, world: World, scheme: str, host: str) -> None:
        world.names["hooks.example"] = [[PUBLIC_IPV6]]

        with pytest.raises(NoResponse, match="The connection was refused"):
            send(f"{scheme}://{host}/", allow_private=False)

        assert world.connected == [PUBLIC_IPV6]

    def test_private_addresses_can_be_allowed(self, peer: Peer) -> None:
        assert send_to(peer, allow_private=True).status == 200

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "hooks.example",
            "//hooks.example/",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "http://",
            f"http://{'x.' * 128}/",
            "http:///path",
            "http://./",
            "http://hooks.example:99999/",
            "http://hooks example/",
            "http://hooks\nexample/",
            "http://[::1/",
            "http://①②⑦.⓪.⓪.①/",
        ],
    )
    def test_an_invalid_url_is_refused_even_if_private_ones_are_allowed(
        self, world: World, url: str
    ) -> None:
        with pytest.raises(AddressRefused, match=r"^This is not an? "):
            send(url)

        assert world.asked == []

    def test_a_password_in_a_url_is_refused_and_not_shown(self, world: World) -> None:
        with pytest.raises(AddressRefused) as refused:
            send("http://office:hunter2@hooks.example/")

        assert "hunter2" not in str(refused.value)
        assert world.asked == []


class TestNames:
    @given(
        st.from_regex(
            r"https?://[0-9A-Za-z._~:%\[\]@-]{1,20}(:[0-9]{0,5})?(/[!-~]{0,9})?", fullmatch=True
        )
    )
    def test_every_url_that_an_office_can_have_can_be_posted_to(self, url: str) -> None:
        try:
            WebhookUrl().deserialize(url)
        except ValidationError:
            return
        target, host = client._parse(url)

        assert target.scheme in ("http", "https")
        assert can_be_host(host)

    def test_a_name_without_an_address_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _fail_to_resolve(monkeypatch, socket.gaierror(socket.EAI_NONAME, "nodename nor servname"))

        with pytest.raises(NoResponse) as failed:
            send("http://hooks.example/")

        assert str(failed.value) == "The name hooks.example has no address."

    def test_a_failing_name_server_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _fail_to_resolve(monkeypatch, socket.gaierror(socket.EAI_AGAIN, "temporary failure"))

        with pytest.raises(NoResponse, match="cannot be resolved at present"):
            send("http://hooks.example/")

    @pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", ".example"])
    def test_an_impossible_name_is_reported(self, host: str) -> None:
        with pytest.raises(NoResponse) as failed:
            send(f"http://{host}/")

        assert str(failed.value) == f"{host} cannot be the name of a host."

    def test_a_name_server_that_hangs_is_abandoned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(LIMIT))
        try:
            with pytest.raises(NoResponse) as failed:
                send("http://hooks.example/", timeout=0.2)
        finally:
            ended.set()

        assert str(failed.value) == (
            "The time of 0.2 seconds ran out while resolving the name hooks.example."
        )


class TestTls:
    def test_the_certificate_must_be_that_of_the_url(
        self, world: World, authority: Authority
    ) -> None:
        asked_for: list[str | None] = []
        server = authority.server("hooks.example")
        server.sni_callback = lambda _sock, name, _context: asked_for.append(name)
        with Peer(answering(OK), tls=server) as peer:
            world.names["hooks.example"] = [[PUBLIC]]
            world.peers[PUBLIC] = peer.port

            answer = send("https://hooks.example/", allow_private=False, tls=authority.trust())

        assert answer == WebhookResponse(200, "thank", None)
        assert asked_for == ["hooks.example"]
        assert peer.heard[0].headers["host"] == "hooks.example"

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]"])
    def test_an_address_can_have_a_certificate(self, authority: Authority, host: str) -> None:
        with Peer(answering(OK), tls=authority.server(host.strip("[]"))) as peer:
            answer = send(f"https://{host}:{peer.port}/", tls=authority.trust())

        assert answer.status == 200

    def test_a_name_with_a_dot_at_its_end_has_the_same_certificate(
        self, world: World, authority: Authority
    ) -> None:
        with Peer(answering(OK), tls=authority.server("hooks.example")) as peer:
            world.names["hooks.example."] = [[PUBLIC]]
            world.peers[PUBLIC] = peer.port

            assert send("https://hooks.example./", tls=authority.trust()).status == 200

    @pytest.mark.parametrize(
        ("name", "until", "reason"),
        [
            ("other.example", NOW + DAY, "Hostname mismatch"),
            ("hooks.example", NOW - DAY, "certificate has expired"),
        ],
    )
    def test_an_invalid_certificate_is_reported(
        self,
        world: World,
        authority: Authority,
        name: str,
        until: dt.datetime,
        reason: str,
    ) -> None:
        with Peer(answering(OK), tls=authority.server(name, until=until)) as peer:
            world.names["hooks.example"] = [[PUBLIC]]
            world.peers[PUBLIC] = peer.port

            with pytest.raises(NoResponse) as failed:
                send("https://hooks.example/", tls=authority.trust())

        assert str(failed.value).startswith(f"The certificate was not accepted: {reason}")
        assert peer.heard == []

    def test_an_unknown_authority_is_not_trusted(self, authority: Authority) -> None:
        with (
            Peer(answering(OK), tls=authority.server("127.0.0.1")) as peer,
            pytest.raises(NoResponse, match=r"^The certificate was not accepted: .*issuer"),
        ):
            send(f"https://127.0.0.1:{peer.port}/")

    def test_a_server_without_tls_is_reported(self, peer: Peer, authority: Authority) -> None:
        with Peer(lambda _, sock: sock.sendall(b"220 smtp.example\r\n" * 10)) as mail:
            url = f"https://127.0.0.1:{mail.port}/"
            with pytest.raises(NoResponse, match=r"^TLS failed: [a-z ]+\.$"):
                send(url, tls=authority.trust())

    def test_mozillas_authorities_are_trusted_if_the_system_has_none(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        (tmp_path / "none.pem").touch()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

        assert client.default_tls.__wrapped__().cert_store_stats()["x509_ca"] > 50


@pytest.fixture
def expire_during(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], None]:
    """Let the time run out during a step, however long the steps before it take."""
    begun: list[Deadline] = []

    def begin(seconds: float) -> Deadline:
        begun.append(Deadline(seconds))
        return begun[-1]

    def expire(owner: object, name: str) -> None:
        step = getattr(owner, name)

        def last_step(*args: Any) -> Any:
            begun[-1]._end = time.monotonic() + 0.1
            return step(*args)

        monkeypatch.setattr(owner, name, last_step)

    monkeypatch.setattr(client, "Deadline", begin)
    return expire


class TestTime:
    def test_the_time_that_is_left_is_divided(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr("jobs.http.transport.time.monotonic", lambda: now)
        deadline = Deadline(12)
        now = 104.0
        assert (deadline.left(), deadline.left(4)) == (8, 2)
        now = 112.0
        with pytest.raises(TimeoutError):
            deadline.left()

    def test_sending_ends_at_the_deadline(self) -> None:
        sender, reader = socket.socketpair()
        with sender, reader, pytest.raises(TimeoutError):
            Transport(sender, Deadline(0.05)).sendall(bytes(10_000_000))

    """All steps together have one deadline."""

    def test_a_timeout_of_zero_sends_nothing(self, peer: Peer) -> None:
        with pytest.raises(NoResponse, match="The time of 0 seconds ran out"):
            send_to(peer, timeout=0)

        assert peer.accepted == 0

    def test_a_server_that_never_responds_is_abandoned(
        self, expire_during: Callable[[object, str], None]
    ) -> None:
        expire_during(Transport, "makefile")
        with Peer(silent) as peer, pytest.raises(NoResponse) as failed:
            send_to(peer, timeout=LIMIT)

        assert str(failed.value) == (
            f"The time of {LIMIT:g} seconds ran out while waiting for the response."
        )

    def test_a_server_without_a_handshake_is_abandoned(
        self, authority: Authority, expire_during: Callable[[object, str], None]
    ) -> None:
        expire_during(client, "_secure")
        with Peer(silent) as peer, pytest.raises(NoResponse, match="agreeing on TLS"):
            send(f"https://127.0.0.1:{peer.port}/", timeout=LIMIT, tls=authority.trust())

    def test_a_connection_that_is_not_accepted_is_abandoned(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            waiting = [socket.socket() for _ in range(4)]
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            try:
                with pytest.raises(NoResponse, match=r"ran out while (connecting|waiting)"):
                    send(f"http://127.0.0.1:{full.getsockname()[1]}/", timeout=0.2)
            finally:
                for sock in waiting:
                    sock.close()

    def test_a_server_that_does_not_read_the_body_is_abandoned(self) -> None:
        with Peer(silent) as peer, pytest.raises(NoResponse, match="ran out"):
            send_to(peer, timeout=0.3, body=b"x" * 50_000_000)

    @pytest.mark.parametrize(
        "data",
        [
            OK.replace(b"200 OK", b"200 " + b"very " * 200),
            OK.replace(b"Content", b"X-Filler: " + b"x" * 1000 + b"\r\nContent"),
            b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK,
        ],
        ids=["status line", "header", "continue"],
    )
    def test_a_head_that_arrives_byte_by_byte_is_abandoned(self, data: bytes) -> None:
        with Peer(dripping(data, every=0.01)) as peer, pytest.raises(NoResponse, match="ran out"):
            send_to(peer, timeout=0.3)

    @pytest.mark.parametrize("secured", [False, True])
    def test_the_received_part_of_a_slow_body_is_kept(
        self, authority: Authority, secured: bool, expire_during: Callable[[object, str], None]
    ) -> None:
        expire_during(client, "read_response")
        data = b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\nRetry-After: 60\r\n\r\nx"
        tls = authority.server("127.0.0.1") if secured else None
        scheme = "https" if secured else "http"

        def treat(peer: Peer, sock: socket.socket) -> None:
            answering(data)(peer, sock)
            for _ in range(998):
                sock.sendall(b"x")
                if peer.stopped.wait(0.02):
                    return

        with Peer(treat, tls=tls) as peer:
            url = f"{scheme}://127.0.0.1:{peer.port}/"
            answer = send(url, timeout=LIMIT, tls=authority.trust())

        assert (answer.status, answer.retry_after) == (503, 60)
        assert 0 < len(answer.text) < 1000
        assert set(answer.text) == {"x"}


class TestLimits:
    """Endless responses are cut off before the deadline."""

    @pytest.mark.parametrize(
        ("beginning", "more"),
        [
            (b"HTTP/1.1 200 ", b"very "),
            (b"HTTP/1.1 103 Early Hints\r\n", b"X-Filler: x\r\n"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        ],
        ids=["status line", "interim headers", "continue", "processing"],
    )
    def test_an_endless_head_without_a_status_is_an_error(
        self, beginning: bytes, more: bytes
    ) -> None:
        with Peer(_endless(beginning, more)) as peer, pytest.raises(NoResponse) as failed:
            send_to(peer)

        assert str(failed.value) == "The headers of the response are too large."

    @pytest.mark.parametrize("status", [200, 204, 410, 500])
    @pytest.mark.parametrize(
        ("beginning", "more"), [(b"", b"X-Filler: x\r\n"), (b"X-Filler: ", b"x")]
    )
    def test_an_endless_head_with_a_status_is_a_response(
        self, status: int, beginning: bytes, more: bytes
    ) -> None:
        head = f"HTTP/1.1 {status} -\r\nRetry-After: 7\r\n".encode()
        with Peer(_endless(head + beginning, more)) as peer:
            assert send_to(peer) == WebhookResponse(status, "", 7)

    @pytest.mark.parametrize("fields", [98, 99, 100, 101, 1000])
    def test_the_body_after_a_head_of_many_fields_is_read(self, fields: int) -> None:
        filler = b"".join(b"X-%d: x\r\n" % number for number in range(fields))

        assert answer_of(b"HTTP/1.0 202 OK\r\n" + filler + b"\r\nthank").text == "thank"

    @pytest.mark.parametrize(
        ("headers", "more", "text"),
        [
            (b"", b"abcd", "abcd" * 512),
            (b"Content-Length: 999999999999\r\n", b"abcd", "abcd" * 512),
            (b"Transfer-Encoding: chunked\r\n", b"4\r\nabcd\r\n", "abcd" * 512),
            (b"Content-Type: text/plain; charset=utf-8\r\n", "€".encode(), "€" * 2048),
        ],
    )
    def test_the_beginning_of_an_endless_body_is_kept(
        self, headers: bytes, more: bytes, text: str
    ) -> None:
        with Peer(_endless(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n", more)) as peer:
            answer = send_to(peer)

        assert answer == WebhookResponse(200, text, None)

    def test_a_head_may_end_with_a_bare_line_feed(self) -> None:
        """RFC 9112, section 2.2."""
        with Peer(_endless(b"HTTP/1.1 200 OK\nRetry-After: 7\n\n", b"abcd")) as peer:
            assert send_to(peer) == WebhookResponse(200, "abcd" * 512, 7)

    def test_chunks_without_content_are_cut(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"1;" + b"x" * 10_000 + b"\r\na\r\n"
        with Peer(_endless(head, chunk)) as peer:
            answer = send_to(peer)

        assert answer.status == 200
        assert 0 < len(answer.text) < 20

    @pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
    def test_a_compressed_body_is_not_decompressed(self, encoding: str) -> None:
        bomb = gzip.compress(b"0" * 5_000_000)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n".encode()

        assert answer_of(head + bomb).text == f"({encoding}, not unpacked)"


class TestTrouble:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "The connection was closed without a response."),
            (b"HTTP/1.1 ", "The response is not HTTP."),
            (b"220 smtp.example ESMTP\r\n", "The response is not HTTP."),
            (b"HTTP/1.1 OK\r\n\r\n", "The response is not HTTP."),
            (b"HTTP/3 200 OK\r\n\r\n", "The response is not HTTP."),
            (b"\x00\xff\xfe" * 100, "The response is not HTTP."),
        ],
    )
    def test_an_invalid_response_is_reported(self, data: bytes, reason: str) -> None:
        with pytest.raises(NoResponse) as failed:
            answer_of(data)

        assert str(failed.value) == reason

    def test_a_refused_connection_is_reported(self) -> None:
        with Peer(answering(OK)) as peer:
            port = peer.port
        with pytest.raises(NoResponse) as failed:
            send(f"http://127.0.0.1:{port}/")

        assert str(failed.value) == "The connection was refused."

    def test_an_unreachable_host_is_reported(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: Any) -> None:
            raise OSError(101, "ENETUNREACH from the driver")

        monkeypatch.setattr(socket.socket, "connect", unreachable)
        with pytest.raises(NoResponse) as failed:
            send(f"http://{PUBLIC}/")

        assert str(failed.value) == "The connection failed: Network is unreachable."

    def test_a_reset_connection_is_reported(self) -> None:
        with Peer(_reset_after(b"")) as peer, pytest.raises(NoResponse) as failed:
            send_to(peer)

        assert str(failed.value) in (
            "The connection was lost.",
            "The connection was closed without a response.",  # if the reset arrives late
        )

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"Content-Length: 1000\r\n\r\nbroken o", "broken o"),
            (b"Transfer-Encoding: chunked\r\n\r\n5\r\nbroken", "broke"),
            (b"Transfer-Encoding: chunked\r\n\r\nnonsense", ""),
            (b"Content-Length: nonsense\r\n\r\nfine", "fine"),
            (b"Content-Length: -1\r\n\r\nfine", "fine"),
        ],
    )
    def test_the_received_part_of_an_interrupted_body_is_kept(self, data: bytes, text: str) -> None:
        assert answer_of(b"HTTP/1.1 200 OK\r\n" + data) == WebhookResponse(200, text, None)

    def test_a_status_before_a_reset_is_a_response(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbeg"
        with Peer(_reset_after(head)) as peer:
            assert send_to(peer).status == 200

    @pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
    def test_interim_responses_are_skipped(self, status: str) -> None:
        interim = f"HTTP/1.1 {status}\r\nRetry-After: 7\r\nLink: </a.css>\r\n\r\n".encode()

        assert answer_of(2 * interim + OK) == WebhookResponse(200, "thank", None)

    def test_a_switch_of_protocols_is_not_an_interim_response(self) -> None:
        assert answer_of(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").status == 101

    def test_a_response_before_the_body_was_read_is_a_response(self) -> None:
        def treat(peer: Peer, sock: socket.socket) -> None:
            sock.sendall(b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n")

        with Peer(treat) as peer:
            assert send_to(peer, body=b"x" * 20_000_000).status == 413


class TestText:
    @pytest.mark.parametrize(
        ("content_type", "body", "text"),
        [
            ("text/plain; charset=utf-8", "Zoë".encode(), "Zoë"),
            ("text/plain; charset=ISO-8859-1", "Zoë".encode("latin-1"), "Zoë"),
            ('text/html; charset="windows-1252"', "“Zoë”".encode("cp1252"), "“Zoë”"),
            ("text/plain; charset=utf-16", b"Zo", "Zo"),
            ("text/plain; charset=Shift_JIS", "東京".encode("shift-jis"), "東京"),
            ("application/json", "Zoë".encode(), "Zoë"),
            ("text/plain", b"\xff\xfe ok", "\ufffd\ufffd ok"),
            ("text/plain; charset=nonsense", "Zoë".encode(), "Zoë"),
            ("text/plain; charset=unicode_escape", rb"\ud800", r"\ud800"),
            ("text/plain; charset=idna", b"xn--a", "xn--a"),
            ("text/plain; charset=zlib", b"plain", "plain"),
            ("text/plain; charset=utf-8", "Zo€".encode()[:-1], "Zo\ufffd"),
            ("text/plain; charset=utf-7", b"+2AA-", "+2AA-"),
            (
                "text/plain",
                b"a\x00b\x1b[31m\tc\r\nd\x7f\xc2\x85",
                "a\ufffdb\ufffd[31m\tc\r\nd\ufffd\ufffd",
            ),
        ],
    )
    def test_text_is_decoded_by_its_charset_and_can_be_stored(
        self, content_type: str, body: bytes, text: str
    ) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"

        assert answer_of(head.encode() + b"\r\n\r\n" + body).text == text

    def test_text_ends_after_2048_characters(self) -> None:
        body = "ü" * 5000

        assert answer_of(b"HTTP/1.1 200 OK\r\n\r\n" + body.encode()).text == "ü" * 2048 != body

    @pytest.mark.parametrize("status", [204, 304])
    def test_no_body_is_awaited_where_there_is_none(self, status: int) -> None:
        def treat(peer: Peer, sock: socket.socket) -> None:
            answering(f"HTTP/1.1 {status} -\r\n\r\n".encode())(peer, sock)
            silent(peer, sock)

        with Peer(treat) as peer:
            assert send_to(peer) == WebhookResponse(status, "", None)

    @settings(max_examples=30)
    @given(st.binary(max_size=4000), st.sampled_from(["utf-8", "gb18030", "cp1252"]))
    def test_any_body_can_be_stored(self, body: bytes, charset: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode()
        with Peer(answering(head + body)) as peer:
            text = send_to(peer).text

        assert len(text) <= LONGEST_TEXT
        assert "\x00" not in text
        assert text.encode().decode() == text


class TestRetryAfter:
    def test_retry_after_is_part_of_the_response(self) -> None:
        head = "HTTP/1.1 429 Slow down\r\nRetry-After: {}\r\n\r\n"
        tomorrow = format_datetime(NOW + DAY, usegmt=True)

        assert answer_of(head.format(7).encode()).retry_after == 7
        assert (answer_of(head.format(tomorrow).encode()).retry_after or 0) > 3600
        assert answer_of(head.format("tomorrow").encode()).retry_after is None


def _fail_to_resolve(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def _endless(beginning: bytes, more: bytes) -> Callable[[Peer, socket.socket], None]:
    def treat(peer: Peer, sock: socket.socket) -> None:
        answering(beginning)(peer, sock)
        while not peer.stopped.is_set():
            sock.sendall(more * 1000)

    return treat


def _reset_after(data: bytes) -> Callable[[Peer, socket.socket], None]:
    def treat(peer: Peer, sock: socket.socket) -> None:
        answering(data)(peer, sock)
        # A close before everything was read would be a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return treat
