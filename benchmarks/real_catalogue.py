"""Syncs with recorded snapshots of the catalogue, and compares the tables with the files.

`python -m benchmarks real_catalogue OLDER.csv NEWER.csv`, with the columns make_id, make_name,
model_id, model_name. Syncs an empty database with the first file, then with the second, and then
with the second again. The changes of each sync must lead from the one file to the other. A hundred
models of our own stand there from the first sync on, of which NHTSA adopts two with the second.
"""

from __future__ import annotations

import csv
import urllib.request
from itertools import cycle, islice
from pathlib import Path

from automart.background import Job
from automart.catalogue.changes import published_changes
from automart.catalogue.models import ModelChange, VehicleMake
from automart.catalogue.schemas import ModelChange as ChangeSchema
from automart.catalogue.service import create_model
from automart.core.db import db, transaction
from automart.core.text import name_key
from benchmarks.support import databases, quiet_app, sync, vpic
from sandbox import Catalogue
from tests.support.changes import apply_change
from tests.support.sync import stored_models

Models = dict[int, dict[int, str]]

OWN = 100
ADOPTED = 2


def main(*paths: str) -> None:
    files = [_read(path) for path in (*paths, paths[-1])]
    with databases() as found:
        for name, database_url in found:
            with vpic(Catalogue({}, {})) as url, quiet_app(database_url, url):
                stored: Models = {}
                own: Models = {}
                for path, models in zip((*paths, paths[-1]), files, strict=True):
                    _serve(url, path)
                    _add_missing_makes(path)
                    job = sync()
                    own = _compare(name, Path(path).name, job, stored, models, own)
                    stored = models
                    if not own:
                        own = _add_own(models, files[-1])


def _compare(name: str, file: str, job: Job, before: Models, after: Models, own: Models) -> Models:
    """Check what a sync did. Return the models of our own that are left."""
    assert job.result is not None
    reported = {
        make["id"]: (make["created"], make["updated"], make["deleted"])
        for make in job.result["makes_updated"]
    }
    changes = db.session.scalars(
        published_changes().where(ModelChange.sync_id == job.id).order_by(ModelChange.id)
    ).all()
    replayed = _union(before, own)
    for change in ChangeSchema().dump(changes, many=True):
        apply_change(replayed, change)
    adopted = {change.replaced_id for change in changes} - {None}
    left = {
        make_id: {ident: name for ident, name in models.items() if ident not in adopted}
        for make_id, models in own.items()
    }
    assert stored_models() == _union(after, left), "the tables differ from the file"
    assert replayed == _union(after, left), "the changes do not lead to the file"
    assert len(adopted) == (ADOPTED if own and before != after else 0), "too many were adopted"
    expected = _difference(before, after)
    for change in changes:
        if change.replaced_id is not None:  # an adopted model counts as updated
            created, updated, deleted = expected[change.make_id]
            expected[change.make_id] = (created - 1, updated + 1, deleted)
    assert reported == expected, "the counts differ from the real difference"
    assert len(changes) == sum(map(sum, reported.values())), "there are more or fewer changes"
    sums = [sum(counts) for counts in zip(*reported.values(), strict=True)] or [0, 0, 0]
    rows = sum(len(models) for models in after.values())
    print(
        f"{name}, {file}: {rows} rows equal;"
        f" {sums[0]} created, {sums[1]} renamed or adopted ({len(adopted)}), {sums[2]} deleted"
        f" in {len(reported)} makes, {job.result['makes_unchanged']} unchanged"
    )
    return left


def _add_own(stored: Models, to_come: Models) -> Models:
    """Add models of our own. NHTSA has two of the names later, in other case and with other
    spaces."""
    names = {
        (make_id, name.swapcase().replace(" ", "  "))
        for make_id, models in stored.items()
        for ident, name in to_come.get(make_id, {}).items()
        if " " in name and name_key(name) not in set(map(name_key, models.values()))
    }
    chosen = sorted(names)[:ADOPTED]
    makes = islice(cycle(sorted(stored)), OWN - len(chosen))
    chosen += [(make_id, f"Own model {number}") for number, make_id in enumerate(makes)]
    own: Models = {}
    with transaction():
        for make_id, name in chosen:
            model = create_model({"make_id": make_id, "name": name})
            own.setdefault(make_id, {})[model.id] = name
    return own


def _union(some: Models, others: Models) -> Models:
    makes = some.keys() | others.keys()
    united = {i: {**some.get(i, {}), **others.get(i, {})} for i in makes}
    return {make_id: models for make_id, models in united.items() if models}


def _difference(before: Models, after: Models) -> dict[int, tuple[int, int, int]]:
    counts = {}
    for make_id in before.keys() | after.keys():
        old, new = before.get(make_id, {}), after.get(make_id, {})
        created = len(new.keys() - old.keys())
        renamed = sum(old.get(ident, name) != name for ident, name in new.items())
        deleted = len(old.keys() - new.keys())
        if created or renamed or deleted:
            counts[make_id] = (created, renamed, deleted)
    return counts


def _read(path: str) -> Models:
    models: Models = {}
    with Path(path).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            models.setdefault(int(row["make_id"]), {})[int(row["model_id"])] = row["model_name"]
    return models


def _serve(url: str, path: str) -> None:
    request = urllib.request.Request(
        url.removesuffix("/api") + "/_sandbox/data", data=Path(path).read_bytes(), method="PUT"
    )
    urllib.request.urlopen(request).close()


def _add_missing_makes(path: str) -> None:
    with transaction():
        for make_id, name in Catalogue.from_csv(path).makes.items():
            db.session.merge(VehicleMake(id=make_id, name=name))
