"""Pages for people, whose forms contain a token against cross-site request forgery."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import Response, make_response, render_template, request, session

SESSION_CSRF = "csrf"


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page that no cache stores and no other page embeds."""
    nonce = secrets.token_urlsafe(16)
    text = render_template(template, csrf_token=_csrf_token(), nonce=nonce, **values)
    response = make_response(text, status)
    response.headers["Cache-Control"] = "no-store"
    # No form-action: browsers also apply it to the redirect to the application.
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


def has_valid_csrf_token() -> bool:
    """Return whether the form was sent by a page of this session."""
    expected = session.get(SESSION_CSRF, "")
    sent = request.form.get("csrf_token", "")
    return bool(expected) and hmac.compare_digest(expected.encode(), sent.encode())


def _csrf_token() -> str:
    if SESSION_CSRF not in session:
        session[SESSION_CSRF] = secrets.token_urlsafe(16)
    token: str = session[SESSION_CSRF]
    return token
