"""Signatures of webhooks: receivers verify each body, and no other."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from automart.webhooks.signing import BYTES, PREFIX, sign
from tests.support.databases import on_sqlite

SECRETS = st.binary(min_size=BYTES, max_size=BYTES).map(
    lambda content: PREFIX + base64.b64encode(content).decode()
)


@on_sqlite
@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=4),
    st.lists(SECRETS, min_size=1, max_size=3, unique=True),
    SECRETS,
)
def test_each_secret_verifies_the_body_and_no_other(
    event: dict[str, object], secrets: list[str], other: str
) -> None:
    body = json.dumps(event)
    at = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign("msg_1", at, body, secrets),
    }
    for secret in secrets:
        assert Webhook(secret).verify(body, headers) == event
        for changed in (
            headers | {"webhook-id": "msg_2"},
            headers | {"webhook-timestamp": str(int((at - timedelta(seconds=1)).timestamp()))},
        ):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(body, changed)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(f"{body} ", headers)
    if other not in secrets:
        with pytest.raises(WebhookVerificationError):
            Webhook(other).verify(body, headers)
