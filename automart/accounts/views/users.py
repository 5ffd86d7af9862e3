"""Users, for administrators; and the current user, for everyone."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts import models, service
from automart.accounts.schemas import CurrentUserChanges, NewUser, User, UserChanges
from automart.accounts.views.blueprint import blp
from automart.core.db import get_or_404, lock_or_404, transaction
from automart.web import (
    ADMIN,
    USER,
    Answer,
    PageQuery,
    Values,
    check_version,
    created,
    current_caller,
    idempotent,
    page_of,
    paginate,
    prepared,
    requires,
)


@blp.route("/users")
class Users(MethodView):
    @requires(ADMIN)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(User))
    def get(self, query: Values) -> Values:
        """List users."""
        return paginate(select(models.User), models.User.id, query)

    @requires(ADMIN)
    @blp.arguments(NewUser)
    @prepared(service.replace_password_with_hash)
    @idempotent
    @blp.response(201, User)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Create a user."""
        with transaction():
            user = service.create_user(values)
        return created(user, "accounts.UserById", user_id=user.id)


@blp.route("/users/<id:user_id>")
class UserById(MethodView):
    @requires(ADMIN)
    @blp.response(200, User)
    def get(self, user_id: int) -> models.User:
        """Get a user."""
        return get_or_404(models.User, user_id)

    @requires(ADMIN)
    @blp.arguments(UserChanges)
    @blp.response(200, User)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, user_id: int) -> models.User:
        """Update a user. Fields that are not sent keep their value.

        Changed rights apply from the next request on. Deactivation and a new password end all
        logins of the user.
        """
        user = get_or_404(models.User, user_id)
        changes = service.replace_password_with_hash(changes, user)
        with transaction():
            user = lock_or_404(models.User, user_id)
            check_version(user, User)
            service.update_user(user, changes)
        return user

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, user_id: int) -> None:
        """Delete a user and their logins. What they created stays."""
        with transaction():
            user = lock_or_404(models.User, user_id, before_delete=True)
            check_version(user, User)
            service.delete_user(user)


@blp.route("/users/me")
class CurrentUser(MethodView):
    @requires(USER)
    @blp.response(200, User)
    @blp.doc(operationId="getCurrentUser")
    def get(self) -> models.User:
        """Get the current user."""
        return get_or_404(models.User, current_caller().user_id)

    @requires(USER)
    @blp.arguments(CurrentUserChanges)
    @blp.response(200, User)
    @blp.alt_response(429, "TOO_MANY_REQUESTS")
    @blp.doc(operationId="updateCurrentUser")
    def patch(self, changes: Values) -> models.User:
        """Update your name or password. Changing the password requires the current one.

        A new password ends all your other logins.
        """
        current_password = changes.pop("current_password", None)
        proven = None
        if "password" in changes:
            user = get_or_404(models.User, current_caller().user_id)
            service.check_current_password(user, current_password)
            proven = user.password_hash
            changes = service.replace_password_with_hash(changes, user)
        with transaction():
            user = lock_or_404(models.User, current_caller().user_id)
            check_version(user, User)
            service.update_current_user(user, changes, proven=proven)
        return user
