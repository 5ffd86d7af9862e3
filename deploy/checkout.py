"""Build backend (PEP 517, PEP 660): installs Automart from its checkout, and builds nothing else.

A wheel could not run: migrations, `wsgi.py`, `worker.py` and `gunicorn.conf.py` are outside the
packages. This backend needs no other package, so that a checkout is installed without network.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
REFUSAL = (
    "Automart is installed from its checkout (pip install --no-deps --editable .) or its image; "
    "it has no wheel and no source distribution."
)
WHEEL = "Wheel-Version: 1.0\nGenerator: automart\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Write a wheel that puts this folder on the import path, and return its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    scripts = "".join(f"{command} = {goal}\n" for command, goal in project["scripts"].items())
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.pth": f"{ROOT}\n",
        f"{info}/METADATA": _metadata(project),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    record = f"{info}/RECORD"
    files[record] = "".join(_record_line(*file) for file in files.items()) + f"{record},,\n"
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, wheel), "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def build_wheel(*_: Any, **__: Any) -> NoReturn:
    """Refuse."""
    raise SystemExit(REFUSAL)


def build_sdist(*_: Any, **__: Any) -> NoReturn:
    """Refuse."""
    raise SystemExit(REFUSAL)


def _metadata(project: dict[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {dependency}" for dependency in project["dependencies"]),
    ]
    return "\n".join(lines) + "\n"


def _record_line(path: str, content: str) -> str:
    data = content.encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"
