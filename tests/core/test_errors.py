"""Domain errors: the problem object and the headers of each."""

from __future__ import annotations

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

WRONG_FIELDS = "The request is well-formed, but some values are invalid."


@pytest.mark.parametrize(
    ("error", "status", "title", "headers"),
    [
        (DomainError("…"), 500, "Internal Server Error", {}),
        (Conflict("…", headers={"Retry-After": "1"}), 409, "Conflict", {"Retry-After": "1"}),
        (
            Unauthenticated("…"),
            401,
            "Unauthorized",
            {"WWW-Authenticate": 'Bearer realm="automart"'},
        ),
        (
            Unauthenticated("…", error="invalid_token"),
            401,
            "Unauthorized",
            {
                "WWW-Authenticate": (
                    'Bearer realm="automart", error="invalid_token", error_description="…"'
                )
            },
        ),
        (
            TooManyRequests("…", retry_after=7, policy="login", quota=10),
            429,
            "Too Many Requests",
            {
                "Retry-After": "7",
                "RateLimit-Policy": '"login";q=10',
                "RateLimit": '"login";r=0;t=7',
            },
        ),
        (Unavailable("…"), 503, "Service Unavailable", {"Retry-After": "5"}),
        (Unavailable("…", retry_after=60), 503, "Service Unavailable", {"Retry-After": "60"}),
    ],
)
def test_an_error_is_a_problem_with_headers(
    error: DomainError, status: int, title: str, headers: dict[str, str]
) -> None:
    expected = {"type": "about:blank", "title": title, "status": status, "detail": "…"}
    assert error.as_problem() == expected
    assert error.headers == headers
    assert str(error) == "…"


def test_an_error_may_have_members() -> None:
    assert Conflict("…", job="/jobs/1").as_problem()["job"] == "/jobs/1"
    assert Invalid.field("make_ids/3", "There is no make 3.").as_problem() == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": WRONG_FIELDS,
        "errors": [{"detail": "There is no make 3.", "pointer": "#/make_ids/3"}],
    }
    assert "errors" not in Invalid("…").as_problem()


def test_without_a_detail_a_problem_has_its_title() -> None:
    assert problem(404, None)["detail"] == "Not Found"


def test_the_openapi_document_names_each_status() -> None:
    names = {status: status_name(status) for status in (200, 404, 413, 418)}
    assert names == {200: "OK", 404: "NOT_FOUND", 413: "CONTENT_TOO_LARGE", 418: "IM_A_TEAPOT"}
