"""Domain errors: the problem object and the headers of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from automart.core.errors import (
    Conflict,
    DomainError,
    Invalid,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    problem,
    status_name,
)

LIMITS = {
    "Retry-After": "7",
    "RateLimit-Policy": '"login";q=10',
    "RateLimit": '"login";r=0;t=7',
}
BEARER = 'Bearer realm="automart"'
INVALID_TOKEN = f'{BEARER}, error="invalid_token", error_description="…"'


@pytest.mark.parametrize(
    ("make", "headers"),
    [
        (lambda: DomainError("…"), {}),
        (lambda: Conflict("…", headers={"Retry-After": "1"}), {"Retry-After": "1"}),
        (lambda: Unavailable("…"), {"Retry-After": "5"}),
        (lambda: Unavailable("…", retry_after=60), {"Retry-After": "60"}),
        (lambda: TooManyRequests("…", retry_after=7, policy="login", quota=10), LIMITS),
        (lambda: Unauthenticated("…"), {"WWW-Authenticate": BEARER}),
        (lambda: Unauthenticated("…", error="invalid_token"), {"WWW-Authenticate": INVALID_TOKEN}),
    ],
)
def test_an_error_has_a_detail_and_headers(
    make: Callable[[], DomainError], headers: dict[str, str]
) -> None:
    error = make()
    assert error.headers == headers
    assert error.as_problem() == problem(error.status, "…")
    assert str(error) == "…"


def test_a_problem_has_the_title_of_its_status() -> None:
    assert problem(409, "…", job="/jobs/1") == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "…",
        "job": "/jobs/1",
    }


def test_a_problem_may_have_members() -> None:
    assert Conflict("…", job="/jobs/1").as_problem()["job"] == "/jobs/1"
    assert Invalid.field("make_ids/3", "There is no make 3.").as_problem() == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "The request is well-formed, but some values are invalid.",
        "errors": [{"detail": "There is no make 3.", "pointer": "#/make_ids/3"}],
    }
    assert "errors" not in Invalid("…").as_problem()


def test_without_a_detail_a_problem_has_its_title() -> None:
    assert problem(404, None)["detail"] == "Not Found"


def test_the_openapi_document_names_each_status() -> None:
    names = {status: status_name(status) for status in (200, 404, 413, 418)}
    assert names == {200: "OK", 404: "NOT_FOUND", 413: "CONTENT_TOO_LARGE", 418: "IM_A_TEAPOT"}
