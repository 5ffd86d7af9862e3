"""Finds out whether NHTSA can be reached."""

from __future__ import annotations

from automart.catalogue.nhtsa import NhtsaClient, NhtsaError

# A make with few models, so that the response is small.
PROBED_MAKE = 474


def nhtsa_failure(url: str, *, give_up_after: float) -> str | None:
    """Request a make from NHTSA. Return why that failed, None if it responded."""
    try:
        with NhtsaClient(
            url, rate=0, connections=1, give_up_after=give_up_after, longest_pause=0
        ) as client:
            client.models(PROBED_MAKE)
    except NhtsaError as error:
        return str(error)
    return None
