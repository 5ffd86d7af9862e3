"""`automart makes`."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from automart.catalogue.models import VehicleMake
from automart.core.batches import BATCH_SIZE
from automart.core.db import db
from sandbox import Catalogue, Fault, Vpic
from tests.cli.conftest import Run, type_in
from tests.support.commands import usage_error
from tests.support.databases import on_sqlite

HONDA, TOYOTA = 474, 448


def names() -> dict[int, str]:
    db.session.rollback()
    rows = db.session.execute(select(VehicleMake.id, VehicleMake.name))
    return {row.id: row.name for row in rows}


@pytest.mark.usefixtures("app")
class TestAdd:
    def test_add_stores_a_make(self, run: Run) -> None:
        result = run("makes", "add", "440", "  Aston Martin ")
        assert result.exit_code == 0
        assert result.stdout == "Added make 440 Aston Martin. The next sync adds its models.\n"
        assert names() == {440: "Aston Martin"}

    @on_sqlite
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("440", "Other"), "Error: There is a make 440 already: Aston Martin.\n"),
            (("441", "ASTON MARTIN"), "Error: There is a make with this name already.\n"),
        ],
    )
    def test_add_refuses_a_duplicate(
        self, run: Run, arguments: tuple[str, str], error: str
    ) -> None:
        run("makes", "add", "440", "Aston Martin")
        result = run("makes", "add", *arguments)
        assert (result.exit_code, result.stderr) == (1, error)
        assert names() == {440: "Aston Martin"}


@pytest.mark.usefixtures("app")
class TestImport:
    def test_imported_makes_have_the_names_of_nhtsa(self, run: Run, vpic: Vpic) -> None:
        result = run("makes", "import", "474", "542")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == (
            f"Requesting the makes from {vpic.url}.\n2 added, 0 existed already, 0 refused.\n"
        )
        assert names() == {474: "HONDA", 542: "ISUZU"}

    def test_import_does_not_change_existing_makes(self, run: Run) -> None:
        run("makes", "add", "474", "Honda")
        result = run("makes", "import", "474", "542", "474")
        assert result.exit_code == 0
        assert "1 added, 1 existed already, 0 refused." in result.stdout
        assert names()[HONDA] == "Honda"

    def test_import_names_refused_makes_with_the_reason(self, run: Run) -> None:
        run("makes", "add", "1", "Honda")
        result = run("makes", "import", "474", "448", "999999")
        assert result.exit_code == 3
        assert result.stderr == (
            "  474: HONDA: make 1 has this name already.\n"
            "  999999: NHTSA has no make with this id.\n"
        )
        assert "1 added, 0 existed already, 2 refused." in result.stdout
        assert names() == {1: "Honda", TOYOTA: "TOYOTA"}

    def test_import_adds_the_first_of_two_makes_with_one_name(self, run: Run, vpic: Vpic) -> None:
        vpic.serve(Catalogue(makes={7: "Tiny", 8: "TINY "}, models={}))
        result = run("makes", "import", "--all")
        assert result.exit_code == 3
        assert "8: TINY: make 7 has this name already." in result.stderr
        assert names() == {7: "TINY"}

    def test_an_odd_make_is_refused_and_the_others_are_imported(self, run: Run, vpic: Vpic) -> None:
        vpic.serve(Catalogue(makes={7: "Tiny", 8: " ", 9: "Huge"}, models={}))
        result = run("makes", "import", "--all")
        assert result.exit_code == 3
        assert "8: NHTSA's answer has no name for make 8." in result.stderr
        assert "2 added, 0 existed already, 1 refused." in result.stdout
        assert names() == {7: "TINY", 9: "HUGE"}
        result = run("makes", "import", "8", "9")
        assert "8: NHTSA's answer has no name for make 8." in result.stderr

    def test_all_makes_are_imported_in_batches_and_once(self, run: Run, vpic: Vpic) -> None:
        count = 2 * BATCH_SIZE + 1
        vpic.serve(Catalogue.made_up(makes=count, models_per_make=1))
        first = run("makes", "import", "--all")
        assert f"{count} added, 0 existed already, 0 refused." in first.stdout
        second = run("makes", "import", "--all")
        assert f"0 added, {count} existed already, 0 refused." in second.stdout
        assert db.session.scalar(select(func.count(VehicleMake.id))) == count

    def test_an_invalid_response_of_nhtsa_is_an_error(self, run: Run, vpic: Vpic) -> None:
        vpic.order(Fault.HTML)
        result = run("makes", "import", "--all")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: NHTSA's answer is not JSON.")
        assert names() == {}

    def test_further_refused_makes_are_counted(self, run: Run) -> None:
        result = run("makes", "import", *map(str, range(900_001, 900_031)))
        assert result.stderr.count("NHTSA has no make") == 20
        assert result.stderr.endswith("\n  … and 10 more\n")
        result = run("makes", "import", *map(str, range(900_001, 900_021)))
        assert result.stderr.count("\n") == 20


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("add", "0", "Zero"), "'0' is not an id: ids are whole numbers above 0."),
            (("add", "9223372036854775808", "Large"), "is not an id"),
            (("add", "440", "  "), "name: Must not be blank."),
            (("add", "440", "a\tb"), "name: Control characters are not allowed."),
            (("add", "440"), "Missing argument"),
            (("import",), "Give either ids of makes or --all."),
            (("import", "474", "--all"), "Give either ids of makes or --all."),
        ],
    )
    def test_wrong_usage_is_an_error(self, arguments: tuple[str, ...], error: str) -> None:
        assert error in usage_error(type_in("makes", *arguments))
