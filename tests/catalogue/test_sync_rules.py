"""What an answer would change, and when it is held back: rules without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automart.catalogue.sync import EMPTY, Difference, reason_to_hold

names_by_id = st.dictionaries(st.integers(1, 30), st.sampled_from(["Civic", "CIVIC", "Pilot"]))


@given(stored=names_by_id, fetched=names_by_id)
def test_writing_the_difference_makes_the_stored_equal_the_fetched(
    stored: Any, fetched: Any
) -> None:
    difference = Difference.between(stored, fetched)

    assert not difference.created.keys() & stored.keys()
    assert all(stored[i] != name for i, name in difference.renamed.items())
    kept = {i: name for i, name in stored.items() if i not in difference.deleted}
    assert {**kept, **difference.created, **difference.renamed} == fetched
    assert difference.is_empty == (stored == fetched)


def test_a_name_that_changes_only_its_case_is_a_renaming() -> None:
    assert Difference.between({1: "Civic"}, {1: "CIVIC"}).renamed == {1: "CIVIC"}


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
