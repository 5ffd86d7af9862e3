"""The commands `automart customers import` and `export`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from automart.cli.customers import customers_app
from automart.core.config import Settings
from automart.core.csv_import import escape_formula, unescape_formula
from automart.core.db import db, transaction
from automart.customers.csv import EXPORTED, write_customers
from automart.customers.models import Customer
from tests.support.commands import usage_error
from tests.support.databases import on_sqlite

Run = Callable[..., Result]


@pytest.fixture
def run(
    app: Flask,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wide_terminal: None,
) -> Run:
    """Return a function that runs `automart customers …` on the database of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SECRET_KEY", settings.secret_key)
    monkeypatch.setenv("PUBLIC_URL", settings.public_url or "")
    monkeypatch.setenv("REDIS_URL", settings.redis_url)

    def run(*arguments: str) -> Result:
        db.session.rollback()
        result = CliRunner().invoke(customers_app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        db.session.rollback()
        return result

    return run


def stored_customers() -> list[tuple[str, str, str | None, str | None]]:
    rows = db.session.query(
        Customer.first_name, Customer.last_name, Customer.email, Customer.phone
    ).order_by(Customer.id)
    return [tuple(row) for row in rows]


def write_file(folder: Path, content: str | bytes) -> str:
    path = folder / "customers.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


class TestImport:
    WITH_COMMAS = """\
first_name,last_name,email,phone
Zoë,Quinn,zoe@example.com,+49 1
O,D'Arcy,,
"""
    WITH_SEMICOLONS = """\
\ufeffLast_Name;First_Name;Phone;Email
Quinn;Zoë;+49 1;zoe@example.com
"D'Arcy";" O ";" ";

""".replace("\n", "\r\n")
    WITH_TABS = """\
first_name\tlast_name\temail\tphone\tid
Zoë\tQuinn\tzoe@example.com\t'+49 1\t7
O\tD'Arcy\t\t\t8"""

    @pytest.mark.parametrize("content", [WITH_COMMAS, WITH_SEMICOLONS, WITH_TABS])
    def test_all_customers_of_a_good_file_are_imported(
        self, run: Run, tmp_path: Path, content: str
    ) -> None:
        result = run("import", write_file(tmp_path, content))
        assert (result.exit_code, result.stdout) == (0, "2 imported, 0 refused.\n")
        assert stored_customers() == [
            ("Zoë", "Quinn", "zoe@example.com", "+49 1"),
            ("O", "D'Arcy", None, None),
        ]
        found = db.session.query(Customer).filter(Customer.search_text.contains("zoe quinn")).one()
        assert (found.created_by, found.updated_by) == (None, None)
        assert found.created_at == found.updated_at

    BAD = (
        b"first_name,last_name,email,phone\n"
        b"Ada,Lovelace,,\n"  # 2
        b",Nameless,,\n"  # 3
        b'Two,"Lines\nhere",,\n'  # 4 and 5
        b"Grace,Hopper,nowhere,\n"  # 6
        b"too,many,,,cells\n"  # 7
        b"J\xfcrgen,Latin,,\n"  # 8
        b'Broken,"quote" here,,\n'  # 9
        b"N\x00L,Byte,,\n"  # 10
        b"Alan,Turing,,\n"  # 11
        b'Open,"quote,,\n'  # 12
    )
    REASONS = (
        r"line 3: first_name: Must not be blank\.\n"
        r"lines 4-5: last_name: Control characters are not allowed\.\n"
        r"line 6: email: Not a valid email address\.\n"
        r"line 7: It has 5 cells, but there are 4 headings\.\n"
        r"line 8: This is not UTF-8\..* use --encoding windows-1252\.\n"
        r"line 9: It has a quotation mark that is not closed.*\.\n"
        r"line 10: first_name: Control characters are not allowed\.\n"
        r"line 12: It has a quotation mark that is not closed.*\.\n"
    )

    def test_nothing_is_imported_if_a_line_is_refused(self, run: Run, tmp_path: Path) -> None:
        result = run("import", write_file(tmp_path, self.BAD))
        assert result.exit_code == 1
        assert re.fullmatch(
            self.REASONS + r"Nothing was imported: 8 of 10 records are wrong\.\n",
            result.stderr,
        )
        assert stored_customers() == []

    def test_good_lines_are_imported_with_keep_good(self, run: Run, tmp_path: Path) -> None:
        result = run("import", "--keep-good", write_file(tmp_path, self.BAD))
        assert result.exit_code == 3
        assert re.fullmatch(self.REASONS, result.stderr)
        assert result.stdout == "2 imported, 8 refused.\n"
        assert [first for first, *_ in stored_customers()] == ["Ada", "Alan"]

    @on_sqlite
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "The file is empty."),
            ("first_name,last_name,nickname\nA,B,C\n", "unknown columns: 'nickname'"),
            ("first_name,email\nA,\n", "must name the columns: last_name"),
            ("first_name,last_name,last_name\nA,B,C\n", "the column last_name twice"),
            (b"\x89PNG\r\n\x1a\n", "This is not UTF-8."),
            (b"PK\x03\x04\x14\0", "This is a workbook, not CSV."),
            ("first_name,last_name\n".encode("utf-16-le"), "use --encoding utf-16-le"),
            (b'"first_name,last_name\nA,B\n', "quotation marks of its headings"),
            ("x" * 200_000, "Its headings are too long."),
            (",".join("x" * 900 for _ in range(110)), "and 10 more."),
        ],
    )
    def test_a_file_without_the_columns_of_customers_is_refused(
        self, run: Run, tmp_path: Path, content: str | bytes, message: str
    ) -> None:
        result = run("import", write_file(tmp_path, content))
        assert result.exit_code == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_missing_file_is_a_usage_error(self, run: Run) -> None:
        assert run("import", "nothing.csv").exit_code == 2

    def test_a_file_of_several_batches_is_imported_as_a_whole(
        self, run: Run, tmp_path: Path
    ) -> None:
        lines = "".join(f"Person,Number {number},,\n" for number in range(2_345))
        header = "first_name,last_name,email,phone\n"
        result = run("import", write_file(tmp_path, header + lines))
        assert result.stdout == "2,345 imported, 0 refused.\n"
        assert len(stored_customers()) == 2_345
        result = run("import", write_file(tmp_path, header + lines + "bad\n"))
        assert result.exit_code == 1
        assert len(stored_customers()) == 2_345

    GOOGLE = (
        "\n,,\nFirst Name,Middle Name,Last Name,Labels,E-mail 1 - Label,E-mail 1 - Value,"
        "Phone 1 - Value,\nAda,K.,Lovelace,* myContacts,,ada@example.com,+44 1,\n"
    )
    OUTLOOK = (
        "sep=;\r\n"
        "Given Name;Family Name;E-mail Address;Business Phone;Mobile Phone\r\n"
        "Ada;Lovelace;ada@example.com;+44 9;+44 1\r\n"
    )

    def test_exports_of_google_contacts_and_outlook_are_imported(
        self, run: Run, tmp_path: Path
    ) -> None:
        for content, encoding, ignored in (
            (self.GOOGLE, "utf-8", "'Middle Name', 'Labels', 'E-mail 1 - Label'"),
            (self.OUTLOOK, "utf-16", "'Business Phone'"),
        ):
            path = write_file(tmp_path, content.encode(encoding))
            refused = run("import", path)
            assert refused.exit_code == 1
            assert refused.stderr.startswith("Nothing was imported. ")
            assert "unknown columns" in refused.stderr
            assert refused.stderr.endswith(" Use --map or --ignore-others.\n")
            result = run("import", "--ignore-others", path)
            assert result.stdout == "1 imported, 0 refused.\n", result.stderr
            assert result.stderr == f"Ignored columns: {ignored}.\n"
        assert stored_customers() == [("Ada", "Lovelace", "ada@example.com", "+44 1")] * 2

    def test_a_heading_is_mapped_to_a_column(self, run: Run, tmp_path: Path) -> None:
        path = write_file(tmp_path, self.OUTLOOK)
        mapped = ("--map", "business phone = phone", "--ignore-others")
        result = run("import", *mapped, path)
        assert result.stdout == "1 imported, 0 refused.\n", result.stderr
        assert stored_customers() == [("Ada", "Lovelace", "ada@example.com", "+44 9")]
        for option in ("Business Phone", "=phone", "Business Phone=fax"):
            error = (
                f"Invalid value for --map: {option!r} must be HEADING=COLUMN, with one of "
                "first_name, last_name, email, phone."
            )
            assert error in usage_error(run("import", "--map", option, path))
        result = run("import", "--map", "Fax=phone", path)
        assert (result.exit_code, "no columns 'Fax'" in result.stderr) == (1, True)

    def test_a_file_in_windows_1252_is_imported_with_its_encoding(
        self, run: Run, tmp_path: Path
    ) -> None:
        content = "first_name,last_name\nJürgen,“Groß”\n".encode("windows-1252")
        path = write_file(tmp_path, content)
        result = run("import", path)
        assert (result.exit_code, "windows-1252" in result.stderr) == (1, True)
        assert "--encoding windows-1252" in result.stderr
        result = run("import", "--encoding", "windows-1252", path)
        assert result.stdout == "1 imported, 0 refused.\n"
        assert stored_customers() == [("Jürgen", "“Groß”", None, None)]
        error = "Invalid value for --encoding: There is no encoding 'rot13'."
        assert error in usage_error(run("import", "--encoding", "rot13", path))

    def test_all_but_one_of_many_records_are_imported_if_one_has_a_stray_quotation_mark(
        self, run: Run, tmp_path: Path
    ) -> None:
        lines = ["first_name,last_name", *(f"Person,Number {n}" for n in range(3_000))]
        lines[1_234] = '"Person,Number X'
        result = run("import", "--keep-good", write_file(tmp_path, "\n".join(lines)))
        assert result.stdout == "2,999 imported, 1 refused.\n"
        assert result.stderr.startswith("line 1235: ")


class TestExport:
    PEOPLE = (
        ("Zoë", "Quinn", "zoe@example.com", "+49 170 1"),
        ('=HYPERLINK("x")', "@SUM(1)", None, None),
        ("-2+3", "a;=cmd|' /C calc'!A0", "-@example.com", "-1"),
        ("'=1+1", "'t Hooft", None, "''+1"),
        ('Say "hi", =1', "李, = 伟", None, None),
        ("שלום", "محمد", None, None),
    )

    @pytest.fixture(autouse=True)
    def _people(self, app: Flask) -> None:
        with transaction():
            for first, last, email, phone in self.PEOPLE:
                db.session.add(Customer(first_name=first, last_name=last, email=email, phone=phone))

    def test_an_export_has_all_customers_and_no_formulas(self, run: Run) -> None:
        result = run("export")
        assert (result.exit_code, result.stderr) == (0, "")
        header, *rows = csv.reader(io.StringIO(result.stdout, newline=""))
        assert tuple(header) == EXPORTED
        cells = [cell for row in rows for cell in row[1:5]]
        assert not [cell for cell in cells if re.search(r"(^|[,;\"\t])\s*[=+@-]", cell)]
        assert [row[1:3] for row in rows][1] == ['\'=HYPERLINK("x")', "'@SUM(1)"]
        assert rows[0][1:5] == ["Zoë", "Quinn", "zoe@example.com", "'+49 170 1"]
        assert rows[0][5].endswith("Z")

    def test_an_export_can_be_imported_unchanged(self, run: Run, tmp_path: Path) -> None:
        path = str(tmp_path / "all.csv")
        assert run("export", "--output", path).exit_code == 0
        assert Path(path).read_bytes().startswith(b"\xef\xbb\xbf")
        result = run("import", path)
        assert result.stdout == f"{len(self.PEOPLE)} imported, 0 refused.\n", result.stderr
        assert stored_customers() == [*self.PEOPLE, *self.PEOPLE]

    def test_an_export_may_be_read_slowly(self, app: Flask) -> None:
        assert list(write_customers(io.StringIO())) == [1, 2, 3, 4, 5, 6]
        if db.engine.dialect.name != "postgresql":
            pytest.skip("SQLite has no timeout of idle transactions.")
        assert db.session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "0"


@given(st.text() | st.text("'=+-@,;\" \ta", max_size=12))
def test_an_escaped_cell_has_no_formula_and_can_be_unescaped(cell: str) -> None:
    assert unescape_formula(escape_formula(cell)) == cell
    assert not re.search(r"(^|[,;|\"\t\r\n])\s*[=+\-@]", escape_formula(cell))


@pytest.mark.parametrize("cell", ["\t" * 131_072, "\t " * 65_536, "," * 131_072, ", '" * 43_690])
def test_a_large_cell_of_spaces_is_escaped_in_linear_time(cell: str) -> None:
    """With quadratic backtracking, this would take minutes."""
    assert escape_formula(f"{cell}x") == unescape_formula(f"{cell}x") == f"{cell}x"
    assert unescape_formula(escape_formula(f"{cell}=1")) == f"{cell}=1"
