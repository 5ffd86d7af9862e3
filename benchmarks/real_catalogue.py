"""Syncs with recorded snapshots of the catalogue, and compares the tables with the files.

`python -m benchmarks real_catalogue OLDER.csv NEWER.csv`, with the columns make_id, make_name,
model_id, model_name. Syncs an empty database with the first file, then with the second, and then
with the second again. The changes of each sync must lead from the one file to the other.
"""

from __future__ import annotations

import csv
import urllib.request
from pathlib import Path

from automart.background import Job
from automart.catalogue.changes import published_changes
from automart.catalogue.models import ModelChange, VehicleMake
from automart.catalogue.schemas import ModelChange as ChangeSchema
from automart.core.db import db, transaction
from benchmarks.support import databases, quiet_app, sync, vpic
from sandbox import Catalogue
from tests.support.changes import apply_change
from tests.support.sync import stored_models

Models = dict[int, dict[int, str]]


def main(*paths: str) -> None:
    files = [_read(path) for path in (*paths, paths[-1])]
    with databases() as found:
        for name, database_url in found:
            with vpic(Catalogue({}, {})) as url, quiet_app(database_url, url):
                stored: Models = {}
                for path, models in zip((*paths, paths[-1]), files, strict=True):
                    _serve(url, path)
                    _add_missing_makes(path)
                    job = sync()
                    _compare(name, Path(path).name, job, stored, models)
                    stored = models


def _compare(name: str, file: str, job: Job, before: Models, after: Models) -> None:
    assert job.result is not None
    assert stored_models() == after, "the tables differ from the file"
    reported = {
        make["id"]: (make["created"], make["updated"], make["deleted"])
        for make in job.result["makes_updated"]
    }
    assert reported == _difference(before, after), "the counts differ from the real difference"
    changes = db.session.scalars(
        published_changes().where(ModelChange.sync_id == job.id).order_by(ModelChange.id)
    ).all()
    replayed = {make_id: dict(models) for make_id, models in before.items()}
    for change in ChangeSchema().dump(changes, many=True):
        apply_change(replayed, change)
    assert replayed == after, "the changes do not lead to the file"
    assert len(changes) == sum(map(sum, reported.values())), "there are more or fewer changes"
    sums = [sum(counts) for counts in zip(*reported.values(), strict=True)] or [0, 0, 0]
    rows = sum(len(models) for models in after.values())
    print(
        f"{name}, {file}: {rows} rows equal;"
        f" {sums[0]} created, {sums[1]} renamed, {sums[2]} deleted in {len(reported)} makes,"
        f" {job.result['makes_unchanged']} unchanged"
    )


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
