"""The client of vPIC, and every odd answer that it must not take for data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests_mock import Mocker

from automart.catalogue import nhtsa
from automart.catalogue.nhtsa import NhtsaClient, NhtsaError
from automart.catalogue.pacing import MARGIN, Pace, Pauses
from sandbox import Catalogue, Fault, Vpic

URL = "http://nhtsa.example/api"
MODELS = f"{URL}/vehicles/GetModelsForMakeId/441?format=json"
TESLA = [{"Make_ID": 441, "Make_Name": "TESLA", "Model_ID": 1685, "Model_Name": "Model S"}]


@pytest.fixture
def client() -> Iterator[Any]:
    with NhtsaClient(URL, rate=0, connections=1) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a moment instead of a minute, and do not wait before the next try."""
    monkeypatch.setattr(nhtsa, "GIVE_UP_AFTER", 0.5)
    monkeypatch.setattr(nhtsa, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(nhtsa, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(Pace, "pause", lambda _pace, _seconds: None)


def envelope(rows: Any, **changes: Any) -> Any:
    answer = {
        "Count": len(rows),
        "Message": "Response returned successfully",
        "SearchCriteria": "Make:441",
        "Results": rows,
    }
    return answer | changes


def row(**changes: Any) -> Any:
    return TESLA[0] | changes


class TestGoodAnswers:
    def test_models_come_by_id_with_trimmed_names(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        rows = [row(), row(Model_ID=2, Model_Name="  Model Ü ")]
        requests_mock.get(MODELS, json=envelope(rows))

        assert client.models(441) == {1685: "Model S", 2: "Model Ü"}

    def test_json_is_known_by_its_content_whatever_the_header_says(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        headers = {"Content-Type": "text/html"}
        requests_mock.get(MODELS, text=json.dumps(envelope(TESLA)), headers=headers)

        assert client.models(441) == {1685: "Model S"}

    def test_makes_whose_name_changes_its_case_are_all_the_same(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        requests_mock.get(MODELS, json=envelope([row(Make_Name="Tesla"), row(Model_ID=2)]))

        assert len(client.models(441)) == 2

    def test_all_makes_come_by_id(self, client: NhtsaClient, requests_mock: Mocker) -> None:
        rows = [{"Make_ID": 1, "Make_Name": " ŠKODA "}, {"Make_ID": 2, "Make_Name": "BMW"}]
        requests_mock.get(f"{URL}/vehicles/GetAllMakes?format=json", json=envelope(rows))

        assert client.makes() == ({1: "ŠKODA", 2: "BMW"}, {})

    def test_odd_makes_do_not_spoil_the_others(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        rows = [
            {"Make_ID": 0, "Make_Name": "Zero"},
            {"Make_ID": "7", "Make_Name": "Text"},
            {"Make_Name": "Nameless id"},
            {"Make_ID": 3, "Make_Name": "  "},
            {"Make_ID": 4, "Make_Name": "x" * 300},
            {"Make_ID": 2, "Make_Name": "BMW"},
            {"Make_ID": 2, "Make_Name": "BMW again"},
        ]
        requests_mock.get(f"{URL}/vehicles/GetAllMakes?format=json", json=envelope(rows))

        names, refused = client.makes()

        assert names == {2: "BMW"}
        assert set(refused) == {"0", "'7'", "None", "3", "4", "2"}
        assert refused["3"] == "NHTSA's answer has no name for make 3."

    def test_the_request_names_who_asks(self, client: NhtsaClient, requests_mock: Mocker) -> None:
        requests_mock.get(MODELS, json=envelope(TESLA))
        client.models(441)

        headers = requests_mock.last_request.headers
        assert headers["User-Agent"] == "automart (vehicle catalogue sync)"
        assert headers["Accept"] == "application/json"

    @pytest.mark.parametrize(
        ("rate", "connections", "count"), [(50, 1, 1), (50, 4, 50), (0.5, 4, 1)]
    )
    def test_several_threads_reserve_the_requests_of_a_second_at_once(
        self, requests_mock: Mocker, rate: float, connections: int, count: int
    ) -> None:
        reserved = []

        class FreeSlots:
            """Slots that no other process reserves."""

            def reserve(self, wait: float, seconds: float) -> float:
                reserved.append(seconds)
                return wait

        requests_mock.get(MODELS, json=envelope(TESLA))
        with NhtsaClient(URL, rate=rate, connections=connections, slots=FreeSlots()) as client:
            client.models(441)
        assert reserved == pytest.approx([count * MARGIN / rate])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"text": "<html><title>Maintenance</title>"}, "is not JSON. It begins with '<html>"),
        ({"text": ""}, "is not JSON"),
        ({"text": '{"Count": 1, "Results": [{"Make_ID"'}, "is not JSON"),
        ({"content": b"\xff\xfe\x00"}, "is not JSON"),
        ({"text": "[" * 100_000}, "is not JSON"),
        ({"json": []}, "no list of results"),
        ({"text": "null"}, "no list of results"),
        ({"json": {"Count": 0}}, "no list of results"),
        ({"json": envelope([], Results=None)}, "no list of results"),
        ({"json": envelope([], Results={})}, "no list of results"),
        ({"json": envelope([1])}, "no list of results"),
        ({"json": envelope(TESLA, Count=361)}, "is truncated: it counts 361 and has 1"),
        ({"json": envelope(TESLA, Count=None)}, "is truncated"),
        ({"json": envelope([row(Make_ID=442)])}, "a model of another make (442)"),
        ({"json": envelope([{"Model_ID": 1, "Model_Name": "S"}])}, "of another make (None)"),
        ({"json": envelope(TESLA + TESLA)}, "model 1685 twice"),
        ({"json": envelope([row(Model_ID=0)])}, "a model with the id 0"),
        ({"json": envelope([row(Model_ID=-3)])}, "a model with the id -3"),
        ({"json": envelope([row(Model_ID=2**63)])}, "a model with the id"),
        ({"json": envelope([row(Model_ID="7")])}, "a model with the id '7'"),
        ({"json": envelope([row(Model_ID=True)])}, "a model with the id True"),
        ({"json": envelope([row(Model_ID=1.0)])}, "a model with the id 1.0"),
        ({"json": envelope([row(Model_Name="  ")])}, "no name for model 1685"),
        ({"json": envelope([row(Model_Name=None)])}, "no name for model 1685"),
        ({"json": envelope([row(Model_Name="S" * 256)])}, "more than 255 characters"),
        ({"json": envelope([row(Model_Name="S\x00S")])}, "control characters"),
        ({"json": envelope([row(Model_Name="S\ud800")])}, "control characters"),
        ({"status_code": 404, "json": {"message": "No HTTP resource was found"}}, "answered 404"),
        ({"status_code": 301, "headers": {"Location": "https://elsewhere/"}}, "answered 301"),
        ({"status_code": 204}, "answered 204"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_refused_at_once(
    client: NhtsaClient, requests_mock: Mocker, answer: Any, reason: str
) -> None:
    requests_mock.get(MODELS, **answer)

    with pytest.raises(NhtsaError) as refused:
        client.models(441)

    assert reason in str(refused.value)
    assert requests_mock.call_count == 1


class TestPassingTroubles:
    @pytest.mark.parametrize("status", [403, 429, 500, 502, 503, 504])
    def test_a_refusal_is_followed_by_another_try(
        self, client: NhtsaClient, requests_mock: Mocker, impatient: Any, status: int
    ) -> None:
        requests_mock.get(MODELS, [{"status_code": status}, {"json": envelope(TESLA)}])

        assert client.models(441) == {1685: "Model S"}

    @pytest.mark.parametrize(
        "error", [requests.ConnectTimeout, requests.ReadTimeout, requests.ConnectionError]
    )
    def test_a_failed_connection_is_followed_by_another_try(
        self, client: NhtsaClient, requests_mock: Mocker, impatient: Any, error: Any
    ) -> None:
        requests_mock.get(MODELS, [{"exc": error}, {"json": envelope(TESLA)}])

        assert client.models(441) == {1685: "Model S"}

    @pytest.mark.parametrize("status", [403, 429, 500, 503, 520])
    def test_a_lasting_refusal_is_given_up_with_its_status(
        self, client: NhtsaClient, requests_mock: Mocker, impatient: Any, status: int
    ) -> None:
        requests_mock.get(MODELS, status_code=status)

        with pytest.raises(NhtsaError, match=f"NHTSA answered {status}") as refused:
            client.models(441)

        assert refused.value.is_passing
        assert not refused.value.ends_run
        assert requests_mock.call_count > 2

    def test_a_pause_that_is_too_long_ends_all_requests_of_the_client(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        requests_mock.get(MODELS, status_code=429, headers={"Retry-After": "3600"})

        for _ in range(2):
            with pytest.raises(NhtsaError) as refused:
                client.models(441)
            assert refused.value.ends_run
            assert str(refused.value) == (
                "NHTSA answered 429 Too Many Requests and asks for a pause of 3600 seconds."
            )

        assert requests_mock.call_count == 1

    def test_a_make_that_always_asks_for_a_pause_is_given_up(
        self, client: NhtsaClient, requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[float] = []
        monkeypatch.setattr(Pauses, "wait", lambda pauses: waited.append(pauses._until))
        monkeypatch.setattr(Pauses, "are_on", False)
        requests_mock.get(MODELS, status_code=503, headers={"Retry-After": "2"})

        with pytest.raises(NhtsaError, match="NHTSA answered 503") as refused:
            client.models(441)

        assert not refused.value.ends_run
        assert requests_mock.call_count == len(waited) == nhtsa.TRIES_WITH_PAUSES

    @pytest.mark.parametrize("value", ["A" * 1_000_000, ["b"] * 100_000, {"c": "d" * 50_000}])
    def test_a_wrong_value_is_quoted_by_its_beginning(
        self, client: NhtsaClient, requests_mock: Mocker, value: Any
    ) -> None:
        for wrong in (row(Make_ID=value), row(Model_ID=value)):
            requests_mock.get(MODELS, json=envelope([wrong]))
            with pytest.raises(NhtsaError) as refused:
                client.models(441)
            assert len(str(refused.value)) < 100
        requests_mock.get(MODELS, json=envelope(TESLA, Count=value))
        with pytest.raises(NhtsaError, match="is truncated") as refused:
            client.models(441)
        assert len(str(refused.value)) < 120

    def test_the_phrase_of_a_status_is_not_quoted(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        requests_mock.get(MODELS, status_code=404, reason="x" * 10_000)

        with pytest.raises(NhtsaError, match=r"^NHTSA answered 404 Not Found\.$"):
            client.models(441)

    @pytest.mark.parametrize("header", ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", "-5"])
    def test_any_retry_after_can_be_read(
        self, client: NhtsaClient, requests_mock: Mocker, impatient: Any, header: str
    ) -> None:
        refusal = {"status_code": 429, "headers": {"Retry-After": header}}
        requests_mock.get(MODELS, [refusal, {"json": envelope(TESLA)}])

        assert client.models(441) == {1685: "Model S"}

    def test_nobody_listening_is_a_failed_connection(self, impatient: Any) -> None:
        with Vpic(data=Catalogue.sample()) as vpic:
            nowhere = vpic.url
        with (
            NhtsaClient(nowhere, rate=0, connections=1) as client,
            pytest.raises(NhtsaError, match="connection to NHTSA failed") as refused,
        ):
            client.models(474)
        assert refused.value.is_passing


class TestVins:
    URL = f"{URL}/vehicles/DecodeVINValuesBatch/"
    VINS = ("5YJSA1E26HF000337", "1M8GDM9AXKP042788")

    def test_all_vins_are_asked_for_in_one_form(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        rows = [{"VIN": vin.lower(), "Make": "TESLA"} for vin in reversed(self.VINS)]
        requests_mock.post(self.URL, json=envelope(rows))

        assert list(client.decode_vins(self.VINS)) == list(self.VINS)
        request = requests_mock.last_request
        assert request.text == f"format=json&data={'%3B'.join(self.VINS)}"
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert "automart" in request.headers["User-Agent"]

    def test_rows_of_other_vins_or_of_none_are_left_out(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        asked = self.VINS[0]
        rows = [{"VIN": asked, "Make": "A"}, {"VIN": asked, "Make": "B"}, {"VIN": self.VINS[1]}]
        requests_mock.post(self.URL, json=envelope([*rows, {"VIN": 7}, {"VIN": None}, {}]))

        assert client.decode_vins([asked]) == {asked: rows[0]}

    def test_a_refusal_is_followed_by_the_same_form(
        self, client: NhtsaClient, requests_mock: Mocker, impatient: Any
    ) -> None:
        answers = [{"status_code": 503}, {"json": envelope([{"VIN": self.VINS[0]}])}]
        requests_mock.post(self.URL, answers)

        assert list(client.decode_vins(self.VINS)) == [self.VINS[0]]
        first, second = requests_mock.request_history
        assert first.text == second.text

    def test_an_answer_without_its_envelope_is_refused(
        self, client: NhtsaClient, requests_mock: Mocker
    ) -> None:
        for answer, reason in (
            ({"text": "<html>"}, "is not JSON"),
            ({"json": envelope([], Results=None)}, "no list of results"),
            ({"json": envelope([{"VIN": self.VINS[0]}], Count=2)}, "is truncated"),
        ):
            requests_mock.post(self.URL, **answer)
            with pytest.raises(NhtsaError, match=reason):
                client.decode_vins(self.VINS)


@pytest.fixture
def sandboxed() -> Iterator[Any]:
    with (
        Vpic(data=Catalogue.sample()) as vpic,
        NhtsaClient(vpic.url, rate=0, connections=2) as client,
    ):
        yield vpic, client


class TestOnTheWire:
    def test_a_retry_after_is_honoured(self, sandboxed: Any) -> None:
        vpic, client = sandboxed
        vpic.order(Fault.TOO_MANY_REQUESTS, make_id=448, times=1, retry_after=1)

        assert client.models(448)

        first, second = vpic.requests
        assert second.at - first.at >= 1

    @pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.DISCONNECT])
    def test_silence_is_given_up(
        self, sandboxed: Any, impatient: Any, monkeypatch: pytest.MonkeyPatch, fault: Fault
    ) -> None:
        vpic, client = sandboxed
        vpic.order(fault, make_id=448)

        with pytest.raises(NhtsaError) as refused:
            client.models(448)

        assert refused.value.is_passing
        monkeypatch.undo()  # a busy machine is slow
        assert client.models(474)

    def test_a_body_that_never_ends_is_given_up(self, sandboxed: Any, impatient: Any) -> None:
        vpic, client = sandboxed
        vpic.order(Fault.DRIP, make_id=448, seconds=0.05)

        with pytest.raises(NhtsaError, match=" in time"):
            client.models(448)

    def test_a_body_that_is_far_too_large_is_given_up(self, sandboxed: Any) -> None:
        vpic, client = sandboxed
        vpic.order(Fault.HUGE, make_id=448)

        with pytest.raises(NhtsaError, match="is larger than"):
            client.models(448)

    def test_connections_are_used_again(self, sandboxed: Any) -> None:
        _, client = sandboxed
        for _ in range(20):
            client.models(474)

        pools = client._session.get_adapter("http://").poolmanager.pools
        (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118 - it is no mapping
        assert pool.num_requests == 20
        assert pool.num_connections == 1
