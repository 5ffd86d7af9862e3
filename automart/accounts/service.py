"""The rules of users and clients. Changes end the logins that they invalidate, and are recorded in
the audit trail."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import request
from sqlalchemy import exists, select

from automart.accounts import audit, login_throttle
from automart.accounts.audit import Event
from automart.accounts.credentials import find_client
from automart.accounts.models import GRANTABLE_SCOPES, Client, ClientKind, Login, User
from automart.accounts.passwords import hash_password, is_personal, verify_password
from automart.accounts.sessions import (
    active_logins_of_user,
    end_login,
    end_logins_of_client,
    end_logins_of_user,
    hash_token,
)
from automart.core.db import db, lock_or_404, release_connection, transaction
from automart.core.errors import Conflict, Invalid, NotFound
from automart.web.authorization import Caller, current_caller

FIRST_ADMIN_EMAIL = "admin@localhost"
# Their new values are stored in the audit trail. Of other fields, only the names are.
RIGHTS = ("is_admin", "is_active", "scopes")


def replace_password_with_hash(
    values: Mapping[str, Any], user: User | None = None
) -> dict[str, Any]:
    """Return `values` with `password_hash` instead of `password`, if it is there.

    `user` is the one that the values change. Raises `Invalid` for a password that is made of the
    user's name or e-mail address. This is slow. Call it outside of transactions.
    """
    replaced = dict(values)
    password = replaced.pop("password", None)
    if password is not None:
        stored = (user.name, user.email) if user else ()
        if is_personal(password, (*stored, values.get("name", ""), values.get("email", ""))):
            raise Invalid.field(
                "password", "Must not be made of the user's name, e-mail address or `automart`."
            )
        release_connection()
        replaced["password_hash"] = hash_password(password)
    return replaced


def create_user(values: Mapping[str, Any]) -> User:
    """Add a user. `values` are a result of `replace_password_with_hash`."""
    user = User(**values)
    db.session.add(user)
    db.session.flush()  # gives user.id
    audit.record(Event.USER_CREATED, subject=user.caller_id, is_admin=user.is_admin)
    return user


def update_user(user: User, changes: Mapping[str, Any]) -> None:
    """Update a locked user. Deactivation and a new password end all their logins."""
    changed = _changed_values(user, changes)
    user.update(changes)
    if "password_hash" in changed:
        end_logins_of_user(user.id)
        audit.record(Event.PASSWORD_CHANGED, subject=user.caller_id)
    if "is_active" in changed and not user.is_active:
        end_logins_of_user(user.id)
    _record_changes(Event.USER_CHANGED, user, changed)


def delete_user(user: User) -> None:
    """Delete a user that was locked `before_delete`, and their logins."""
    audit.record(Event.USER_DELETED, subject=user.caller_id, email=user.email)
    db.session.delete(user)


def check_current_password(user: User, password: str | None) -> None:
    """Raise `Invalid` if this is not the password of `user`.

    Opens its own transactions, none of them while the password is hashed. Failures count as failed
    logins. Otherwise a stolen token could be used to guess the password.
    """
    if password is None:
        raise Invalid.field("current_password", "Required to set a new password.")
    with transaction():
        attempt = login_throttle.begin_attempt(user.email_folded, request.remote_addr)
    if not verify_password(password, user.password_hash):
        with transaction():
            audit.record(Event.LOGIN_FAILED, subject=user.caller_id)
        raise Invalid.field("current_password", "This is not your password.")
    with transaction():
        attempt.succeed()
    release_connection()


def update_current_user(
    user: User, changes: Mapping[str, Any], *, proven: str | None = None
) -> None:
    """Update the locked user who is the caller. A new password ends their other logins.

    `proven` is the hash of the password that the caller knows. Raises `Invalid` if it is no longer
    the user's: an administrator may have set another since then.
    """
    if proven is not None and user.password_hash != proven:
        raise Invalid.field("current_password", "This is not your password.")
    changed = _changed_values(user, changes)
    user.update(changes)
    if "password_hash" in changed:
        end_logins_of_user(user.id, except_id=current_caller().login_id)
        audit.record(Event.PASSWORD_CHANGED, subject=user.caller_id)
    _record_changes(Event.USER_CHANGED, user, changed)


def end_own_session(login_id: uuid.UUID) -> None:
    """End a login of the caller. Raises `NotFound`."""
    caller = current_caller()
    own = active_logins_of_user(user_id_of(caller)).where(Login.id == login_id)
    if db.session.scalar(own) is None or not end_login(login_id):
        raise NotFound(f"There is no session {login_id}.")
    audit.record(Event.LOGIN_ENDED, subject=caller.id)


def end_other_sessions() -> None:
    """End all logins of the caller except the one of the current request."""
    caller = current_caller()
    if end_logins_of_user(user_id_of(caller), except_id=caller.login_id):
        audit.record(Event.LOGIN_ENDED, subject=caller.id)


def user_id_of(caller: Caller) -> int:
    """Return the id of the user who is the caller."""
    if caller.user_id is None:
        raise RuntimeError("The caller is a service client.")
    return caller.user_id


def ensure_first_admin(show: Callable[[str], None]) -> None:
    """Add the administrator `FIRST_ADMIN_EMAIL` with a random password if there are no users.

    If `show` raises an error, nobody knows the password, and no administrator is added.
    """
    if db.session.scalar(select(exists().select_from(User))):
        return
    release_connection()
    password = secrets.token_urlsafe(12)
    values = {"email": FIRST_ADMIN_EMAIL, "name": "Administrator", "is_admin": True}
    hashed = replace_password_with_hash(values | {"password": password})
    with transaction():
        create_user(hashed)
        show(password)


def create_service_client(name: str, scopes: Sequence[str]) -> tuple[Client, str]:
    """Add a service client with any scopes. Return it and its secret, which is stored as a hash."""
    secret = secrets.token_urlsafe(32)
    client = Client(
        name=name,
        kind=ClientKind.SERVICE,
        scopes=sorted(set(scopes)),
        secret_hash=hash_token(secret),
    )
    _add_client(client)
    return client, secret


def create_application(name: str, redirect_uris: Sequence[str]) -> Client:
    """Add an application. It is a public client (RFC 6749 §2.1): it has no secret."""
    client = Client(name=name, kind=ClientKind.APPLICATION, redirect_uris=list(redirect_uris))
    _add_client(client)
    return client


def create_client(values: Mapping[str, Any]) -> tuple[Client, str | None]:
    """Add a client of either kind. Return it, and its secret if it is a service client.

    Raises `Invalid` for fields that the kind does not have.
    """
    if values["kind"] is ClientKind.SERVICE:
        _check_service_fields(values)
        return create_service_client(values["name"], values.get("scopes", ()))
    _check_application_fields({"redirect_uris": [], **values})
    return create_application(values["name"], values["redirect_uris"]), None


def update_client(client: Client, changes: Mapping[str, Any]) -> None:
    """Update a locked client. Deactivation ends its logins.

    Raises `Invalid` for fields that its kind does not have, `Conflict` for built-in clients and for
    scopes that cannot be changed.
    """
    if not changes:
        return
    _check_not_built_in(client)
    if client.kind is ClientKind.SERVICE:
        _check_service_fields(changes)
    else:
        _check_application_fields(changes)
    if "scopes" in changes:
        if not set(client.scopes) <= set(GRANTABLE_SCOPES):
            raise Conflict("The scopes of a partner's client cannot be changed.")
        changes = {**changes, "scopes": sorted(set(changes["scopes"]))}
    changed = _changed_values(client, changes)
    client.update(changes)
    if "is_active" in changed and not client.is_active:
        end_logins_of_client(client.id)
    _record_changes(Event.CLIENT_CHANGED, client, changed)


def delete_client(client: Client) -> None:
    """Delete a client and its logins. Raises `Conflict` for built-in clients."""
    _check_not_built_in(client)
    audit.record(Event.CLIENT_DELETED, subject=client.caller_id, name=client.name)
    db.session.delete(client)


def rotate_client_secret(client: Client) -> str:
    """Replace the secret of a locked service client, and end its logins. Return the new secret.

    Raises `Conflict` for applications.
    """
    if client.kind is not ClientKind.SERVICE:
        raise Conflict("An application has no secret.")
    secret = secrets.token_urlsafe(32)
    client.secret_hash = hash_token(secret)
    end_logins_of_client(client.id)
    audit.record(Event.CLIENT_SECRET_ROTATED, subject=client.caller_id)
    return secret


def get_client(client_id: str) -> Client:
    """Return a client. Raises `NotFound`, also for text that cannot be an id."""
    client = find_client(client_id)
    if client is None:
        raise NotFound("There is no such client.")
    return client


def lock_client(client_id: str, *, before_delete: bool = False) -> Client:
    """Return a client, freshly read and locked. Raises `NotFound`."""
    get_client(client_id)
    return lock_or_404(Client, client_id, before_delete=before_delete)


def _add_client(client: Client) -> None:
    db.session.add(client)
    db.session.flush()  # gives client.id
    detail: dict[str, Any] = {"scopes": client.scopes} if client.scopes else {}
    audit.record(Event.CLIENT_CREATED, subject=client.caller_id, name=client.name, **detail)


def _changed_values(row: User | Client, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if getattr(row, name) != value}


def _record_changes(kind: Event, row: User | Client, changed: Mapping[str, Any]) -> None:
    detail = {name: value for name, value in changed.items() if name in RIGHTS}
    others = sorted(changed.keys() - detail.keys() - {"password_hash"})
    if others:
        detail["changed"] = others
    if detail:
        audit.record(kind, subject=row.caller_id, **detail)


def _check_service_fields(values: Mapping[str, Any]) -> None:
    if values.get("redirect_uris"):
        raise Invalid.field("redirect_uris", "A service client has no redirect URIs.")


def _check_application_fields(values: Mapping[str, Any]) -> None:
    if values.get("scopes"):
        raise Invalid.field("scopes", "An application has no scopes.")
    if not values.get("redirect_uris", True):
        raise Invalid.field("redirect_uris", "An application needs at least one redirect URI.")


def _check_not_built_in(client: Client) -> None:
    if client.is_built_in:
        raise Conflict("A built-in client cannot be changed or deleted.")
