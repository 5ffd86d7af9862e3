"""rq-dashboard at `/rq`, read-only and for administrators.

Jobs are in the database, so changes to RQ's records would not last.

Importing this module adapts rq-dashboard's blueprint, which is a global of that package: hooks
cannot be added once it is registered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

import redis
import rq
from flask import Flask, Response, current_app, redirect, request, url_for
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.serializers import JSONSerializer
from rq_dashboard import web
from werkzeug.exceptions import HTTPException

from automart.core.errors import Forbidden, NotFound, Unavailable
from automart.web import ADMIN, Access, guard_blueprint
from automart.web.media_types import HTML
from automart.web.paths import prefers_page

BLUEPRINT = web.blueprint.name
POLL_INTERVAL_MILLISECONDS = 5000
READ_ONLY_VIEWS = frozenset(
    f"{BLUEPRINT}.{view}"
    for view in (
        *("static", "favicon", "queues_overview", "workers_overview", "jobs_overview", "job_view"),
        *("list_queues", "list_workers", "list_jobs", "job_info"),
    )
)
REGISTRIES = frozenset(
    {"queued", "failed", "deferred", "started", "finished", "scheduled", "canceled"}
)
ORDERS = frozenset({"asc", "dsc"})
MOST_PER_PAGE = 200  # as its form allows
LAST_PAGE = 1_000_000
_QUEUE_NAME = re.compile(r"[\w.:-]+", re.ASCII)
# It has inline scripts, and compiles templates in the browser.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; connect-src 'self';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


# Its pages fill in most values without escaping them, and some with a function that escapes.
_ESCAPED_BY_A_FUNCTION = re.compile(r"\$\('<div/>'\)\.text\(([\w.]+)\)\.html\(\)")


class _DashboardJob(rq.job.Job):
    """Is read as JSON: others who can write to Redis must not be able to run code by a pickle."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"serializer": JSONSerializer})


class _DashboardWorker(rq.Worker):
    """Does not fail if Redis was emptied while its job was running."""

    job_class = _DashboardJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"serializer": JSONSerializer})

    def get_current_job(self) -> rq.job.Job | None:
        """Return the current job; None if Redis no longer has it."""
        try:
            return super().get_current_job()
        except NoSuchJobError:
            return None


def init_dashboard(app: Flask) -> None:
    """Serve the dashboard of `app`'s Redis."""
    app.redis_conn = app.extensions["redis"]  # type: ignore[attr-defined]
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=["Redis"],  # the name that its pages show
        RQ_DASHBOARD_POLL_INTERVAL=POLL_INTERVAL_MILLISECONDS,
        RQ_DASHBOARD_DISABLE_DELETE=True,
    )
    app.url_build_error_handlers.append(_icon)
    app.register_blueprint(web.blueprint, url_prefix="/rq")
    for endpoint, view in app.view_functions.items():
        if endpoint in READ_ONLY_VIEWS:
            app.view_functions[endpoint] = _with_our_errors(view)


def _ask_people_to_log_in() -> Response | None:
    """Redirect people without a session to the login page, which redirects them back."""
    is_page = prefers_page() and "Authorization" not in request.headers
    if not is_page or current_app.extensions["session_caller"]():
        return None
    where = request.script_root + request.full_path.removesuffix("?")
    return redirect(url_for("login.LoginPage", next=where), HTTPStatus.SEE_OTHER)  # type: ignore[return-value]


def _refuse_changes() -> None:
    """Raise `Forbidden` for anything that changes RQ's records, `NotFound` for a wrong URL."""
    if request.endpoint not in READ_ONLY_VIEWS or request.method not in ("GET", "HEAD", "OPTIONS"):
        raise Forbidden("The dashboard is read-only. To cancel a job, use POST /jobs/{id}/cancel.")
    if not _is_page(**request.view_args or {}):
        raise NotFound("There is no such page.")


def _is_page(
    *,
    instance_number: int = 0,
    queue_name: str | None = None,
    registry_name: str = "queued",
    order: str = "asc",
    per_page: str | int = 1,
    page: str | int = 1,
    **_: Any,
) -> bool:
    """Return whether the dashboard has such a page. Its scripts quote the name of the queue."""
    return (
        instance_number == 0
        and (queue_name is None or _QUEUE_NAME.fullmatch(queue_name) is not None)
        and registry_name in REGISTRIES
        and order in ORDERS
        and _is_number(per_page, MOST_PER_PAGE)
        and _is_number(page, LAST_PAGE)
    )


def _is_number(text: str | int, most: int) -> bool:
    return re.fullmatch("[0-9]{1,9}", str(text)) is not None and 1 <= int(text) <= most


def _with_our_errors(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return `view` with problem objects as errors, and with a policy for its scripts."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        client: redis.Redis = current_app.extensions["redis"]
        try:
            if not str(request.endpoint).endswith(".static"):
                client.ping()  # its own error page has the status 200
            response = current_app.make_response(view(*args, **kwargs))
        except redis.RedisError:
            raise Unavailable("Redis is not available at the moment.") from None
        except NoSuchJobError:
            raise NotFound("Redis has no such job. GET /jobs/{id} may find it.") from None
        except HTTPException:
            raise
        except (ValueError, DeserializationError):  # an invalid number, or a foreign message
            raise NotFound("There is no such page.") from None
        return _secured(response)

    return wrapper


def _secured(response: Response) -> Response:
    """Add a policy to a page, and let its templates, which the browser fills in, escape values."""
    if response.mimetype == HTML:
        response.headers["Content-Security-Policy"] = POLICY
        page = _ESCAPED_BY_A_FUNCTION.sub(r"\1", response.get_data(as_text=True))
        response.set_data(page.replace("<%=", "<%-"))
    return response


def _icon(_error: Exception, endpoint: str, _values: dict[str, Any]) -> str:
    """Return the URL of its icon: its pages look for it in the application's static folder."""
    if endpoint == "static" and request.blueprint == BLUEPRINT:
        return url_for(f"{BLUEPRINT}.favicon")
    raise _error


# Its own hook would open a connection to Redis with each request, from a URL with the password, and
# does not support sockets.
web.blueprint.before_request_funcs.clear()
web.Worker = _DashboardWorker
web.Job = _DashboardJob
web.config.serializer = JSONSerializer
web.blueprint.before_request(_ask_people_to_log_in)
guard_blueprint(web.blueprint, Access(ADMIN), by_session=True)
web.blueprint.before_request(_refuse_changes)
