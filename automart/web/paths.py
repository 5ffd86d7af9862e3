"""The index at `/` and `/v1`, and redirects from paths with a final slash."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from flask import Flask, Response, current_app, jsonify, make_response, redirect, request, url_for

from automart.core.errors import NotFound
from automart.web.authorization import public
from automart.web.error_handlers import PATH
from automart.web.media_types import HTML, JSON, accepted_media_types
from automart.web.urls import absolute_url, origin

# rq-dashboard has paths with a final slash.
NOT_REDIRECTED = "/rq/"
# The characters that RFC 3986 §3.4 allows unescaped in a query, and the % of escaped ones.
QUERY = "/?!$&'()*+,;=:@%[]"


def init_paths(app: Flask) -> None:
    """Serve the index of `app`, and redirect paths with a final slash to those without."""
    app.before_request(_check_slashes)
    app.add_url_rule("/", "index", _index)
    app.add_url_rule("/v1", "index_of_v1", _index)


def prefers_page() -> bool:
    """Return whether the client prefers HTML to JSON, as browsers do."""
    return accepted_media_types().best_match([JSON, HTML]) == HTML


def _check_slashes() -> Response | None:
    # `request.path` begins with a single slash, whatever was sent.
    path_info = request.environ.get("PATH_INFO", "")
    sent = request.environ.get("SCRIPT_NAME", "") + path_info
    if path_info.startswith("//") or (sent and not sent.startswith("/")):
        raise NotFound("A path begins with one slash.")
    path = request.path.removesuffix("/")
    is_longer = path != request.path and path and not path.endswith("/")
    if not is_longer or request.path.startswith(NOT_REDIRECTED) or not _exists(path):
        return None
    location = origin() + quote(request.script_root + path, PATH)
    if request.query_string:
        location += f"?{quote(request.query_string, QUERY)}"
    # Without PUBLIC_URL the location depends on the Host header: no cache may keep it.
    headers = {"Location": location, "Cache-Control": "no-store"}
    return Response(status=HTTPStatus.PERMANENT_REDIRECT, headers=headers)


def _exists(path: str) -> bool:
    """Return whether any method is served at `path`."""
    adapter = current_app.create_url_adapter(request)
    return adapter is not None and bool(adapter.allowed_methods(path_info=path))


@public
def _index() -> Response:
    """Send browsers to `/docs`, and give everyone else links."""
    if prefers_page():
        response = make_response(redirect(origin() + url_for("docs"), HTTPStatus.SEE_OTHER))
    else:
        response = jsonify(
            api=absolute_url("index_of_v1"),
            docs=absolute_url("docs"),
            openapi=absolute_url("api-docs.openapi_json"),
            health=absolute_url("health.Health"),
        )
    response.vary.add("Accept")
    response.headers["Cache-Control"] = "no-cache"
    return response
