"""`python -m tests.support.document`: print the OpenAPI document, to compare it between Pythons."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.setup import application, make_settings


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings("sqlite://", instance=Path(folder))
        with application(settings) as app:
            response = app.test_client().get("/openapi.json")
    assert response.status_code == 200
    sys.stdout.buffer.write(response.data)


if __name__ == "__main__":
    main()
