"""What the database does to a request whose connection is lost."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text

from automart.db import db


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
