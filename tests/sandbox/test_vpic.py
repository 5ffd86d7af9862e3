"""The fake vPIC API, as its clients see it on the wire."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Catalogue, Fault, Vpic
from tests.support.limits import LIMIT
from tests.support.processes import until

HONDA = 474
TOYOTA = 448
CSV = "make_id,make_name,model_id,model_name\n7,Tiny,70,One\n7,Tiny,71,Two\n"


@pytest.fixture
def vpic() -> Iterator[Vpic]:
    with Vpic() as vpic:
        yield vpic


def get(vpic: Vpic, path: str, *, timeout: float = LIMIT) -> requests.Response:
    return requests.get(f"{vpic.url}/vehicles/{path}", timeout=timeout)


def models(vpic: Vpic, make_id: int | str = HONDA, *, timeout: float = LIMIT) -> requests.Response:
    return get(vpic, f"GetModelsForMakeId/{make_id}?format=json", timeout=timeout)


def control(vpic: Vpic, method: str, path: str, data: str | None = None) -> requests.Response:
    return requests.request(method, f"{vpic.origin}/_sandbox/{path}", data=data, timeout=LIMIT)


def assert_envelope(envelope: dict[str, Any]) -> None:
    assert list(envelope) == ["Count", "Message", "SearchCriteria", "Results"]
    assert envelope["Count"] == len(envelope["Results"])


class TestNormalAnswers:
    def test_models_come_in_the_shape_of_the_real_api(self, vpic: Vpic) -> None:
        response = models(vpic)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert_envelope(response.json())
        assert response.json()["SearchCriteria"] == "MakeId:474"
        assert response.json()["Results"][0] == {
            "Make_ID": HONDA,
            "Make_Name": "Honda",
            "Model_ID": 1861,
            "Model_Name": "Accord",
        }

    def test_all_makes_come_in_upper_case_with_their_blanks(self, vpic: Vpic) -> None:
        envelope = get(vpic, "GetAllMakes?format=json").json()
        assert_envelope(envelope)
        assert {"Make_ID": HONDA, "Make_Name": "HONDA"} in envelope["Results"]
        assert {"Make_ID": 542, "Make_Name": "ISUZU "} in envelope["Results"]
        assert len(envelope["Results"]) == 11

    def test_names_that_are_not_ascii_are_sent_as_utf_8(self, vpic: Vpic) -> None:
        assert "Nürburgring".encode() in models(vpic, 515).content

    def test_routes_ignore_case_as_the_real_ones_do(self, vpic: Vpic) -> None:
        response = get(vpic, "getmodelsformakeid/474?format=JSON")
        assert response.json() == models(vpic).json()

    def test_an_unknown_make_has_an_empty_answer(self, vpic: Vpic) -> None:
        response = models(vpic, 999999)
        assert response.status_code == 200
        assert_envelope(response.json())
        assert response.json()["Results"] == []

    def test_make_0_gives_the_models_of_all_makes(self, vpic: Vpic) -> None:
        rows = models(vpic, 0).json()["Results"]
        assert len({row["Make_ID"] for row in rows}) == 11

    @pytest.mark.parametrize("make_id", ["honda", "4.5", "99999999999", "²"])
    def test_an_id_that_is_no_integer_is_a_bad_request(self, vpic: Vpic, make_id: str) -> None:
        response = models(vpic, make_id)
        assert response.status_code == 400
        assert list(response.json()) == ["message", "messageDetail"]

    def test_an_unknown_route_is_not_found(self, vpic: Vpic) -> None:
        response = get(vpic, "GetNothing?format=json")
        assert response.status_code == 404
        assert "GetNothing" in response.json()["message"]
        assert list(response.json()) == ["message", "messageDetail"]

    def test_only_get_is_allowed(self, vpic: Vpic) -> None:
        url = f"{vpic.url}/vehicles/GetAllMakes?format=json"
        assert requests.post(url, timeout=LIMIT).status_code == 405

    def test_without_format_json_the_answer_is_xml(self, vpic: Vpic) -> None:
        response = get(vpic, "GetModelsForMakeId/474")
        assert response.headers["Content-Type"].startswith("application/xml")
        assert "<Model_Name>Accord</Model_Name>" in response.text
        with pytest.raises(requests.JSONDecodeError):
            response.json()

    def test_other_data_can_be_served_at_run_time(self, vpic: Vpic, tmp_path: Path) -> None:
        (tmp_path / "models.csv").write_text(CSV, encoding="utf-8")
        assert models(vpic).json()["Count"] > 2
        vpic.serve(Catalogue.from_csv(tmp_path / "models.csv"))
        assert models(vpic).json()["Count"] == 0
        assert [row["Model_Name"] for row in models(vpic, 7).json()["Results"]] == ["One", "Two"]


class TestConnections:
    def test_one_connection_serves_many_requests(self, vpic: Vpic) -> None:
        request = (
            b"GET /api/vehicles/GetModelsForMakeId/474?format=json HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        body = models(vpic).content
        with _connect(vpic) as client:
            for _ in range(3):
                client.sendall(request)
                assert _read_until(client, body).endswith(body)

    def test_requests_sent_ahead_are_answered_in_order(self, vpic: Vpic) -> None:
        vpic.order(Fault.LATENCY, make_id=HONDA, seconds=0.05)
        requests_ = "".join(
            f"GET /api/vehicles/GetModelsForMakeId/{make_id}?format=json HTTP/1.1\r\n\r\n"
            for make_id in (HONDA, TOYOTA, HONDA)
        )
        with _connect(vpic) as client:
            client.sendall(requests_.encode())
            seen = ""
            while len(found := re.findall("MakeId:([0-9]+)", seen)) < 3:
                seen += client.recv(65_536).decode()
        assert found == ["474", "448", "474"]

    def test_the_connection_is_closed_if_the_client_wants_it(self, vpic: Vpic) -> None:
        with _connect(vpic) as client:
            client.sendall(b"GET /api/x HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert _read_to_end(client).startswith(b"HTTP/1.1 404 ")

    @pytest.mark.parametrize(
        "nonsense", [b"hello\r\n\r\n", b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]
    )
    def test_what_cannot_be_read_is_a_bad_request(self, vpic: Vpic, nonsense: bytes) -> None:
        with _connect(vpic) as client:
            client.sendall(nonsense)
            assert _read_to_end(client).startswith(b"HTTP/1.1 400 ")

    def test_a_taken_port_is_an_error_at_once(self, vpic: Vpic) -> None:
        port = int(vpic.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Vpic(port=port).start()

    def test_the_server_can_be_down_for_a_while(self, vpic: Vpic) -> None:
        url = vpic.url
        vpic.stop()
        with pytest.raises(requests.ConnectionError):
            models(vpic)
        vpic.start()
        assert vpic.url == url
        assert models(vpic).status_code == 200


class TestFaults:
    def test_latency_delays_the_answers_but_not_one_after_the_other(self, vpic: Vpic) -> None:
        vpic.order(Fault.LATENCY, seconds=LIMIT)
        with ThreadPoolExecutor(16) as clients:
            answers = [clients.submit(models, vpic) for _ in range(16)]
            _wait_for_requests(vpic, 16)  # all wait at the same time
            assert not any(answer.done() for answer in answers)
            vpic.release()
            assert {answer.result().status_code for answer in answers} == {200}

    def test_released_answers_are_followed_by_delayed_ones_unless_it_behaves(
        self, vpic: Vpic
    ) -> None:
        vpic.order(Fault.LATENCY, seconds=LIMIT)
        with ThreadPoolExecutor(1) as clients:
            for count in (1, 2):
                answer = clients.submit(models, vpic)
                _wait_for_requests(vpic, count)
                assert not answer.done()
                vpic.release()
                assert answer.result().status_code == 200
        vpic.behave()
        assert models(vpic).status_code == 200

    def test_forbidden_is_an_html_page_with_403(self, vpic: Vpic) -> None:
        vpic.order(Fault.FORBIDDEN)
        response = models(vpic)
        assert response.status_code == 403
        assert response.headers["Content-Type"] == "text/html"
        assert "Access Denied" in response.text

    @pytest.mark.parametrize("retry_after", [None, 0, 3])
    def test_too_many_requests_says_when_to_retry_if_ordered(
        self, vpic: Vpic, retry_after: int | None
    ) -> None:
        vpic.order(Fault.TOO_MANY_REQUESTS, retry_after=retry_after)
        response = models(vpic)
        assert response.status_code == 429
        expected = None if retry_after is None else str(retry_after)
        assert response.headers.get("Retry-After") == expected

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_server_error_has_the_ordered_status(self, vpic: Vpic, status: int) -> None:
        vpic.order(Fault.SERVER_ERROR, status=status, retry_after=2)
        response = models(vpic)
        assert response.status_code == status
        assert response.headers["Retry-After"] == "2"

    def test_timeout_never_answers_and_does_not_hold_up_others(self, vpic: Vpic) -> None:
        vpic.order(Fault.TIMEOUT, make_id=HONDA)
        with pytest.raises(requests.ReadTimeout):
            models(vpic, timeout=0.2)
        assert models(vpic, TOYOTA).status_code == 200

    def test_timeout_does_not_keep_the_server_from_stopping(self) -> None:
        with Vpic() as vpic, ThreadPoolExecutor(1) as client:
            vpic.order(Fault.TIMEOUT)
            waiting = client.submit(models, vpic)
            _wait_for_requests(vpic, 1)
            vpic.stop()
            with pytest.raises(requests.ConnectionError):
                waiting.result()

    def test_disconnect_closes_the_connection_without_an_answer(self, vpic: Vpic) -> None:
        vpic.order(Fault.DISCONNECT)
        with _connect(vpic) as client:
            client.sendall(b"GET /api/vehicles/GetAllMakes?format=json HTTP/1.1\r\n\r\n")
            assert _read_to_end(client) == b""
        assert [request.status for request in vpic.requests] == [None]

    def test_html_comes_with_status_200(self, vpic: Vpic) -> None:
        vpic.order(Fault.HTML)
        response = models(vpic)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/html"
        assert response.text.startswith("<!DOCTYPE html>")

    def test_broken_json_is_cut_off_but_complete_as_http(self, vpic: Vpic) -> None:
        vpic.order(Fault.BROKEN_JSON)
        response = models(vpic)
        assert response.status_code == 200
        assert len(response.content) == int(response.headers["Content-Length"])
        with pytest.raises(requests.JSONDecodeError):
            response.json()

    def test_wrong_shape_is_json_without_results(self, vpic: Vpic) -> None:
        vpic.order(Fault.WRONG_SHAPE)
        response = models(vpic)
        assert response.status_code == 200
        assert "Results" not in response.json()

    def test_empty_is_a_well_formed_envelope_without_rows(self, vpic: Vpic) -> None:
        vpic.order(Fault.EMPTY)
        envelope = models(vpic).json()
        assert_envelope(envelope)
        assert envelope["Results"] == []

    def test_truncated_has_fewer_rows_than_it_counts(self, vpic: Vpic) -> None:
        full = models(vpic).json()
        vpic.order(Fault.TRUNCATED)
        cut = models(vpic).json()
        assert cut["Count"] == full["Count"] == len(full["Results"])
        assert 0 < len(cut["Results"]) < cut["Count"]

    def test_foreign_make_has_one_row_of_another_make(self, vpic: Vpic) -> None:
        vpic.order(Fault.FOREIGN_MAKE)
        envelope = models(vpic).json()
        assert_envelope(envelope)
        assert [row["Make_ID"] == HONDA for row in envelope["Results"]].count(False) == 1

    def test_duplicate_id_has_one_id_twice_under_two_names(self, vpic: Vpic) -> None:
        vpic.order(Fault.DUPLICATE_ID)
        envelope = models(vpic).json()
        assert_envelope(envelope)
        *rows, one, other = envelope["Results"]
        assert one["Model_ID"] == other["Model_ID"]
        assert one["Model_Name"] != other["Model_Name"]
        assert len({row["Model_ID"] for row in rows} | {one["Model_ID"]}) == len(rows) + 1

    def test_blank_name_has_one_name_of_blanks(self, vpic: Vpic) -> None:
        vpic.order(Fault.BLANK_NAME)
        envelope = models(vpic).json()
        assert_envelope(envelope)
        assert [row["Model_Name"].strip() for row in envelope["Results"]].count("") == 1

    def test_rows_of_all_makes_can_be_spoilt_too(self, vpic: Vpic) -> None:
        vpic.order(Fault.BLANK_NAME)
        envelope = get(vpic, "GetAllMakes?format=json").json()
        assert [row["Make_Name"].strip() for row in envelope["Results"]].count("") == 1

    def test_drip_sends_a_correct_answer_byte_by_byte(self, vpic: Vpic) -> None:
        vpic.serve(Catalogue({7: "Tiny"}, {}))
        vpic.order(Fault.DRIP, seconds=0.001)
        with requests.get(
            f"{vpic.url}/vehicles/GetAllMakes", timeout=LIMIT, stream=True
        ) as response:
            pieces = list(response.raw.stream(amt=None))
        assert b"".join(pieces).endswith(b"</Response>")

    def test_drip_can_be_too_slow_to_wait_for(self, vpic: Vpic) -> None:
        vpic.order(Fault.DRIP, seconds=60)
        with _connect(vpic) as client:
            client.sendall(b"GET /api/vehicles/GetAllMakes?format=json HTTP/1.1\r\n\r\n")
            seen = _read_until(client, b"\r\n\r\n{")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert seen.startswith(b"HTTP/1.1 200 ")

    def test_huge_is_many_megabytes_of_valid_json(self, vpic: Vpic) -> None:
        vpic.order(Fault.HUGE)
        response = models(vpic)
        assert len(response.content) > 10_000_000
        assert_envelope(json.loads(response.content))

    @pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.BLANK_NAME, Fault.WRONG_SHAPE])
    def test_an_answer_without_envelope_stays_as_it_is(self, vpic: Vpic, fault: Fault) -> None:
        vpic.order(fault)
        assert models(vpic, "honda").status_code == 400


class TestOrders:
    def test_an_order_for_a_make_leaves_other_makes_alone(self, vpic: Vpic) -> None:
        vpic.order(Fault.FORBIDDEN, make_id=TOYOTA)
        vpic.order(Fault.SERVER_ERROR, make_id=HONDA)
        assert models(vpic, TOYOTA).status_code == 403
        assert models(vpic, HONDA).status_code == 503
        assert models(vpic, 523).status_code == 200
        assert get(vpic, "GetAllMakes?format=json").status_code == 200

    def test_an_order_runs_out_after_its_times(self, vpic: Vpic) -> None:
        vpic.order(Fault.FORBIDDEN, make_id=HONDA, times=2)
        assert [models(vpic).status_code for _ in range(4)] == [403, 403, 200, 200]

    def test_orders_with_times_come_one_after_the_other_and_then_the_standing_one(
        self, vpic: Vpic
    ) -> None:
        vpic.order(Fault.FORBIDDEN)
        vpic.order(Fault.TOO_MANY_REQUESTS, times=2)
        vpic.order(Fault.SERVER_ERROR, times=1)
        assert [models(vpic).status_code for _ in range(5)] == [429, 429, 503, 403, 403]

    def test_a_standing_order_replaces_the_one_before(self, vpic: Vpic) -> None:
        vpic.order(Fault.FORBIDDEN)
        vpic.order(Fault.SERVER_ERROR, status=500)
        assert models(vpic).status_code == 500
        assert len(vpic.orders.to_json()) == 1

    def test_an_order_for_a_make_goes_before_one_for_all(self, vpic: Vpic) -> None:
        vpic.order(Fault.FORBIDDEN, make_id=HONDA)
        vpic.order(Fault.SERVER_ERROR)
        assert models(vpic, HONDA).status_code == 403
        assert models(vpic, TOYOTA).status_code == 503

    def test_latency_goes_together_with_another_fault(self, vpic: Vpic) -> None:
        vpic.order(Fault.LATENCY, seconds=0.1)
        vpic.order(Fault.FORBIDDEN)
        start = time.monotonic()
        assert models(vpic).status_code == 403
        assert time.monotonic() - start >= 0.1

    def test_behave_cancels_the_orders_of_one_make_or_of_all(self, vpic: Vpic) -> None:
        vpic.order(Fault.FORBIDDEN, make_id=HONDA)
        vpic.order(Fault.FORBIDDEN, make_id=TOYOTA)
        vpic.behave(make_id=HONDA)
        assert [models(vpic, make_id).status_code for make_id in (HONDA, TOYOTA)] == [200, 403]
        vpic.behave()
        assert models(vpic, TOYOTA).status_code == 200

    @pytest.mark.parametrize(
        ("fault", "options", "message"),
        [
            ("rain", {}, "fault must be one of"),
            ("latency", {}, "latency needs seconds"),
            ("latency", {"seconds": -1}, "seconds must be"),
            ("latency", {"seconds": float("nan")}, "seconds must be"),
            ("forbidden", {"status": 500}, "takes no status"),
            ("forbidden", {"times": 0}, "times must be"),
            ("server_error", {"status": 404}, "status must be"),
            ("html", {"make_id": "448"}, "make_id must be"),
        ],
    )
    def test_an_order_that_makes_no_sense_is_refused(
        self, vpic: Vpic, fault: str, options: dict[str, Any], message: str
    ) -> None:
        response = control(vpic, "POST", "orders", json.dumps({"fault": fault, **options}))
        assert response.status_code == 400
        assert message in response.json()["message"]
        with pytest.raises(ValueError, match=message):
            vpic.order(fault, **options)  # type: ignore[arg-type]
        assert vpic.orders.to_json() == []


class TestRequestLog:
    def test_the_log_has_time_path_make_and_status_of_each_request(self, vpic: Vpic) -> None:
        before = time.monotonic()
        vpic.order(Fault.FORBIDDEN, make_id=TOYOTA)
        models(vpic, HONDA)
        models(vpic, TOYOTA)
        get(vpic, "GetAllMakes?format=json")
        logged = [(request.path, request.make_id, request.status) for request in vpic.requests]
        assert logged == [
            ("/api/vehicles/GetModelsForMakeId/474?format=json", HONDA, 200),
            ("/api/vehicles/GetModelsForMakeId/448?format=json", TOYOTA, 403),
            ("/api/vehicles/GetAllMakes?format=json", None, 200),
        ]
        times = [before, *(request.at for request in vpic.requests), time.monotonic()]
        assert times == sorted(times)

    def test_the_log_has_every_request_of_many_clients(self, vpic: Vpic) -> None:
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: models(vpic), range(80)))
        assert vpic.request_count == len(vpic.requests) == 80

    def test_the_log_can_be_cleared(self, vpic: Vpic) -> None:
        models(vpic)
        vpic.clear_requests()
        assert vpic.requests == []


class TestControlOverHttp:
    def test_requests_can_be_listed_counted_and_deleted(self, vpic: Vpic) -> None:
        models(vpic)
        listing = control(vpic, "GET", "requests").json()
        assert listing["count"] == 1
        assert listing["requests"][0].keys() == {"at", "path", "make_id", "status"}
        assert control(vpic, "GET", "requests?count=1").json() == {"count": 1}
        assert control(vpic, "DELETE", "requests").status_code == 204
        assert control(vpic, "GET", "requests?count=1").json() == {"count": 0}

    def test_orders_can_be_added_listed_and_cancelled(self, vpic: Vpic) -> None:
        order = {"fault": "too_many_requests", "make_id": 448, "times": 3, "retry_after": 1}
        response = control(vpic, "POST", "orders", json.dumps(order))
        assert (response.status_code, response.json()) == (201, order)
        assert models(vpic, TOYOTA).status_code == 429
        assert control(vpic, "GET", "orders").json() == {"orders": [{**order, "times": 2}]}
        assert control(vpic, "DELETE", "orders?make_id=474").status_code == 204
        assert models(vpic, TOYOTA).status_code == 429
        assert control(vpic, "DELETE", "orders").status_code == 204
        assert models(vpic, TOYOTA).status_code == 200

    def test_data_can_be_replaced(self, vpic: Vpic) -> None:
        response = control(vpic, "PUT", "data", CSV)
        assert (response.status_code, response.json()) == (200, {"makes": 1, "models": 2})
        assert models(vpic, 7).json()["Count"] == 2

    @pytest.mark.parametrize(
        ("method", "path", "data", "status", "message"),
        [
            ("POST", "orders", "[]", 400, "an order is a JSON object"),
            ("POST", "orders", "no JSON", 400, "Expecting value"),
            ("POST", "orders", '{"make_id": 448}', 400, "an order needs a fault"),
            ("POST", "orders", '{"fault": "html", "make": 448}', 400, "an order has no make"),
            ("DELETE", "orders?make_id=", None, 400, "make_id must be"),
            ("PUT", "data", "make_id,name\n", 400, "lacks the columns make_name"),
            ("PUT", "data", CSV + "8,Big\n", 400, "line 4: has too few columns"),
            ("PUT", "data", CSV + "x,Big,80,One\n", 400, "line 4: "),
            ("PUT", "orders", None, 405, "orders takes GET, POST, DELETE"),
            ("GET", "weather", None, 404, "there are requests, orders, data"),
        ],
    )
    def test_wrong_commands_are_refused_with_a_reason(
        self, vpic: Vpic, method: str, path: str, data: str | None, status: int, message: str
    ) -> None:
        response = control(vpic, method, path, data)
        assert response.status_code == status
        assert message in response.json()["message"]

    def test_orders_do_not_concern_the_control_interface(self, vpic: Vpic) -> None:
        vpic.order(Fault.DISCONNECT)
        assert control(vpic, "GET", "orders").status_code == 200
        assert vpic.request_count == 0


class TestCatalogue:
    def test_models_are_made_up_for_recorded_makes_with_unique_ids(self, tmp_path: Path) -> None:
        rows = [{"Make_ID": make_id, "Make_Name": f"M{make_id} "} for make_id in (3, 7, 12)]
        (tmp_path / "makes.json").write_text(json.dumps({"Count": 3, "Results": rows}))
        catalogue = Catalogue.from_all_makes(tmp_path / "makes.json", models_per_make=5)
        assert catalogue.makes == {3: "M3 ", 7: "M7 ", 12: "M12 "}
        ids = [model_id for models in catalogue.models.values() for model_id, _ in models]
        assert len(set(ids)) == len(ids) == 15

    def test_a_made_up_catalogue_is_the_same_each_time(self) -> None:
        catalogue = Catalogue.made_up(makes=100, models_per_make=3)
        assert catalogue == Catalogue.made_up(makes=100, models_per_make=3)
        assert len(catalogue.makes) == 100

    def test_the_sample_catalogue_has_unique_model_ids(self) -> None:
        catalogue = Catalogue.sample()
        ids = [model_id for models in catalogue.models.values() for model_id, _ in models]
        assert len(set(ids)) == len(ids) > 100
        assert (1864, "Pilot") in catalogue.models[HONDA]


@pytest.mark.processes
class TestCommandLine:
    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
    def test_the_sandbox_serves_until_a_signal_even_with_a_request_waiting(
        self, ending: signal.Signals
    ) -> None:
        command = [sys.executable, "-m", "sandbox", "vpic", "--port", "0", "--latency", "60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip().removeprefix("NHTSA_URL=")
            with pytest.raises(requests.ReadTimeout):
                requests.get(f"{url}/vehicles/GetAllMakes?format=json", timeout=0.1)
            process.send_signal(ending)
            assert process.wait(LIMIT) == 0


def _connect(vpic: Vpic) -> socket.socket:
    host, port = vpic.origin.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=LIMIT)


def _read_until(client: socket.socket, end: bytes) -> bytes:
    seen = b""
    while end not in seen:
        piece = client.recv(65_536)
        assert piece, "the connection was closed"
        seen += piece
    return seen


def _read_to_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


def _wait_for_requests(vpic: Vpic, count: int) -> None:
    until(lambda: vpic.request_count >= count)
