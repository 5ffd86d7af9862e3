"""After a crash of a process or a failure of the storage, housekeeping deletes all files without a
customer, and no customer loses its photo."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart import create_app
from automart.accounts.models import User
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.core.errors import Unavailable
from automart.core.storage import Storage
from automart.customers.maintenance import delete_orphaned_photos
from automart.customers.models import TOKEN_LENGTH, Customer, OrphanedPhoto
from automart.customers.photos import MAX_FAILURES, UPLOAD_TIME_LIMIT, attach, stored
from jobs.housekeeping import all_tasks
from tests.customers.killed_upload import POINTS
from tests.customers.pictures import files_in, jpeg, upload
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.forks import output_of
from tests.support.limits import LIMIT
from tests.support.logs import logged


def exceed_upload_time_limit() -> None:
    """Make all orphaned photos older than an upload may take."""
    with transaction():
        for photo in db.session.query(OrphanedPhoto):
            photo.created_at -= 2 * UPLOAD_TIME_LIMIT


def attached_files() -> list[str]:
    db.session.rollback()
    return sorted(
        f"{token}.webp" for (token,) in db.session.query(Customer.photo_token) if token is not None
    )


@on_sqlite
@pytest.mark.processes
@pytest.mark.parametrize("point", POINTS)
def test_files_of_a_killed_upload_are_deleted(
    settings: Settings,
    as_user: FlaskClient,
    client: FlaskClient,
    ada: dict[str, Any],
    photos: Path,
    point: str,
) -> None:
    before = upload(as_user, ada["id"], jpeg()).get_json()["photo_url"]
    db.session.commit()
    status, printed = output_of(
        "tests.customers.killed_upload",
        [settings.database_url, str(settings.instance), str(ada["id"]), point],
        env=os.environ,
        folder=settings.instance,
    )
    assert status == -signal.SIGKILL, printed

    db.session.rollback()
    after = as_user.get(f"/v1/customers/{ada['id']}").get_json()["photo_url"]
    assert (after == before) == (point != "after the commit")
    assert client.get(after).status_code == 200
    if point != "after the commit":  # it may still be running
        assert delete_orphaned_photos() == 0
    exceed_upload_time_limit()
    assert delete_orphaned_photos() == 1
    assert files_in(photos) == attached_files()
    assert client.get(after).status_code == 200
    assert (before == after) or client.get(before).status_code == 404
    assert db.session.query(OrphanedPhoto).count() == 0
    assert delete_orphaned_photos() == 0


def test_a_half_written_file_of_a_killed_upload_is_deleted(
    app: Flask, settings: Settings, photos: Path
) -> None:
    token = "ab" * 16
    with transaction():
        db.session.add(OrphanedPhoto(token=token))
    (photos / "ab").mkdir(parents=True)
    (photos / "ab" / f"{token}.webp#1").write_bytes(b"RIFF")
    exceed_upload_time_limit()
    assert delete_orphaned_photos() == 1
    assert files_in(photos) == []


def test_an_upload_that_exceeds_the_time_limit_is_refused(
    app: Flask, ada: dict[str, Any], photos: Path
) -> None:
    def upload_slowly() -> None:
        with stored(b"RIFF") as token:
            exceed_upload_time_limit()
            assert delete_orphaned_photos() == 1
            with transaction():
                attach(db.session.get_one(Customer, ada["id"]), token)

    with pytest.raises(Unavailable, match=r"Storing the photo took too long\."):
        upload_slowly()
    assert attached_files() == files_in(photos) == []


def test_uploads_at_the_same_time_do_not_affect_each_other(
    app: Flask, ada: dict[str, Any], photos: Path
) -> None:
    def orphans() -> set[str]:
        db.session.rollback()
        return {photo.token for photo in db.session.query(OrphanedPhoto)}

    def fail() -> None:
        with stored(b"RIFF") as token:
            assert orphans() == {second, token}
            raise KeyError

    def attach_to_ada(token: str) -> None:
        with transaction():
            attach(db.session.get_one(Customer, ada["id"]), token)

    with stored(b"RIFF") as first, stored(b"RIFF") as second:
        assert orphans() == {first, second}
        attach_to_ada(first)
        with pytest.raises(KeyError):
            fail()
        assert orphans() == {second}
        assert files_in(photos) == sorted(f"{token}.webp" for token in (first, second))
        attach_to_ada(second)
    assert orphans() == set()
    assert attached_files() == files_in(photos) == [f"{second}.webp"]


def test_a_file_that_is_stored_after_its_row_was_deleted_is_deleted(
    as_user: FlaskClient, ada: dict[str, Any], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put

    def put_late(storage: Storage, key: str, content: bytes) -> None:
        exceed_upload_time_limit()
        assert delete_orphaned_photos() == 1
        put(storage, key, content)
        monkeypatch.setattr(Storage, "delete", raise_unavailable)

    monkeypatch.setattr(Storage, "put", put_late)
    assert upload(as_user, ada["id"], jpeg()).status_code == 503
    assert len(files_in(photos)) == 1
    monkeypatch.undo()
    assert delete_orphaned_photos() == 1
    assert attached_files() == files_in(photos) == []


def test_a_photo_that_was_set_stays_if_the_request_fails_afterwards(
    app: Flask, ada: dict[str, Any], photos: Path
) -> None:
    def set_photo_and_fail() -> NoReturn:
        with stored(b"RIFF") as token:
            with transaction():
                attach(db.session.get_one(Customer, ada["id"]), token)
            raise_unavailable()

    with pytest.raises(Unavailable):
        set_photo_and_fail()
    assert len(files_in(photos)) == 1
    assert files_in(photos) == attached_files()


def raise_unavailable(*_: Any) -> NoReturn:
    raise Unavailable("The storage is down.")


def make_orphaned_files(photos: Path, *names: str) -> None:
    """Store files that are pending deletion, under tokens that repeat one letter."""
    with transaction():
        db.session.add_all(
            OrphanedPhoto(token=name * TOKEN_LENGTH, pending_deletion=True) for name in names
        )
    for name in names:
        (photos / (2 * name)).mkdir(parents=True)
        (photos / (2 * name) / f"{name * TOKEN_LENGTH}.webp").write_bytes(b"RIFF")


def test_a_file_that_cannot_be_deleted_does_not_hold_up_the_others(
    app: Flask, photos: Path
) -> None:
    make_orphaned_files(photos, "b", "c", "d")
    stuck, young = "a" * TOKEN_LENGTH, "e" * TOKEN_LENGTH
    (photos / "aa" / f"{stuck}.webp").mkdir(parents=True)
    with transaction():
        db.session.add(OrphanedPhoto(token=young))  # its upload may still be running
        abandoned = {"created_at": utcnow() - 2 * UPLOAD_TIME_LIMIT}
        db.session.add(OrphanedPhoto(token=stuck, **abandoned))
    assert delete_orphaned_photos() == 3
    assert files_in(photos) == []
    left = {photo.token: photo.pending_deletion for photo in db.session.query(OrphanedPhoto)}
    assert left == {stuck: True, young: False}


def test_a_storage_that_is_down_is_not_tried_for_each_file(
    app: Flask,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_orphaned_files(photos, *"abcdef")
    tried: list[str] = []

    def delete(_storage: Storage, key: str) -> NoReturn:
        tried.append(key)
        raise_unavailable()

    monkeypatch.setattr(Storage, "delete", delete)
    assert delete_orphaned_photos() == 0
    assert len(set(tried)) == len(tried) == MAX_FAILURES
    assert [line["count"] for line in logged(caplog, "photo_files_left")] == [6]
    monkeypatch.undo()
    assert delete_orphaned_photos() == 6
    assert files_in(photos) == []


def test_deletions_that_take_long_are_spread_over_several_rounds(
    app: Flask, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_orphaned_files(photos, "a", "b", "c")
    monkeypatch.setattr("automart.customers.photos.DELETING_SECONDS", 0.0)
    for left in (2, 1, 0):
        assert delete_orphaned_photos() == 1
        assert len(files_in(photos)) == left
    assert delete_orphaned_photos() == 0


def test_many_files_are_deleted_in_several_rounds(
    app: Flask, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_orphaned_files(photos, *"abcde")
    monkeypatch.setattr("automart.customers.maintenance.BATCH_SIZE", 2)
    assert [delete_orphaned_photos() for _ in range(4)] == [2, 2, 1, 0]
    assert files_in(photos) == []


def test_housekeeping_deletes_orphaned_photos(settings: Settings) -> None:
    assert delete_orphaned_photos in [task.function for task in all_tasks(settings)]


@pytest.mark.processes
def test_concurrent_uploads_and_deletions_leave_no_orphaned_files(
    app: Flask,
    make_user: Callable[..., User],
    signed_in: Callable[[User], FlaskClient],
    ada: dict[str, Any],
    photos: Path,
) -> None:
    writers = [signed_in(make_user()) for _ in range(4)]
    readers = [signed_in(make_user()) for _ in range(2)]
    db.session.commit()
    writers_ended = threading.Event()
    readers_began = threading.Barrier(3)
    url = f"/v1/customers/{ada['id']}"
    assert upload(writers[0], ada["id"], jpeg((40, 20))).status_code == 200

    def write(client: FlaskClient) -> set[int]:
        statuses = {upload(client, ada["id"], jpeg((40, 20))).status_code for _ in range(3)}
        return statuses | {client.delete(f"{url}/photo").status_code}

    def read_once(client: FlaskClient) -> set[tuple[int, str]]:
        photo = client.get(url).get_json()["photo_url"]
        if photo is None:
            return set()
        response = client.get(photo)
        return {(response.status_code, response.mimetype)}

    def read(client: FlaskClient) -> set[tuple[int, str]]:
        seen = read_once(client)
        readers_began.wait(LIMIT)
        while not writers_ended.is_set():
            seen |= read_once(client)
        return seen

    with ThreadPoolExecutor(6) as pool:
        reading = [pool.submit(read, client) for client in readers]
        readers_began.wait(LIMIT)
        written = set().union(*pool.map(write, writers))
        writers_ended.set()
        seen = set().union(*(each.result() for each in reading))
    assert written <= {200, 204, 404}
    assert (200, "image/webp") in seen
    assert seen <= {(200, "image/webp"), (404, "application/problem+json")}
    assert files_in(photos) == attached_files()
    assert db.session.query(OrphanedPhoto).count() == 0


def test_a_storage_that_is_down_is_a_503_and_its_files_are_deleted_later(
    settings: Settings, as_user: FlaskClient, ada: dict[str, Any], photos: Path
) -> None:
    url = upload(as_user, ada["id"], jpeg()).get_json()["photo_url"]
    db.session.commit()
    broken = replace(settings, photo_storage=str(settings.instance / "file" / "below"))
    (settings.instance / "file").write_text("no folder")
    elsewhere = create_app(broken)
    with elsewhere.app_context():
        client = people.signed_in(elsewhere, people.make_user())
        for response in (upload(client, ada["id"], jpeg()), client.get(url)):
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert "below" not in response.text
        assert client.delete(f"/v1/customers/{ada['id']}/photo").status_code == 204
        assert db.session.query(OrphanedPhoto).count() == 2
        assert delete_orphaned_photos() == 0
        db.session.remove()
        db.engine.dispose()
    elsewhere.extensions["redis"].close()
    assert delete_orphaned_photos() == 2  # no upload can need them, so it need not wait
    assert files_in(photos) == []
    assert db.session.query(OrphanedPhoto).count() == 0
