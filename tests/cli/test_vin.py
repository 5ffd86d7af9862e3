"""`automart vin`."""

from __future__ import annotations

import io
import re
import uuid

import pytest
from sqlalchemy import select

from automart.background import Job, JobState
from automart.cli.console import Output
from automart.cli.vin import VinExit, print_decoding
from automart.core.db import db, transaction
from automart.vins.schemas import MAX_VINS
from sandbox import Fault, Vpic
from tests.cli.conftest import Run
from tests.support.catalogue import add_make
from tests.support.commands import usage_error
from tests.support.databases import on_sqlite

CIVIC, WRONG_CAMRY = "2HGFC2F56KH512345", "4T1B11HK0JU123456"
FOREIGN = "VF1AAAAA0AA000001"
USA = "UNITED STATES (USA)"


@on_sqlite
@pytest.mark.usefixtures("worker")
class TestVin:
    def test_vehicles_are_shown_in_a_table_and_warnings_below_it(self, run: Run) -> None:
        add_make(474, "Honda", {1863: "Civic"})
        result = run("vin", CIVIC.lower(), WRONG_CAMRY)
        assert result.exit_code == 0
        lines = [line.strip() for line in result.stdout.splitlines()]
        assert "succeeded, 2 of 2 VINs" in lines
        assert [re.split(" {2,}", line) for line in lines if "  " in line] == [
            ["VIN", "Make", "Model", "Year", "Body", "Fuel", "Built in"],
            [CIVIC, "Honda", "Civic", "2019", "Sedan/Saloon", "Gasoline", "CANADA"],
            [WRONG_CAMRY, "TOYOTA", "Camry", "2018", "Sedan/Saloon", "Gasoline", USA],
        ]
        assert lines[-1] == f"{WRONG_CAMRY}: The check digit (the ninth character) is wrong."
        with transaction():
            assert {job.owner for job in db.session.scalars(select(Job))} == {"command line"}

    def test_fifty_vins_can_be_decoded_at_once(self, run: Run) -> None:
        add_make(474, "Honda", {1863: "Civic"})
        assert run("vin", *[CIVIC] * MAX_VINS).exit_code == 0

    def test_a_vin_that_nhtsa_does_not_know_has_its_own_exit_status(self, run: Run) -> None:
        result = run("vin", CIVIC, FOREIGN)
        assert result.exit_code == 3
        assert f"{FOREIGN}: NHTSA does not know the manufacturer" in result.output
        row = next(line for line in result.stdout.splitlines() if line.split()[:1] == [FOREIGN])
        assert row.split() == [FOREIGN, *"------"]

    def test_a_failure_is_shown_with_its_reason(self, run: Run, vpic: Vpic) -> None:
        vpic.order(Fault.HTML)
        result = run("vin", CIVIC)
        assert result.exit_code == 1
        assert "\nIt failed. NHTSA's answer is not JSON." in result.stdout


@on_sqlite
def test_wrong_usage_is_an_error(run: Run) -> None:
    for arguments, error in (
        ([], "Missing argument"),
        (["WBA"], "'WBA' is not a VIN. Must be 17 letters and digits, without I, O and Q."),
        ([CIVIC] * (MAX_VINS + 1), "At most 50 VINs can be decoded at once."),
    ):
        assert error in usage_error(run("vin", *arguments))


def test_a_decoding_that_is_not_waited_for_continues() -> None:
    console = Output(file=io.StringIO(), width=200)
    job = Job(id=uuid.uuid4(), kind="vin_decoding", state=JobState.RUNNING)
    assert print_decoding(console, job) is VinExit.STOPPED_WATCHING
    printed = console.file.getvalue()  # type: ignore[attr-defined] # of a StringIO
    assert printed == f"The decoding continues: job {job.id}\n"
    lost = Job(id=uuid.uuid4(), kind="vin_decoding", state=JobState.SUCCEEDED)
    assert print_decoding(console, lost) is VinExit.FAILED
