"""Files, tests and records that the documents refer to exist."""

from __future__ import annotations

import ast
import re

from tests.support.programs import ROOT

RECORDS = sorted((ROOT / "docs" / "adr").glob("*.md"))
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *RECORDS]
HISTORY = {"CHANGELOG.md"}  # names files of earlier releases
GENERATED = {"deploy/secrets/"}
PACKAGES = ("automart", "jobs", "sandbox", "migrations", "tests", "benchmarks", "deploy", "docs")

LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
FILE = re.compile(rf"`((?:{'|'.join(PACKAGES)})/[\w./-]*)`")
TEST = re.compile(r"`((?:\w+/)?test_\w+\.py)((?:::\w+)*)`")


def test_links_and_named_files_exist() -> None:
    missing = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named = [] if path.name in HISTORY else set(FILE.findall(text)) - GENERATED
        targets = [path.parent / link for link in LINK.findall(text)]
        targets += [ROOT / name for name in named]
        missing += [(path.name, str(target)) for target in targets if not target.exists()]
    assert missing == []


def test_the_tests_that_security_md_names_exist() -> None:
    named = TEST.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [f"{file}{names}" for file, names in named if not exists(file, names)] == []


def exists(file: str, names: str) -> bool:
    """Return whether a test file contains nested definitions of these names (`::Class::test`)."""
    path = ROOT / "tests" / file
    if not path.exists():
        return False
    scope: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    for name in names.split("::")[1:]:
        found = [
            node
            for node in scope
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        ]
        if not found:
            return False
        scope = found[0].body
    return True


def test_decision_records_have_one_form_and_consecutive_numbers() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))
    for path in RECORDS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {int(path.name[:4])}. ")
        headings = [line[3:] for line in lines if line.startswith("## ")]
        assert headings == ["Status", "Context", "Decision", "Consequences"], path.name
