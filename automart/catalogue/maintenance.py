"""Housekeeping of the catalogue."""

from __future__ import annotations

from automart.catalogue.changes import is_published, publish
from automart.core.db import release_connection, transaction


def publish_changes() -> bool:
    """Show readers the changes that a running or killed sync has committed. Return whether there
    were any."""
    is_done = is_published()
    release_connection()
    if not is_done:
        with transaction():
            publish()
    return not is_done
