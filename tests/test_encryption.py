"""Stored secrets: encrypted under `SECRET_KEY`, readable across releases and rotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from automart.core.config import Settings
from automart.core.encryption import CannotDecrypt, decrypt, encrypt, rotate

OLD, NEW = "an old secret key of a fixture", "a new secret key"
# Made by the first release that encrypted anything, under OLD.
STORED = (
    "gAAAAABrCWmB-p5kaUqMUZoK9dtlnUhBnciKGzF1CJbgTLu17yhErO1FGEqa_L7JoHfomD5EMksum1zV9_IYbbZucf4k"
    "DNO0vW_N9p98OZI6ek9hOnLFxpg="
)
SECRET = b"whsec_Zml4dHVyZQ=="


@pytest.fixture(autouse=True)
def app() -> Iterator[Flask]:
    app = Flask("encryption")
    with app.app_context():
        yield app


def use(app: Flask, key: str, *fallbacks: str) -> None:
    app.extensions["settings"] = Settings(
        instance=Path(),
        database_url="",
        redis_url="",
        secret_key=key,
        secret_key_fallbacks=fallbacks,
    )


def test_what_is_encrypted_can_be_decrypted_and_is_not_stored_in_clear(app: Flask) -> None:
    use(app, NEW)
    token = encrypt(SECRET)
    assert SECRET.decode() not in token
    assert encrypt(SECRET) != token
    assert decrypt(token) == SECRET


def test_what_earlier_releases_stored_can_be_decrypted(app: Flask) -> None:
    use(app, OLD)
    assert decrypt(STORED) == SECRET


def test_rotation_makes_the_old_secret_key_unnecessary(app: Flask) -> None:
    use(app, NEW, "never used", OLD)
    rotated = rotate(STORED)
    assert decrypt(STORED) == decrypt(rotated) == SECRET
    use(app, NEW)
    assert decrypt(rotated) == SECRET
    with pytest.raises(CannotDecrypt):
        decrypt(STORED)


@pytest.mark.parametrize("token", ["", "x", STORED[:-5], STORED.replace("B-p5", "B-p6")])
def test_what_is_damaged_is_refused(app: Flask, token: str) -> None:
    use(app, OLD)
    for read in (decrypt, rotate):
        with pytest.raises(CannotDecrypt, match=r"^SECRET_KEY has changed\. Add the old one"):
            read(token)
