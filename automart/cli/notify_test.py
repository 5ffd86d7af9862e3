"""`automart notify-test`: sends a trial message to the services of NOTIFY_URLS."""

from __future__ import annotations

import typer

from automart.cli.errors import FAILED, IN_PART, CommandError
from automart.core.config import Settings
from automart.core.logging import configure_logging

TITLE = "Automart: a trial message"
BODY = "Notices about nightly syncs will arrive here."


def notify_test() -> None:
    """Send a trial message to each service of NOTIFY_URLS, and show which ones accept it.

    Exit status: 0 all accepted it · 1 none did, or NOTIFY_URLS is not set · 3 some did not.
    """
    settings = Settings.from_environment(log_format="console")
    configure_logging(settings.log_format)
    if not settings.notify_urls:
        raise CommandError("NOTIFY_URLS is not set. README.md explains it.")
    # Imported late, because it takes most of a second.
    from automart.core.notification_services import send_notice, service_name  # noqa: PLC0415

    refused = 0
    for place, url in enumerate(settings.notify_urls, 1):
        is_accepted = send_notice(url, TITLE, BODY)
        refused += not is_accepted
        result = "accepted" if is_accepted else "not accepted, or it could not be reached"
        # The URL itself contains secrets.
        typer.echo(f"URL {place}, {service_name(url)}: {result}")
    if refused:
        raise typer.Exit(FAILED if refused == len(settings.notify_urls) else IN_PART)
