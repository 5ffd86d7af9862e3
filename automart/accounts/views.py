"""Users, clients and the audit trail, for administrators; and oneself, for everyone."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts import service
from automart.accounts.models import AuditEvent, Client, User
from automart.accounts.schemas import (
    AuditEventSchema,
    AuditQuery,
    ClientChanges,
    ClientSchema,
    ClientWithSecretSchema,
    MyChanges,
    NewClientSchema,
    NewUserSchema,
    UserChanges,
    UserSchema,
    with_secret,
)
from automart.core.db import get_or_404, transaction
from automart.web import (
    ADMIN,
    USER,
    Answer,
    Blueprint,
    PageQuery,
    Values,
    absolute_url,
    check_version,
    current_caller,
    idempotent,
    page_of,
    paginate,
    prepared,
    requires,
    secret_headers,
)

blp = Blueprint("accounts", __name__, url_prefix="/v1", description="Users, clients, audit trail")


@blp.route("/users")
class Users(MethodView):
    @requires(ADMIN)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(UserSchema))
    def get(self, query: Values) -> Values:
        """List users."""
        return paginate(select(User), User.id, query)

    @requires(ADMIN)
    @blp.arguments(NewUserSchema)
    @prepared(service.with_hashed_password)
    @idempotent
    @blp.response(201, UserSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Add a user."""
        with transaction():
            user = service.create_user(values)
        return user, 201, {"Location": absolute_url("accounts.UserById", user_id=user.id)}


@blp.route("/users/<id:user_id>")
class UserById(MethodView):
    @requires(ADMIN)
    @blp.response(200, UserSchema)
    def get(self, user_id: int) -> User:
        """Read a user."""
        return get_or_404(User, user_id)

    @requires(ADMIN)
    @blp.arguments(UserChanges)
    @blp.response(200, UserSchema)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, user_id: int) -> User:
        """Change a user. What they may no longer do, they may not do from their next request on."""
        changes = service.with_hashed_password(changes)
        with transaction():
            user = get_or_404(User, user_id, lock=True)
            check_version(user, UserSchema)
            service.change_user(user, changes)
        return user

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, user_id: int) -> None:
        """Delete a user. What they have made stays."""
        with transaction():
            user = get_or_404(User, user_id, lock=True)
            check_version(user, UserSchema)
            service.delete_user(user)


@blp.route("/users/me")
class Me(MethodView):
    @requires(USER)
    @blp.response(200, UserSchema)
    def get(self) -> User:
        """Read oneself."""
        return get_or_404(User, current_caller().user_id)

    @requires(USER)
    @blp.arguments(MyChanges)
    @blp.response(200, UserSchema)
    @blp.alt_response(429, "TOO_MANY_REQUESTS")
    def patch(self, changes: Values) -> User:
        """Change one's name, or one's password, which needs the present one."""
        current_password = changes.pop("current_password", None)
        if "password" in changes:
            myself = get_or_404(User, current_caller().user_id)
            service.check_current_password(myself, current_password)
        changes = service.with_hashed_password(changes)
        with transaction():
            myself = get_or_404(User, current_caller().user_id, lock=True)
            check_version(myself, UserSchema)
            service.change_myself(myself, changes)
        return myself


@blp.route("/clients")
class Clients(MethodView):
    @requires(ADMIN)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(ClientSchema))
    def get(self, query: Values) -> Values:
        """List clients, those of offices and manufacturers and the built-in ones included."""
        return paginate(select(Client), Client.id, query)

    @requires(ADMIN)
    @blp.arguments(NewClientSchema)
    @blp.response(201, ClientWithSecretSchema)
    def post(self, values: Values) -> Answer:
        """Add a machine (`service`) or an application. The secret is shown only now."""
        with transaction():
            client, secret = service.create_client(values)
        location = {"Location": absolute_url("accounts.ClientById", client_id=client.id)}
        shown = with_secret(client, secret)
        return shown, 201, location | secret_headers(client, ClientSchema)


@blp.route("/clients/<client_id>")
class ClientById(MethodView):
    @requires(ADMIN)
    @blp.response(200, ClientSchema)
    def get(self, client_id: str) -> Client:
        """Read a client."""
        return service.client_or_404(client_id)

    @requires(ADMIN)
    @blp.arguments(ClientChanges)
    @blp.response(200, ClientSchema)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, client_id: str) -> Client:
        """Change a client. A scope that it loses, it has lost from its next request on."""
        with transaction():
            client = service.client_or_404(client_id, lock=True)
            check_version(client, ClientSchema)
            service.change_client(client, changes)
        return client

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, client_id: str) -> None:
        """Delete a client. Its tokens are dead at once."""
        with transaction():
            client = service.client_or_404(client_id, lock=True)
            check_version(client, ClientSchema)
            service.delete_client(client)


@blp.route("/clients/<client_id>/rotate-secret")
class ClientSecret(MethodView):
    @requires(ADMIN)
    @blp.response(200, ClientWithSecretSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, client_id: str) -> Answer:
        """Give a machine a new secret, shown only now. The old one is dead, and its tokens too."""
        with transaction():
            client = service.client_or_404(client_id, lock=True)
            secret = service.rotate_secret(client)
        return with_secret(client, secret), 200, secret_headers(client, ClientSchema)


@blp.route("/audit-events")
class AuditEvents(MethodView):
    @requires(ADMIN)
    @blp.arguments(AuditQuery, location="query")
    @blp.response(200, page_of(AuditEventSchema))
    def get(self, query: Values) -> Values:
        """List what concerns rights, newest first: logins, users, clients, secrets, keys."""
        events = select(AuditEvent)
        if query["kind"] is not None:
            events = events.where(AuditEvent.kind == query["kind"].lower())
        if query["subject"] is not None:
            events = events.where(AuditEvent.subject == query["subject"].lower())
        return paginate(events, AuditEvent.id, query, newest_first=True)
