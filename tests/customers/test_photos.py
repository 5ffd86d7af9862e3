"""Uploads of photos, and their delivery until they are deleted."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.core.db import db
from automart.core.errors import Unavailable
from automart.customers import photos as customer_photos
from automart.customers.models import Customer, OrphanedPhoto
from automart.customers.photos import MAX_UPLOAD_BYTES
from tests.customers.pictures import (
    RED,
    black_png,
    encoded,
    files_in,
    form,
    halves,
    is_about,
    jpeg,
    loaded,
    upload,
)
from tests.support.http import assert_problem
from tests.support.logs import logged


def put(client: FlaskClient, customer: dict[str, Any], content: bytes) -> str:
    """Upload a valid photo. Return its URL."""
    response = upload(client, customer["id"], content)
    assert response.status_code == 200, response.get_json()
    url: str = response.get_json()["photo_url"]
    return url


@pytest.fixture
def replace_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that lets this code decode photos."""

    def replace(code: str) -> None:
        program = tmp_path / "program.py"
        program.write_text(code)
        monkeypatch.setattr(customer_photos, "DECODER", program)

    return replace


class TestAcceptedUploads:
    def test_the_content_of_a_photo_counts_and_not_its_name(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any]
    ) -> None:
        for kind in ("JPEG", "PNG", "WEBP"):
            response = upload(as_user, ada["id"], encoded(halves(), kind), "photo.gif")
            assert response.status_code == 200
            image = loaded(client, response.get_json()["photo_url"])
            assert (image.format, image.size) == ("WEBP", (400, 200))
            assert is_about(image.getpixel((100, 100)), RED)

    def test_a_photo_may_have_five_million_bytes(
        self, as_user: FlaskClient, ada: dict[str, Any]
    ) -> None:
        content = jpeg()
        put(as_user, ada, content + bytes(MAX_UPLOAD_BYTES - len(content)))


REFUSED: dict[str, tuple[int, bytes]] = {
    "an empty file": (422, b""),
    "a text": (415, b"This is not a picture."),
    "a file cut in the middle": (422, jpeg()[:1500]),
    "a bomb": (422, black_png(8001, 5000)),
    "one byte too many": (413, jpeg() + bytes(MAX_UPLOAD_BYTES + 1 - len(jpeg()))),
    "far too many bytes": (413, bytes(MAX_UPLOAD_BYTES + 1_000_000)),
}


class TestRefusedUploads:
    def test_an_invalid_upload_is_refused_and_keeps_the_present_photo(
        self, as_user: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        before = files_in(photos)
        for what, (status, content) in REFUSED.items():
            response = upload(as_user, ada["id"], content, "photo.png")
            assert response.status_code == status, what
            assert response.mimetype == "application/problem+json"
            if status == 413 and len(content) == MAX_UPLOAD_BYTES + 1:
                detail = "A photo has at most 5000000 bytes."
                assert response.get_json()["detail"] == detail
            if status == 422:
                assert response.get_json()["errors"][0]["pointer"] == "#/photo"
        assert files_in(photos) == before
        assert db.session.query(OrphanedPhoto).count() == 0
        assert as_user.get(f"/v1/customers/{ada['id']}").get_json()["photo_url"] == url

    def test_a_body_other_than_a_form_is_refused(
        self, as_user: FlaskClient, ada: dict[str, Any]
    ) -> None:
        url = f"/v1/customers/{ada['id']}/photo"
        assert as_user.put(url, json={"photo": "…"}).status_code == 415
        refused = as_user.put(url, data=jpeg(), content_type="image/jpeg")
        problem = assert_problem(refused, 415)
        assert problem["detail"] == "The body must be sent as multipart/form-data."
        assert refused.headers["Accept"] == "multipart/form-data"
        assert as_user.put(url).status_code == 415

    def test_a_form_without_a_photo_or_with_other_fields_is_refused(
        self, as_user: FlaskClient, ada: dict[str, Any]
    ) -> None:
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

    def test_other_routes_refuse_bodies_as_large_as_photos(self, as_user: FlaskClient) -> None:
        body = b'{"first_name": "' + b"a" * 1_000_000 + b'"}'
        response = as_user.post("/v1/customers", data=body, content_type="application/json")
        assert response.status_code == 413

    def test_a_photo_of_an_unknown_customer_is_not_found(self, as_user: FlaskClient) -> None:
        assert upload(as_user, 999, jpeg()).status_code == 404
        assert as_user.delete("/v1/customers/999/photo").status_code == 404

    def test_a_stale_version_of_the_customer_is_refused(
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

    def test_a_decoder_that_is_killed_needed_too_much(
        self,
        as_user: FlaskClient,
        ada: dict[str, Any],
        replace_decoder: Callable[[str], None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        replace_decoder("import os; os.write(2, b'-' * 600); os.kill(os.getpid(), 9)")
        errors = assert_problem(upload(as_user, ada["id"], jpeg()), 422)["errors"]
        detail = "Decoding it takes too much time or memory."
        assert errors == [{"pointer": "#/photo", "detail": detail}]
        (line,) = logged(caplog, "photo_decoder_killed")
        assert (line["signal"], line["output"]) == (9, "-" * 500)

    @pytest.mark.parametrize(
        "bug", ["raise ValueError", "import os; os.write(2, b'\\xff'); raise SystemExit(1)"]
    )
    def test_a_failure_of_the_decoder_is_a_503(
        self,
        as_user: FlaskClient,
        ada: dict[str, Any],
        replace_decoder: Callable[[str], None],
        caplog: pytest.LogCaptureFixture,
        bug: str,
    ) -> None:
        replace_decoder(bug)
        response = upload(as_user, ada["id"], jpeg())
        problem = assert_problem(response, 503)
        assert problem["detail"] == "Photos cannot be decoded at the moment."
        assert int(response.headers["Retry-After"]) > 0
        (line,) = logged(caplog, "photo_decoder_failed")
        assert line["status"] == 1
        assert line["output"].strip().endswith(("ValueError", "\N{REPLACEMENT CHARACTER}"))

    def test_a_decoder_that_is_too_slow_is_a_503(
        self, as_user: FlaskClient, ada: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(customer_photos, "DECODING_SECONDS", 0)
        response = upload(as_user, ada["id"], jpeg())
        problem = assert_problem(response, 503)
        assert problem["detail"] == "Photos cannot be decoded at the moment."
        assert int(response.headers["Retry-After"]) > 0
        (error,) = assert_problem(upload(as_user, ada["id"], b""), 422)["errors"]
        assert error == {"pointer": "#/photo", "detail": "It is an empty file."}

    @pytest.mark.parametrize("taken", ["_uploads", "_decoder"])
    def test_an_upload_is_not_read_before_the_decoder_is_free(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch, taken: str
    ) -> None:
        class Upload(BytesIO):
            def read(self, *_: Any) -> NoReturn:
                raise AssertionError("The upload was read too early.")

        monkeypatch.setattr(customer_photos, "_uploads", BoundedSemaphore(1))
        monkeypatch.setattr(customer_photos, "WAITING_SECONDS", 0)
        with getattr(customer_photos, taken), pytest.raises(Unavailable) as refused:
            customer_photos.transcode(Upload(jpeg()))
        assert int(refused.value.headers["Retry-After"]) > 0
        assert refused.value.detail == "Too many photos are being uploaded."
        assert customer_photos.transcode(BytesIO(jpeg())).startswith(b"RIFF")


class TestDelivery:
    def test_a_photo_is_delivered_with_headers_for_an_img(
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

    def test_the_url_of_a_photo_keeps_the_prefix(
        self, as_user: FlaskClient, ada: dict[str, Any]
    ) -> None:
        put(as_user, ada, jpeg())
        url = as_user.get(f"/api/v1/customers/{ada['id']}").get_json()["photo_url"]
        assert url.startswith("http://localhost/api/v1/photos/")
        assert as_user.get(url).status_code == 200

    def test_a_new_photo_has_a_new_url_and_the_old_one_is_not_found(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        first = put(as_user, ada, jpeg())
        second = put(as_user, ada, jpeg())
        assert first != second
        assert assert_problem(client.get(first), 404)["detail"] == "There is no such photo."
        assert client.get(second).status_code == 200
        assert len(files_in(photos)) == 1

    def test_the_url_of_a_deleted_photo_is_not_found(
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
        problem = assert_problem(as_user.delete(photo), 404)
        assert problem["detail"] == f"Customer {ada['id']} has no photo."
        assert files_in(photos) == []

    def test_the_photo_of_a_deleted_customer_is_not_found(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        assert as_user.delete(f"/v1/customers/{ada['id']}").status_code == 204
        assert client.get(url).status_code == 404
        assert files_in(photos) == []
        assert as_user.get("/v1/customers?q=ada").get_json()["items"] == []
        assert db.session.query(OrphanedPhoto).count() == 0

    def test_an_invented_url_is_not_found(self, client: FlaskClient) -> None:
        for token in ("0" * 32, "../../../../../etc/passwd", "x" * 31, "%00" * 32, "%ff" * 32):
            assert client.get(f"/v1/photos/{token}").status_code == 404

    def test_a_photo_whose_file_is_lost_is_not_found_and_can_be_replaced(
        self, as_user: FlaskClient, client: FlaskClient, ada: dict[str, Any], photos: Path
    ) -> None:
        url = put(as_user, ada, jpeg())
        next(photos.rglob("*.webp")).unlink()
        assert client.get(url).status_code == 404
        put(as_user, ada, jpeg())

    def test_the_log_does_not_contain_the_url_of_a_photo(
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

    def test_an_upload_updates_updated_by_and_updated_at(
        self, app: Flask, as_admin: FlaskClient, ada: dict[str, Any]
    ) -> None:
        response = upload(as_admin, ada["id"], jpeg())
        answer = response.get_json()
        assert answer["updated_by"] != answer["created_by"]
        assert answer["updated_at"] > ada["updated_at"]
        assert db.session.get_one(Customer, ada["id"]).updated_by == answer["updated_by"]


def test_the_version_of_a_customer_depends_on_neither_prefix_nor_host(
    as_user: FlaskClient, ada: dict[str, Any]
) -> None:
    put(as_user, ada, jpeg())
    url = f"/v1/customers/{ada['id']}"
    found = as_user.get(url)
    assert found.get_json()["photo_url"]
    for path, host in ((f"/api{url}", "localhost"), (url, "other.example"), (f"/api{url}", "a:81")):
        other = as_user.get(path, headers={"Host": host})
        assert other.headers["ETag"] == found.headers["ETag"], (path, host)
        changed = as_user.patch(path, json={}, headers={"If-Match": other.headers["ETag"]})
        assert changed.status_code == 200


def test_no_log_line_has_the_path_of_a_photo(
    as_user: FlaskClient, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    token = "0123456789abcdef" * 2
    for path in (f"/v1/photos/{token}", f"/api/v1/photos/{token}", f"/v1/photos/{token}/x"):
        assert client.get(path).status_code == 404
    assert client.post(f"/v1/photos/{token}").status_code == 405
    assert client.get(f"//v1/photos/{token}").status_code == 404
    assert caplog.text.count("/photos/…") == 5
    assert token not in caplog.text
