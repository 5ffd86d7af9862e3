"""Service clients and applications, for administrators."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts import models, service
from automart.accounts.schemas import (
    ClientChanges,
    ClientWithSecret,
    NewClient,
    RegisteredClient,
    values_with_secret,
)
from automart.accounts.views.blueprint import blp
from automart.core.db import transaction
from automart.web import (
    ADMIN,
    Answer,
    PageQuery,
    Values,
    check_version,
    created,
    page_of,
    paginate,
    requires,
    secret_headers,
)


@blp.route("/clients")
class Clients(MethodView):
    @requires(ADMIN)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(RegisteredClient))
    def get(self, query: Values) -> Values:
        """List clients, including built-in ones and those of offices and manufacturers."""
        return paginate(select(models.Client), models.Client.id, query)

    @requires(ADMIN)
    @blp.arguments(NewClient)
    # Not idempotent: the stored response would contain the secret.
    @blp.response(201, ClientWithSecret)
    def post(self, values: Values) -> Answer:
        """Create a service client or an application.

        The secret of a service client is shown only in this response. Clients of offices and
        manufacturers are created at those.
        """
        with transaction():
            client, secret = service.create_client(values)
        body = values_with_secret(client, secret)
        shown, status, headers = created(body, "accounts.ClientById", client_id=client.id)
        return shown, status, headers | secret_headers(client, RegisteredClient)


@blp.route("/clients/<client_id>")
class ClientById(MethodView):
    @requires(ADMIN)
    @blp.response(200, RegisteredClient)
    def get(self, client_id: str) -> models.Client:
        """Get a client."""
        return service.get_client(client_id)

    @requires(ADMIN)
    @blp.arguments(ClientChanges)
    @blp.response(200, RegisteredClient)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, client_id: str) -> models.Client:
        """Update a client. Fields that are not sent keep their value.

        Removed scopes are missing from the next request on. Deactivation ends all its logins.
        """
        with transaction():
            client = service.lock_client(client_id)
            check_version(client, RegisteredClient)
            service.update_client(client, changes)
        return client

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, client_id: str) -> None:
        """Delete a client. Its tokens become invalid at once."""
        with transaction():
            client = service.lock_client(client_id, before_delete=True)
            check_version(client, RegisteredClient)
            service.delete_client(client)


@blp.route("/clients/<client_id>/rotate-secret")
class ClientSecret(MethodView):
    @requires(ADMIN)
    @blp.response(200, ClientWithSecret)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="rotateClientSecret")
    def post(self, client_id: str) -> Answer:
        """Replace the secret of a service client. The new one is shown only in this response.

        The old secret and its tokens become invalid at once.
        """
        with transaction():
            client = service.lock_client(client_id)
            secret = service.rotate_client_secret(client)
        return values_with_secret(client, secret), 200, secret_headers(client, RegisteredClient)
