"""The interpretation of pip-audit's output."""

from __future__ import annotations

import pytest

from tests.support.audit import Unreachable, holes_in, packages_in

SOUND = {"name": "flask", "version": "3.1.9", "vulns": []}
UNKNOWN = {"name": "rq", "skip_reason": "Dependency not found"}
HOLED = {
    "name": "pillow",
    "version": "9.0",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["9.1", "10.0"]},
        {"id": "PYSEC-2", "fix_versions": []},
    ],
}


def test_vulnerabilities_are_reported_with_the_fixed_version() -> None:
    assert holes_in([SOUND, UNKNOWN, HOLED]) == [
        "pillow 9.0: PYSEC-1, mended in 9.1, 10.0",
        "pillow 9.0: PYSEC-2, mended in no version yet",
    ]


def test_packages_without_known_vulnerabilities_pass() -> None:
    assert holes_in([SOUND, UNKNOWN]) == []


def test_an_audit_that_knows_no_package_does_not_pass() -> None:
    with pytest.raises(Unreachable):
        holes_in([UNKNOWN])


@pytest.mark.parametrize(
    "errors",
    [
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='pypi.org'): Read timed out.",
        "requests.exceptions.HTTPError: 503 Server Error\n\npip_audit.ServiceError",
    ],
)
def test_an_audit_without_network_is_unreachable(errors: str) -> None:
    with pytest.raises(Unreachable):
        packages_in("", errors)


@pytest.mark.parametrize("errors", ["", "No module named pip_audit", "invalid requirements input"])
def test_an_audit_that_fails_does_not_pass(errors: str) -> None:
    with pytest.raises(RuntimeError):
        packages_in("", errors)
