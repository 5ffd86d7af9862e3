"""What becomes of a request whose connection is lost, and of many that write at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from sqlalchemy import event, text

from automart.catalogue.models import VehicleMake
from automart.db import db, transaction


def lose_connection() -> None:
    connection = db.session.connection().connection.dbapi_connection
    assert connection is not None
    connection.close()


def test_a_connection_that_is_lost_at_the_end_spoils_nothing(app: Flask) -> None:
    with app.app_context():
        db.session.execute(text("SELECT 1"))
        lose_connection()
    with app.app_context():
        assert db.session.scalar(text("SELECT 2")) == 2
    assert db.engine.pool.status().endswith("Current Checked out connections: 0")


def test_an_answer_that_is_ready_is_given(app: Flask) -> None:
    @app.after_request
    def lose(response):
        db.session.execute(text("SELECT 1"))
        lose_connection()
        return response

    assert app.test_client().get("/v1/makes").status_code == 401


def test_threads_of_a_process_write_in_turn(app: Flask) -> None:
    """So that none has to ask SQLite again and again, which lets the lucky ones pass."""

    def ask_once(connection, *_) -> None:
        if db.engine.dialect.name == "sqlite":
            connection.execute("PRAGMA busy_timeout = 0")

    def write(number: int) -> None:
        with app.app_context(), transaction():
            db.session.add(VehicleMake(id=number, name=f"Make {number}"))

    event.listen(db.engine, "checkout", ask_once)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(1, 41)))
    assert db.session.query(VehicleMake).count() == 40
