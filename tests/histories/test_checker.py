"""The checker accepts what some serial order explains, and refuses everything else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.histories import rules
from tests.histories.checker import NotLinearizable, Operation, check
from tests.histories.rules import CONFLICT, DONE, MISSING, REFUSED, STALE

History = list[tuple[float, float, tuple[Any, ...], Any]]
"""Begin, end, call and result."""


def explained(history: History, initial: Any, rule: Any) -> bool:
    operations = [Operation(call, result, begin, end) for begin, end, call, result in history]
    try:
        check(operations, initial, rule)
    except NotLinearizable:
        return False
    return True


GOOD: list[tuple[str, Any, Any, History]] = [
    ("nothing", frozenset(), rules.bookings, []),
    (
        "of two concurrent bookings, the one that began last wins",
        frozenset(),
        rules.bookings,
        [(0, 9, ("book", 1, 3), CONFLICT), (1, 2, ("book", 2, 4), 7)],
    ),
    (
        "a freed range is booked before its cancellation has responded",
        frozenset(),
        rules.bookings,
        [
            (0, 1, ("book", 1, 3), 7),
            (2, 9, ("cancel", 7), DONE),
            (3, 4, ("book", 1, 3), 8),
            (5, 6, ("list",), {8}),
        ],
    ),
    (
        "a reader sees a write before its response, and a later one too",
        ("a", "1"),
        rules.versions,
        [(0, 9, ("write", "a", "2"), "b"), (1, 2, ("read",), ("b", "2"))],
    ),
    (
        "a replay waits for the first response",
        None,
        rules.idempotency,
        [(0, 5, ("post",), (7, True)), (1, 4, ("post",), (7, False))],
    ),
    (
        "a login ends by a second use",
        "a",
        rules.tokens,
        [
            (0, 3, ("refresh", "a"), "b"),
            (0, 3, ("refresh", "a"), REFUSED),
            (4, 5, ("use",), False),
            (6, 7, ("refresh", "b"), REFUSED),
        ],
    ),
    (
        "a count between two concurrent changes",
        ((5, 1), (0, 1)),
        rules.counts,
        [
            (0, 9, ("add", 0), DONE),
            (0, 9, ("move", 0, 1), DONE),
            (1, 2, ("read", 0), (6, 6, 2)),
            (3, 4, ("read-all",), (5, 1)),
        ],
    ),
    (
        "a name is free after a deletion",
        frozenset(),
        rules.names,
        [
            (0, 1, ("create", "A"), 1),
            (2, 5, ("delete", 1), DONE),
            (3, 4, ("create", "A"), 2),
            (6, 7, ("rename", 1, "B"), MISSING),
        ],
    ),
    (
        "a follower sees concurrent changes in parts",
        (),
        rules.log,
        [
            (0, 9, ("change", "created", 1), DONE),
            (0, 9, ("change", "created", 2), DONE),
            (1, 2, ("follow", 0), ((("created", 2),), True)),
            (3, 4, ("follow", 1), ((("created", 1),), True)),
        ],
    ),
]

BAD: list[tuple[str, Any, Any, History]] = [
    (
        "a double booking",
        frozenset(),
        rules.bookings,
        [(0, 9, ("book", 1, 3), 7), (1, 2, ("book", 2, 4), 8)],
    ),
    (
        "a conflict without a reason",
        frozenset(),
        rules.bookings,
        [(0, 1, ("book", 1, 3), 7), (2, 3, ("book", 3, 4), CONFLICT)],
    ),
    (
        "a booking that is lost",
        frozenset(),
        rules.bookings,
        [(0, 1, ("book", 1, 3), 7), (2, 3, ("list",), set())],
    ),
    (
        "a cancelled booking that comes back",
        frozenset({rules.Booked(7, 1, 3)}),
        rules.bookings,
        [(0, 1, ("cancel", 7), DONE), (2, 3, ("is-free", 1, 3), False)],
    ),
    (
        "a move onto another booking",
        frozenset({rules.Booked(7, 1, 3), rules.Booked(8, 5, 6)}),
        rules.bookings,
        [(0, 1, ("move", 8, 2, 4), DONE)],
    ),
    (
        "a lost update",
        ("a", "1"),
        rules.versions,
        [(0, 9, ("write", "a", "2"), "b"), (0, 9, ("write", "a", "3"), "c")],
    ),
    (
        "a stale read",
        ("a", "1"),
        rules.versions,
        [(0, 1, ("write", "a", "2"), "b"), (2, 3, ("read",), ("a", "1"))],
    ),
    (
        "a current version that is refused",
        ("a", "1"),
        rules.versions,
        [(0, 1, ("write", "a", "2"), STALE)],
    ),
    (
        "readers that see two writes in different orders",
        ("a", "1"),
        rules.versions,
        [
            (0, 9, ("write", "a", "2"), "b"),
            (1, 2, ("read",), ("b", "2")),
            (3, 4, ("read",), ("a", "1")),
        ],
    ),
    (
        "one key, two resources",
        None,
        rules.idempotency,
        [(0, 9, ("post",), (7, False)), (0, 9, ("post",), (8, False))],
    ),
    (
        "a replay before there was anything",
        None,
        rules.idempotency,
        [(0, 1, ("post",), (7, True)), (2, 3, ("post",), (7, False))],
    ),
    (
        "a token that is used twice",
        "a",
        rules.tokens,
        [(0, 9, ("refresh", "a"), "b"), (0, 9, ("refresh", "a"), "c")],
    ),
    (
        "a login that outlives the second use of a token",
        "a",
        rules.tokens,
        [
            (0, 1, ("refresh", "a"), "b"),
            (2, 3, ("refresh", "a"), REFUSED),
            (4, 5, ("refresh", "b"), "c"),
        ],
    ),
    (
        "a count that disagrees with its chart",
        ((5, 1),),
        rules.counts,
        [(0, 1, ("add", 0), DONE), (2, 3, ("read", 0), (6, 5, 2))],
    ),
    (
        "half of a move",
        ((5, 1), (0, 1)),
        rules.counts,
        [(0, 9, ("move", 0, 1), DONE), (1, 2, ("read-all",), (4, 0))],
    ),
    (
        "two models of one name",
        frozenset(),
        rules.names,
        [(0, 9, ("create", "A"), 1), (0, 9, ("create", "A"), 2)],
    ),
    (
        "a deleted model in a list",
        frozenset({(1, "A")}),
        rules.names,
        [(0, 1, ("delete", 1), DONE), (2, 3, ("list",), frozenset({(1, "A")}))],
    ),
    (
        "a change that is inserted before what was read",
        (),
        rules.log,
        [
            (0, 9, ("change", "created", 1), DONE),
            (0, 9, ("change", "created", 2), DONE),
            (1, 2, ("follow", 0), ((("created", 2),), True)),
            (3, 4, ("follow", 0), ((("created", 1), ("created", 2)), True)),
        ],
    ),
    (
        "a change that a follower misses",
        (),
        rules.log,
        [
            (0, 1, ("change", "created", 1), DONE),
            (2, 3, ("change", "created", 2), DONE),
            (4, 5, ("follow", 0), ((("created", 2),), True)),
        ],
    ),
]


def test_what_a_serial_order_explains_is_accepted(subtests: pytest.Subtests) -> None:
    for name, initial, rule, history in GOOD:
        with subtests.test(name):
            assert explained(history, initial, rule)


def test_what_no_serial_order_explains_is_refused(subtests: pytest.Subtests) -> None:
    for name, initial, rule, history in BAD:
        with subtests.test(name):
            assert not explained(history, initial, rule)


def test_one_wrong_result_in_a_long_history_is_found_and_shown() -> None:
    history = [
        Operation(("write", str(n), f"value {n + 1}"), str(n + 1), n, n + 8.5) for n in range(500)
    ]
    check(history, ("0", "value 0"), rules.versions)
    wrong = Operation(("read",), ("250", "value 250"), 270, 271)
    with pytest.raises(NotLinearizable, match=r"\('read',\) -> \('250', 'value 250'\)"):
        check([*history, wrong], ("0", "value 0"), rules.versions)
