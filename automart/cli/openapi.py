"""`automart openapi`: prints the OpenAPI document that the application serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from automart.cli.application import opened
from automart.core.standard_streams import utf_8_output


def openapi(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write to this file."),
    ] = None,
) -> None:
    """Print the OpenAPI document of this release."""
    with opened() as application:
        document = application.test_client().get("/openapi.json").get_json()
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if output is None:
        typer.echo(text, file=utf_8_output())
    else:
        output.write_text(text + "\n", encoding="utf-8")
