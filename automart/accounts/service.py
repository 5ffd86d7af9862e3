"""Changing users and clients: what follows from it, and what is remembered of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from flask import request
from sqlalchemy import exists, select

from automart.accounts import audit, login_throttle
from automart.accounts.audit import Event
from automart.accounts.credentials import find_client
from automart.accounts.models import Client, ClientKind, User
from automart.accounts.passwords import hash_password, is_right
from automart.accounts.schemas import GRANTABLE_SCOPES
from automart.accounts.sessions import end_logins_of_client, end_logins_of_user, hash_of
from automart.core.db import db, release_connection, transaction
from automart.core.errors import Conflict, Invalid, NotFound
from automart.web.authorization import current_caller

FIRST_ADMIN_EMAIL = "admin@localhost"
# What is written of a change into the audit trail; of the rest, that it was changed.
RIGHTS = ("is_admin", "is_active", "scopes")


def with_hashed_password(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with a password's hash in its place. Slow: not inside a transaction."""
    hashed = dict(values)
    password = hashed.pop("password", None)
    if password is not None:
        hashed["password_hash"] = hash_password(password)
    return hashed


def create_user(values: Mapping[str, Any]) -> User:
    """Add a user. `values` went through `with_hashed_password`."""
    user = User(**values)
    db.session.add(user)
    db.session.flush()  # gives user.id
    audit.record(Event.USER_CREATED, subject=user.caller_id, is_admin=user.is_admin)
    return user


def change_user(user: User, changes: Mapping[str, Any]) -> None:
    """Change a user. Who is deactivated, or gets a new password, is logged out everywhere."""
    changed = _changed(user, changes)
    user.update(changes)
    if "password_hash" in changed:
        end_logins_of_user(user.id)
        audit.record(Event.PASSWORD_CHANGED, subject=user.caller_id)
    if "is_active" in changed and not user.is_active:
        end_logins_of_user(user.id)
    _record_change(Event.USER_CHANGED, user, changed)


def delete_user(user: User) -> None:
    """Delete a user and their logins."""
    audit.record(Event.USER_DELETED, subject=user.caller_id, email=user.email)
    db.session.delete(user)


def check_current_password(user: User, password: str | None) -> None:
    """Raise `Invalid` unless it is the user's. Opens transactions of its own, none while hashing.

    A stolen token must not be a way to guess the password, so failures count as failed logins.
    """
    if password is None:
        raise Invalid.field("current_password", "Needed for a new password.")
    with transaction():
        attempt = login_throttle.begin_attempt(user.email_folded, request.remote_addr)
    if not is_right(password, user.password_hash):
        with transaction():
            audit.record(Event.LOGIN_FAILED, subject=user.caller_id)
        raise Invalid.field("current_password", "This is not your password.")
    with transaction():
        attempt.succeed()
    release_connection()


def change_myself(user: User, changes: Mapping[str, Any]) -> None:
    """Change what people may change of themselves. A new password ends their other logins."""
    changed = _changed(user, changes)
    user.update(changes)
    if "password_hash" in changed:
        end_logins_of_user(user.id, but=current_caller().login_id)
        audit.record(Event.PASSWORD_CHANGED, subject=user.caller_id)
    _record_change(Event.USER_CHANGED, user, changed)


def ensure_first_admin() -> str | None:
    """Add an administrator, `FIRST_ADMIN_EMAIL`, if there is no user at all.

    Answers the password, which is to be shown once; None if there is somebody already.
    """
    if db.session.scalar(select(exists().select_from(User))):
        return None
    release_connection()
    password = secrets.token_urlsafe(12)
    values = {"email": FIRST_ADMIN_EMAIL, "name": "Administrator", "is_admin": True}
    hashed = with_hashed_password(values | {"password": password})
    with transaction():
        create_user(hashed)
    return password


def create_service_client(name: str, scopes: Sequence[str]) -> tuple[Client, str]:
    """Add a machine with any scopes. Answers it and its secret, which is not to be had again."""
    secret = secrets.token_urlsafe(32)
    client = Client(
        name=name,
        kind=ClientKind.SERVICE,
        scopes=sorted(set(scopes)),
        secret_hash=hash_of(secret),
    )
    _add_client(client)
    return client, secret


def create_application(name: str, redirect_uris: Sequence[str]) -> Client:
    """Add an application by which people act. It is public: it has no secret."""
    client = Client(name=name, kind=ClientKind.APPLICATION, redirect_uris=list(redirect_uris))
    _add_client(client)
    return client


def create_client(values: Mapping[str, Any]) -> tuple[Client, str | None]:
    """Add the client that an administrator asks for, and answer it with its secret, if any.

    Raises `Invalid` for what its kind does not have.
    """
    if values["kind"] is ClientKind.SERVICE:
        _check_absent(values, "redirect_uris", "Only an application has redirect addresses.")
        return create_service_client(values["name"], values.get("scopes", ()))
    _check_absent(values, "scopes", "Only a service client has scopes.")
    if not values.get("redirect_uris"):
        raise Invalid.field("redirect_uris", "An application needs at least one.")
    return create_application(values["name"], values["redirect_uris"]), None


def change_client(client: Client, changes: Mapping[str, Any]) -> None:
    """Change a client. What is deactivated loses its logins.

    Raises `Conflict` for what is built in, and for scopes that come from elsewhere.
    """
    if not changes:
        return
    _check_not_built_in(client)
    if client.kind is ClientKind.SERVICE:
        _check_absent(changes, "redirect_uris", "Only an application has redirect addresses.")
    else:
        _check_absent(changes, "scopes", "Only a service client has scopes.")
    if "scopes" in changes and not set(client.scopes) <= set(GRANTABLE_SCOPES):
        raise Conflict("The scopes of this client follow from what it was made for.")
    if "scopes" in changes:
        changes = {**changes, "scopes": sorted(set(changes["scopes"]))}
    changed = _changed(client, changes)
    client.update(changes)
    if "is_active" in changed and not client.is_active:
        end_logins_of_client(client.id)
    _record_change(Event.CLIENT_CHANGED, client, changed)


def delete_client(client: Client) -> None:
    """Delete a client and the logins by means of it. Raises `Conflict` for what is built in."""
    _check_not_built_in(client)
    audit.record(Event.CLIENT_DELETED, subject=client.caller_id, name=client.name)
    db.session.delete(client)


def rotate_secret(client: Client) -> str:
    """Give a machine a new secret. The old one is dead at once, and so is what was got with it."""
    if client.kind is not ClientKind.SERVICE:
        raise Conflict("An application has no secret.")
    secret = secrets.token_urlsafe(32)
    client.secret_hash = hash_of(secret)
    end_logins_of_client(client.id)
    audit.record(Event.CLIENT_SECRET_ROTATED, subject=client.caller_id)
    return secret


def client_or_404(client_id: str, *, lock: bool = False) -> Client:
    """The client with this id, whatever text was sent for it."""
    client = find_client(client_id)
    if client is None:
        raise NotFound("There is no such client.")
    if lock:
        db.session.refresh(client, with_for_update=True)
    return client


def _add_client(client: Client) -> None:
    db.session.add(client)
    db.session.flush()  # gives client.id
    detail: dict[str, Any] = {"scopes": client.scopes} if client.scopes else {}
    audit.record(Event.CLIENT_CREATED, subject=client.caller_id, name=client.name, **detail)


def _changed(thing: User | Client, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if getattr(thing, name) != value}


def _record_change(kind: Event, thing: User | Client, changed: Mapping[str, Any]) -> None:
    told = {name: value for name, value in changed.items() if name in RIGHTS}
    others = sorted(changed.keys() - told.keys() - {"password_hash"})
    if others:
        told["changed"] = others
    if told:
        audit.record(kind, subject=thing.caller_id, **told)


def _check_absent(values: Mapping[str, Any], name: str, detail: str) -> None:
    if values.get(name):
        raise Invalid.field(name, detail)


def _check_not_built_in(client: Client) -> None:
    if client.is_built_in:
        raise Conflict("This client is built in.")
