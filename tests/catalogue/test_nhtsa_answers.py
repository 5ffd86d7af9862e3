"""Answers of vPIC: any bytes are the checked names of a make, or an error that says why not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from automart.catalogue import nhtsa
from automart.catalogue.models import LARGEST_NHTSA_ID, LONGEST_NAME
from automart.catalogue.nhtsa import NhtsaError
from automart.core.db_types import LARGEST_ID
from automart.core.text import clean
from automart.vins.decoding import _COLUMNS, LONGEST_VALUE, MOST_WARNINGS, Decoding, read_row

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
HONDA = 474
IDS = st.just(HONDA) | st.integers(-1, 3) | VALUES
ROWS = st.fixed_dictionaries({"Make_ID": IDS, "Model_ID": IDS, "Model_Name": st.text() | VALUES})
ANSWERS = VALUES | st.fixed_dictionaries({"Results": st.lists(ROWS | VALUES, max_size=3) | VALUES})
CODES = st.lists(st.sampled_from(["0", "1", "7", "14", "400", "999", "x", " "]), max_size=4)


@given(st.binary() | ANSWERS.map(lambda answer: json.dumps(answer).encode()))
@example(b"9" * 5000)
@example(b"[" * 100_000)
@example(b'{"Results": [{"Make_ID": 474, "Model_ID": 1, "Model_Name": "Civic"}]}')
@example(b'{"Results": [{"Make_ID": 474, "Model_ID": true, "Model_Name": "Civic"}]}')
def test_models_are_checked_or_the_answer_is_refused(body: bytes) -> None:
    try:
        names = nhtsa._checked_models(nhtsa._parsed(body), HONDA)
    except NhtsaError:
        return
    for ident, name in names.items():
        assert type(ident) is int
        assert 1 <= ident <= LARGEST_NHTSA_ID
        assert 1 <= len(name) <= LONGEST_NAME
        assert clean(name) == name


@given(
    st.from_regex(r"[A-HJ-NPR-Z0-9]{17}", fullmatch=True),
    st.fixed_dictionaries(
        {},
        optional={column: st.text() | VALUES for column in _COLUMNS.values()}
        | {"MakeID": IDS | st.text("0123456789"), "ModelID": IDS, "SuggestedVIN": st.text()}
        | {"ErrorCode": CODES.map(",".join) | VALUES, "ErrorText": st.text() | VALUES},
    ),
)
def test_any_row_about_a_vin_is_usable_or_unknown(vin: str, row: dict[str, Any]) -> None:
    decoding = read_row(vin, row)
    texts = (decoding.make, decoding.model, decoding.body_class, decoding.fuel_type)
    assert all(text is None or 1 <= len(text) <= LONGEST_VALUE for text in texts)
    assert decoding.year is None or 1000 <= decoding.year <= 2999
    for ident in (decoding.make_id, decoding.model_id):
        assert ident is None or 1 <= ident <= LARGEST_ID
    assert len(decoding.warnings) == len(set(decoding.warnings)) <= MOST_WARNINGS
    assert Decoding.from_json(json.loads(json.dumps(decoding.to_json()))) == decoding
