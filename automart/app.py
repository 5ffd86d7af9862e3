"""The application factory: the only module that knows all parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flask import Flask, Request
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import MapAdapter

from automart.accounts.views import blp as account_views
from automart.background.queues import connect
from automart.background.views import blp as job_views
from automart.catalogue.views import blp as catalogue_views
from automart.core.config import Settings, SettingsError
from automart.core.db import db, end_session, migrate
from automart.core.db_engine import prepare_engine
from automart.core.logging import configure_logging
from automart.core.metrics import measure_connections
from automart.core.schema_version import MIGRATIONS
from automart.core.storage import init_storage
from automart.core.turns import Turns
from automart.customers.views import blp as customer_views
from automart.customers.views import photo_blp as photo_views
from automart.inventory.views import blp as inventory_views
from automart.oauth.authentication import init_auth, token_subject
from automart.oauth.views import blp as oauth_views
from automart.oauth.views import login_blp as login_views
from automart.operations.health import init_health
from automart.operations.metrics_views import blp as metrics_views
from automart.operations.rq_dashboard import init_dashboard
from automart.operations.views import blp as health_views
from automart.partners.models import MANUFACTURER_SCOPE, OFFICE_SCOPE
from automart.partners.views import blp as partner_views
from automart.production.views import blp as production_views
from automart.purchases.events import STATE_CHANGED_OPERATION
from automart.purchases.schemas import STATE_CHANGED
from automart.purchases.views import blp as purchase_views
from automart.vins.views import blp as vin_views
from automart.web import check_that_access_is_stated, create_api
from automart.web.cors import allow_origins
from automart.web.error_handlers import register_error_handlers
from automart.web.rate_limits import limit_requests
from automart.web.request_logging import log_requests
from automart.web.request_metrics import measure_requests
from automart.web.security_headers import SecurityHeaders
from automart.web.trusted_proxies import TrustedProxies
from automart.web.turns import RequestTurns
from automart.webhooks.views import blp as webhook_views

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VERSION = version("automart")
LARGEST_REQUEST_BODY = 1_000_000
SCOPES = {
    "catalogue": "Change the catalogue, start vehicle syncs, and decode VINs",
    "metrics": "Read the metrics",
    OFFICE_SCOPE: "Report the sales of a regional office, and read its purchases",
    MANUFACTURER_SCOPE: "Read and update the purchases of a manufacturer's makes",
}
# The login has limits of its own, and health checks must always be answered.
UNLIMITED = frozenset(
    {"login.LoginPage", "docs", "docs_asset", "health.Live", "health.Ready", "health.Health"}
)
DESCRIPTION = """\
REST API for a car business: catalogue, customers, rentals, purchases and production.

- **Bodies** are JSON. Unknown fields are refused. PATCH changes the fields that are sent, and also
  takes `application/merge-patch+json` (RFC 7396).
- **Errors** are problems (RFC 9457), except those of `/oauth` (RFC 6749).
- **Lists** have pages: repeat the request with `next_cursor` as `cursor` until it is null.
- **Versions**: send the `ETag` of a response as `If-Match` to change only what you have seen.
- **Repetitions**: a POST with an `Idempotency-Key` can be repeated safely.
- **Long work** is done by jobs: poll the URL in `Location`, or wait with `Prefer: wait=10`.
- **Times** are in UTC (RFC 3339). Send them with an offset.

Answers may gain fields in later releases. The whole API is also served under `/api`.
"""


CONNECT_SECONDS = 5
POOL_SECONDS = 10
# Requests that compute at the same time. While one waits for PostgreSQL, others can compute.
SQLITE_TURNS = 1
POSTGRESQL_TURNS = 2


class Json(DefaultJSONProvider):
    """JSON with the fields in the order of their schema."""

    sort_keys = False
    _encode = staticmethod(
        json.JSONEncoder(separators=(",", ":"), default=DefaultJSONProvider.default).encode
    )

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Serialize `obj`. The usual options have an encoder that is created once."""
        if kwargs == {"separators": (",", ":")}:
            return self._encode(obj)
        return super().dumps(obj, **kwargs)


class Application(Flask):
    """A Flask application whose views are all synchronous, and served at any host."""

    json_provider_class = Json

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        # Flask would inspect each function, and each hook, again with each request.
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what matches the path of `request`. Its host and subdomain do not matter.

        Flask's own one encodes the host for international names, again with each request.
        """
        if request is None:
            return super().create_url_adapter(request)
        return MapAdapter(
            self.url_map,
            request.host.lower(),
            request.root_path,
            "",
            request.scheme,
            # Unlike `request.path`, with all slashes that it begins with.
            request.environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
            request.method,
            request.query_string.decode(errors="replace"),
        )


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application. `settings` default to those of the environment.

    Raises `SettingsError` that names every invalid setting.
    """
    settings = settings or Settings.from_environment()
    configure_logging(settings.log_format)
    app = Application("automart", instance_path=str(settings.instance), static_folder=None)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(settings),
        SESSION_COOKIE_NAME="automart_session",
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=LARGEST_REQUEST_BODY,
        TRAP_HTTP_EXCEPTIONS=False,
    )
    app.extensions["settings"] = settings
    app.extensions["redis"] = connect(settings.redis_url)
    _open_database(app, settings)
    init_auth(app)
    init_storage(app, settings)
    init_health(app, settings)
    log_requests(app)
    measure_requests(app)
    allow_origins(app, settings.cors_origins)
    limit_requests(
        app, settings.rate_limit, app.extensions["redis"], token_subject, exempt=UNLIMITED
    )
    register_error_handlers(app)
    api = create_api(
        app,
        title="Automart",
        version=VERSION,
        description=DESCRIPTION,
        scopes=SCOPES,
    )
    for views in (
        login_views,
        oauth_views,
        account_views,
        job_views,
        catalogue_views,
        vin_views,
        customer_views,
        photo_views,
        inventory_views,
        partner_views,
        purchase_views,
        webhook_views,
        production_views,
        health_views,
        metrics_views,
    ):
        api.register_blueprint(views)
    api.describe_webhook(STATE_CHANGED, STATE_CHANGED_OPERATION)
    init_dashboard(app)
    check_that_access_is_stated(app)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/api": _mounted(app.wsgi_app)})  # type: ignore[method-assign]
    trusting = TrustedProxies(SecurityHeaders(app.wsgi_app), settings.trusted_proxies)
    turns = Turns(SQLITE_TURNS if settings.is_sqlite else POSTGRESQL_TURNS)
    app.extensions["turns"] = turns
    app.wsgi_app = RequestTurns(trusting, turns)  # type: ignore[method-assign]
    return app


def _mounted(app: WSGIApplication) -> WSGIApplication:
    """Return `app` such that the path of the mount itself, `/api`, is its root."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["PATH_INFO"] = environ["PATH_INFO"] or "/"
        return app(environ, start_response)

    return call


def _open_database(app: Flask, settings: Settings) -> None:
    if settings.is_sqlite:
        try:
            settings.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"Cannot create {settings.instance}: {error.strerror}.") from None
    db.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS))
    app.teardown_appcontext(
        end_session
    )  # runs before Flask-SQLAlchemy's, which was registered first
    with app.app_context():
        prepare_engine(db.engine)
        measure_connections(db.engine)


def _engine_options(settings: Settings) -> dict[str, Any]:
    # Parameters may be personal or secret, and each error would log them.
    options: dict[str, Any] = {"hide_parameters": True}
    if settings.is_sqlite:
        return options
    return options | {
        # Without these, requests would hang for minutes if the database's host is cut off.
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": 15_000,
            # tcp_user_timeout has no effect while a result is awaited, because nothing is sent.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
        },
        # The connection that was used last is the least likely to be lost.
        "pool_use_lifo": True,
        # A request that gets no connection in this time is answered 503.
        "pool_timeout": POOL_SECONDS,
    }
