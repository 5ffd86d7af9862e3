"""rq-dashboard at `/rq`: for administrators, and only to look at.

What there is to do stands in the database, so changing RQ's records would change nothing for good.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

import redis
import rq
from flask import Flask, Response, current_app, redirect, request, url_for
from rq.exceptions import NoSuchJobError
from rq_dashboard import web
from werkzeug.exceptions import HTTPException

from automart.core.errors import Forbidden, NotFound, Unavailable
from automart.web import ADMIN, Access, guard_blueprint
from automart.web.media_types import HTML
from automart.web.paths import prefers_page

NAME = web.blueprint.name
POLLED_EVERY_MILLISECONDS = 5000
LOOKING = frozenset(
    f"{NAME}.{view}"
    for view in (
        *("static", "favicon", "queues_overview", "workers_overview", "jobs_overview", "job_view"),
        *("list_queues", "list_workers", "list_jobs", "job_info"),
    )
)
REGISTRIES = frozenset(
    {"queued", "failed", "deferred", "started", "finished", "scheduled", "canceled"}
)
# Its scripts stand in the page, and its templates are compiled in the browser.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; connect-src 'self';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Worker(rq.Worker):
    def get_current_job(self) -> rq.job.Job | None:
        """None also for a job that Redis no longer knows: it may have been emptied meanwhile."""
        try:
            return super().get_current_job()
        except NoSuchJobError:
            return None


def init_dashboard(app: Flask) -> None:
    """Serve the dashboard of `app`'s Redis."""
    # It would open another connection to Redis with each request, by an address that holds the
    # password, and knows nothing of sockets.
    web.blueprint.before_request_funcs.clear()
    web.Worker = _Worker
    app.redis_conn = app.extensions["redis"]  # type: ignore[attr-defined]
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=["Redis"],  # what the page calls it
        RQ_DASHBOARD_POLL_INTERVAL=POLLED_EVERY_MILLISECONDS,
        RQ_DASHBOARD_DISABLE_DELETE=True,
    )
    app.before_request(_ask_people_to_log_in)
    guard_blueprint(app, NAME, Access(ADMIN), by_session=True)
    app.before_request(_refuse_changes)
    app.url_build_error_handlers.append(_icon)
    app.register_blueprint(web.blueprint, url_prefix="/rq")
    for endpoint, view in app.view_functions.items():
        if endpoint in LOOKING:
            app.view_functions[endpoint] = _with_our_errors(view)


def _ask_people_to_log_in() -> Response | None:
    """Send a person without a session to the login page, and back."""
    is_page = prefers_page() and "Authorization" not in request.headers
    if request.blueprint != NAME or not is_page or current_app.extensions["session_caller"]():
        return None
    where = request.script_root + request.full_path.removesuffix("?")
    return redirect(url_for("login.LoginPage", next=where), HTTPStatus.SEE_OTHER)  # type: ignore[return-value]


def _refuse_changes() -> None:
    if request.blueprint != NAME:
        return
    if request.endpoint not in LOOKING or request.method not in ("GET", "HEAD", "OPTIONS"):
        raise Forbidden("The dashboard only shows. Jobs are cancelled by POST /jobs/{id}/cancel.")
    asked: dict[str, Any] = request.view_args or {}
    if (
        asked.get("instance_number", 0) != 0
        or asked.get("registry_name", "queued") not in REGISTRIES
    ):
        raise NotFound("There is no such page.")


def _with_our_errors(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        client: redis.Redis = current_app.extensions["redis"]
        try:
            if not str(request.endpoint).endswith(".static"):
                client.ping()  # a page of its own would say 200
            response = current_app.make_response(view(*args, **kwargs))
        except redis.RedisError:
            raise Unavailable("Redis is not available at the moment.") from None
        except NoSuchJobError:
            raise NotFound("Redis has no such job. /jobs/{id} may know it.") from None
        except HTTPException:
            raise
        except ValueError:  # a number in its URLs that is none
            raise NotFound("There is no such page.") from None
        if response.mimetype == HTML:
            response.headers["Content-Security-Policy"] = POLICY
        return response

    return wrapper


def _icon(_error: Exception, endpoint: str, _values: dict[str, Any]) -> str:
    """The address of its icon, which its pages seek in the application's static folder."""
    if endpoint == "static" and request.blueprint == NAME:
        return url_for(f"{NAME}.favicon")
    raise _error
