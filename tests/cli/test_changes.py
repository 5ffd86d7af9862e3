"""`automart changes`, and the models that `automart sync` shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from automart.background.models import Job
from automart.catalogue.models import ModelChange, VehicleMake
from automart.catalogue.service import create_model
from automart.core.db import db, transaction
from sandbox import Fault, Vpic
from tests.cli.conftest import Run, type_in
from tests.support.commands import usage_error
from tests.support.databases import on_sqlite
from tests.support.sync import add_models, catalogue_of, stored_models

OWN_ID = 1_000_000_000_001
MODELS = {7: {1: "One", 2: "Two", 3: "Three"}, 8: {i: f"Model {i}" for i in range(10, 15)}}


@pytest.fixture
def _makes(app: Flask, vpic: Vpic) -> None:
    """Two makes, of which a sync changes the first and holds the second."""
    add_models(MODELS)
    with transaction():
        create_model({"make_id": 7, "name": "Four"})
    vpic.serve(catalogue_of({7: {1: "ONE", 2: "Two", 4: "FOUR", 5: "Five"}, 8: {14: "New"}}))


def lines_of(output: str, *, of: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if of in line]


@on_sqlite
@pytest.mark.usefixtures("_makes", "worker")
def test_changes_are_shown_before_and_after_they_are_made_and_approved(run: Run) -> None:
    shown = [
        "7 Make 7: renamed 1 ONE (was One)",
        "7 Make 7: deleted 3 Three",
        f"7 Make 7: adopted 4 FOUR (instead of your own model {OWN_ID})",
        "7 Make 7: created 5 Five",
    ]
    held = [f"deleted {i} Model {i}" for i in range(10, 14)] + ["renamed 14 New (was Model 14)"]
    of_held = [f"8 Make 8 (held): {line}" for line in held]

    tried = run("sync", "--dry-run", "--verbose")
    assert tried.exit_code == 3
    assert lines_of(tried.output, of="Make 7:") == shown
    assert lines_of(tried.output, of="(held)") == of_held
    assert "Make that would change" in tried.output
    assert "Would be held:" in tried.output
    assert "This was a dry run: nothing has changed." in tried.output
    assert run("sync", "--held").output == "Nothing is held.\n"
    assert stored_models() == MODELS | {7: MODELS[7] | {OWN_ID: "Four"}}

    done = run("sync")
    assert lines_of(done.output, of="Make 7:") == [shown[2]]
    assert "To see their models: automart sync --held" in done.output

    listed = run("sync", "--held")
    assert listed.exit_code == 0
    first, *others = listed.output.splitlines()
    assert first.startswith("8 Make 8, held since 20")
    assert [line.strip() for line in others] == [
        "would delete 4 models. It would delete 4 of 5 models.",
        *held,
        "To approve one: automart sync --make 8 --approve-deletions",
        "To approve all: automart sync --held --approve-deletions",
    ]
    refused = run("sync", "--held", "--make", "7")
    assert (refused.exit_code, refused.stderr) == (2, "Error: Make 7 is not held.\n")

    assert run("sync", "--held", "--approve-deletions").exit_code == 0
    assert stored_models()[8] == {14: "New"}
    assert run("sync", "--held", "--approve-deletions").output == "Nothing is held.\n"

    logged = run("changes").output
    assert lines_of(logged, of=" 8 Make 8: deleted")[0].endswith("Z  8 Make 8: deleted 10 Model 10")
    assert lines_of(run("changes", "--make", "7").output, of="") == [
        line for line in logged.splitlines() if " 7 Make 7: " in line
    ]
    assert [line.partition("  ")[2] for line in lines_of(logged, of="Make 7: ")][1:] == shown
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert run("changes", "--since", soon).output == "There are no such changes.\n"
    assert run("changes", "--since", "2026-01-15").output == logged
    last = db.session.scalars(select(ModelChange.at).order_by(ModelChange.id.desc())).first()
    assert last is not None
    assert run("changes", "--since", last.isoformat()).output.endswith(
        logged.splitlines()[-1] + "\n"
    )


@on_sqlite
@pytest.mark.usefixtures("_makes", "worker")
def test_a_held_make_whose_sync_has_expired_is_listed(run: Run) -> None:
    run("sync")
    with transaction():
        db.session.query(Job).delete()
    assert "The sync that held it has expired." in run("sync", "--held").output
    assert db.session.get_one(VehicleMake, 8).held_since is not None


@on_sqlite
@pytest.mark.usefixtures("_makes", "worker")
def test_a_held_make_is_listed_as_the_last_sync_that_held_it_found_it(run: Run, vpic: Vpic) -> None:
    run("sync")
    vpic.serve(catalogue_of({7: {}, 8: {}}))
    run("sync", "--make", "8")
    vpic.order(Fault.HTML, make_id=8)
    assert run("sync", "--make", "8").exit_code == 1  # which says nothing about its models

    _first, *others = run("sync", "--held").stdout.splitlines()
    assert [line.strip() for line in others][:-2] == [
        "would delete 5 models. NHTSA's answer was empty.",
        *(f"deleted {i} Model {i}" for i in MODELS[8]),
    ]


def test_wrong_usage_is_an_error() -> None:
    for arguments, error in (
        (("sync", "--held", "--dry-run"), "--held only lists. It needs no --dry-run."),
        (("changes", "--since", "yesterday"), "Must be like 2026-01-15T08:30Z or 2026-01-15."),
        (("changes", "--since", "0001-01-01T00:00+14:00"), "Must be like 2026-01-15T08:30Z"),
        (("changes", "--make", "Honda"), "not an id"),
    ):
        assert error in usage_error(type_in(*arguments))
