"""Every operation states who may call it, and enforces it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import flask
import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from flask.views import MethodView

from automart.accounts.models import Client, Login, User
from automart.accounts.sessions import create_service_login
from automart.core.db import db, transaction
from automart.core.errors import Forbidden
from automart.oauth.authentication import SESSION_LOGIN, session_caller
from automart.web import (
    Blueprint,
    authorization,
    check_that_access_is_stated,
    guard_blueprint,
    public,
    requires,
)
from automart.web.authorization import (
    ADMIN,
    ANY,
    USER,
    Access,
    Caller,
    admit,
    current_caller,
    current_caller_id,
    stated_access,
)
from tests.oauth.pages import log_in
from tests.support.databases import on_sqlite


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client that sends no token."""
    return app.test_client()


def silent() -> str:
    return "said nothing"


class TestStating:
    def test_an_app_with_a_route_without_access_does_not_start(self) -> None:
        app = Flask(__name__, static_folder=None)
        for path in ("/silent", "/mute"):
            app.add_url_rule(path, path, silent)
        with pytest.raises(RuntimeError) as found:
            check_that_access_is_stated(app)
        assert str(found.value) == (
            "These operations do not state who may call them. Their outermost decorator must be"
            " @requires(…) or @public:\n  GET /mute\n  GET /silent"
        )

    def test_a_method_without_access_is_found(self) -> None:
        class Things(MethodView):
            @requires(ANY)
            def get(self) -> str:
                return ""

            def post(self) -> str:
                return ""

        app = Flask(__name__, static_folder=None)
        app.add_url_rule("/things", view_func=Things.as_view("things"))
        with pytest.raises(RuntimeError, match="POST /things") as found:
            check_that_access_is_stated(app)
        assert "GET /things" not in str(found.value)

    def test_a_guard_inside_of_another_decorator_is_refused(self) -> None:
        blp = Blueprint("inner", __name__)

        with pytest.raises(TypeError, match="order"):

            @blp.route("/inner")
            @blp.response(200)
            @requires(USER)
            def inner() -> str:
                return ""

    def test_requires_needs_a_role_or_a_scope(self) -> None:
        with pytest.raises(TypeError, match=r"^Pass a role or a scope, or use @public\.$"):
            requires()

    @pytest.mark.parametrize(
        ("access", "phrase", "challenge"),
        [
            (Access(), "no token", {}),
            (Access(ANY), "a signed-in user or a service client", {}),
            (
                Access(USER, ("a", "b")),
                "a signed-in user, or a service client with the scope `a` or `b`",
                {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="a b"'},
            ),
        ],
    )
    def test_access_is_a_phrase_and_a_challenge(
        self, access: Access, phrase: str, challenge: dict[str, str]
    ) -> None:
        assert str(access) == phrase
        assert authorization._missing_scope(access) == challenge

    def test_views_state_the_access_that_was_passed(self) -> None:
        app = Flask(__name__, static_folder=None)
        for path, guard in (
            ("/open", public),
            ("/user", requires(USER)),
            ("/scope", requires(scope="a")),
            ("/both", requires(ADMIN, scope=("a", "b"))),
        ):
            app.add_url_rule(path, path, guard(silent))
        check_that_access_is_stated(app)
        assert list(stated_access(app)) == [
            ("/open", "GET", Access()),
            ("/user", "GET", Access(USER)),
            ("/scope", "GET", Access(None, ("a",))),
            ("/both", "GET", Access(ADMIN, ("a", "b"))),
        ]

    def test_there_is_no_caller_outside_of_a_request(self) -> None:
        assert current_caller_id() is None


class TestRefusals:
    @on_sqlite
    def test_a_request_without_a_token_is_401_with_a_bearer_challenge(
        self, client: FlaskClient
    ) -> None:
        response = client.get("/v1/makes")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="automart"'
        assert response.mimetype == "application/problem+json"

    @on_sqlite
    @pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearer", "Bearer ", "nonsense"])
    def test_another_authentication_scheme_is_401(self, client: FlaskClient, header: str) -> None:
        response = client.get("/v1/makes", headers={"Authorization": header})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="automart"'
        detail = "Send an access token: `Authorization: Bearer TOKEN`."
        assert response.get_json()["detail"] == detail

    @on_sqlite
    def test_the_scheme_is_in_any_case_and_blanks_are_ignored(self, as_user: FlaskClient) -> None:
        token = as_user.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        for header, status in ((f"bEARER   {token} ", 200), (f"Bearer {token} x", 401)):
            answer = as_user.get("/v1/users/me", headers={"Authorization": header})
            assert answer.status_code == status
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    @on_sqlite
    def test_a_user_without_the_role_is_403(self, as_user: FlaskClient) -> None:
        response = as_user.post("/v1/makes", json={"id": 1, "name": "A"})
        assert response.status_code == 403
        challenge = 'Bearer error="insufficient_scope", scope="catalogue"'
        assert response.headers["WWW-Authenticate"] == challenge
        detail = "This requires an administrator, or a service client with the scope `catalogue`."
        assert response.get_json()["detail"] == detail
        assert as_user.get("/v1/makes/1").status_code == 404

    @on_sqlite
    def test_access_is_checked_before_the_body(
        self, as_user: FlaskClient, client: FlaskClient
    ) -> None:
        assert client.post("/v1/makes", data="no JSON").status_code == 401
        assert as_user.post("/v1/makes", data="no JSON").status_code == 403

    @on_sqlite
    def test_an_admin_and_a_service_client_with_the_scope_are_admitted(
        self, as_admin: FlaskClient, as_catalogue: FlaskClient
    ) -> None:
        assert as_admin.post("/v1/makes", json={"id": 1, "name": "A"}).status_code == 201
        assert as_catalogue.post("/v1/makes", json={"id": 2, "name": "B"}).status_code == 201

    @on_sqlite
    def test_a_service_client_with_another_scope_is_403(
        self,
        make_client: Callable[..., Client],
        signed_in: Callable[[Client], FlaskClient],
    ) -> None:
        response = signed_in(make_client("metrics")).post("/v1/makes", json={"id": 1, "name": "A"})
        assert response.status_code == 403

    @on_sqlite
    def test_the_caller_is_known_to_the_view(self, app: Flask, as_catalogue: FlaskClient) -> None:
        found: list[Caller] = []
        app.add_url_rule("/who", "who", requires(ANY)(lambda: found.append(current_caller()) or ""))
        assert as_catalogue.get("/who").status_code == 200
        (caller,) = found
        assert caller.client_id is not None
        assert caller.id == f"client:{caller.client_id}"
        assert (caller.user_id, caller.is_admin, caller.scopes) == (None, False, {"catalogue"})
        assert db.session.get_one(Login, caller.login_id).client_id == caller.client_id
        assert caller.may("catalogue")
        assert not caller.may("metrics")

    @on_sqlite
    def test_an_admin_has_every_scope(self, app: Flask, as_admin: FlaskClient) -> None:
        found: list[Caller] = []
        app.add_url_rule(
            "/who", "who", requires(USER)(lambda: found.append(current_caller()) or "")
        )
        assert as_admin.get("/who").status_code == 200
        (caller,) = found
        assert caller.id == f"user:{caller.user_id}"
        assert caller.client_id is None
        assert caller.is_admin
        assert caller.may("catalogue")

    @on_sqlite
    def test_a_public_view_has_no_caller(self, app: Flask, as_admin: FlaskClient) -> None:
        found: list[str | None] = []
        app.add_url_rule("/who", "who", public(lambda: found.append(current_caller_id()) or ""))
        assert as_admin.get("/who").status_code == 200
        assert found == [None]
        assert current_caller_id() is None

    @on_sqlite
    def test_a_caller_who_is_refused_is_not_known_any_more(
        self, app: Flask, as_user: FlaskClient
    ) -> None:
        header = as_user.environ_base["HTTP_AUTHORIZATION"]
        for refused in (Access(), Access(ADMIN)):
            with app.test_request_context(headers={"Authorization": header}):
                admit(Access(USER))
                assert current_caller_id() is not None
                assert structlog.contextvars.get_contextvars()["caller"] == current_caller_id()
                with suppress(Forbidden):
                    admit(refused)
                assert current_caller_id() is None

    @on_sqlite
    def test_only_a_request_with_a_body_gives_its_connection_back(
        self, app: Flask, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released: list[tuple[str, str]] = []
        headers = {"Authorization": as_user.environ_base["HTTP_AUTHORIZATION"]}
        for sent in itertools.product(("GET", "HEAD", "POST", "DELETE"), ("0", "4")):
            method, length = sent
            note = partial(released.append, sent)
            monkeypatch.setattr(authorization, "release_connection", note)
            environ = {"CONTENT_LENGTH": length}
            with app.test_request_context(
                method=method, headers=headers, environ_overrides=environ
            ):
                admit(Access(USER))
        assert released == [("POST", "4"), ("DELETE", "4")]

    @on_sqlite
    def test_a_third_partys_blueprint_must_be_guarded(self, app: Flask) -> None:
        foreign = flask.Blueprint("foreign", "foreign")
        foreign.add_url_rule("/foreign", "it", silent)
        app.register_blueprint(foreign)
        with pytest.raises(RuntimeError, match="GET /foreign"):
            check_that_access_is_stated(app)

    @on_sqlite
    def test_a_third_partys_blueprint_is_guarded_as_a_whole(
        self,
        app: Flask,
        client: FlaskClient,
        as_user: FlaskClient,
        as_admin: FlaskClient,
        make_user: Callable[..., User],
    ) -> None:
        foreign = flask.Blueprint("foreign", "foreign")
        foreign.add_url_rule("/foreign", "it", silent)
        guard_blueprint(foreign, Access(ADMIN))
        app.register_blueprint(foreign)
        check_that_access_is_stated(app)
        statuses = [c.get("/foreign").status_code for c in (client, as_user, as_admin)]
        assert statuses == [401, 403, 200]
        log_in(client, make_user(is_admin=True).email)  # the session does not suffice
        assert client.get("/foreign").status_code == 401

    @on_sqlite
    def test_a_third_partys_blueprint_can_admit_the_session_of_the_login_page(
        self, app: Flask, client: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        foreign = flask.Blueprint("foreign", "foreign")
        foreign.add_url_rule("/foreign", "it", silent)
        guard_blueprint(foreign, Access(ADMIN), by_session=True)
        app.register_blueprint(foreign)
        assert client.get("/foreign").status_code == 401
        log_in(client, make_user().email)
        assert client.get("/foreign").status_code == 403
        log_in(client, make_user(is_admin=True).email)
        assert client.get("/foreign").status_code == 200
        assert client.get("/v1/users").status_code == 401
        header = {"Authorization": "Bearer a.bad.token"}
        assert client.get("/foreign", headers=header).status_code == 401

    @on_sqlite
    def test_a_session_has_no_scopes(self, app: Flask, make_client: Callable[..., Client]) -> None:
        with app.test_request_context(), transaction():
            flask.session[SESSION_LOGIN] = create_service_login(make_client("catalogue")).id.hex
            caller = session_caller()
        assert caller is not None
        assert caller.scopes == frozenset()


class TestDocuments:
    @on_sqlite
    def test_every_operation_documents_its_access(self, client: FlaskClient) -> None:
        document = client.get("/openapi.json").get_json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if method == "parameters":
                    continue
                assert "security" in operation, (method, path)
                if operation["security"]:
                    assert "401" in operation["responses"], (method, path)
                    refuses = f"Requires {Access(ANY)}." not in operation["description"]
                    assert not refuses or "403" in operation["responses"], (method, path)
        sync = document["paths"]["/v1/vehicle-syncs"]["post"]
        assert (
            "Requires an administrator, or a service client with the scope `catalogue`."
            in (sync["description"])
        )

    @on_sqlite
    def test_the_document_keeps_the_prefix(self, client: FlaskClient) -> None:
        document = client.get("/api/openapi.json").get_json()
        flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["authorizationCode"]
        assert flow["authorizationUrl"] == "/api/oauth/authorize"
        assert document["servers"] == [{"url": "/api"}]

    @on_sqlite
    def test_no_reference_dangles(self, client: FlaskClient) -> None:
        text = client.get("/openapi.json").get_data(as_text=True)
        components = json.loads(text)["components"]
        named = set(re.findall(r'"\$ref": ?"#/components/(\w+)/([\w.-]+)"', text))
        assert named
        assert [(kind, name) for kind, name in named if name not in components[kind]] == []
