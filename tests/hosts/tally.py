"""Evaluates the responses that the callers received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.hosts.callers import Answer

LONGEST_REQUEST = 30.0
RECOVERED_WITHIN = 60.0
# Another sync of the make runs: the answer is right.
RIGHT = (200, 201, 202, 409)
UNAVAILABLE = 503
UNAUTHORIZED = 401


@dataclass
class Disturbance:
    """An outage of a part."""

    what: str
    began: float
    ended: float


def is_good(answer: Answer) -> bool:
    return answer.status in RIGHT or answer.status == UNAUTHORIZED


def is_excused(answer: Answer, disturbances: Sequence[Disturbance]) -> bool:
    """Return whether the response is one that an outage excuses, during an outage."""
    return (
        answer.status == UNAVAILABLE
        and answer.retry_after
        and any(
            each.began <= answer.ended and answer.started <= each.ended + RECOVERED_WITHIN
            for each in disturbances
        )
    )


def recovery(disturbance: Disturbance, answers: Sequence[Answer], until: float) -> float:
    """Return the seconds from the end of the disturbance to the end of the last affected response.

    Requests that begin after `until` belong to the next disturbance.
    """
    bad = [
        answer.ended
        for answer in answers
        if not is_good(answer) and disturbance.began <= answer.ended < until
    ]
    return max(0.0, max(bad, default=0.0) - disturbance.ended)


def faults(answers: Sequence[Answer], disturbances: Sequence[Disturbance]) -> list[str]:
    """Return a line for each response that is wrong."""
    found = []
    for answer in answers:
        took = answer.ended - answer.started
        if took > LONGEST_REQUEST:
            found.append(f"{answer.kind} took {took:.1f} s (status {answer.status})")
        if not is_good(answer) and not is_excused(answer, disturbances):
            found.append(
                f"{answer.kind} was answered {answer.status} at {answer.started:.1f} "
                f"{answer.error or ''}"
            )
    return found


def table(host: str, answers: Sequence[Answer]) -> str:
    """Return a line with the numbers by status and the longest duration."""
    counts = Counter(str(answer.status) for answer in answers)
    longest = max((answer.ended - answer.started for answer in answers), default=0.0)
    shown = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
    return f"{host}: {len(answers)} requests; {shown}; the longest took {longest:.1f} s"


def lost_customers(answers: Sequence[Answer], stored: Mapping[int, str]) -> list[str]:
    """Return a fault for each acknowledged customer that is missing in or differs from `stored`."""
    names: dict[int, str] = {}
    attempts: set[tuple[int, str]] = set()
    for answer in sorted(answers, key=lambda each: each.ended):
        if answer.kind not in ("create", "change") or not isinstance(answer.ident, int):
            continue
        if answer.status in RIGHT:
            names[answer.ident] = answer.name or ""
        else:  # the caller did not learn whether it was done
            attempts.add((answer.ident, answer.name or ""))
    found = []
    for ident, name in names.items():
        if ident not in stored:
            found.append(f"customer {ident} was acknowledged and is lost")
        elif stored[ident] != name and (ident, stored[ident]) not in attempts:
            found.append(f"customer {ident} is not as it was acknowledged last")
    return found
