"""The blueprint of both nouns, and the response that shows a new client's secret."""

from __future__ import annotations

from automart.accounts import models
from automart.accounts.schemas import RegisteredClient, values_with_secret
from automart.web import Answer, Blueprint, created, secret_headers

blp = Blueprint(
    "partners", __name__, url_prefix="/v1", description="Regional offices and manufacturers"
)


def created_client(client: models.Client, secret: str) -> Answer:
    """Return a 201 with a client and its secret, which is shown only once."""
    body = values_with_secret(client, secret)
    shown, status, headers = created(body, "accounts.ClientById", client_id=client.id)
    return shown, status, headers | secret_headers(client, RegisteredClient)
