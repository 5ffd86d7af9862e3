"""`automart users`, `automart clients` and `automart keys`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from marshmallow import Schema, ValidationError
from rich.table import Column, Table
from sqlalchemy import select

from automart.accounts import audit, service
from automart.accounts.models import Client, ClientKind, User
from automart.accounts.schemas import NewClient, NewUser
from automart.cli.application import check_schema, opened
from automart.cli.console import Output
from automart.cli.errors import IN_PART
from automart.core.db import db, transaction
from automart.core.errors import FIELDS_ARE_WRONG, Invalid
from automart.core.interrupts import interrupts_raised
from automart.oauth import signing_keys
from automart.web.parsing import flatten_messages
from automart.webhooks import signing

UNDECRYPTABLE_ADVICE = (
    "Name the SECRET_KEY that they were encrypted under in SECRET_KEY_FALLBACKS and run this again."
    " If it is lost, replace them: signing keys with `automart keys rotate`, webhook secrets with"
    " POST /v1/regional-offices/ID/rotate-webhook-secret."
)

users_app = typer.Typer(no_args_is_help=True, help="Manage the users of Automart.")
clients_app = typer.Typer(no_args_is_help=True, help="Manage service clients and applications.")
keys_app = typer.Typer(
    no_args_is_help=True, help="Rotate signing keys and the encryption of secrets."
)


@users_app.command("create-admin")
def create_admin(
    email: Annotated[str, typer.Argument(help="The e-mail address to log in with.")],
    name: Annotated[
        str | None, typer.Option(help="Full name. The default is the e-mail address.")
    ] = None,
) -> None:
    """Add an administrator. Prompts for the password, or reads it from standard input if piped."""
    with opened():
        check_schema()
        values = {"email": email, "name": name or email, "is_admin": True, "password": _password()}
        values = service.replace_password_with_hash(_checked(NewUser(), values))
        with transaction():
            user = service.create_user(values)
    typer.echo(f"Added the administrator {user.email}, user {user.id}.")


@users_app.command("list")
def list_users() -> None:
    """List all users."""
    with opened():
        check_schema()
        users = list(db.session.scalars(select(User).order_by(User.id)))
    e_mail, name = Column("e-mail", overflow="fold"), Column("name", overflow="fold")
    table = Table("id", e_mail, name, "admin", "active", box=None)
    for user in users:
        table.add_row(
            str(user.id), user.email, user.name, _yes(user.is_admin), _yes(user.is_active)
        )
    Output().print(table)


@clients_app.command("create")
def add_client(
    name: Annotated[str, typer.Argument(help="Name of the client.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="Scope of a service client. Can be repeated.")
    ] = None,
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(help="Redirect URI. Creates an application. Can be repeated."),
    ] = None,
) -> None:
    """Create a service client with scopes, or an application (front end) with redirect URIs."""
    kind = ClientKind.APPLICATION if redirect_uri else ClientKind.SERVICE
    asked = {"scopes": scope, "redirect_uris": redirect_uri}
    values = {"name": name, "kind": kind.value} | {k: v for k, v in asked.items() if v}
    with opened():
        check_schema()
        checked = _checked(NewClient(), values)
        # A client whose secret cannot be shown is not created.
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
    identity = Column("client_id", no_wrap=True)
    name, scopes = Column("name", overflow="fold"), Column("scopes", overflow="fold")
    table = Table(identity, name, "kind", scopes, "active", box=None)
    for client in clients:
        active = _yes(client.is_active)
        table.add_row(client.id, client.name, client.kind, " ".join(client.scopes), active)
    Output().print(table)


@keys_app.command("rotate")
def rotate_keys(
    at_once: Annotated[
        bool,
        typer.Option("--at-once", help="For leaked keys: also reject tokens signed with them."),
    ] = False,
) -> None:
    """Replace the signing key. Existing tokens stay valid unless --at-once is given."""
    with opened():
        check_schema()
        with transaction():
            kid = signing_keys.rotate_signing_key(at_once=at_once)
            audit.record(audit.Event.KEYS_ROTATED, subject=f"key:{kid}", at_once=at_once)
    typer.echo(f"New tokens are signed with the key {kid}.")


@keys_app.command("rotate-encryption")
def encrypt_anew() -> None:
    """Encrypt stored secrets under a new SECRET_KEY. Exit status 3: some could not be decrypted."""
    with opened():
        check_schema()
        keys = signing_keys.reencrypt_signing_keys()
        webhook_secrets = signing.rotate_encryption()
    typer.echo(
        f"{keys.rotated} signing keys and {webhook_secrets.rotated} webhook secrets are"
        " encrypted under the current SECRET_KEY."
    )
    undecryptable = keys.undecryptable + webhook_secrets.undecryptable
    for name in undecryptable:
        typer.echo(f"Cannot be decrypted: {name}", err=True)
    if undecryptable:
        typer.echo(UNDECRYPTABLE_ADVICE, err=True)
        raise typer.Exit(IN_PART)


def _checked(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        messages = flatten_messages(error.messages_dict)
        errors = [{"detail": ": ".join((*path[:1], text))} for path, text in messages]
        raise Invalid(FIELDS_ARE_WRONG, errors=errors) from None
    return checked


def _password() -> str:
    try:
        if sys.stdin.isatty():
            with interrupts_raised():  # Ctrl-C restores the terminal's echo
                return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Invalid("The password is not encoded as UTF-8.") from None


def _yes(value: bool) -> str:
    return "yes" if value else "no"
