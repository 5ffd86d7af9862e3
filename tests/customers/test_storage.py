"""The storage of photos, in a folder or in S3."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from flask import Flask

from automart import create_app
from automart.core.config import Settings, SettingsError
from automart.core.db import db
from automart.core.errors import Unavailable
from automart.core.storage import NotStored, Storage
from automart.customers.models import OrphanedPhoto
from tests.customers.pictures import jpeg, upload
from tests.support import people

SERVER = """
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
import sys
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Yield the URL of an S3 server with a bucket `photos`."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        line = next(text for text in server.stdout if text.startswith("port "))
        url = f"http://127.0.0.1:{line.split()[1]}"
        with urlopen(Request(f"{url}/photos", method="PUT")) as response:  # noqa: S310 - a server of this test
            assert response.status == 200
        yield url
        server.kill()


@pytest.fixture
def s3_environment(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return s3


def check_storage(storage: Storage) -> None:
    """Store, read and delete files."""
    key = "ab/cd.webp"
    with pytest.raises(NotStored):
        storage.get(key)
    storage.put(key, b"one")
    storage.put("ab/ef.webp", b"")
    assert (storage.get(key), storage.get("ab/ef.webp")) == (b"one", b"")
    storage.delete(key)
    storage.delete(key)
    with pytest.raises(NotStored):
        storage.get(key)
    assert storage.get("ab/ef.webp") == b""
    storage.delete("ab/ef.webp")


class TestStorage:
    def test_files_are_stored_in_a_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "not" / "there yet"
        check_storage(Storage(str(folder)))
        assert [path for path in folder.rglob("*") if path.is_file()] == []

    def test_a_folder_that_cannot_be_written_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        storage = Storage(str(tmp_path / "file" / "folder"))
        for use in (storage.get, storage.delete):
            with pytest.raises(Unavailable):
                use("ab/cd.webp")
        with pytest.raises(Unavailable):
            storage.put("ab/cd.webp", b"")

    @pytest.mark.usefixtures("s3_environment")
    @pytest.mark.parametrize("where", ["s3://photos", "s3://photos/of/customers"])
    def test_files_are_stored_in_s3(self, where: str) -> None:
        check_storage(Storage(where))

    @pytest.mark.usefixtures("s3_environment")
    def test_a_missing_bucket_is_unavailable(self) -> None:
        storage = Storage("s3://missing")
        with pytest.raises(Unavailable):
            storage.put("ab/cd.webp", b"")

    def test_an_s3_that_does_not_respond_is_unavailable(
        self, s3_environment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(Unavailable):
            Storage("s3://photos").get("ab/cd.webp")


@pytest.mark.usefixtures("s3_environment")
def test_photos_are_stored_in_s3(settings: Settings, app: Flask) -> None:
    in_s3 = create_app(Settings(**{**vars(settings), "photo_storage": "s3://photos/of/customers"}))
    with in_s3.app_context():
        client = people.signed_in(in_s3, people.make_user())
        values = {"first_name": "Ada", "last_name": "Lovelace"}
        customer = client.post("/v1/customers", json=values).get_json()
        first = upload(client, customer["id"], jpeg()).get_json()["photo_url"]
        second = upload(client, customer["id"], jpeg()).get_json()["photo_url"]
        assert (client.get(first).status_code, client.get(second).status_code) == (404, 200)
        assert client.get(second).data.startswith(b"RIFF")
        assert client.delete(f"/v1/customers/{customer['id']}").status_code == 204
        assert client.get(second).status_code == 404
        assert db.session.query(OrphanedPhoto).count() == 0
        db.session.remove()
        db.engine.dispose()
    in_s3.extensions["redis"].close()


@pytest.mark.usefixtures("s3_environment")
def test_credentials_of_s3_can_be_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"PHOTO_STORAGE": "s3://photos"}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
        (tmp_path / name).write_text(f"the {name}\n")
        values[f"{name}_FILE"] = str(tmp_path / name)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment(tmp_path)
    app = create_app(settings)
    check_storage(app.extensions["storage"])
    assert "the AWS" not in repr(settings)
    with app.app_context():
        db.engine.dispose()
    app.extensions["redis"].close()


class TestPhotoStorageSetting:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in list(os.environ):
            if name.startswith(("DATABASE_URL", "PHOTO_STORAGE", "SECRET_KEY")):
                monkeypatch.delenv(name)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/a/prefix", "s3://bucket/a/prefix"),
            ("photos", "{here}/photos"),
            ("/srv/photos", "/srv/photos"),
            ("", None),
        ],
    )
    def test_photo_storage_may_be_a_bucket_or_a_folder(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        value: str,
        expected: str | None,
    ) -> None:
        monkeypatch.setenv("PHOTO_STORAGE", value)
        found = Settings.from_environment(tmp_path).photo_storage
        assert found == (expected and expected.format(here=tmp_path.resolve()))

    @pytest.mark.parametrize(
        "value",
        ["s3://", "s3:///prefix", "gs://bucket", "https://bucket", "s3://key:secret@bucket"],
    )
    def test_an_invalid_photo_storage_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
    ) -> None:
        monkeypatch.setenv("PHOTO_STORAGE", value)
        with pytest.raises(SettingsError, match="PHOTO_STORAGE"):
            Settings.from_environment(tmp_path)

    def test_photos_are_stored_in_the_instance_folder_by_default(
        self, settings: Settings, app: Flask
    ) -> None:
        storage: Any = app.extensions["storage"]
        assert storage._where == str(settings.instance / "photos")
