"""Photos: what is taken, what is refused, what is stored, how it is delivered, when it is gone."""

from __future__ import annotations

import logging
import re
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.core.db import db
from automart.core.errors import Unavailable
from automart.customers import photos as making
from automart.customers.models import Customer, OrphanedPhoto
from automart.customers.photos import MAX_UPLOAD_BYTES
from tests.customers.pictures import (
    RED,
    encoded,
    files_in,
    form,
    halves,
    hollow_png,
    is_about,
    jpeg,
    loaded,
    upload,
)


def put(client: FlaskClient, customer: dict[str, Any], content: bytes) -> str:
    """Upload a photo that is taken. Answers its URL."""
    response = upload(client, customer["id"], content)
    assert response.status_code == 200, response.get_json()
    url: str = response.get_json()["photo_url"]
    return url


class TestWhatIsTaken:
    def test_by_content_and_not_by_name(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any]
    ) -> None:
        for kind in ("JPEG", "PNG", "WEBP"):
            response = upload(as_user, ada["id"], encoded(halves(), kind), "photo.gif")
            assert response.status_code == 200
            image = loaded(client, response.get_json()["photo_url"])
            assert (image.format, image.size) == ("WEBP", (400, 200))
            assert is_about(image.getpixel((100, 100)), RED)

    def test_five_million_bytes(self, as_user: FlaskClient, ada: dict[str, Any]) -> None:
        content = jpeg()
        put(as_user, ada, content + bytes(MAX_UPLOAD_BYTES - len(content)))


REFUSED: dict[str, tuple[int, bytes]] = {
    "an empty file": (422, b""),
    "a text": (415, b"I am no picture."),
    "a file cut in the middle": (422, jpeg()[:1500]),
    "a bomb": (422, hollow_png(8001, 5000)),
    "one byte too many": (413, jpeg() + bytes(MAX_UPLOAD_BYTES + 1 - len(jpeg()))),
    "far too many bytes": (413, bytes(MAX_UPLOAD_BYTES + 1_000_000)),
}


class TestWhatIsRefused:
    def test_the_refusal_is_clear_and_leaves_nothing(
        self, as_user: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        before = files_in(photos)
        for what, (status, content) in REFUSED.items():
            response = upload(as_user, ada["id"], content, "photo.png")
            assert response.status_code == status, what
            assert response.mimetype == "application/problem+json"
            if status == 422:
                assert response.get_json()["errors"][0]["pointer"] == "#/photo"
        assert files_in(photos) == before
        assert db.session.query(OrphanedPhoto).count() == 0
        assert as_user.get(f"/v1/customers/{ada['id']}").get_json()["photo_url"] == url

    def test_a_body_that_is_no_form(self, as_user: FlaskClient, ada: dict[str, Any]) -> None:
        url = f"/v1/customers/{ada['id']}/photo"
        assert as_user.put(url, json={"photo": "…"}).status_code == 415
        assert as_user.put(url, data=jpeg(), content_type="image/jpeg").status_code == 415
        assert as_user.put(url).status_code == 415

    def test_a_form_with_other_fields(self, as_user: FlaskClient, ada: dict[str, Any]) -> None:
        photo = ("photo", "a.jpg", b"")
        for files, pointer in (
            ([], "#/photo"),
            ([("photo", "", b"a text field")], "#/photo"),
            ([photo, ("more", "", b"x")], "#/more"),
            ([photo, ("more", "b.jpg", b"")], "#/more"),
            ([photo, photo], "#/photo"),
        ):
            response = as_user.put(f"/v1/customers/{ada['id']}/photo", **form(*files))
            assert response.status_code == 422
            assert [error["pointer"] for error in response.get_json()["errors"]] == [pointer]

    def test_other_routes_take_no_such_bodies(self, as_user: FlaskClient) -> None:
        body = b'{"first_name": "' + b"a" * 1_000_000 + b'"}'
        response = as_user.post("/v1/customers", data=body, content_type="application/json")
        assert response.status_code == 413

    def test_a_customer_that_does_not_exist(self, as_user: FlaskClient) -> None:
        assert upload(as_user, 999, jpeg()).status_code == 404
        assert as_user.delete("/v1/customers/999/photo").status_code == 404

    def test_an_outdated_version(
        self, as_user: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        stale = {"If-Match": '"another"'}
        assert upload(as_user, ada["id"], jpeg(), headers=stale).status_code == 412
        assert files_in(photos) == []
        put(as_user, ada, jpeg())
        photo = f"/v1/customers/{ada['id']}/photo"
        assert as_user.delete(photo, headers=stale).status_code == 412
        version = as_user.get(f"/v1/customers/{ada['id']}").headers["ETag"]
        fresh = {"If-Match": version}
        assert upload(as_user, ada["id"], jpeg(), headers=fresh).status_code == 200
        assert upload(as_user, ada["id"], jpeg(), headers=fresh).status_code == 412
        assert len(files_in(photos)) == 1

    @pytest.mark.parametrize(
        "mistake", ["raise ValueError", "import os; os.write(2, b'\\xff'); raise SystemExit(1)"]
    )
    def test_a_mistake_of_ours_is_not_blamed_on_the_file(
        self,
        as_user: FlaskClient,
        ada: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        mistake: str,
    ) -> None:
        program = tmp_path / "program.py"
        program.write_text(mistake)
        monkeypatch.setattr("automart.customers.photos.DECODER", program)
        response = upload(as_user, ada["id"], jpeg())
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "photo_decoder_failed" in caplog.text

    def test_a_host_that_is_too_busy_to_decode_is_not_the_photos_fault(
        self, as_user: FlaskClient, ada: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(making, "DECODING_SECONDS", 0)
        response = upload(as_user, ada["id"], jpeg())
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert upload(as_user, ada["id"], b"").status_code == 422

    @pytest.mark.parametrize("taken", ["_uploads", "_decoder"])
    def test_an_upload_is_not_in_memory_before_its_turn(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch, taken: str
    ) -> None:
        class Upload(BytesIO):
            def read(self, *_: Any) -> NoReturn:
                raise AssertionError("It is read.")

        monkeypatch.setattr(making, "_uploads", BoundedSemaphore(1))
        monkeypatch.setattr(making, "WAITING_SECONDS", 0)
        with getattr(making, taken), pytest.raises(Unavailable) as refused:
            making.transcode(Upload(jpeg()))
        assert int(refused.value.headers["Retry-After"]) > 0
        assert making.transcode(BytesIO(jpeg())).startswith(b"RIFF")


class TestDelivery:
    def test_what_an_img_needs(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any]
    ) -> None:
        url = put(as_user, ada, jpeg())
        assert re.fullmatch(r"http://localhost/v1/photos/[0-9a-f]{32}", url)
        response = client.get(url)
        assert response.mimetype == "image/webp"
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"] == 'inline; filename="photo.webp"'
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        again = client.get(url, headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        head = client.head(url)
        assert (head.status_code, head.data) == (200, b"")
        assert head.content_length == len(response.data)

    def test_the_url_keeps_the_prefix(self, as_user: FlaskClient, ada: dict[str, Any]) -> None:
        put(as_user, ada, jpeg())
        url = as_user.get(f"/api/v1/customers/{ada['id']}").get_json()["photo_url"]
        assert url.startswith("http://localhost/api/v1/photos/")
        assert as_user.get(url).status_code == 200

    def test_every_upload_has_a_url_of_its_own(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        first = put(as_user, ada, jpeg())
        second = put(as_user, ada, jpeg())
        assert first != second
        assert client.get(first).status_code == 404
        assert client.get(second).status_code == 200
        assert len(files_in(photos)) == 1

    def test_it_dies_with_the_photo(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        photo = f"/v1/customers/{ada['id']}/photo"
        response = as_user.delete(photo)
        assert (response.status_code, response.data) == (204, b"")
        gone = client.get(url, headers={"If-None-Match": "*"})
        assert gone.status_code == 404
        assert gone.mimetype == "application/problem+json"
        assert as_user.get(f"/v1/customers/{ada['id']}").get_json()["photo_url"] is None
        assert as_user.delete(photo).status_code == 404
        assert files_in(photos) == []

    def test_it_dies_with_the_customer(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        assert as_user.delete(f"/v1/customers/{ada['id']}").status_code == 204
        assert client.get(url).status_code == 404
        assert files_in(photos) == []
        assert as_user.get("/v1/customers?q=ada").get_json()["items"] == []
        assert db.session.query(OrphanedPhoto).count() == 0

    def test_a_made_up_url(self, client: FlaskClient) -> None:
        for token in ("0" * 32, "../../../../../etc/passwd", "x" * 31, "%00" * 32, "%ff" * 32):
            assert client.get(f"/v1/photos/{token}").status_code == 404

    def test_a_file_that_is_lost(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        next(photos.rglob("*.webp")).unlink()
        assert client.get(url).status_code == 404
        put(as_user, ada, jpeg())

    def test_the_log_does_not_contain_the_url(
        self,
        as_user: FlaskClient,
        client: FlaskClient,
        ada: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.INFO):
            url = put(as_user, ada, jpeg())
            client.get(url)
        assert "/v1/photos/…" in caplog.text
        assert url.rpartition("/")[2] not in caplog.text

    def test_whose_photo_it_is_is_signed(
        self, app: Flask, as_admin: FlaskClient, ada: dict[str, Any]
    ) -> None:
        response = upload(as_admin, ada["id"], jpeg())
        answer = response.get_json()
        assert answer["updated_by"] != answer["created_by"]
        assert answer["updated_at"] > ada["updated_at"]
        assert db.session.get_one(Customer, ada["id"]).updated_by == answer["updated_by"]
