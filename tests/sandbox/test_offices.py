"""The fake offices, as senders of webhooks see them on the wire."""

from __future__ import annotations

import base64
import datetime as dt
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from sandbox import OfficeFault, Offices, Received
from tests.support.limits import LIMIT
from tests.support.processes import until

SECRET = "whsec_" + base64.b64encode(b"a secret of the office" * 2).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret than that" * 2).decode()
BODY = '{"type": "purchase.state_changed", "data": {"external_order_number": "Ö 1"}}'


def signed(
    *secrets: str, webhook_id: str = "msg_1", body: str = BODY, age: float = 0
) -> dict[str, str]:
    """Return the headers of a webhook that was signed with `secrets` `age` seconds ago."""
    at = dt.datetime.fromtimestamp(int(dt.datetime.now(dt.UTC).timestamp() - age), dt.UTC)
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(one).sign(webhook_id, at, body) for one in secrets),
    }


def send(
    offices: Offices,
    office: str = "berlin",
    headers: dict[str, str] | None = None,
    *,
    body: str | bytes = BODY,
    timeout: float = LIMIT,
) -> requests.Response:
    data = body.encode() if isinstance(body, str) else body
    return requests.post(
        offices.url(office),
        data=data,
        headers=headers or signed(SECRET),
        timeout=timeout,
        allow_redirects=False,
    )


def control(offices: Offices, method: str, path: str, content: Any = None) -> requests.Response:
    url = f"{offices.origin}/_sandbox/{path}"
    return requests.request(method, url, json=content, timeout=LIMIT)


def only_webhook(offices: Offices) -> Received:
    (received,) = offices.received()
    return received


class TestVerifying:
    def test_a_webhook_with_a_valid_signature_is_accepted_and_kept(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)

        response = send(offices)

        assert response.status_code == 200
        received = only_webhook(offices)
        assert (received.office, received.webhook_id, received.status) == ("berlin", "msg_1", 200)
        assert (received.verified, received.reason) == (True, "")
        assert received.body.decode() == BODY
        assert received.headers["content-type"] == "application/json"

    @pytest.mark.parametrize("known", [[SECRET], [OTHER_SECRET], [SECRET, OTHER_SECRET]])
    def test_one_of_several_signatures_is_enough(self, offices: Offices, known: list[str]) -> None:
        offices.trust("berlin", *known)

        assert send(offices, headers=signed(SECRET, OTHER_SECRET)).status_code == 200
        assert only_webhook(offices).verified

    def test_one_of_several_secrets_is_enough(self, offices: Offices) -> None:
        offices.trust("berlin", OTHER_SECRET, SECRET)

        assert send(offices, headers=signed(SECRET)).status_code == 200

    def test_a_new_secret_replaces_the_previous_one(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)
        offices.trust("berlin", OTHER_SECRET)

        assert send(offices, headers=signed(SECRET)).status_code == 401

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"webhook-id": "msg_2"}, "No matching signature found"),
            ({"webhook-timestamp": "1"}, "Message timestamp too old"),
            ({"webhook-timestamp": "99999999999"}, "Message timestamp too new"),
            ({"webhook-timestamp": "now"}, "Invalid Signature Headers"),
            ({"webhook-signature": "v1,AAAA"}, "No matching signature found"),
            ({"webhook-signature": "nonsense"}, "The signature or the body cannot be decoded"),
            ({"webhook-signature": "v1,A"}, "The signature or the body cannot be decoded"),
            ({"webhook-signature": ""}, "Missing required headers"),
        ],
    )
    def test_the_answer_says_what_is_wrong_with_a_signature(
        self, offices: Offices, change: dict[str, str], reason: str
    ) -> None:
        offices.trust("berlin", SECRET)

        response = send(offices, headers=signed(SECRET) | change)

        assert (response.status_code, response.json()) == (401, {"message": reason})
        assert (only_webhook(offices).verified, only_webhook(offices).reason) == (False, reason)

    @pytest.mark.parametrize("body", [BODY + " ", b"\xff\xfe", b""])
    def test_a_body_other_than_the_signed_one_is_refused(
        self, offices: Offices, body: str | bytes
    ) -> None:
        offices.trust("berlin", SECRET)

        assert send(offices, body=body).status_code == 401
        assert not only_webhook(offices).verified

    def test_an_old_webhook_is_refused(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)

        assert send(offices, headers=signed(SECRET, age=400)).status_code == 401

    def test_an_office_without_a_secret_accepts_everything_and_verifies_nothing(
        self, offices: Offices
    ) -> None:
        assert send(offices).status_code == 200
        assert (only_webhook(offices).verified, only_webhook(offices).reason) == (
            False,
            "no secret is known",
        )

    def test_each_office_has_its_own_secrets_and_webhooks(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)
        offices.trust("São Paulo/2", OTHER_SECRET)

        assert send(offices, "berlin").status_code == 200
        assert send(offices, "São Paulo/2", signed(OTHER_SECRET)).status_code == 200
        assert send(offices, "São Paulo/2", signed(SECRET)).status_code == 401

        assert [one.verified for one in offices.received("berlin")] == [True]
        assert [one.verified for one in offices.received("São Paulo/2")] == [True, False]

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_ä", "whsec_A"])
    def test_a_malformed_secret_is_refused(self, offices: Offices, secret: str) -> None:
        with pytest.raises(ValueError, match="a secret looks like whsec_"):
            offices.trust("berlin", secret)


class TestKeeping:
    def test_webhooks_are_kept_in_the_order_in_which_they_came(self, offices: Offices) -> None:
        for number in range(3):
            send(offices, headers=signed(SECRET, webhook_id=f"msg_{number}"))

        assert [one.webhook_id for one in offices.received()] == ["msg_0", "msg_1", "msg_2"]
        times = [one.at for one in offices.received()]
        assert times == sorted(times)

    def test_no_webhook_of_many_senders_is_missed(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)
        with ThreadPoolExecutor(8) as senders:
            list(senders.map(lambda _: send(offices), range(80)))

        assert [one.verified for one in offices.received("berlin")] == [True] * 80

    def test_the_webhooks_of_one_office_or_of_all_can_be_deleted(self, offices: Offices) -> None:
        send(offices, "berlin")
        send(offices, "paris")
        offices.clear("berlin")
        assert [one.office for one in offices.received()] == ["paris"]
        offices.clear()
        assert offices.received() == []


class TestMisbehaving:
    @pytest.mark.parametrize("status", [202, 404, 410, 500, 503])
    def test_any_status_can_be_ordered(self, offices: Offices, status: int) -> None:
        offices.order(OfficeFault.STATUS, status=status)

        assert send(offices).status_code == status
        assert only_webhook(offices).status == status

    def test_retry_after_comes_with_a_status(self, offices: Offices) -> None:
        offices.order(OfficeFault.STATUS, status=429, retry_after=7)

        assert send(offices).headers["Retry-After"] == "7"

    def test_a_redirect_leads_to_another_office_unless_a_location_is_given(
        self, offices: Offices
    ) -> None:
        offices.order(OfficeFault.REDIRECT, office="berlin", times=1)
        offices.order(OfficeFault.REDIRECT, status=302, location="http://169.254.169.254/")

        first, second = send(offices), send(offices)

        assert (first.status_code, second.status_code) == (307, 302)
        assert second.headers["Location"] == "http://169.254.169.254/"
        offices.behave()
        requests.post(offices.origin + first.headers["Location"], timeout=LIMIT)
        assert offices.received()[-1].office == "berlin-redirected"

    def test_a_silent_office_does_not_delay_others(self, offices: Offices) -> None:
        offices.order(OfficeFault.TIMEOUT, office="berlin")
        with pytest.raises(requests.ReadTimeout):
            send(offices, timeout=0.2)

        until(lambda: offices.received("berlin"))
        assert send(offices, "paris").status_code == 200
        assert offices.received("berlin")[0].status is None

    def test_the_connection_can_be_closed_without_an_answer(self, offices: Offices) -> None:
        offices.order(OfficeFault.DISCONNECT)

        with pytest.raises(requests.ConnectionError):
            send(offices)

    def test_an_answer_need_not_be_http(self, offices: Offices) -> None:
        offices.order(OfficeFault.NO_HTTP)

        with pytest.raises(requests.ConnectionError, match="BadStatusLine"):
            send(offices)

    def test_an_answer_can_drip_from_its_first_byte(self, offices: Offices) -> None:
        offices.order(OfficeFault.DRIP, seconds=60)
        host, port = offices.origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT) as client:
            client.sendall(b"POST /offices/berlin/webhooks HTTP/1.1\r\n\r\n")
            assert client.recv(100) == b"H"

    def test_a_dripping_answer_is_whole_in_the_end(self, offices: Offices) -> None:
        offices.order(OfficeFault.DRIP, seconds=0.0005)

        assert send(offices).json() == {"message": "received"}

    def test_an_answer_can_be_late_and_wrong(self, offices: Offices) -> None:
        offices.order(OfficeFault.LATENCY, office="berlin", seconds=60)
        offices.order(OfficeFault.STATUS, office="berlin", status=404)
        with pytest.raises(requests.ReadTimeout):
            send(offices, timeout=0.2)
        offices.behave()
        offices.order(OfficeFault.LATENCY, office="berlin", seconds=0.05)
        offices.order(OfficeFault.STATUS, office="berlin", status=404)

        assert send(offices).status_code == 404

    def test_orders_apply_to_one_office_and_a_number_of_times(self, offices: Offices) -> None:
        offices.order(OfficeFault.STATUS, office="berlin", status=500, times=2)
        offices.order(OfficeFault.STATUS, office="paris", status=410)

        assert [send(offices).status_code for _ in range(3)] == [500, 500, 200]
        assert [send(offices, "paris").status_code for _ in range(3)] == [410] * 3
        offices.behave(office="paris")
        assert send(offices, "paris").status_code == 200

    @pytest.mark.parametrize(
        ("fault", "options", "message"),
        [
            ("rain", {}, "fault must be one of latency, status"),
            ("latency", {}, "latency needs seconds"),
            ("status", {"status": 99}, "status must be one of 200"),
            ("status", {"status": 100}, "status must be one of 200"),
            ("redirect", {"status": 200}, "status must be one of 301"),
            ("status", {"location": "/"}, "status takes no location"),
            ("timeout", {"status": 500}, "timeout takes no status"),
            ("redirect", {"location": "/\r\nX: y"}, "location must be a string"),
            ("timeout", {"office": 7}, "office must be a string"),
            ("redirect", {"retry_after": 1}, "redirect takes no retry_after"),
        ],
    )
    def test_an_order_that_makes_no_sense_is_refused(
        self, offices: Offices, fault: str, options: dict[str, Any], message: str
    ) -> None:
        response = control(offices, "POST", "orders", {"fault": fault, **options})
        assert response.status_code == 400
        assert message in response.json()["message"]
        with pytest.raises(ValueError, match=message):
            offices.order(fault, **options)  # type: ignore[arg-type]  # that is the point
        assert offices.orders.to_json() == []


class TestControlOverHttp:
    def test_secrets_can_be_set_and_counted(self, offices: Offices) -> None:
        content = {"office": "berlin", "secrets": [SECRET, OTHER_SECRET]}
        assert control(offices, "POST", "secrets", content).status_code == 204
        assert control(offices, "GET", "secrets").json() == {"secrets": {"berlin": 2}}
        assert send(offices, headers=signed(OTHER_SECRET)).status_code == 200

    def test_webhooks_can_be_listed_counted_and_deleted(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)
        send(offices)
        send(offices, "paris")

        listed = control(offices, "GET", "webhooks?office=berlin").json()
        (one,) = listed["webhooks"]
        assert dt.datetime.fromisoformat(one.pop("at")).tzinfo is not None
        headers = one.pop("headers")
        assert one == {
            "office": "berlin",
            "webhook_id": "msg_1",
            "webhook_timestamp": headers["webhook-timestamp"],
            "verified": True,
            "reason": "",
            "status": 200,
            "body": BODY,
        }
        assert control(offices, "GET", "webhooks?count=1").json() == {"count": 2}
        assert control(offices, "DELETE", "webhooks?office=berlin").status_code == 204
        assert control(offices, "GET", "webhooks?count=1").json() == {"count": 1}

    def test_an_office_shows_its_own_webhooks_where_it_gets_them(self, offices: Offices) -> None:
        send(offices, "São Paulo/2")
        send(offices, "paris")

        shown = requests.get(offices.url("São Paulo/2"), timeout=LIMIT).json()

        assert [one["office"] for one in shown["webhooks"]] == ["São Paulo/2"]

    def test_orders_can_be_added_listed_and_cancelled(self, offices: Offices) -> None:
        order = {"fault": "status", "office": "berlin", "times": 3, "status": 429, "retry_after": 1}
        response = control(offices, "POST", "orders", order)
        assert (response.status_code, response.json()) == (201, order)
        assert send(offices).status_code == 429
        assert control(offices, "GET", "orders").json() == {"orders": [order | {"times": 2}]}
        assert control(offices, "DELETE", "orders?office=paris").status_code == 204
        assert send(offices).status_code == 429
        assert control(offices, "DELETE", "orders").status_code == 204
        assert send(offices).status_code == 200

    @pytest.mark.parametrize(
        "content",
        [
            [],
            {"office": "berlin"},
            {"office": "berlin", "secrets": SECRET},
            {"office": 7, "secrets": [SECRET]},
            {"office": "berlin", "secrets": [7]},
            {"office": "berlin", "secrets": ["whsec_"]},
            {"office": "berlin", "secrets": [SECRET], "more": 1},
        ],
    )
    def test_a_malformed_request_to_set_secrets_is_refused(
        self, offices: Offices, content: object
    ) -> None:
        response = control(offices, "POST", "secrets", content)
        assert response.status_code == 400
        assert "whsec_" in response.json()["message"]
        assert control(offices, "GET", "secrets").json() == {"secrets": {}}

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("DELETE", "/offices/berlin/webhooks", 405),
            ("POST", "/offices/berlin", 404),
            ("GET", "/elsewhere", 404),
            ("GET", "/_sandbox/weather", 404),
        ],
    )
    def test_unknown_paths_and_methods_are_refused(
        self, offices: Offices, method: str, path: str, status: int
    ) -> None:
        response = requests.request(method, offices.origin + path, timeout=LIMIT)
        assert response.status_code == status
        assert response.json()["message"]
        assert offices.received() == []


class TestPages:
    def test_the_first_page_leads_to_every_office(self, offices: Offices) -> None:
        offices.trust("paris", SECRET)
        send(offices, "<b>&")

        page = requests.get(offices.origin, timeout=LIMIT)

        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert '<a href="/offices/%3Cb%3E%26">&lt;b&gt;&amp;</a>' in page.text
        assert '<a href="/offices/paris">' in page.text

    def test_an_offices_page_shows_its_webhooks_and_escapes_them(self, offices: Offices) -> None:
        offices.trust("berlin", SECRET)
        send(offices)
        send(offices, headers=signed(SECRET) | {"webhook-id": "<i>"}, body="<script>")

        page = requests.get(f"{offices.origin}/offices/berlin", timeout=LIMIT).text

        assert "msg_1" in page
        assert "no: No matching signature found" in page
        assert "&lt;script&gt;" in page
        assert "<script>" not in page
        assert "<i>" not in page


@pytest.mark.processes
class TestCommandLine:
    def test_the_sandbox_serves_offices_until_a_signal(self) -> None:
        command = [sys.executable, "-m", "sandbox", "offices", "--port", "0"]
        command += ["--secret", f"berlin={OTHER_SECRET}", "--secret", f"berlin={SECRET}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip().replace("NAME", "berlin")
            response = requests.post(url, data=BODY.encode(), headers=signed(SECRET), timeout=LIMIT)
            assert response.status_code == 200
            (shown,) = requests.get(url, timeout=LIMIT).json()["webhooks"]
            assert shown["verified"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0

    @pytest.mark.parametrize("secret", ["berlin", "berlin=whsec_"])
    def test_the_command_refuses_a_malformed_secret(self, secret: str) -> None:
        command = [sys.executable, "-m", "sandbox", "offices", "--port", "0", "--secret", secret]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        assert ended.returncode == 2
        assert "whsec_" in ended.stderr


def test_bodies_are_kept_byte_for_byte(offices: Offices) -> None:
    send(offices, body=json.dumps({"a": 1}, indent=3))
    assert only_webhook(offices).body == b'{\n   "a": 1\n}'
