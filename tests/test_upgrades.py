"""Names in libraries that we depend on and that their maintainers do not promise to keep.

A test that fails here after an upgrade says what no longer works. docs/adr/0014 gives the reasons.
"""

from __future__ import annotations

import http.client
import inspect
import io
import re
import tomllib
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from jobs.http.transport import _MOST_LINES

ROOT = Path(__file__).parent.parent
GTHREAD = "gunicorn.workers.gthread"
GRANTS = "authlib.oauth2.rfc6749.grants"

# Subclassed or replaced methods and names: where, parameters if it is called or overridden, and
# what breaks without it.
NAMES = [
    # gunicorn.conf.py
    (f"{GTHREAD}:TConn.wait_for_data", "self timeout", "An idle new connection holds a thread."),
    (f"{GTHREAD}:TConn.set_timeout", "self", "A silent connection never times out."),
    (f"{GTHREAD}:ThreadWorker.finish_request", "self conn fs", "A reload drops requests."),
    (
        f"{GTHREAD}:ThreadWorker.on_pending_socket_readable",
        "self conn client",
        "A connection that was accepted before a reload is never served.",
    ),
    (f"{GTHREAD}:_DEFER", None, "A worker does not start: the result of a silent connection."),
    # automart/core/db_engine.py
    ("psycopg.errors:_WaitTimeout", None, "A hung PostgreSQL blocks a request forever."),
    # jobs/rq_workers.py
    ("rq.worker:BaseWorker.heartbeat", "self timeout pipeline", "A hang goes unnoticed."),
    ("rq.worker:BaseWorker.procline", "self message", "`ps` shows the same name for all workers."),
    ("rq.worker:BaseWorker.subscribe", "self", "A thread runs beside forks, which deadlock."),
    ("rq.worker:BaseWorker._shutdown", "self", "A SIGTERM in a destructor is lost."),
    ("rq.worker:BaseWorker.get_state", "self", "A worker does not end between two jobs."),
    ("rq.worker:BaseWorker.serialize", "self", "Workers stay unknown to an emptied Redis."),
    ("rq.worker:BaseWorker.redis_workers_keys", None, "Workers stay unknown to an emptied Redis."),
    ("rq.worker_registration:register", "worker pipeline", "Workers stay unknown as well."),
    ("rq.worker:BaseWorker.dequeue_timeout", None, "Workers look for their end too rarely."),
    ("rq.worker:BaseWorker.max_connection_wait_time", None, "Workers wait a minute for Redis."),
    ("rq:SimpleWorker.perform_job", "self job queue", "Short jobs have no application context."),
    ("rq:SimpleWorker.prepare_execution", "self job", "Failed short jobs are not in /rq."),
    ("rq:SimpleWorker.increment_successful_job_count", "self pipeline", "/rq counts too few jobs."),
    ("rq:Worker.fork_work_horse", "self job queue", "A long job counts as hanging at its start."),
    ("rq:Worker.maintain_heartbeats", "self job", "A long job that hangs is never killed."),
    ("rq:Worker.kill_horse", "self sig", "A long job that hangs is never killed."),
    ("rq:Worker.horse_pid", None, "SIGTERM does not reach a long job."),
    ("rq:Worker.main_work_horse", "self job queue", "Long jobs have no application context."),
    ("rq.job:Job._deserialize_data", "self", "A message chooses the function that is called."),
    ("rq.job:Job._execute", "self", "A message chooses the function that is called."),
    (
        "rq.job:Job.execute_success_callback",
        "self death_penalty_class result",
        "A message chooses a function that is called.",
    ),
    (
        "rq.job:Job.execute_failure_callback",
        "self death_penalty_class exc_info",
        "A message chooses a function that is called.",
    ),
    (
        "rq.job:Job.execute_stopped_callback",
        "self death_penalty_class",
        "A message chooses a function that is called.",
    ),
    ("rq.job:Job.send_webhooks", "self status exc_string", "A message posts to any address."),
    (
        "rq.worker:BaseWorker.handle_job_failure",
        "self job queue started_job_registry exc_string",
        "/rq shows values of rows.",
    ),
    ("rq:Worker.setup_work_horse_signals", "self", "Long jobs ignore SIGTERM."),
    ("rq:Worker.handle_warm_shutdown_request", "self", "SIGTERM does not reach a job."),
    # automart/web/openapi.py
    (
        "flask_smorest:Blueprint.register_views_in_doc",
        "self api app spec name parameters",
        "/openapi.json has no operations.",
    ),
    ("flask_smorest:Api._openapi_json", "self", "/openapi.json names the wrong server."),
    ("flask_smorest:Api._register_error_handlers", "self", "Errors are not problem+json."),
    ("flask_smorest:Api._register_pagination_header", "self", "A header is documented in vain."),
    ("flask_smorest:Api._register_responses", "self", "Errors are documented as plain JSON."),
    (
        "flask_smorest.utils:prepare_response",
        "response spec content_type",
        "/openapi.json cannot be built.",
    ),
    # automart/oauth/server.py
    (
        "authlib.integrations.flask_oauth2.requests:FlaskOAuth2Payload.data",
        None,
        "Secrets are accepted in the query of a POST, and so end in logs.",
    ),
    (
        "authlib.integrations.flask_oauth2.requests:FlaskOAuth2Request.form",
        None,
        "Clients cannot authenticate in the body.",
    ),
    (
        "authlib.oauth2.rfc6749:OAuth2Request.__init__",
        "self method uri body headers",
        "OAuth is refused behind a proxy that ends TLS.",
    ),
    (
        "authlib.integrations.flask_oauth2:AuthorizationServer.create_oauth2_request",
        "self request",
        "The two entries above have no effect.",
    ),
    (
        "authlib.integrations.flask_oauth2:AuthorizationServer.handle_error_response",
        "self request error",
        "Refused authorizations are not redirected.",
    ),
    (f"{GRANTS}:AuthorizationCodeGrant.authenticate_user", None, "A code can be used twice."),
    (
        f"{GRANTS}:AuthorizationCodeGrant.save_authorization_code",
        "self code request",
        "Nobody can log in.",
    ),
    (
        f"{GRANTS}:AuthorizationCodeGrant.query_authorization_code",
        "self code client",
        "Nobody can log in.",
    ),
    (f"{GRANTS}:AuthorizationCodeGrant.delete_authorization_code", None, "Reuse is not noticed."),
    (f"{GRANTS}:AuthorizationCodeGrant.generate_token", None, "Tokens belong to no session."),
    (f"{GRANTS}:AuthorizationCodeGrant.save_token", "self token", "Tokens are stored in clear."),
    (f"{GRANTS}:ClientCredentialsGrant.generate_token", None, "Tokens belong to no session."),
    (f"{GRANTS}:ClientCredentialsGrant.save_token", "self token", "Tokens are stored in clear."),
    (
        f"{GRANTS}:RefreshTokenGrant.authenticate_refresh_token",
        "self refresh_token",
        "Nobody can refresh.",
    ),
    (f"{GRANTS}:RefreshTokenGrant.authenticate_user", None, "A token can be used twice."),
    (f"{GRANTS}:RefreshTokenGrant.issue_token", None, "Tokens belong to no session."),
    (f"{GRANTS}:RefreshTokenGrant.revoke_old_credential", None, "Reuse is not noticed."),
    (f"{GRANTS}:RefreshTokenGrant.save_token", "self token", "Tokens are stored in clear."),
    (
        "authlib.oauth2.rfc7636:CodeChallenge.validate_code_challenge",
        "self grant redirect_uri",
        "A login without PKCE is accepted.",
    ),
    (
        "authlib.oauth2.rfc7636:CodeChallenge.SUPPORTED_CODE_CHALLENGE_METHOD",
        None,
        "PKCE with the method `plain` is accepted.",
    ),
    (
        "authlib.oauth2.rfc7009:RevocationEndpoint.query_token",
        None,
        "Tokens cannot be revoked.",
    ),
    ("authlib.oauth2.rfc9207:IssuerParameter.get_issuer", "self", "Responses name no issuer."),
    (
        "authlib.oauth2.rfc9207:IssuerParameter.add_issuer_parameter",
        "self authorization_server response",
        "Refusals name no issuer, so that clients can be confused about the server.",
    ),
    # automart/operations/rq_dashboard.py
    ("rq_dashboard.web:Worker", None, "The page of workers is a 500 after Redis was emptied."),
    ("rq_dashboard.web:blueprint.before_request_funcs", None, "Each request opens a connection."),
    # automart/core/metrics.py
    ("prometheus_client.values:ValueClass", None, "Each process that ever ran leaves its files."),
    (
        "prometheus_client.values:MultiProcessValue",
        "process_identifier",
        "Each process that ever ran leaves its files.",
    ),
    # jobs/http/client.py
    (
        "urllib3.connection:HTTPConnection.request",
        (
            "self method url body headers"
            " chunked preload_content decode_content enforce_content_length"
        ),
        "No webhook is sent.",
    ),
    # tests/support/setup.py
    ("werkzeug.routing:Rule._compile_builder", None, "The tests take a third longer."),
]

# Attributes that only instances have, and local uses of a name that we replace: where, a regular
# expression for the source, and what breaks without it.
USES = [
    (f"{GTHREAD}:ThreadWorker", r"self\.pending_conns\.append\(", "A reload drops requests."),
    (f"{GTHREAD}:ThreadWorker", r"self\.poller\.register\(", "A reload drops requests."),
    (f"{GTHREAD}:ThreadWorker", r"conn = TConn\(", "An idle new connection holds a thread."),
    ("rq.worker:BaseWorker", r"self\._stop_requested\b", "A worker does not end at SIGTERM."),
    ("rq.worker:BaseWorker", r"self\.subscribe\(\)", "A thread runs beside forks."),
    ("flask_smorest:Blueprint", r"in self\._prepare_doc_cbks\b", "Conventions are not documented."),
    ("flask_smorest:Api", r"self\._register_responses\(\)", "Errors are documented as plain JSON."),
    ("rq_dashboard.web", r"\bWorker\.all\(", "The page of workers is a 500."),
    ("rq_dashboard.web", r"connection=current_app\.redis_conn\b", "The dashboard has no Redis."),
    ("prometheus_client.metrics", r"values\.ValueClass\(", "Processes leave their files."),
    ("werkzeug.routing.rules", r"self\._trace\b", "The tests cannot distinguish rules."),
]

# Their next releases are tried before they are allowed.
BOUNDED = [
    "authlib",
    "flask-smorest",
    "gunicorn",
    "prometheus-client",
    "rq",
    "rq-dashboard",
    "urllib3",
]


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(("name", "expected", "broken"), NAMES)
def test_a_name_that_we_use_exists(name: str, expected: str | None, broken: str) -> None:
    try:
        found = resolve_name(name)
    except AttributeError:
        pytest.fail(f"{name} is gone. {broken}")
    if expected is not None:
        assert parameters(found) == expected.split(), broken


@pytest.mark.parametrize(("name", "pattern", "broken"), USES)
def test_the_library_still_uses_what_we_replace(name: str, pattern: str, broken: str) -> None:
    found = resolve_name(name)
    classes = inspect.getmro(found)[:-1] if isinstance(found, type) else [found]
    assert any(re.search(pattern, inspect.getsource(each)) for each in classes), broken


def test_a_head_of_a_response_that_we_cut_is_one_that_http_client_takes() -> None:
    """Else the status of a webhook's response with many header fields is lost."""
    head = b"".join(b"X-%d: x\r\n" % number for number in range(_MOST_LINES - 1))
    assert len(http.client.parse_headers(io.BytesIO(head + b"\r\n"))) == _MOST_LINES - 1


@pytest.mark.parametrize("name", BOUNDED)
def test_a_library_that_we_patch_has_an_upper_bound(name: str) -> None:
    """Else an installation without the lock file gets a release that nobody has tried."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = (each for each in project["dependencies"] if re.match(rf"{name}[<>=~]", each))
    assert re.search(r",<[0-9.]+$", requirement)
