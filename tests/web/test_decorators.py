"""The order of a view's decorators is enforced when its module is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask.views import MethodView
from marshmallow import fields

from automart.background.prefer_wait import can_wait
from automart.core.db import db
from automart.web import Blueprint, Schema, idempotent, prepared, public

blp = Blueprint("decorated", __name__)


class Body(Schema):
    text = fields.String(required=True)


def open_transaction(body: dict[str, str]) -> dict[str, Any]:
    return {"text": body["text"].upper(), "transaction": db.session().in_transaction()}


@blp.route("/prepared")
class Prepared(MethodView):
    @public
    @blp.arguments(Body)
    @prepared(open_transaction)
    @idempotent
    @blp.response(201)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        return body | {"transaction_in_view": db.session().in_transaction()}


LAYERS: list[Callable[..., Any]] = [
    public,
    can_wait,
    blp.arguments(Body),
    prepared(open_transaction),
    idempotent,
    blp.response(201),
]


def view(_self: object) -> None:
    """Do nothing."""


@pytest.mark.parametrize("outer", range(1, len(LAYERS)))
def test_two_decorators_in_the_wrong_order_are_refused(outer: int) -> None:
    inner = outer - 1
    with pytest.raises(TypeError, match="must be a decorator inside of"):
        LAYERS[outer](LAYERS[inner](view))


def test_decorators_in_the_right_order_are_accepted() -> None:
    decorated: Any = view
    for decorate in reversed(LAYERS):
        decorated = decorate(decorated)
    assert decorated.__name__ == "view"


def test_several_arguments_are_accepted() -> None:
    query = blp.arguments(Body, location="query")
    assert query(blp.arguments(Body)(view)).__name__ == "view"


@pytest.mark.parametrize("key", [None, "k"])
def test_a_body_is_prepared_outside_the_transaction_of_its_key(app: Flask, key: str | None) -> None:
    app.register_blueprint(blp)
    client: FlaskClient = app.test_client()
    headers = {"Idempotency-Key": key} if key else {}
    response = client.post("/prepared", json={"text": "ab"}, headers=headers)
    assert response.status_code == 201
    assert response.get_json() == {
        "text": "AB",
        "transaction": False,
        "transaction_in_view": key is not None,
    }
