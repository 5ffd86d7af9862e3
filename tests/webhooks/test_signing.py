"""Signatures of webhooks: receivers verify each body, and no other."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from automart.core.db import transaction
from automart.core.encryption import Rotation
from automart.webhooks.signing import (
    BYTES,
    PREFIX,
    create_secret,
    retire_secrets,
    rotate_encryption,
    sign,
    undecryptable_secrets,
    valid_secrets,
)
from tests.support.databases import on_sqlite
from tests.support.purchases import make_signing_office
from tests.support.webhooks import endpoint_of, lose_secret_key

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


@on_sqlite
def test_all_secrets_are_encrypted_under_a_new_secret_key(app: Flask) -> None:
    (office, first), (other, _) = make_signing_office(), make_signing_office()
    with transaction():
        retire_secrets(endpoint_of(office))
        second = create_secret(endpoint_of(office))
    old = app.extensions["settings"].secret_key
    names = [f"webhook secret of office {each.id}" for each in (office, other)]

    lose_secret_key(app)
    assert valid_secrets(endpoint_of(office).id) == []
    assert sorted(undecryptable_secrets()) == names  # not the one that is retired
    assert rotate_encryption() == Rotation(0, [names[0], names[1], names[0]])

    lose_secret_key(app, old)
    assert undecryptable_secrets() == []
    assert rotate_encryption() == Rotation(3, [])
    lose_secret_key(app)
    assert undecryptable_secrets() == []
    assert valid_secrets(endpoint_of(office).id) == [second, first]
