"""What checking an access token costs a request, besides the one read of the user's row.

In microseconds of this process's CPU: a token that was seen before, as all but a client's first
request in 15 minutes are; and one that is seen for the first time. The aim is 100 for the former.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask

from automart.oauth import authentication
from automart.oauth.tokens import VerifiedTokens, verify_access_token
from benchmarks.support import databases, quiet_app
from tests.support.people import make_user, token_of

ROUNDS = 5
CALLS = 2_000


def main() -> None:
    with databases() as found:
        for name, url in found:
            with quiet_app(url, "http://127.0.0.1:9") as app:
                _measure(name, app)


def _measure(name: str, app: Flask) -> None:
    token = token_of(app, make_user(is_admin=True))
    header = {"Authorization": f"Bearer {token}"}
    with app.test_request_context(headers=header):

        def first() -> None:
            app.extensions["verified_tokens"] = VerifiedTokens()
            verify_access_token(token)

        whole = _cpu(authentication.authenticate)
        known = _cpu(lambda: verify_access_token(authentication._bearer_token()))  # noqa: SLF001
        unknown = _cpu(first)
        login_id = verify_access_token(token).login_id
        read = _cpu(lambda: authentication._caller(login_id))  # noqa: SLF001
    print(f"{name}: a known token {known:.1f} µs, an unknown one {unknown:.0f} µs")
    print(f"{name}: the read of the row {read:.0f} µs, both together {whole:.0f} µs")


def _cpu(call: Callable[[], object]) -> float:
    """Microseconds of CPU that `call` takes: of several rounds, the best."""
    call()
    return min(_round(call) for _ in range(ROUNDS))


def _round(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - started) / CALLS * 1e6
