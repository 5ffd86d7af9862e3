"""`automart users`, `automart clients` and `automart keys`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from marshmallow import Schema, ValidationError
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy import select

from automart.accounts import audit, keys, service
from automart.accounts.models import Client, ClientKind, User
from automart.accounts.schemas import NewClientSchema, NewUserSchema
from automart.commands.application import check_schema, opened
from automart.db import db, transaction
from automart.errors import FIELDS_ARE_WRONG, Invalid
from automart.interrupts import interrupts_raised
from automart.webhooks import signing

IN_PART = 3
UNDECRYPTABLE_ADVICE = (
    "Name the SECRET_KEY that they were encrypted under in SECRET_KEY_FALLBACKS and run this again."
    " If it is lost, replace them: signing keys with `automart keys rotate`, webhook secrets with"
    " POST /v1/regional-offices/ID/rotate-webhook-secret."
)

users_app = typer.Typer(no_args_is_help=True, help="The people who may use Automart.")
clients_app = typer.Typer(no_args_is_help=True, help="The machines and applications.")
keys_app = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens.")


@users_app.command("create-admin")
def create_admin(
    email: Annotated[str, typer.Argument(help="The e-mail address to log in with.")],
    name: Annotated[str | None, typer.Option(help="What the person is called.")] = None,
) -> None:
    """Add an administrator. Asks for the password; reads it from standard input if piped."""
    with opened():
        check_schema()
        values = {"email": email, "name": name or email, "is_admin": True, "password": _password()}
        values = service.with_hashed_password(_checked(NewUserSchema(), values))
        with transaction():
            user = service.create_user(values)
    typer.echo(f"Added the administrator {user.email}, user {user.id}.")


@users_app.command("list")
def list_users() -> None:
    """List all users."""
    with opened():
        check_schema()
        users = list(db.session.scalars(select(User).order_by(User.id)))
    table = Table("id", "e-mail", "name", "admin", "active", box=None)
    for user in users:
        table.add_row(
            str(user.id), user.email, user.name, _yes(user.is_admin), _yes(user.is_active)
        )
    Console().print(table)


@clients_app.command("create")
def create_client(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope of a machine; may be repeated.")
    ] = None,
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(help="A redirect address, which makes an application; may be repeated."),
    ] = None,
) -> None:
    """Add a machine with scopes, or an application (a front end) with redirect addresses."""
    kind = ClientKind.APPLICATION if redirect_uri else ClientKind.SERVICE
    asked = {"scopes": scope, "redirect_uris": redirect_uri}
    values = {"name": name, "kind": kind.value} | {k: v for k, v in asked.items() if v}
    with opened():
        check_schema()
        checked = _checked(NewClientSchema(), values)
        with transaction():
            client, secret = service.create_client(checked)
    typer.echo(f"client_id      {client.id}")
    if secret:
        typer.echo(f"client_secret  {secret}\nKeep the secret: it is not shown again.")


@clients_app.command("list")
def list_clients() -> None:
    """List all clients."""
    with opened():
        check_schema()
        clients = list(db.session.scalars(select(Client).order_by(Client.id)))
    identity = Column("client_id", min_width=32)
    table = Table(identity, "name", "kind", "scopes", "active", box=None)
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
    with opened():
        check_schema()
        with transaction():
            kid = keys.rotate(at_once=at_once)
            audit.record(audit.Event.KEYS_ROTATED, subject=f"key:{kid}", at_once=at_once)
    typer.echo(f"Tokens are signed with the key {kid} from now on.")


@keys_app.command("rotate-encryption")
def rotate_encryption() -> None:
    """Encrypt stored secrets under a new SECRET_KEY. Exit status 3: some could not be decrypted."""
    with opened():
        check_schema()
        signing_keys = keys.rotate_encryption()
        webhook_secrets = signing.rotate_encryption()
    typer.echo(
        f"{signing_keys.rotated} signing keys and {webhook_secrets.rotated} webhook secrets are"
        " encrypted under the current SECRET_KEY."
    )
    undecryptable = signing_keys.undecryptable + webhook_secrets.undecryptable
    for name in undecryptable:
        typer.echo(f"Cannot be decrypted: {name}", err=True)
    if undecryptable:
        typer.echo(UNDECRYPTABLE_ADVICE, err=True)
        raise typer.Exit(IN_PART)


def _checked(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        told = [
            {"detail": f"{field}: {message}"}
            for field, messages in error.messages_dict.items()
            for message in _flat(messages)
        ]
        raise Invalid(FIELDS_ARE_WRONG, errors=told) from None
    return checked


def _flat(messages: Any) -> list[str]:
    """The messages about a field; those about a list's items stand under their places."""
    if isinstance(messages, dict):
        return [message for below in messages.values() for message in _flat(below)]
    return [str(message) for message in messages]


def _password() -> str:
    if sys.stdin.isatty():
        with interrupts_raised():  # echo is turned on again
            return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
