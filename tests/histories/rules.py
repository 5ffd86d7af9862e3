"""The rules of resources: the states that follow when a call has a result in a state, if any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

CONFLICT, STALE, MISSING, REFUSED, DONE = "conflict", "stale", "missing", "refused", "done"
Call = tuple[Any, ...]


class Booked(NamedTuple):
    ident: int
    start: int
    end: int


Bookings = frozenset[Booked]
"""The confirmed bookings of a car."""


def bookings(state: Bookings, call: Call, result: Any) -> Iterator[Bookings]:
    """`book start end`, `move id start end`, `cancel id`, `list`, `is-free start end`."""
    match call:
        case ("book", start, end):
            yield from _placed(state, Booked(result, start, end), result, is_known=True)
        case ("move", ident, start, end):
            others = frozenset(one for one in state if one.ident != ident)
            moved = Booked(ident, start, end)
            yield from _placed(others, moved, result, is_known=others != state, otherwise=state)
        case ("cancel", ident):
            yield frozenset(one for one in state if one.ident != ident)
        case ("list",) if result == {one.ident for one in state}:
            yield state
        case ("is-free", start, end) if result == _is_free(state, start, end):
            yield state


def _placed(
    others: Bookings, new: Booked, result: Any, *, is_known: bool, otherwise: Bookings | None = None
) -> Iterator[Bookings]:
    is_possible = is_known and _is_free(others, new.start, new.end)
    if is_possible and result != CONFLICT:
        yield others | {new}
    elif not is_possible and result == CONFLICT:
        yield others if otherwise is None else otherwise


def _is_free(state: Bookings, start: int, end: int) -> bool:
    return not any(one.start < end and start < one.end for one in state)


def versions(state: tuple[str, str], call: Call, result: Any) -> Iterator[tuple[str, str]]:
    """A resource with an ETag and a value: `read`, `write if-match value`."""
    match call:
        case ("read",) if result == state:
            yield state
        case ("write", etag, value):
            if result == STALE and etag != state[0]:
                yield state
            elif result != STALE and etag == state[0]:
                yield result, value


def idempotency(state: int | None, call: Call, result: Any) -> Iterator[int | None]:
    """`post` under one key. The result is the id of what it created, and whether it is a replay."""
    ident, is_replay = result
    if is_replay == (state is not None) and state in (None, ident):
        yield ident


Counts = tuple[tuple[int, int], ...]
"""The count of each factory, and the length of its chart."""


def counts(state: Counts, call: Call, result: Any) -> Iterator[Counts]:
    """`add f`, `remove f`, `move f g`, `read f` (count, last point, length), `read-all` (counts).

    The clients know which sprockets there are, each its own ones.
    """
    match call:
        case ("add", factory):
            yield _counted(state, {factory: 1})
        case ("remove", factory):
            yield _counted(state, {factory: -1})
        case ("move", source, target):
            yield _counted(state, {source: -1, target: 1})
        case ("read", factory) if result == (state[factory][0], *state[factory]):
            yield state
        case ("read-all",) if result == tuple(count for count, _ in state):
            yield state


def _counted(state: Counts, changes: dict[int, int]) -> Counts:
    return tuple(
        (count + changes[n], length + 1) if n in changes else (count, length)
        for n, (count, length) in enumerate(state)
    )


def tokens(state: str | None, call: Call, result: Any) -> Iterator[str | None]:
    """The refresh token of a login, None if it has ended: `refresh token`, `use`, `end`."""
    match call:
        case ("refresh", token):
            if result == REFUSED and token != state:
                yield None  # the token of an active login was used twice, which ends it
            elif result != REFUSED and token == state:
                yield result
        case ("use",) if result == (state is not None):
            yield state
        case ("end",):
            yield None


Names = frozenset[tuple[int, str]]
"""The own models of a make: ids and names."""


def names(state: Names, call: Call, result: Any) -> Iterator[Names]:
    """`create name`, `rename id name`, `delete id`, `list`."""
    match call:
        case ("create", name):
            is_taken = any(name == other for _, other in state)
            if is_taken == (result == CONFLICT):
                yield state if is_taken else state | {(result, name)}
        case ("rename", ident, name):
            others = _without(state, ident)
            is_taken = any(name == other for _, other in others)
            expected = MISSING if others == state else CONFLICT if is_taken else DONE
            if result == expected:
                yield others | {(ident, name)} if result == DONE else state
        case ("delete", ident):
            others = _without(state, ident)
            if result == (MISSING if others == state else DONE):
                yield others
        case ("list",) if result == state:
            yield state


def _without(state: Names, ident: int) -> Names:
    return frozenset(one for one in state if one[0] != ident)


Log = tuple[tuple[str, int], ...]
"""The kinds of changes and the models that they are about, oldest first."""


def log(state: Log, call: Call, result: Any) -> Iterator[Log]:
    """`change kind model`, `follow n` (changes after the first n, and whether these are all)."""
    match call:
        case ("change", kind, model):
            yield (*state, (kind, model))
        case ("follow", count):
            changes, is_complete = result
            following = state[count:] if is_complete else state[count : count + len(changes)]
            if following == changes:
                yield state
