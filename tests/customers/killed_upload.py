"""Uploads a photo, and kills its own process with SIGKILL before the upload is complete:
`python -m tests.customers.killed_upload DATABASE_URL FOLDER CUSTOMER_ID POINT`"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from automart import create_app
from automart.core.storage import Storage
from automart.customers import photos
from tests.customers.pictures import jpeg, upload
from tests.support import people
from tests.support.setup import make_settings

POINTS = ("before the file", "after the file", "before the commit", "after the commit")


def die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL did not end this process.")


def die_at(point: str) -> None:
    """Kill this process as soon as an upload reaches `point`, one of `POINTS`."""
    put, attach = Storage.put, photos.attach

    def put_and_die(*arguments: Any) -> None:
        put(*arguments)
        die()

    def attach_and_die(*arguments: Any) -> None:
        attach(*arguments)
        die()

    if point == "before the file":
        Storage.put = die
    elif point == "after the file":
        Storage.put = put_and_die
    elif point == "before the commit":
        photos.attach = attach_and_die
    elif point == "after the commit":
        Storage.delete = die
    else:
        raise ValueError(point)


def main(database_url: str, folder: str, customer_id: str, point: str) -> None:
    app = create_app(make_settings(database_url, instance=Path(folder)))
    with app.app_context():
        client = people.signed_in(app, people.make_user(email="killed@example.com"))
    die_at(point)
    upload(client, int(customer_id), jpeg())


if __name__ == "__main__":
    main(*sys.argv[1:])
