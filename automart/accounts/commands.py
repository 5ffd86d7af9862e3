"""The commands `automart users`, `automart clients` and `automart keys`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from marshmallow import Schema, ValidationError
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from automart import create_app
from automart.accounts import audit, keys, service
from automart.accounts.models import Client, ClientKind, User
from automart.accounts.schemas import ClientSchema, UserSchema
from automart.config import SettingsError
from automart.db import db, transaction
from automart.errors import DomainError
from automart.sealing import CannotUnseal
from automart.violations import explain_violation

users_app = typer.Typer(help="People who may use Automart.", no_args_is_help=True)
clients_app = typer.Typer(help="Machines and applications.", no_args_is_help=True)
keys_app = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)

Name = Annotated[str, typer.Option(help="What the person is called.")]


@users_app.command("create-admin")
def create_admin(email: str, name: Name = "") -> None:
    """Add an administrator. Asks for the password, or reads it from standard input."""
    values = {"email": email, "name": name or email, "is_admin": True}
    with app_context():
        user = _create_user(values | {"password": _password()})
    typer.echo(f"{user.email} is an administrator now (user {user.id}).")


@users_app.command("list")
def list_users() -> None:
    """List all users."""
    with app_context():
        users = list(db.session.scalars(select(User).order_by(User.id)))
    table = Table("id", "e-mail", "name", "admin", "active")
    for user in users:
        table.add_row(
            str(user.id), user.email, user.name, _yes(user.is_admin), _yes(user.is_active)
        )
    Console().print(table)


@clients_app.command("create")
def create_client(
    name: str,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope of a machine; may be given repeatedly.")
    ] = None,
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(help="A redirect address; makes an application. May be given repeatedly."),
    ] = None,
) -> None:
    """Add a machine with scopes, or an application with redirect addresses."""
    values = (
        {"name": name, "kind": ClientKind.APPLICATION.value, "redirect_uris": redirect_uri}
        if redirect_uri
        else {"name": name, "kind": ClientKind.SERVICE.value, "scopes": scope or []}
    )
    with app_context():
        loaded = _loaded(ClientSchema(), values)
        with transaction():
            client, secret = service.create_client(loaded)
    typer.echo(f"client_id:     {client.id}")
    if secret:
        typer.echo(f"client_secret: {secret}\nThe secret is not shown again.")


@clients_app.command("list")
def list_clients() -> None:
    """List all clients."""
    with app_context():
        clients = list(db.session.scalars(select(Client).order_by(Client.id)))
    table = Table(Column("client_id", min_width=32), "name", "kind", "scopes", "active")
    for client in clients:
        scopes = " ".join(client.scopes)
        table.add_row(client.id, client.name, client.kind, scopes, _yes(client.is_active))
    Console().print(table)


@keys_app.command("rotate")
def rotate_keys(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="The old keys have leaked: refuse their tokens too.")
    ] = False,
) -> None:
    """Sign with a new key. Nobody is logged out, unless the old keys are withdrawn at once."""
    with app_context(), transaction():
        kid = keys.rotate(at_once=at_once)
        audit.record(audit.Event.KEYS_ROTATED, subject=f"key:{kid}", at_once=at_once)
    typer.echo(f"Tokens are signed with the key {kid} now.")


@keys_app.command("reseal")
def reseal_keys() -> None:
    """After SECRET_KEY was replaced: put the keys under the new one, so that the old may go."""
    with app_context():
        try:
            count = keys.reseal_keys()
        except CannotUnseal as error:
            _fail(str(error))
    typer.echo(f"{count} keys are sealed under SECRET_KEY now.")


def ensure_first_admin() -> str | None:
    """Add the first administrator if there is no user at all, in an application context.

    Answers the password, which is to be shown once; None if there is somebody already. The e-mail
    address is `service.FIRST_ADMIN_EMAIL`.
    """
    if service.there_is_a_user():
        return None
    password = secrets.token_urlsafe(12)
    _create_user(
        {
            "email": service.FIRST_ADMIN_EMAIL,
            "name": "Administrator",
            "is_admin": True,
            "password": password,
        }
    )
    return password


@contextmanager
def app_context() -> Iterator[None]:
    """An application context; what goes wrong is told in a line and ends the command."""
    try:
        app = create_app()
    except SettingsError as error:
        _fail(str(error))
    with app.app_context():
        try:
            yield
        except IntegrityError as error:
            explanation = explain_violation(error)
            if explanation is None:
                raise
            _fail(explanation.detail)
        except DomainError as error:
            told = [
                f"{e.get('pointer', '')}: {e['detail']}" for e in error.members.get("errors", [])
            ]
            _fail("\n".join(told) or error.detail)


def _create_user(values: dict[str, object]) -> User:
    loaded = service.with_hashed_password(_loaded(UserSchema(), values))
    with transaction():
        return service.create_user(loaded)


def _loaded(schema: Schema, values: Mapping[str, object]) -> dict[str, object]:
    try:
        loaded: dict[str, object] = schema.load(values)
    except ValidationError as error:
        told = error.messages_dict.items()
        _fail("\n".join(f"{name}: {messages}" for name, messages in told))
    return loaded


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _fail(problem: str) -> NoReturn:
    typer.secho(problem, fg="red", err=True)
    raise typer.Exit(1)
