"""The command `automart cars import`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, insert, select
from typer.testing import CliRunner, Result

from automart.cli.cars import cars_app
from automart.core.config import Settings
from automart.core.csv_import import Load, Values
from automart.core.db import db, transaction
from automart.inventory import csv
from automart.inventory.models import Car, Dealer
from tests.support.databases import on_sqlite
from tests.support.inventory import add_catalogue, make_car, make_dealer

HEADER = "brand,model,year,color,daily_price,vin,dealer_id,status"
GOOD = [
    "HONDA,civic,2024,red,49.9,wba00000000abcde1,1,",
    '"Toyota ",Corolla,2023,"blue, metallic",45,WBA00000000ABCDE2,1,maintenance',
]


@pytest.fixture
def environment(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, wide_terminal: None
) -> None:
    """Set the environment of the command, and add dealer 1."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SECRET_KEY", settings.secret_key)
    monkeypatch.setenv("PUBLIC_URL", settings.public_url or "")
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    monkeypatch.chdir(settings.instance)
    add_catalogue()
    assert make_dealer().id == 1


@pytest.mark.usefixtures("environment")
class TestImport:
    def run(self, folder: Path, *lines: str, options: tuple[str, ...] = ()) -> Result:
        path = folder / "cars.csv"
        path.write_bytes("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        result = CliRunner().invoke(cars_app, ["import", str(path), *options])
        # The command's application closes its connections only when its process ends.
        for engines in list(db._app_engines.values()):
            for engine in engines.values():
                engine.dispose()
        return result

    def stored(self) -> list[tuple[str, str, str, str]]:
        db.session.rollback()
        db.session.expire_all()
        cars = db.session.scalars(select(Car).order_by(Car.vin))
        return [(car.brand, car.model, car.vin, car.status) for car in cars]

    CARS = (
        ("Honda", "Civic", "WBA00000000ABCDE1", "available"),
        ("Toyota", "Corolla", "WBA00000000ABCDE2", "maintenance"),
    )

    def test_all_cars_of_a_good_file_are_imported(self, tmp_path: Path) -> None:
        result = self.run(tmp_path, HEADER, *GOOD)
        assert result.exit_code == 0, result.output
        assert "2 imported, 0 refused." in result.output
        assert self.stored() == list(self.CARS)

    def test_nothing_is_imported_if_a_line_is_refused(self, tmp_path: Path) -> None:
        result = self.run(tmp_path, HEADER, GOOD[0], GOOD[0], GOOD[1])
        assert result.exit_code == 1
        assert "line 3: vin: The file contains it twice." in result.output
        assert self.stored() == []

    def test_good_lines_are_imported_with_keep_good(self, tmp_path: Path) -> None:
        make_car(vin="WBA00000000ABCDE3")
        bad = {
            "Hond,Civic,2024,red,49.9,WBA00000000000001,1,": "brand: There is no make Hond",
            "Honda,Corolla,2024,red,49.9,WBA00000000000001,1,": "model: Honda has no model",
            "Honda,Civic,1900,red,49.9,WBA00000000000001,1,": "year: ",
            "Honda,Civic,MMXX,red,49.9,WBA00000000000001,1,": "year: ",
            "Honda,Civic,2024, ,49.9,WBA00000000000001,1,": "color: ",
            "Honda,Civic,2024,red,0,WBA00000000000001,1,": "daily_price: ",
            "Honda,Civic,2024,red,9.999,WBA00000000000001,1,": "daily_price: ",
            'Honda,Civic,2024,red,"9,99",WBA00000000000001,1,': "daily_price: ",
            "Honda,Civic,2024,red,49.9,1M8GDM9A1KP042788,1,": "vin: The check digit",
            "Honda,Civic,2024,red,49.9,wba00000000abcde3,1,": "vin: There is a car with",
            "Honda,Civic,2024,red,49.9,WBA00000000000001,99,": "dealer_id: There is no dealer 99.",
            "Honda,Civic,2024,red,49.9,WBA00000000000001,1,sold": "status: ",
            "Honda,Civic": "year: Not a valid integer.; color: Must not be blank.;",
            "Honda,Civic,2024,r\udce9d,49.9,WBA00000000000001,1,": "This is not UTF-8.",
        }
        result = self.run(tmp_path, HEADER, GOOD[0], *bad, GOOD[1], options=("--keep-good",))
        assert result.exit_code == 3
        refused = [line for line in result.output.splitlines() if line.startswith("line ")]
        for number, (line, reason) in enumerate(zip(refused, bad.values(), strict=True), 3):
            assert line.startswith(f"line {number}: {reason}"), line
        assert f"2 imported, {len(bad)} refused." in result.output
        assert self.stored()[:2] == list(self.CARS)

    def test_other_writers_do_not_wait_while_lines_are_checked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load_while_another_writes() -> Load:
            load = csv.new_car_check()

            def wrapped(cells: Mapping[str, str]) -> Values:
                with db.engine.begin() as another:
                    another.execute(insert(Dealer).values(name="Another", location="Ulm"))
                return load(cells)

            return wrapped

        cars = replace(csv.CARS, new_load=load_while_another_writes)
        monkeypatch.setattr("automart.cli.cars.CARS", cars)
        result = self.run(tmp_path, HEADER, *GOOD)
        assert result.exit_code == 0, result.output
        assert self.stored() == list(self.CARS)
        assert db.session.query(Dealer).filter_by(name="Another").count() == len(GOOD)

    @pytest.mark.parametrize("keep_good", [False, True])
    def test_a_car_that_is_added_during_the_import_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_good: bool
    ) -> None:
        late = ["WBA00000000ABCDE2"]

        def load_too_early() -> Load:
            load = csv.new_car_check()

            def wrapped(cells: Mapping[str, str]) -> Values:
                values = load(cells)
                if values["vin"] in late:
                    make_car(vin=late.pop())
                return values

            return wrapped

        monkeypatch.setattr("automart.cli.cars.CARS", replace(csv.CARS, new_load=load_too_early))
        options = ("--keep-good",) if keep_good else ()
        result = self.run(tmp_path, HEADER, *GOOD, options=options)
        assert "line 3: vin: There is a car with this VIN already." in result.output
        if keep_good:
            assert result.exit_code == 3
            assert "1 imported, 1 refused." in result.output
        else:
            assert result.exit_code == 1
            assert "Nothing was imported: 1 of 2 records are wrong." in result.output
        vins = ["WBA00000000ABCDE1"] if keep_good else []
        assert [vin for _, _, vin, _ in self.stored()] == [*vins, "WBA00000000ABCDE2"]

    def test_prices_may_have_a_decimal_comma_where_it_does_not_separate_cells(
        self, tmp_path: Path
    ) -> None:
        car = "Honda;Civic;2024;red;49,50;WBA00000000ABCDE1;1"
        for delimiter in ";\t":
            header = HEADER.removesuffix(",status").replace(",", delimiter)
            result = self.run(tmp_path, "sep=" + delimiter, header, car.replace(";", delimiter))
            assert "1 imported, 0 refused." in result.output
            assert str(db.session.scalars(select(Car.daily_price)).one()) == "49.50"
            with transaction():
                db.session.execute(delete(Car))
        result = self.run(tmp_path, HEADER.replace(",", ";"), car.replace("49,50", "1.234,5"))
        assert "line 2: daily_price: Not a valid number." in result.output

    @on_sqlite
    @pytest.mark.parametrize(
        ("header", "problem"),
        [
            ("", "The file is empty."),
            ("brand,model", "must name the columns: year, color, daily_price, vin, dealer_id."),
            (f"{HEADER},wheels", "unknown columns: 'wheels'"),
            (f"{HEADER},VIN", "name the column vin twice: 'vin', 'VIN'."),
        ],
    )
    def test_a_file_with_a_bad_header_is_refused(
        self, tmp_path: Path, header: str, problem: str
    ) -> None:
        result = self.run(tmp_path, header)
        assert result.exit_code == 1
        assert problem in result.output
