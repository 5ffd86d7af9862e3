"""The OpenAPI document is correct, and `/docs` shows it without internet access."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import Context
from html.parser import HTMLParser
from itertools import chain
from typing import Any
from urllib.parse import urljoin

import hypothesis
import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from schemathesis import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from automart.core.db import db
from automart.web.fields import TEXT_PATTERN
from tests.fuzz.callers import ROLES, make_world
from tests.fuzz.findings import ALLOWED, is_intended
from tests.support.catalogue import HONDA, HONDAS, add_make, add_makes
from tests.support.databases import on_postgresql_if_installed, on_sqlite
from tests.support.people import make_user, signed_in, token_of
from tests.web.test_matrix import ANY

BRIEFLY = hypothesis.settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
# A schema cannot express that a make must exist, that a name must be unused, or what a cursor is.
CANNOT_BE_SAID = [positive_data_acceptance]
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.mimetype == "application/json"
    return dict(response.get_json())


@pytest.fixture
def api(app: Flask) -> BaseSchema:
    return Context().run(schemathesis.openapi.from_wsgi, "/openapi.json", app)


@pytest.fixture
def signed(app: Flask) -> dict[str, str]:
    """Return the headers of an administrator's request."""
    return {"Authorization": f"Bearer {token_of(app, make_user(is_admin=True))}"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def to_response(name: str) -> dict[str, str]:
    """Return a reference to a response."""
    return {"$ref": f"#/components/responses/{name}"}


def to_headers(*names: str) -> dict[str, dict[str, str]]:
    """Return references to these headers, and to those of all responses."""
    common = ("X-Request-ID", "RateLimit", "RateLimit-Policy")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*common, *names)}


@pytest.fixture
def conforms(api: BaseSchema, signed: dict[str, str]) -> Callable[..., Any]:
    """Return a function that sends a request and asserts that its response is documented."""

    def send(method: str, path: str, **parts: Any) -> Any:
        case = api[path][method].Case(**parts)
        return Context().run(case.call_and_validate, headers=signed)

    return send


def test_it_is_a_valid_openapi_3_1_document(api: BaseSchema) -> None:
    assert api.raw_schema["openapi"].startswith("3.1.")
    # The specification allows relative URLs, but its JSON Schema requires absolute ones for OAuth.
    flows = api.raw_schema["components"]["securitySchemes"]["oauth2"]["flows"]
    for flow in flows.values():
        for name in flow.keys() - {"scopes"}:
            assert flow[name].startswith("/oauth/")
            flow[name] = f"http://localhost{flow[name]}"
    api.validate()


def test_every_reference_is_valid_and_every_component_is_used(
    document: dict[str, Any],
) -> None:
    references = set(re.findall(r"'\$ref': '#/components/(\w+/[\w-]+)'", str(document)))
    components = {
        f"{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
        if kind != "securitySchemes"  # referenced by name
    }
    assert references == components


def test_responses_have_the_names_of_rfc_9110_on_every_python(
    document: dict[str, Any],
) -> None:
    names = {"413": "CONTENT_TOO_LARGE", "422": "UNPROCESSABLE_CONTENT", "404": "NOT_FOUND"}
    found = {
        (status, response["$ref"].rpartition("/")[2])
        for _, _, operation in operations(document)
        for status, response in operation["responses"].items()
        if status in names and "$ref" in response
    }
    assert found == set(names.items())


def test_every_operation_has_a_name_a_title_a_description_and_its_errors(
    document: dict[str, Any],
) -> None:
    names = Counter(operation["operationId"] for _, _, operation in operations(document))
    assert set(names.values()) == {1}
    for path, method, operation in operations(document):
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", operation["operationId"]), (path, method)
        assert operation["summary"].replace(" ", "").lower() == operation["operationId"].lower()
        assert operation["description"].partition("\n")[0].endswith("."), (path, method)
        failure = operation["responses"]["default"]
        if path.startswith("/oauth/"):
            for status in operation["responses"].keys() & {"400", "401", "default"}:
                content = operation["responses"][status]["content"]["application/json"]
                assert content["example"].keys() == {"error", "error_description"}
            continue
        name = failure["$ref"].rpartition("/")[2]
        content = document["components"]["responses"][name]["content"]
        assert list(content) == ["application/problem+json"]


def test_an_operation_is_described_completely(document: dict[str, Any]) -> None:
    path = document["paths"]["/v1/makes/{make_id}"]
    assert path["parameters"] == [
        {
            "in": "path",
            "name": "make_id",
            "required": True,
            "schema": {
                "type": "integer",
                "format": "int64",
                "minimum": 1,
                "maximum": 9223372036854775807,
            },
            "description": "The id of the make.",
            "example": 542,
        }
    ]
    (if_match,) = path["patch"].pop("parameters")
    assert (if_match["name"], if_match["in"]) == ("If-Match", "header")
    administrators = {
        "security": [{"bearer": []}, {"oauth2": []}, {"oauth2": ["catalogue"]}],
        "tags": ["catalogue"],
    }
    requirement = "Requires an administrator, or a service client with the scope `catalogue`."
    errors = {
        "400": to_response("BAD_REQUEST"),
        "401": to_response("UNAUTHORIZED"),
        "403": to_response("FORBIDDEN"),
        "404": to_response("NOT_FOUND"),
        "409": to_response("CONFLICT"),
        "412": to_response("PRECONDITION_FAILED"),
        "default": to_response("DEFAULT_ERROR"),
    }
    errors_of_bodies = {
        "413": to_response("CONTENT_TOO_LARGE"),
        "415": to_response("UNSUPPORTED_MEDIA_TYPE"),
        "422": to_response("UNPROCESSABLE_CONTENT"),
    }
    assert path["patch"] == administrators | {
        "operationId": "updateMake",
        "summary": "Update make",
        "description": f"Rename a make.\n\n{requirement}",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/MakeChanges"},
                    "example": {"name": "Isuzu Motors"},
                }
            },
        },
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Make"}}},
                "headers": to_headers("ETag"),
            }
        }
        | errors
        | errors_of_bodies,
    }
    assert path["delete"] == administrators | {
        "operationId": "deleteMake",
        "summary": "Delete make",
        "description": f"Delete a make and its models.\n\n{requirement}",
        "parameters": [if_match],
        "responses": {"204": {"description": "No Content", "headers": to_headers()}} | errors,
    }


def test_lists_and_creations_have_the_responses_of_their_kind(document: dict[str, Any]) -> None:
    makes = document["paths"]["/v1/makes"]
    assert makes["get"]["security"] == [{"bearer": []}, {"oauth2": []}]
    assert makes["get"]["responses"] == {
        "200": {
            "description": "OK",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MakePage"}}},
            "headers": to_headers("ETag", "Link"),
        },
        "304": {"description": "Not Modified", "headers": to_headers("ETag")},
        "401": to_response("UNAUTHORIZED"),
        "422": to_response("UNPROCESSABLE_CONTENT"),
        "default": to_response("DEFAULT_ERROR"),
    }
    assert makes["post"]["responses"] == {
        "201": {
            "description": "Created",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Make"}}},
            "headers": to_headers("ETag", "Location", "Idempotent-Replayed"),
        },
        "400": to_response("BAD_REQUEST"),
        "401": to_response("UNAUTHORIZED"),
        "403": to_response("FORBIDDEN"),
        "409": to_response("CONFLICT"),
        "413": to_response("CONTENT_TOO_LARGE"),
        "415": to_response("UNSUPPORTED_MEDIA_TYPE"),
        "422": to_response("UNPROCESSABLE_CONTENT"),
        "default": to_response("DEFAULT_ERROR"),
    }


def test_responses_to_errors_are_described_completely(document: dict[str, Any]) -> None:
    responses = document["components"]["responses"]
    example = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The database is not available. Try again later.",
        "instance": "/v1/customers",
        "request_id": "0198f3a2c5d47b6e9a1f0c3d5e7b9a24",
    }
    assert responses["DEFAULT_ERROR"] == {
        "description": "A problem (RFC 9457)",
        "headers": to_headers("Retry-After"),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example,
            }
        },
    }
    invalid = {
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "The request has invalid fields.",
        "errors": [{"detail": "Must not be blank.", "pointer": "#/first_name"}],
    }
    assert responses["UNPROCESSABLE_CONTENT"] == {
        "description": "Unprocessable Content",
        "headers": to_headers(),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example | invalid,
            }
        },
    }


def test_everything_has_a_description(document: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, described in ({"": schema} | schema.get("properties", {})).items()
        if not described.get("description")
    ]
    for path, item in document["paths"].items():
        for _, operation in [("", {"parameters": item.get("parameters", [])}), *item.items()]:
            parameters = operation.get("parameters", []) if isinstance(operation, dict) else []
            silent += [f"{path} {p['name']}" for p in parameters if not p.get("description")]
    assert silent == []


def test_pages_for_people_are_not_in_it(document: dict[str, Any]) -> None:
    assert document["paths"]["/login"].keys() - {"parameters"} == {"post"}
    assert list(document["paths"]["/login"]["post"]["requestBody"]["content"]) == [
        "application/json"
    ]
    assert "/logout" not in document["paths"]


def test_scopes_are_described_and_belong_to_service_clients(document: dict[str, Any]) -> None:
    alternatives = [
        alternative["oauth2"]
        for _, _, operation in operations(document)
        for alternative in operation["security"]
        if "oauth2" in alternative
    ]
    used = {scope for scopes in alternatives for scope in scopes}
    flows = document["components"]["securitySchemes"]["oauth2"]["flows"]
    assert flows["clientCredentials"]["scopes"].keys() == used
    assert flows["authorizationCode"]["scopes"] == {}


def test_errors_document_their_headers(document: dict[str, Any]) -> None:
    responses = document["components"]["responses"]
    for name, header in (
        ("UNAUTHORIZED", "WWW-Authenticate"),
        ("FORBIDDEN", "WWW-Authenticate"),
        ("TOO_MANY_REQUESTS", "Retry-After"),
        ("SERVICE_UNAVAILABLE", "Retry-After"),
        ("DEFAULT_ERROR", "Retry-After"),
        ("CONFLICT", "RateLimit"),
        ("UNSUPPORTED_MEDIA_TYPE", "Accept"),
    ):
        assert header in responses[name]["headers"], (name, header)
    for path, status, header in (
        ("/oauth/token", "401", "WWW-Authenticate"),
        ("/oauth/token", "default", "Retry-After"),
        ("/oauth/authorize", "302", "Location"),
    ):
        response = document["paths"][path]["post"]["responses"][status]
        assert header in response["headers"], (path, header)


def test_only_requests_exclude_unknown_fields(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        is_strict = schema.get("additionalProperties") is False
        is_request = bool(re.search(r"^New|Changes?$|Login$|Upload$|Import$", name))
        assert is_strict == (is_request and name not in ("Change", "ModelChange")), name


def test_the_result_of_a_job_has_the_schema_of_its_kind(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    mapping = schemas["Job"]["discriminator"]["mapping"]
    assert [each["$ref"] for each in schemas["Job"]["oneOf"]] == list(mapping.values())
    results = {}
    for kind, reference in mapping.items():
        properties = schemas[reference.rpartition("/")[2]]["properties"]
        assert properties["kind"]["enum"] == [kind]
        results[kind] = properties["result"]["anyOf"][0]["$ref"].rpartition("/")[2]
    assert results == {
        "vehicle_sync": "SyncResult",
        "purchase_recording": "Purchase",
        "csv_import": "ImportResult",
        "vin_decoding": "VinDecodingResult",
        "webhook_delivery": "DeliveryResult",
        "notice_delivery": "NoticeResult",
    }


def test_generators_find_no_names_that_collide(document: dict[str, Any]) -> None:
    reserved = {"Client", "AuthenticatedClient", "ApiClient", "Model", "Configuration", "Response"}
    assert not reserved & document["components"]["schemas"].keys()
    tags = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    for webhook in document["webhooks"].values():
        assert not tags & set(webhook["post"]["tags"])
    assert len(document["tags"]) == len({tag["name"] for tag in document["tags"]})


def test_limits_that_are_not_allowed_values_are_exclusive(document: dict[str, Any]) -> None:
    pitch = document["components"]["schemas"]["NewSprocketType"]["properties"]["pitch"]
    assert (pitch["exclusiveMinimum"], pitch.get("minimum")) == (0, None)
    status = document["components"]["schemas"]["NewCar"]["properties"]["status"]
    assert status["type"] == "string"


def test_the_rules_of_requests_are_documented_where_a_schema_can_state_them(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]
    rules = {
        ("NewCustomer", "first_name"): {"pattern": TEXT_PATTERN},
        ("NewUser", "password"): {"pattern": TEXT_PATTERN, "minLength": 12},
        ("NewCar", "daily_price"): {"multipleOf": 0.01, "exclusiveMinimum": 0},
        ("Car", "daily_price"): {"multipleOf": None, "exclusiveMinimum": 0},
        ("Customer", "first_name"): {"pattern": None},
        ("TokenRequest", "code_verifier"): {"pattern": "^[A-Za-z0-9._~-]{43,128}$"},
    }
    for (name, field), expected in rules.items():
        described = schemas[name]["properties"][field]
        assert {rule: described.get(rule) for rule in expected} == expected, (name, field)
    assert (schemas["NewVinDecoding"]["minProperties"], schemas["Car"].get("minProperties")) == (
        1,
        None,
    )
    assert "additionalProperties" not in schemas["TokenRequest"]  # RFC 6749 §3.2


@pytest.mark.parametrize(
    ("name", "values", "others"),
    [
        ("If-Match", ("*", '"a"', 'W/"a" , "b"', '""'), ("", "a", '"a" "b"', '"a",')),
        ("Idempotency-Key", ("k", "a b", "é"), ("", " a", "a\t", "\x7f", "a\xad")),
    ],
)
def test_headers_have_the_pattern_that_the_product_enforces(
    document: dict[str, Any], as_admin: FlaskClient, name: str, values: Any, others: Any
) -> None:
    method, path = ("patch", "/v1/users/me") if name == "If-Match" else ("post", "/v1/dealers")
    body = {} if name == "If-Match" else {"name": "Oscar Mobility", "location": "Munich"}
    described = document["paths"][path][method]["parameters"]
    (pattern,) = (each["schema"]["pattern"] for each in described if each["name"] == name)
    for value in (*values, *others):
        assert bool(re.fullmatch(pattern, value)) == (value in values), value
        if value.strip(" ") == value:  # HTTP removes blanks at the ends
            response = as_admin.open(path, method=method, json=body, headers={name: value})
            assert (response.status_code == 400) == (value in others), value


def test_headers_are_documented_where_they_are_sent(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.startswith(("/v1/", "/jobs")):
            continue  # OAuth's endpoints follow its specifications
        asked = {p["name"] for p in operation["parameters"] if p["in"] == "header"}
        answered = {
            status: response.get("headers", {}).keys()
            for status, response in operation["responses"].items()
        }
        is_page = "Page" in str(operation["responses"].get("200"))
        shows_a_secret = "WithSecret" in str(operation["responses"].get("201"))
        has_version = method in ("patch", "put", "delete") and "/sessions" not in path
        assert ("If-Match" in asked) == has_version, path
        assert ("If-None-Match" in asked) == (method == "get"), path
        assert ("304" in answered) == (method == "get"), path
        creates = method == "post" and ("201" in answered or "202" in answered)
        creates = creates and not shows_a_secret
        assert ("Idempotency-Key" in asked) == creates, path
        assert ("Link" in answered.get("200", ())) == is_page, path
        for status, headers in answered.items():
            assert status not in ("200", "201") or "ETag" in headers
            assert status not in ("201", "202") or "Location" in headers
            assert status != "202" or "Retry-After" in headers


@on_sqlite
def test_a_get_that_documents_304_has_an_etag_in_every_format(
    app: Flask, document: dict[str, Any], subtests: pytest.Subtests
) -> None:
    makers = make_world()
    db.session.rollback()
    callers = {role: signed_in(app, make()) for role, make in makers.items()}
    callers["nobody"] = app.test_client()
    formats = set()
    for path, method, operation in operations(document):
        if method != "get" or re.search("authorize|token|client_id|job_id|brand", path):
            continue
        role = next(role for role in reversed(ROLES) if role in ALLOWED[path, "GET"])
        parameters = document["paths"][path].get("parameters", ()), operation["parameters"]
        examples = {each["name"]: each.get("example") for each in chain(*parameters)}
        query = {name: value for name, value in examples.items() if name.endswith("_datetime")}
        for media_type in operation["responses"]["200"]["content"]:
            accept = {"Accept": media_type}
            url = path.format(**examples)
            response = callers[role].get(url, query_string=query, headers=accept)
            if response.status_code == 404:  # not among the samples
                continue
            with subtests.test(url, media_type=media_type):
                assert (response.status_code, response.mimetype) == (200, media_type)
                assert ("ETag" in response.headers) == ("304" in operation["responses"])
                formats.add((path, media_type))
    assert {media_type for _, media_type in formats} > {"text/calendar", "image/svg+xml"}
    assert len(formats) > 40


def test_the_extension_members_of_problems_are_described(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["Problem"]["properties"]
    assert properties.keys() >= {"errors", "job_url", "in_the_way", "parts"}


def test_403_is_documented_where_a_token_does_not_suffice(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        allowed = ALLOWED[path, method.upper()]
        assert ("403" in operation["responses"]) == ("nobody" not in allowed != ANY), path


def test_every_email_address_has_its_format_and_length(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("NewUser", "UserChanges", "Customer", "NewBooking", "BookingChanges"):
        (email,) = (v for k, v in schemas[name]["properties"].items() if k.endswith("email"))
        assert (email["format"], email["maxLength"]) == ("email", 254), name


def test_queries_have_no_null_and_no_null_default(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for parameter in operation["parameters"]:
            assert "null" not in parameter["schema"].get("type", ())
            assert None not in parameter["schema"].get("enum", ())
            assert parameter["schema"].get("default", "something") is not None


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_its_paths_begin_with_the_prefix_of_the_request(client: FlaskClient, prefix: str) -> None:
    document = client.get(f"{prefix}/openapi.json").get_json()
    assert document["servers"] == [{"url": prefix or "/"}]


@on_postgresql_if_installed
@pytest.mark.parametrize("role", ROLES)
def test_every_response_is_documented_whatever_is_sent(
    app: Flask, subtests: pytest.Subtests, role: str
) -> None:
    """`make fuzz` sends many more requests, and the requests of a role to all operations."""
    makers = make_world()
    db.session.rollback()
    token = None if role == "nobody" else token_of(app, makers[role]())
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    api = Context().run(schemathesis.openapi.from_wsgi, "/openapi.json", app)
    for found in api.include(path_regex="^/(v1|jobs)").get_all_operations():
        operation = found.ok()
        if _first_role(operation) != role:
            continue
        for mode in GenerationMode:
            with subtests.test(operation.label, mode=mode):
                answers_as_documented(operation, mode, headers)


def _first_role(operation: schemathesis.APIOperation) -> str:
    """Return the role with the fewest rights that may call an operation."""
    allowed = ALLOWED[operation.path, operation.method.upper()]
    return next(role for role in reversed(ROLES) if role in allowed)


def answers_as_documented(
    operation: schemathesis.APIOperation, mode: GenerationMode, headers: dict[str, str]
) -> None:
    @BRIEFLY
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def any_case(case: schemathesis.Case) -> None:
        # A parameter without a value counts as absent, which no schema can say.
        hypothesis.assume(all(str(value).strip() for value in (case.query or {}).values()))
        excluded = [*CANNOT_BE_SAID]
        if is_intended(case, negative_data_rejection.__name__):
            excluded.append(negative_data_rejection)
        Context().run(case.call_and_validate, headers=headers, excluded_checks=excluded)

    any_case()


def test_the_life_of_a_make_is_documented(conforms: Callable[..., Any]) -> None:
    add_makes(2)
    make = {"id": HONDA, "name": "Honda"}
    one = {"make_id": HONDA}
    key = {"Idempotency-Key": "k"}
    assert conforms("GET", "/v1/makes", query={"limit": 1}).status_code == 200
    for _ in range(2):
        created = conforms("POST", "/v1/makes", body=make, headers=key)
        assert created.status_code == 201
    got = conforms("GET", "/v1/makes/{make_id}", path_parameters=one)
    etag = got.headers["etag"][0]
    seen = {"If-None-Match": etag}
    again = conforms("GET", "/v1/makes/{make_id}", path_parameters=one, headers=seen)
    assert again.status_code == 304
    change = {"path_parameters": one, "headers": {"If-Match": etag}}
    path = "/v1/makes/{make_id}"
    assert conforms("PATCH", path, body={"name": "Acura"}, **change).status_code == 200
    assert conforms("PATCH", path, body={"name": "Honda"}, **change).status_code == 412
    assert conforms("DELETE", path, **change).status_code == 412
    assert conforms("DELETE", path, path_parameters=one).status_code == 204


def test_the_life_of_a_job_is_documented(
    conforms: Callable[..., Any], run_jobs: Callable[[], None]
) -> None:
    add_make(models=HONDAS)
    submitted = conforms("POST", "/v1/vehicle-syncs", body={})
    job = {"job_id": submitted.json()["id"]}
    assert conforms("GET", "/jobs/{job_id}", path_parameters=job).status_code == 200
    run_jobs()
    ended = conforms("GET", "/jobs/{job_id}", path_parameters=job)
    assert ended.json()["state"] == "succeeded"
    assert conforms("GET", "/jobs").json()["items"] == [ended.json()]
    cancel = "/jobs/{job_id}/cancel"
    assert conforms("POST", cancel, path_parameters=job).status_code == 409
    nothing = {"job_id": str(uuid.uuid4())}
    assert conforms("GET", "/jobs/{job_id}", path_parameters=nothing).status_code == 404


class Assets(HTMLParser):
    """Collects the URLs that a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.urls += [str(value) for name, value in attributes if name in ("src", "href")]


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_docs_load_nothing_from_other_hosts(client: FlaskClient, prefix: str) -> None:
    response = client.get(f"{prefix}/docs")
    assert response.mimetype == "text/html"
    assert "//" not in response.text
    assert 'fetch("openapi.json")' in response.text
    assets = Assets(response.text).urls
    assert len(assets) == 3
    for url in assets:
        with closing(client.get(urljoin(f"{prefix}/docs", url))) as asset:
            assert asset.status_code == 200
            assert len(asset.data) > 500
            assert not re.search(rb"(url\(|@import )['\"]?(https?:)?//", asset.data)
