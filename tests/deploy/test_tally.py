"""The evaluation of the responses of two hosts: every kind of fault is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hosts.callers import Answer
from tests.hosts.tally import Disturbance, faults, lost_customers, recovery

DOWN = Disturbance("PostgreSQL is killed", 100.0, 110.0)


def answer(status: int | None, *, at: float = 105.0, took: float = 0.1, **values: Any) -> Answer:
    values = {"kind": "create", "retry_after": status == 503} | values
    return Answer(started=at, ended=at + took, status=status, **values)


def test_expected_responses_are_no_faults() -> None:
    answers = [answer(200), answer(201), answer(202), answer(409), answer(401), answer(503)]
    assert faults(answers, [DOWN]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        answer(500),
        answer(None),
        answer(404),
        answer(503, retry_after=False),
        answer(503, at=50.0),
        answer(503, at=171.0),
        answer(200, took=31.0),
    ],
    ids=str,
)
def test_unexpected_responses_are_faults(wrong: Answer) -> None:
    assert len(faults([wrong], [DOWN])) == 1


def test_recovery_lasts_until_the_last_bad_response() -> None:
    answers = [answer(503), answer(503, at=119.9), answer(200, at=130.0), answer(503, at=140.0)]
    assert recovery(DOWN, answers, until=139.0) == pytest.approx(10.0)
    assert recovery(DOWN, answers[:1], until=139.0) == 0.0


def test_lost_acknowledged_writes_are_found() -> None:
    answers = [
        answer(201, ident=1, name="a"),
        answer(201, ident=2, name="b"),
        answer(201, ident=3, name="c"),
        answer(200, kind="change", at=106.0, ident=3, name="d"),
        answer(503, kind="change", at=107.0, ident=3, name="e"),
        answer(503, name="nobody knows"),
    ]
    assert lost_customers(answers, {1: "a", 2: "b", 3: "d"}) == []
    assert lost_customers(answers, {1: "a", 2: "b", 3: "e"}) == []
    assert lost_customers(answers, {1: "a", 3: "c"}) == [
        "customer 2 was acknowledged and is lost",
        "customer 3 is not as it was acknowledged last",
    ]
