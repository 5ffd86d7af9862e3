"""Every line of a CSV file is imported, refused or blank, whatever bytes the file has."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import ValidationError

from automart.core.csv_columns import Columns, NotReadable, Reading
from automart.core.csv_import import Importer, Record, Values
from automart.core.csv_text import RecordReader, is_encoding, text_of

COLUMNS = Columns(required=("a", "b"), optional=("c",))
BAD_QUOTES = "It has a quotation mark that is not closed, or not at the end of its cell."


def ignore(_rows: Sequence[Values], _created_by: int | None) -> None:
    """Add nothing."""


IMPORTER = Importer(COLUMNS, lambda: dict, ignore)


def read(content: bytes, encoding: str = "utf-8", **reading: bool) -> list[Record]:
    with text_of(io.BufferedReader(io.BytesIO(content)), encoding) as text:
        _, records = IMPORTER.read(text, Reading(encoding, **reading))
        return list(records)


def cells(content: str) -> list[tuple[str, ...]]:
    return [tuple(record.values.values()) for record in read(content.encode())]


def lines_of(content: bytes) -> list[bytes]:
    """Return the lines as a spreadsheet counts them."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


# Mostly the bytes that matter, so that quotation marks and ends of lines meet.
STRUCTURE = st.lists(
    st.sampled_from([b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"x", b" ", b"\xff", b"\0", b"'="])
).map(b"".join)


@given(st.binary() | STRUCTURE)
@example(b'"never closed\nx,y\n"",""\n')
@example(b'x,"y\nx,""y"\n"x"y",z\nz,z')
def test_every_line_is_imported_refused_or_blank(content: bytes) -> None:
    lines = lines_of(content)
    found: dict[int, Record] = {}
    previous = 1
    for record in read(b"a,b,c\n" + content):
        assert previous < record.first_line <= record.last_line
        previous = record.last_line
        for number in range(record.first_line, record.last_line + 1):
            found[number] = record
        if not record.reasons:
            assert {"a", "b"} <= record.values.keys()
        elif record.reasons == [BAD_QUOTES]:
            assert record.first_line == record.last_line
            assert b'"' in lines[record.first_line - 2]
    for number, line in enumerate(lines, 2):
        assert number in found or not line.decode("utf-8").replace(",", "").replace('"', "").strip()


@given(st.binary() | STRUCTURE, st.sampled_from(["utf-16", "utf-32", "utf-16-be", "shift_jis"]))
def test_every_line_of_another_encoding_is_imported_refused_or_blank(
    content: bytes, encoding: str
) -> None:
    content = "a,b,c\n".encode(encoding) + content
    with text_of(io.BufferedReader(io.BytesIO(content)), encoding) as text:
        lines = list(text)
    records = read(content, encoding)
    found = [n for r in records for n in range(r.first_line, r.last_line + 1)]
    assert found == sorted(set(found))
    for number, line in enumerate(lines, 1):
        has_content = line.replace(",", "").replace('"', "").strip()
        assert number in found or number == 1 or not has_content


@given(
    st.lists(st.tuples(*[st.text("xé\n\r\",;' ", min_size=1).filter(str.strip)] * 2), min_size=1),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_spreadsheet_writes_is_read(
    rows: list[tuple[str, str]], delimiter: str, encoding: str
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([("A", "B"), *rows])
    records = read(file.getvalue().encode(encoding))
    assert [(r.values["a"], r.values["b"], r.reasons) for r in records] == [
        (*row, ()) for row in rows
    ]


@given(st.integers(1, 29), st.sampled_from(['"x,y', 'x,"y', '"x"y,z', 'x,"y" z', '"']))
def test_a_damaged_line_is_refused_alone(place: int, damaged: str) -> None:
    lines = ["a,b", *(f"x,{number}" for number in range(30))]
    lines[place] = damaged
    records = read("\n".join(lines).encode())
    assert [r.first_line for r in records if r.reasons] == [place + 1]
    assert len(records) == 30


def test_a_record_whose_end_is_found_is_refused_alone_however_long_it_is() -> None:
    cell = "x\n" * 200_000
    _, long, after = read(f'a,b\nx,y\nx,y,z,"{cell}"\nx,y\n'.encode())
    assert (long.first_line, long.last_line) == (3, 200_003)
    assert long.reasons == ["It has 4 cells, but there are 2 headings."]
    assert (after.values["b"], after.reasons) == ("y", ())


def test_many_quotation_marks_that_are_not_closed_take_linear_time() -> None:
    """Searching the end of each up to the last line would take minutes."""
    records = read(b"a,b\n" + b'x","\n' * 60_001)
    assert len(records) == 60_001
    assert sum(bool(record.reasons) for record in records) == 60_001


def test_invisible_cells_are_blank_and_invisible_characters_of_headings_do_not_matter() -> None:
    text = "\u200ba,b\u00a0,c\u2060\nx,y,\u200b\u3164\n"
    assert [record.values for record in read(text.encode())] == [{"a": "x", "b": "y"}]


def test_traces_of_spreadsheets_do_not_matter() -> None:
    assert cells('\n,,\na,b,,c,\n1,2,,3,\n,,,,\n1,2\n" "\n1,2,,,,,\n') == [
        ("1", "2", "3"),
        ("1", "2"),
        ("1", "2"),
    ]
    assert cells("sep=|\na|b\n1|2\n") == [("1", "2")]
    assert cells('"sep=;"\r\n\r\n"a";"b"\r\n1;2') == [("1", "2")]


def test_a_cell_without_heading_is_refused_unless_other_columns_are_ignored() -> None:
    content = b"a,b,\n1,2,3\n"
    (record,) = read(content)
    assert record.reasons == ["It has a cell in a column without a heading."]
    (record,) = read(content, ignore_others=True)
    assert record.values == {"a": "1", "b": "2"}


def test_headings_decide_about_the_delimiter() -> None:
    records = read(b'"x;y,z";a;b\n"1,1;1";2;3\n', ignore_others=True)
    assert [record.values for record in records] == [{"a": "2", "b": "3"}]


@pytest.mark.parametrize(
    ("content", "encoding", "reason"),
    [
        (b"a,b\n\xe4,x\n", "utf-8", "use the encoding windows-1252."),
        (b"a,b\n\x81,x\n", "windows-1252", "This is not windows-1252."),
        ("a,b\nä,x\n".encode("utf-16") + b"x", "utf-8", ""),
    ],
)
def test_text_that_cannot_be_decoded_is_refused(content: bytes, encoding: str, reason: str) -> None:
    *_, last = read(content, encoding)
    if reason:
        assert last.reasons[0].endswith(reason)
    assert any(record.reasons for record in read(content, encoding))


def test_encodings() -> None:
    for name in ("utf-8", "Windows-1252", "latin1", "utf-16-le", "shift_jis", "mac_roman"):
        assert is_encoding(name), name
    for name in ("", "nonsense", "rot13", "base64", "unicode_escape", "idna", "x\0", "é" * 99):
        assert not is_encoding(name), name


def test_nothing_but_blank_lines_is_an_empty_file() -> None:
    for content in (b"", b"\n\n", b"sep=,\n", b'"",""\n'):
        with pytest.raises(NotReadable, match=r"The file is empty\."):
            read(content)


def test_records_are_read_again_after_a_look_at_them() -> None:
    reader = RecordReader(io.StringIO('"x\ny",z\n1,2\n', newline=""))
    assert reader.first_record(",").cells == ["x\ny", "z"]
    assert [raw.first_line for raw in reader.records(",")] == [1, 3]


ENCODING = (
    "This is not UTF-8. If the file is in Windows-1252, as spreadsheets often write, use"
    " the encoding windows-1252."
)
NUL = (
    "It has NUL characters. If it is UTF-16 without a byte order mark, use the encoding"
    " utf-16-le or utf-16-be."
)
UNKNOWN = "Its headings name unknown columns:"
SHOWN = ", ".join(f"'h{n}'" for n in range(100))
MANY = ",".join(f"h{n}" for n in range(102))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty."),
        (b"x" * 100_001, "Its headings are too long. This is not CSV."),
        (b'"a,b\n', "The quotation marks of its headings are not closed properly."),
        (b"PK\x03\x04,b\n", "This is a workbook, not CSV. Save it as CSV first."),
        (b"a,\xe4\n", f"Its headings cannot be read. {ENCODING}"),
        (
            "a,b\n".encode("utf-16-le"),
            NUL,
        ),
        (
            f"a,b,x,{'y' * 40},{'z' * 41}\n".encode(),
            f"{UNKNOWN} 'x', '{'y' * 40}', '{'z' * 40}…'. They may name a, b, c.",
        ),
        (
            f"a,b,{MANY}\n".encode(),
            f"{UNKNOWN} {SHOWN} and 2 more. They may name a, b, c.",
        ),
        (b"c\n", "Its headings must name the columns: a, b."),
        (b"a,b,A\n", "Its headings name the column a twice: 'a', 'A'."),
    ],
)
def test_a_file_whose_headings_cannot_be_used_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(NotReadable) as raised:
        read(content)
    assert str(raised.value) == reason


def test_a_heading_that_is_to_be_mapped_must_be_there() -> None:
    reading = Reading(mapped={"First": "a"})
    with (
        text_of(io.BufferedReader(io.BytesIO(b"x,b\n"))) as text,
        pytest.raises(NotReadable) as raised,
    ):
        IMPORTER.read(text, reading)
    assert str(raised.value) == "It has no columns 'First'. Its headings are 'x', 'b'."


def test_what_a_heading_is_mapped_to_replaces_the_column_of_that_name() -> None:
    reading = Reading(mapped={"First name": "a"}, ignore_others=True)
    with text_of(io.BufferedReader(io.BytesIO(b"A,first_NAME,b\n1,2,3\n"))) as text:
        header, records = IMPORTER.read(text, reading)
        (record,) = records
    assert (header.columns, header.names) == ([None, "a", "b"], ["A", "first_NAME", "b"])
    assert (header.delimiter, header.ignored) == (",", ["A"])
    assert record.values == {"a": "2", "b": "3"}


def test_reasons_name_their_field_and_are_not_too_long() -> None:
    def load(_cells: Mapping[str, str]) -> Values:
        raise ValidationError({"a": ["Too long.", "x" * 300], "_schema": ["Odd.", "Wrong."]})

    importer = Importer(COLUMNS, lambda: load, ignore)
    with text_of(io.BufferedReader(io.BytesIO(b"a,b\n1,2\n"))) as text:
        _, records = importer.read(text, Reading())
        (record,) = records
    reasons = [f"a: Too long. {'x' * 187}…", "Odd. Wrong."]
    assert record.as_refusal() == {"lines": [2, 2], "reasons": reasons}
    assert record.values == {}


def test_numbers_may_have_a_decimal_comma_where_it_is_not_the_delimiter() -> None:
    importer = Importer(Columns(("a", "b"), decimals=("b",)), lambda: dict, ignore)

    def found(content: bytes) -> list[Values]:
        with text_of(io.BufferedReader(io.BytesIO(content))) as text:
            return [record.values for record in importer.read(text, Reading())[1]]

    assert found(b"a;b\n1,5; 2,50 \n") == [{"a": "1,5", "b": " 2.50 "}]
    assert found(b"a;b\n1,5;1,2,3\n") == [{"a": "1,5", "b": "1,2,3"}]
    assert found(b'a,b\n"1,5","2,5"\n') == [{"a": "1,5", "b": "2,5"}]
