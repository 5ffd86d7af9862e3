"""A reader of the changes of models, which keeps its own copy of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask.testing import FlaskClient

from tests.support.sync import Models

CHANGES = "/v1/model-changes"


class Reader:
    """Keeps the last id that it has read. `models` has the models of each make, by their ids."""

    def __init__(self, client: FlaskClient, models: Models | None = None) -> None:
        self._client = client
        self.last_id = 0
        self.models = {make_id: dict(names) for make_id, names in (models or {}).items() if names}

    def poll(self, **filters: object) -> list[Any]:
        """Read what is new, and apply it. Return it."""
        found = all_changes(self._client, after=self.last_id, **filters)
        for change in found:
            assert change["id"] > self.last_id
            self.last_id = change["id"]
            if change["applied"]:
                apply_change(self.models, change)
        return found


def all_changes(client: FlaskClient, **filters: object) -> list[Any]:
    """Return all changes that match, page by page."""
    found: list[Any] = []
    query: dict[str, Any] = {"limit": 100, **filters}
    while True:
        page = client.get(CHANGES, query_string=query).get_json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def apply_change(models: Models, change: Mapping[str, Any]) -> None:
    """Apply a change to `models`, which must have what it says was there before."""
    make_id, model_id = change["make"]["id"], change["model_id"]
    here, name, previous_name = models.setdefault(make_id, {}), change["name"], None
    if change["previous_make_id"] is not None:
        previous_name = _removed(models, change["previous_make_id"], model_id)
    elif change["change"] in ("renamed", "deleted") or model_id in here:
        previous_name = here.pop(model_id)
    if change["change"] == "deleted":
        assert previous_name == name
    else:
        assert change["previous_name"] == (None if previous_name == name else previous_name)
        here[model_id] = name
    if change["replaced_id"] is not None:
        del here[change["replaced_id"]]
    if not here:
        del models[make_id]


def _removed(models: Models, make_id: int, model_id: int) -> str:
    name = models[make_id].pop(model_id)
    if not models[make_id]:
        del models[make_id]
    return name


def without_times(changes: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return changes without what differs between a dry run and the sync after it."""
    varying = ("id", "at", "sync_id", "applied")
    return [{k: v for k, v in change.items() if k not in varying} for change in changes]
