"""What commands print."""

from __future__ import annotations

from click.testing import Result


def usage_error(result: Result) -> str:
    """Return what is printed about wrong usage, without the frame and the line breaks."""
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())
