"""`python -m tests.support.openapi_lint`: lint docs/openapi.json with Spectral and Redocly.

Where Node.js 20 or the npm registry is missing, this is said, and nothing is linted. That is an
error if REQUIRE_CLIENTS is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.client_tools import SOURCES, Unavailable, are_required, node_tools
from tests.support.openapi import FILE


def spectral_findings(tools: Path, document: Path) -> list[str]:
    options = ("--ruleset", str(SOURCES / "spectral.yaml"), "--format", "json", "--quiet")
    found = _output_of(tools / "spectral", "lint", str(document), *options)
    return [
        f"Spectral: {one['code']} at {_pointer(one['path'])}: {one['message']}" for one in found
    ]


def redocly_findings(tools: Path, document: Path) -> list[str]:
    options = ("--config", str(SOURCES / "redocly.yaml"), "--format", "json")
    found = _output_of(tools / "redocly", "lint", str(document), *options)["problems"]
    return [
        f"Redocly: {one['ruleId']} at {one['location'][0].get('pointer')}: {one['message']}"
        for one in found
    ]


def _output_of(*command: str | Path) -> dict:
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    # Both linters exit with 1 for findings that are errors.
    done = subprocess.run(
        command, env=os.environ | quiet, capture_output=True, text=True, check=False
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{command} failed: {done.stdout}{done.stderr}") from None


def _pointer(path: list) -> str:
    return "#/" + "/".join(str(part) for part in path)


def main(document: Path = FILE) -> int:
    try:
        tools = node_tools() / "node_modules" / ".bin"
    except Unavailable as reason:
        print(f"docs/openapi.json is not linted: {reason}")
        return int(are_required())
    findings = spectral_findings(tools, document) + redocly_findings(tools, document)
    print(*findings, sep="\n", end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
