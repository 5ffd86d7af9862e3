"""`automart makes`: the makes of the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer
from flask import Flask
from marshmallow import ValidationError

from automart.catalogue.make_import import Imported, add_missing
from automart.catalogue.models import VehicleMake
from automart.catalogue.nhtsa import NhtsaClient
from automart.catalogue.schemas import NewMake
from automart.catalogue.service import create_make
from automart.catalogue.shared_pace import RedisSlots
from automart.cli.application import check_schema, opened
from automart.cli.arguments import make_id as read_make_id
from automart.core.batches import batched
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.core.errors import Conflict, Invalid

IN_PART = 3
MAX_REASONS = 20

app = typer.Typer(no_args_is_help=True, help="The makes of the catalogue.")

MakeId = Annotated[int, typer.Argument(parser=read_make_id, metavar="ID", help="NHTSA's id.")]


@app.command()
def add(make_id: MakeId, name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Add a make with NHTSA's id. The next sync adds its models."""
    values = _checked(make_id, name)
    with opened():
        check_schema()
        with transaction():
            present = db.session.get(VehicleMake, make_id)
            if present is not None:
                raise Conflict(f"There is a make {make_id} already: {present.name}.")
            create_make(values)
    typer.echo(f"Added make {make_id} {values['name']}. The next sync adds its models.")


@app.command("import")
def import_makes(
    make_ids: Annotated[
        list[int] | None,
        typer.Argument(parser=read_make_id, metavar="[ID]...", help="NHTSA's ids."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All makes of NHTSA, about 12,000.")
    ] = False,
) -> None:
    """Add makes with NHTSA's names. Makes that exist already are not changed.

    Exit status: 0 success · 1 failure · 2 wrong usage · 3 some makes were refused.
    """
    if bool(make_ids) == everything:
        raise typer.BadParameter("Give either ids of makes or --all.")
    with opened() as application:
        check_schema()
        names, odd = _names_by_nhtsa(application)
        wanted = list(names) if everything else list(dict.fromkeys(make_ids or ()))
        imported = _import(names, wanted, odd)
        if everything:
            imported.refused |= odd
    _print_result(imported)
    raise typer.Exit(IN_PART if imported.refused else 0)


def _checked(make_id: int, name: str) -> dict[str, object]:
    try:
        values: dict[str, object] = NewMake().load({"id": make_id, "name": name})
    except ValidationError as error:
        errors = [
            {"detail": f"{field}: {message}"}
            for field, messages in error.messages_dict.items()
            for message in messages
        ]
        raise Invalid("The make is invalid.", errors=errors) from None
    return values


def _names_by_nhtsa(application: Flask) -> tuple[dict[int, str], dict[str, str]]:
    settings: Settings = application.extensions["settings"]
    typer.echo(f"Requesting the makes from {settings.nhtsa_url}.")
    rate = settings.nhtsa_requests_per_second
    slots = RedisSlots.of_current_app()
    with NhtsaClient(settings.nhtsa_url, rate=rate, connections=1, slots=slots) as client:
        return client.makes()


def _import(names: dict[int, str], wanted: list[int], odd: dict[str, str]) -> Imported:
    imported = Imported()
    for part in batched(wanted):
        known = {ident: names[ident] for ident in part if ident in names}
        with transaction():
            imported.include(add_missing(known))
        missing = "NHTSA has no make with this id."
        unknown = {str(i): odd.get(str(i), missing) for i in part if i not in names}
        imported.refused |= unknown
    return imported


def _print_result(imported: Imported) -> None:
    for ident, reason in list(imported.refused.items())[:MAX_REASONS]:
        typer.echo(f"  {ident}: {reason}", err=True)
    if len(imported.refused) > MAX_REASONS:
        typer.echo(f"  … and {len(imported.refused) - MAX_REASONS} more", err=True)
    typer.echo(
        f"{imported.added} added, {imported.present} existed already, "
        f"{len(imported.refused)} refused."
    )
