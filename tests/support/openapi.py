"""`python -m tests.support.openapi`: write docs/openapi.json, the document that is served.

Breaking changes must be announced in the [Unreleased] section of CHANGELOG.md, as an item that
begins with "**Breaking:**". Without that, nothing is written. With `--check`, nothing is written
either, and the exit status is 1 if the file is not what is served.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.compatibility import breaking_changes
from tests.support.setup import application, make_settings

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docs" / "openapi.json"
CHANGELOG = ROOT / "CHANGELOG.md"
ANNOUNCEMENT = "- **Breaking:**"


def served_document() -> dict[str, Any]:
    """Return the document that this version serves."""
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings("sqlite://", instance=Path(folder))
        with application(settings) as app:
            response = app.test_client().get("/openapi.json")
    assert response.status_code == 200
    return dict(response.get_json())


def is_announced() -> bool:
    """Return whether the changelog announces a breaking change for the next release."""
    changelog = CHANGELOG.read_text(encoding="utf-8")
    unreleased = changelog.partition("## [Unreleased]")[2].partition("\n## ")[0]
    return ANNOUNCEMENT in unreleased


def main() -> int:
    document = served_document()
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    stored = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    if text == stored:
        return 0
    breaking = breaking_changes(json.loads(stored), document) if stored else []
    print(*breaking, sep="\n", end="\n" if breaking else "")
    if breaking and not is_announced():
        print(f'These break clients. Announce them in CHANGELOG.md: "{ANNOUNCEMENT} …"')
        return 1
    if "--check" in sys.argv:
        print("docs/openapi.json is not what is served. Run: make openapi")
        return 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
