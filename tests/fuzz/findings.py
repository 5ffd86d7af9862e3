"""What is wrong with a response: schemathesis' checks, and two of ours.

A request as the document describes it is not refused for a reason that the document could have
stated, and nobody gets past the access that the matrix states.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemathesis.engine.recorder import Interaction, ScenarioRecorder
from schemathesis.generation.case import Case

from automart.core.text import trim
from tests.web.test_matrix import MATRIX

# Reasons that no JSON Schema can state: what is stored, how fields depend on each other, what
# remains of text when it is normalized, and what a calendar, a checksum or a signature says.
CANNOT_BE_STATED = re.compile(
    "|".join(
        (
            r"This Idempotency-Key was used before, for another request\.",
            r"Not a cursor of this list with these filters\.",
            r"There is no .*|.* has no model .* in the catalogue\.|This is not your password\.",
            r"Must not be after \d{4}\.|Is too far from now\.|Must be in the years .*",
            r"Leap seconds are not supported\.",
            r"Must (be after|not be before) (the start|`?start_datetime`?|`from`)\.",
            r"The check digit \(the ninth character\) is wrong\.",
            r"The outside diameter must be at least the pitch diameter\.",
            r"This is one of the most common passwords, which attackers try first\.",
            r"A service client has no redirect URIs\.|An application (has no scopes|needs .*)\.",
            r"This encoding is not known\. .*|It is .*",
            r"Missing data for required field\.",  # of bookings without a customer
            r"Must not be blank\.|Longer than maximum length \d+\.",
            r"Must be an http or https URL\.|Must be an absolute https URL .*",  # the host
            r"Not a valid email address\.|Required to set a new password\.",
            r"The client is not authorized to use .*|Missing '\w+' (in request|parameter)\.",
            r"The client does not exist on this server\.|A parameter is included more than once\.",
            r"Redirect URI .* is not supported by client\.",
            r"The code or the refresh token is invalid, expired or used\.",
            r"Differs from regional_office_id\.",
            r"If-Match must be .*",  # has a pattern, which schemathesis' coverage does not know
        )
    ),
    re.DOTALL,
)
PARAMETER = re.compile(r"<(?:[a-z]+(?:\([^)]*\))?:)?(\w+)>")
ALLOWED = {
    (PARAMETER.sub(r"{\1}", rule), method): roles
    for rule, methods in MATRIX.items()
    for method, roles in methods.items()
}


@dataclass
class Findings:
    """The requests of one role, by phase and status, and what is wrong with their responses."""

    role: str
    counts: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, phase: str, recorder: ScenarioRecorder) -> None:
        """Add the requests of a scenario."""
        for case_id, interaction in recorder.interactions.items():
            if interaction.response is None:
                continue
            self.counts[phase] += 1
            self.counts[str(interaction.response.status_code)] += 1
            case = recorder.cases[case_id].value
            for problem in (*self._denied_wrongly(case, interaction), *_refused(case, interaction)):
                self._note(case, problem, interaction)
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    case = recorder.cases[case_id].value
                    if is_intended(case, check.name):
                        continue
                    problem = f"{check.name}: {failure.title} {failure.message}"
                    self._note(case, problem, recorder.interactions.get(case_id))

    def _note(self, case: Case, problem: str, interaction: Interaction | None) -> None:
        self.problems.setdefault(f"{case.operation.label}: {problem}", _shown(interaction))

    def _denied_wrongly(self, case: Case, interaction: Interaction) -> list[str]:
        allowed = ALLOWED.get((case.operation.path, interaction.request.method))
        if allowed is None or interaction.response is None:
            return []
        status = interaction.response.status_code
        if self.role not in allowed and (status < 400 or status in (409, 412, 422)):
            return [f"{self.role} is admitted with {status}"]
        return []


def _refused(case: Case, interaction: Interaction) -> list[str]:
    """Return the reasons for which a request that the document allows is refused."""
    response = interaction.response
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if response is None or response.status_code not in (400, 413, 415, 422) or not is_valid:
        return []
    problem = json.loads(response.content)
    errors = problem.get("errors") or [problem]
    return [
        f"{place}: {reason}"
        for error in errors
        for reason in [error.get("detail") or error.get("error_description") or error.get("error")]
        for place in [error.get("pointer") or error.get("parameter")]
        if not CANNOT_BE_STATED.fullmatch(reason)
    ]


def is_intended(case: Case, check: str) -> bool:
    """Return whether what a check found is documented, though no schema can say it.

    The login form is a page for people. The ends of text are trimmed, and query parameters
    without a value count as absent.
    """
    if check == "allow_header_conformance":
        return case.operation.path == "/login"
    is_blank = any(not trim(str(value)) for value in (case.query or {}).values())
    return check == "negative_data_rejection" and (is_blank or _is_trimmed(case.body))


def _is_trimmed(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_trimmed, value.values()))
    if isinstance(value, list):
        return any(map(_is_trimmed, value))
    return isinstance(value, str) and trim(value) != value


def _shown(interaction: Interaction | None) -> str:
    """Return a request and its response in one line."""
    if interaction is None:
        return "without a request"
    request, response = interaction.request, interaction.response
    body: Any = base64.b64decode(request.encoded_body or "")[:400]
    headers = {
        name: values[0]
        for name, values in request.headers.items()
        if name in ("Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer")
    }
    answer = (
        "" if response is None else f"{response.status_code} {(response.content or b'')[:400]!r}"
    )
    return f"{request.method} {request.uri} {headers} {body!r} -> {answer}"
