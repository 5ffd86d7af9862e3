"""The OpenAPI document. Adds our conventions to what flask-smorest generates."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from http import HTTPStatus
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import flask_smorest
from flask import (
    Flask,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
)
from flask_smorest.utils import prepare_response
from swagger_ui import core as swagger_ui

from automart.core.db_types import LARGEST_ID
from automart.core.errors import status_name, status_phrase
from automart.web.authorization import Access, public
from automart.web.decorators import Layer, View, in_layer
from automart.web.etags import version_response
from automart.web.fields import Flag, Id, Number, QueryFlag, QueryInteger, QueryText, UtcTime
from automart.web.media_types import PROBLEM_JSON
from automart.web.pagination import link_to_next_page
from automart.web.parsing import StrictParser
from automart.web.paths import init_paths
from automart.web.schemas import PageQuery, Problem
from automart.web.urls import (
    IdConverter,
    absolute_url,
    is_at_loopback,
    is_at_public_host,
    origin,
    refuse_malformed_host,
)

OAUTH_REDIRECT = "oauth2-redirect.html"
_OPERATIONS = frozenset({"get", "post", "put", "patch", "delete"})

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "An `ETag`. The request fails with 412 if the resource has changed since then.",
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "An `ETag`. The response is 304 if the resource has not changed since then.",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "A repeated request with this key within 24 hours gets the same response.",
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "examples": ["wait=10"]},
    "description": "`wait=N` waits up to N seconds (30 at most) for the job to end (RFC 7240).",
}

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token (RFC 9068) from `/login` or `/oauth/token`.",
    },
    "oauth2": {
        "type": "oauth2",
        "description": "For people: the login page. Applications must use PKCE (S256).",
        # The URLs depend on the request, and are added when the document is served.
        "flows": {"authorizationCode": {"scopes": {}}},
    },
}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


ETAG = {"ETag": _header("The version of the resource, for `If-Match` and `If-None-Match`.")}
LINK = {
    "Link": _header(
        'The URL of the next page, as `rel="next"` (RFC 8288). Absent on the last page.'
    )
}
LOCATION = {"Location": _header("The absolute URL of the new resource.")}
REPLAYED = {
    "Idempotent-Replayed": _header("`true` if this repeats the response to an earlier request.")
}
REQUEST_ID = {
    "X-Request-ID": _header("The id of this request: the one that was sent, or a new one.")
}
RETRY_AFTER = {"Retry-After": _header("Seconds to wait before the next request.", "integer")}
PREFERENCE_APPLIED = {
    "Preference-Applied": _header("The accepted `wait`, if the job ended within that time.")
}


class Blueprint(flask_smorest.Blueprint):
    """flask-smorest's blueprint with strict parsing, and with our conventions in the document."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(_document_conventions)

    def arguments(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Also check the order of decorators."""
        decorate = super().arguments(*args, **kwargs)
        return lambda view: in_layer(Layer.ARGUMENTS, decorate(view))

    def response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Also check the order of decorators."""
        decorate = super().response(*args, **kwargs)
        return lambda view: in_layer(Layer.RESPONSE, decorate(view))


class Api(flask_smorest.Api):
    """flask-smorest's Api, with problem objects as errors and URLs relative to the client's prefix.

    The document is built at the first request for it. That takes five times as long as the rest of
    `create_app` (0.16 s and 0.03 s of CPU time), and workers and commands never need it.
    """

    ERROR_SCHEMA = Problem

    def __init__(self) -> None:
        super().__init__()
        self._blueprints: list[flask_smorest.Blueprint] = []
        self._webhooks: dict[str, dict[str, Any]] = {}
        self._build_lock = Lock()
        self._built: dict[str, Any] | None = None

    def register_blueprint(self, blp: flask_smorest.Blueprint, **options: Any) -> None:
        """Serve the views of a blueprint, and add them to the document."""
        self._app.register_blueprint(blp, **options)
        self._blueprints.append(blp)

    def describe_webhook(self, name: str, post: dict[str, Any]) -> None:
        """Add a webhook to the document, as an operation of its receivers."""
        self._webhooks[name] = {"post": post}

    def document(self) -> dict[str, Any]:
        """Return the document without the parts that depend on the request. Do not modify it."""
        with self._build_lock:
            if self._built is None:
                self._add_responses()
                for blp in self._blueprints:
                    blp.register_views_in_doc(
                        self, self._app, self.spec, name=blp.name, parameters=None
                    )
                    self.spec.tag({"name": blp.name, "description": blp.description})
                webhooks = copy.deepcopy(self._webhooks)
                for operations in webhooks.values():
                    self.ma_plugin.resolver.resolve_operations(operations)
                self._built = self.spec.to_dict() | {"webhooks": webhooks}
                _document_not_found(self._built["paths"])
        return self._built

    @public
    def _openapi_json(self) -> Response:
        """Serve the document. Its URLs are relative to this host, and keep the client's prefix."""
        document = copy.deepcopy(self.document())
        schemes = document["components"]["securitySchemes"]
        flow = schemes["oauth2"]["flows"]["authorizationCode"]
        root = urlsplit(origin()).path + request.script_root
        document["servers"] = [{"url": root or "/"}]
        flow["authorizationUrl"] = f"{root}/oauth/authorize"
        flow["tokenUrl"] = flow["refreshUrl"] = f"{root}/oauth/token"
        return jsonify(document)

    def _register_error_handlers(self) -> None:
        """Leave errors to `automart.web.error_handlers`."""

    def _register_pagination_header(self) -> None:
        """Leave out flask-smorest's header: our pages have cursors."""

    def _register_responses(self) -> None:
        """Leave it to `document`: it would take a third of the start of an application."""

    def _add_responses(self) -> None:
        for status in HTTPStatus:
            if status >= 400:
                response = {"description": status_phrase(status), "schema": self.ERROR_SCHEMA}
                prepare_response(response, self.spec, PROBLEM_JSON)
                # `_document_not_found` adds its references after the others were resolved.
                lazy = status != HTTPStatus.NOT_FOUND
                self.spec.components.response(status_name(status), response, lazy=lazy)
        default = {"description": "A problem (RFC 9457)", "schema": self.ERROR_SCHEMA}
        prepare_response(default, self.spec, PROBLEM_JSON)
        self.spec.components.response("DEFAULT_ERROR", default, lazy=True)


def create_api(app: Flask, *, title: str, version: str, description: str) -> Api:
    """Return the Api of `app`, with `/openapi.json`, and `/docs` without external assets."""
    app.config.update(
        API_TITLE=title,
        API_VERSION=version,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={"info": {"description": description}},
    )
    app.url_map.converters["id"] = IdConverter
    app.url_map.merge_slashes = False  # one URL per resource, and no redirects with HTML
    app.before_request(refuse_malformed_host)
    for finish in (_drop_empty_body, link_to_next_page, version_response):
        app.after_request(finish)
    api = Api()
    api.register_converter(IdConverter, _id_parameter)
    for field, *documented in (
        (QueryText, "string", None),
        (Id, "integer", "int64"),
        (QueryInteger, "integer", None),
        (Flag, "boolean", None),
        (QueryFlag, "boolean", None),
        (Number, "number", None),
        (UtcTime, "string", "date-time"),
    ):
        api.register_field(field, *documented)
    api.init_app(app)
    for name, scheme in SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, copy.deepcopy(scheme))
    api.ma_plugin.converter.add_attribute_function(_without_null_default)
    init_paths(app)
    app.add_url_rule("/docs", "docs", _docs)
    app.add_url_rule("/docs/<path:name>", "docs_asset", _docs_asset)
    return api


@public
def _docs() -> Response:
    if not is_at_loopback() and not is_at_public_host():
        # The login page does not work at this host.
        response = make_response(redirect(absolute_url("docs")))
        response.headers["Cache-Control"] = "no-store"
        return response
    nonce = secrets.token_urlsafe(16)
    response = make_response(render_template("docs.html", nonce=nonce))
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline';"
        f" img-src 'self' data:; font-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response


@public
def _docs_asset(name: str) -> Response:
    folder = swagger_ui.SWAGGER_UI_PY_ROOT / "static"
    response = send_from_directory(folder, name, max_age=86_400)
    if name == OAUTH_REDIRECT:  # its script passes the code to the page that opened it
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'none'"
        )
    return response


def _id_parameter(_converter: IdConverter) -> dict[str, Any]:
    return {"type": "integer", "format": "int64", "minimum": 1, "maximum": LARGEST_ID}


def _without_null_default(
    _converter: Any, _field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Leave out `default: null`, which means that there is no default."""
    if ret.get("default", ret) is None:
        del ret["default"]
    return {}


def _drop_empty_body(response: Response) -> Response:
    """Remove the body and the Content-Type that flask-smorest gives a 204."""
    if response.status_code == HTTPStatus.NO_CONTENT:
        response.set_data(b"")
        del response.headers["Content-Type"]
    return response


def _document_conventions(
    doc: dict[str, Any], info: dict[str, Any], *, method: str, **_context: Any
) -> dict[str, Any]:
    """Add the headers and errors that follow from the kind of operation."""
    parameters = doc.setdefault("parameters", [])
    responses = doc.setdefault("responses", {})
    _document_access(doc, info)
    is_list = any(_is_page_query(parameter) for parameter in parameters)
    errors = {400, 413, 415} if "requestBody" in doc else set()
    if info.get("idempotent"):
        parameters.append(IDEMPOTENCY_KEY)
        errors |= {400, 422}
    if info.get("can_wait"):
        parameters.append(PREFER)
        responses[200] = responses[202] | {"description": "The job, which has ended"}
    if method == "get":
        parameters.append(IF_NONE_MATCH)
        responses[304] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    if method in ("patch", "put", "delete"):
        parameters.append(IF_MATCH)
        errors |= {400, 412}
    for error in errors:
        responses.setdefault(error, status_name(error))
    _rename_statuses(responses)
    _document_headers(responses, info, is_list=is_list)
    return doc


def _document_not_found(paths: dict[str, dict[str, Any]]) -> None:
    """Add a 404 to all operations whose path names a resource."""
    not_found = {"$ref": "#/components/responses/NOT_FOUND"}
    for path, operations in paths.items():
        if "{" not in path:
            continue
        for method, operation in operations.items():
            if method in _OPERATIONS:
                operation["responses"].setdefault("404", not_found)


def _rename_statuses(responses: dict[Any, Any]) -> None:
    """Replace the names that flask-smorest took from Python: they depend on its version."""
    for status, response in responses.items():
        if isinstance(response, str) and status != "default":
            responses[status] = status_name(int(status))


def _document_access(doc: dict[str, Any], info: dict[str, Any]) -> None:
    """Add who may call an operation, and the errors for everyone else."""
    access: Access | None = info.get("access")
    if access is None:
        return  # `check_that_access_is_stated` reports all of them together
    if access.is_public:
        doc["security"] = []
        return
    doc["security"] = [{"bearer": []}, {"oauth2": []}]
    docs = info["docstring"]
    requirement = f"Requires {access}."
    docs["description"] = "\n\n".join(filter(None, (docs.get("description"), requirement)))
    responses = doc["responses"]
    responses.setdefault(401, "UNAUTHORIZED")
    responses.setdefault(403, "FORBIDDEN")


def _document_headers(
    responses: dict[int | str, Any], info: dict[str, Any], *, is_list: bool
) -> None:
    replayed = REPLAYED if info.get("idempotent") else {}
    applied = PREFERENCE_APPLIED if info.get("can_wait") else {}
    headers = {
        200: ETAG | applied | (LINK if is_list else {}),
        201: ETAG | LOCATION | replayed,
        202: LOCATION | RETRY_AFTER | replayed,
    }
    for status, response in responses.items():
        if isinstance(response, dict):
            common = REQUEST_ID | headers.get(int(status), {})
            response["headers"] = common | response.get("headers", {})


def _is_page_query(parameter: dict[str, Any]) -> bool:
    schema = parameter.get("schema")
    return isinstance(schema, type) and issubclass(schema, PageQuery)
