"""The access matrix: which role is admitted to which route. Every route must have a line.

A new route needs a line here: the path, and who may use each of its methods.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from automart.accounts.models import Client, User
from automart.partners.models import Manufacturer, RegionalOffice
from automart.web.authorization import stated_access
from tests.support.purchases import make_manufacturer, make_office

PUBLIC = frozenset(
    {"nobody", "user", "admin", "service", "catalogue", "metrics", "office", "manufacturer"}
)
ANY = PUBLIC - {"nobody"}
USER = frozenset({"user", "admin"})
ADMIN = frozenset({"admin"})
CATALOGUE = frozenset({"admin", "catalogue"})
OFFICE = frozenset({"office"})
MANUFACTURER = frozenset({"manufacturer"})
REGISTRY = "<queue_name>/<registry_name>"

MATRIX: dict[str, dict[str, frozenset[str]]] = (
    {
        "/": {"GET": PUBLIC},
        "/v1": {"GET": PUBLIC},
        "/docs": {"GET": PUBLIC},
        "/docs/<path:name>": {"GET": PUBLIC},
        "/openapi.json": {"GET": PUBLIC},
        "/health": {"GET": PUBLIC},
        "/health/live": {"GET": PUBLIC},
        "/health/ready": {"GET": PUBLIC},
        "/metrics": {"GET": frozenset({"admin", "metrics"})},
        "/login": {"GET": PUBLIC, "POST": PUBLIC},
        "/logout": {"POST": PUBLIC},
        "/oauth/authorize": {"GET": PUBLIC, "POST": PUBLIC},
        "/oauth/token": {"POST": PUBLIC},
        "/oauth/revoke": {"POST": PUBLIC},
        "/.well-known/oauth-authorization-server": {"GET": PUBLIC},
        "/.well-known/jwks.json": {"GET": PUBLIC},
        "/jobs": {"GET": ANY},
        "/jobs/<uuid:job_id>": {"GET": ANY},
        "/jobs/<uuid:job_id>/cancel": {"POST": ANY},
        "/v1/customers/imports": {"POST": USER},
        "/v1/cars/imports": {"POST": USER},
        "/v1/users": {"GET": ADMIN, "POST": ADMIN},
        "/v1/users/<id:user_id>": {"GET": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
        "/v1/users/me": {"GET": USER, "PATCH": USER},
        "/v1/users/me/sessions": {"GET": USER, "DELETE": USER},
        "/v1/users/me/sessions/<uuid:session_id>": {"DELETE": USER},
        "/v1/clients": {"GET": ADMIN, "POST": ADMIN},
        "/v1/clients/<client_id>": {"GET": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
        "/v1/clients/<client_id>/rotate-secret": {"POST": ADMIN},
        "/v1/audit-events": {"GET": ADMIN},
        "/v1/makes": {"GET": ANY, "POST": CATALOGUE},
        "/v1/makes/<id:make_id>": {"GET": ANY, "PATCH": CATALOGUE, "DELETE": CATALOGUE},
        "/v1/makes/<id:make_id>/models": {"GET": ANY},
        "/v1/models": {"GET": ANY, "POST": CATALOGUE},
        "/v1/models/<id:model_id>": {"GET": ANY, "PATCH": CATALOGUE, "DELETE": CATALOGUE},
        "/v1/model-changes": {"GET": ANY},
        "/v1/vehicle-syncs": {"POST": CATALOGUE},
        "/v1/vin-decodings": {"POST": USER | CATALOGUE},
        "/v1/customers": {"GET": USER, "POST": USER},
        "/v1/customers/<id:customer_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/customers/<id:customer_id>/photo": {"PUT": USER, "DELETE": USER},
        "/v1/dealers": {"GET": USER, "POST": USER},
        "/v1/dealers/<id:dealer_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/cars": {"GET": USER, "POST": USER},
        "/v1/cars/<id:car_id>": {"GET": USER, "PUT": USER, "PATCH": USER, "DELETE": USER},
        "/v1/cars/<id:car_id>/calendar": {"GET": USER},
        "/v1/bookings": {"GET": USER, "POST": USER},
        "/v1/bookings/<id:booking_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/bookings/available-cars": {"GET": USER},
        "/v1/regional-offices": {"GET": ADMIN, "POST": ADMIN},
        "/v1/regional-offices/<id:office_id>": {"GET": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
        "/v1/regional-offices/<id:office_id>/rotate-webhook-secret": {"POST": ADMIN},
        "/v1/regional-offices/<id:office_id>/clients": {"POST": ADMIN},
        "/v1/manufacturers": {"GET": ADMIN, "POST": ADMIN},
        "/v1/manufacturers/<id:manufacturer_id>": {"GET": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
        "/v1/manufacturers/<id:manufacturer_id>/clients": {"POST": ADMIN},
        "/v1/sales-webhook": {"POST": OFFICE},
        "/v1/get-all-vehicles-for-manufacturing/<path:brand>": {"GET": MANUFACTURER},
        "/v1/update-state-webhook/<id:purchase_id>": {"POST": MANUFACTURER},
        "/v1/purchases": {"GET": USER | OFFICE | MANUFACTURER},
        "/v1/purchases/<id:purchase_id>": {"GET": USER | OFFICE | MANUFACTURER},
        "/v1/webhook-deliveries": {"GET": ADMIN},
        "/v1/webhook-deliveries/<id:delivery_id>": {"GET": ADMIN},
        "/v1/webhook-deliveries/<id:delivery_id>/redeliver": {"POST": ADMIN},
        "/v1/locations": {"GET": USER, "POST": USER},
        "/v1/locations/<id:location_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/sprocket-types": {"GET": USER, "POST": USER},
        "/v1/sprocket-types/<id:sprocket_type_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/factories": {"GET": USER, "POST": USER},
        "/v1/factories/<id:factory_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/factories/<id:factory_id>/chart": {"GET": USER},
        "/v1/sprockets": {"GET": USER, "POST": USER},
        "/v1/sprockets/<id:sprocket_id>": {"GET": USER, "PATCH": USER, "DELETE": USER},
        "/v1/photos/<string(length=32):token>": {"GET": PUBLIC},
    }
    | {
        # rq-dashboard's: read-only for administrators.
        f"/rq{path}": {"GET": ADMIN}
        for path in (
            "/",
            "/favicon.ico",
            "/static/<path:filename>",
            "/<int:instance_number>/",
            "/<int:instance_number>/view",
            "/<int:instance_number>/view/queues",
            "/<int:instance_number>/view/workers",
            "/<int:instance_number>/view/jobs",
            f"/<int:instance_number>/view/jobs/{REGISTRY}/<int:per_page>/<order>/<int:page>",
            "/<int:instance_number>/view/job/<job_id>",
            "/<int:instance_number>/data/queues.json",
            "/<int:instance_number>/data/workers.json",
            f"/<int:instance_number>/data/jobs/{REGISTRY}/<per_page>/<order>/<page>.json",
            "/<int:instance_number>/data/job/<job_id>.json",
        )
    }
    | {
        f"/rq{path}": dict.fromkeys(methods, frozenset[str]())
        for path, methods in {
            "/job/<job_id>/delete": ("POST",),
            "/job/<job_id>/requeue": ("POST",),
            "/requeue/<queue_name>": ("GET", "POST"),
            "/queue/<queue_name>/<registry_name>/empty": ("POST",),
            "/queue/<queue_name>/compact": ("POST",),
        }.items()
    }
)

NOTHING = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client that sends no token."""
    return app.test_client()


def url_of(rule: str) -> str:
    """Return a URL that matches `rule` and names no existing resource."""
    parts = []
    for part in rule.split("/"):
        if not part.startswith("<"):
            parts.append(part)
        elif part.startswith("<uuid:"):
            parts.append(NOTHING)
        elif part.startswith("<id:"):
            parts.append("999999999")
        elif part.startswith("<int:"):
            parts.append("1")
        elif part.endswith(".json"):
            parts.append("nothing.json")
        else:
            parts.append("nothing")
    return "/".join(parts)


def denial(response: TestResponse) -> int | None:
    """Return 401 or 403 if access was denied. OAuth's 401 with `Basic` is about a client secret."""
    challenge = response.headers.get("WWW-Authenticate", "Bearer")
    closed = response.status_code in (401, 403) and challenge.startswith("Bearer")
    return response.status_code if closed else None


@pytest.fixture
def role_client(
    request: pytest.FixtureRequest,
    client: FlaskClient,
    make_user: Callable[..., User],
    make_client: Callable[..., Client],
    signed_in: Callable[[User | Client], FlaskClient],
    as_office: Callable[[RegionalOffice], FlaskClient],
    as_manufacturer: Callable[[Manufacturer], FlaskClient],
) -> FlaskClient:
    match request.param:
        case "nobody":
            return client
        case "user":
            return signed_in(make_user())
        case "admin":
            return signed_in(make_user(is_admin=True))
        case "service":
            return signed_in(make_client())
        case "office":
            return as_office(make_office())
        case "manufacturer":
            return as_manufacturer(make_manufacturer())
        case scope:
            return signed_in(make_client(scope))


def test_every_route_has_a_line_and_every_line_a_route(app: Flask) -> None:
    routes = {(rule, method) for rule, method, _access in stated_access(app)}
    lines = {(rule, method) for rule, methods in MATRIX.items() for method in methods}
    assert routes == lines


@pytest.mark.parametrize("role_client", sorted(PUBLIC), indirect=True)
def test_each_role_is_admitted_exactly_where_the_matrix_says(
    request: pytest.FixtureRequest, role_client: FlaskClient
) -> None:
    role = request.node.callspec.params["role_client"]
    wrong = []
    for rule, methods in MATRIX.items():
        for method, allowed in methods.items():
            body = None if method in ("GET", "DELETE") else {}
            expected = None if role in allowed else 401 if role == "nobody" else 403
            with role_client.open(url_of(rule), method=method, json=body) as response:
                if denial(response) != expected or response.status_code >= 500:
                    wrong.append((role, method, rule, response.status_code))
    assert wrong == []
