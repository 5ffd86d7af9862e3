"""What housekeeping deletes, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from automart.accounts import maintenance
from automart.accounts.models import AuditEvent, FamiliarAddress, Login, LoginThrottle, User
from automart.core.db import db, transaction, utcnow
from tests.support.people import PASSWORD


def log_in_and_fail(client: FlaskClient, user: User) -> None:
    for password in (PASSWORD, "wrong"):
        client.post("/login", json={"email": user.email, "password": password})


def test_what_is_in_use_is_kept(client: FlaskClient, make_user: Callable[..., User]) -> None:
    log_in_and_fail(client, make_user())

    assert maintenance.expire_logins() == 0
    maintenance.expire_login_throttles()  # deletes the limit that the successful login restored
    assert maintenance.expire_audit_events() == 0
    assert db.session.query(Login).count() == 1
    assert db.session.query(LoginThrottle).count() == 2  # of the address, and of the account there
    assert db.session.query(FamiliarAddress).count() == 1
    assert db.session.query(AuditEvent).count() == 2


def test_expired_logins_are_deleted(
    app: Flask, client: FlaskClient, make_user: Callable[..., User]
) -> None:
    log_in_and_fail(client, make_user())
    with transaction():
        db.session.query(Login).update(
            {Login.expires_at: utcnow() - maintenance.LOGINS_KEPT_FOR - timedelta(minutes=1)}
        )

    assert maintenance.expire_logins() == 1
    assert db.session.query(Login).count() == 0


def test_ended_logins_are_deleted(
    app: Flask, client: FlaskClient, make_user: Callable[..., User]
) -> None:
    log_in_and_fail(client, make_user())
    with transaction():
        db.session.query(Login).update(
            {Login.ended_at: utcnow() - maintenance.LOGINS_KEPT_FOR - timedelta(minutes=1)}
        )

    assert maintenance.expire_logins() == 1
    assert db.session.query(Login).count() == 0


def test_unused_limits_and_familiar_addresses_are_deleted(
    app: Flask, client: FlaskClient, make_user: Callable[..., User]
) -> None:
    log_in_and_fail(client, make_user())
    limits = db.session.query(LoginThrottle).count()
    unused = utcnow() - maintenance.FAMILIAR_ADDRESSES_KEPT_FOR - timedelta(minutes=1)
    with transaction():
        db.session.query(LoginThrottle).update({LoginThrottle.charged_until: 0})
        db.session.query(FamiliarAddress).update({FamiliarAddress.seen_at: unused})

    assert limits > 0
    assert maintenance.expire_login_throttles() == limits + 1
    assert db.session.query(LoginThrottle).count() == 0
    assert db.session.query(FamiliarAddress).count() == 0


def test_old_audit_events_are_deleted(
    app: Flask, client: FlaskClient, make_user: Callable[..., User]
) -> None:
    log_in_and_fail(client, make_user())
    old = utcnow() - maintenance.AUDIT_EVENTS_KEPT_FOR - timedelta(minutes=1)
    with transaction():
        db.session.query(AuditEvent).filter_by(kind="login_failed").update({AuditEvent.at: old})

    assert maintenance.expire_audit_events() == 1
    assert [event.kind for event in db.session.query(AuditEvent)] == ["login_succeeded"]
