"""What an answer would change, and when it is held back: rules without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automart.catalogue.models import ModelChangeKind
from automart.catalogue.plan import EMPTY, Place, changes_between, reason_to_hold

names_by_id = st.dictionaries(st.integers(1, 30), st.sampled_from(["Civic", "CIVIC", "Pilot"]))


@given(stored=names_by_id, fetched=names_by_id)
def test_the_changes_make_the_stored_equal_the_fetched(stored: Any, fetched: Any) -> None:
    changes = changes_between(stored, fetched, {}, {})

    replayed = dict(stored)
    for change in changes:
        if change.change is ModelChangeKind.DELETED:
            assert replayed.pop(change.model_id) == change.name
        else:
            assert replayed.get(change.model_id) == change.previous_name
            assert replayed.get(change.model_id) != change.name
            replayed[change.model_id] = change.name
    assert replayed == fetched
    assert [change.model_id for change in changes] == sorted({c.model_id for c in changes})


def test_each_change_says_what_was_before() -> None:
    stored = {1: "Civic", 2: "Pilot", 3: "Jaz"}
    fetched = {1: "CIVIC", 3: "Jazz", 4: "BRIO", 5: "Brio", 6: "One", 7: "Two", 8: "City"}
    elsewhere = {6: Place(9, "One"), 7: Place(9, "TWO")}
    own = {"brio": 101, "jazz": 102, "fit": 103}
    changes = changes_between(stored, fetched, elsewhere, own)
    assert [tuple(change) for change in changes] == [
        ("renamed", 1, "CIVIC", "Civic", None, None),
        ("deleted", 2, "Pilot", None, None, None),
        ("adopted", 3, "Jazz", "Jaz", None, 102),
        ("adopted", 4, "BRIO", None, None, 101),
        ("created", 5, "Brio", None, None, None),
        ("moved", 6, "One", None, 9, None),
        ("moved", 7, "Two", "TWO", 9, None),
        ("created", 8, "City", None, None, None),
    ]


@pytest.mark.parametrize(
    ("stored", "kept", "is_held"),
    [
        (3, 0, True),  # an empty answer, however few models there are
        (4, 1, False),  # three are no mass
        (12, 8, False),  # four of twelve are a third, and not more
        (11, 7, True),  # four of eleven are more than a third
        (100, 67, False),
        (100, 66, True),
        (0, 0, False),
    ],
)
def test_more_than_a_third_and_more_than_three_deletions_are_held(
    stored: Any, kept: Any, is_held: Any
) -> None:
    models = {i: f"Model {i}" for i in range(1, stored + 1)}

    reason = reason_to_hold(models, {i: models[i] for i in range(1, kept + 1)})

    assert bool(reason) is is_held


def test_an_empty_answer_is_held_with_its_reason() -> None:
    assert reason_to_hold({1: "Civic"}, {}) == EMPTY
