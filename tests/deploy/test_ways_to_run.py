"""What deploys knows what there is to run, and every setting of it."""

from __future__ import annotations

from dataclasses import fields

import yaml

from automart.config import Settings
from tests.support.programs import ROOT

SETTINGS = {field.name.upper() for field in fields(Settings)} - {"INSTANCE"}


def test_every_setting_is_explained() -> None:
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    assert [name for name in sorted(SETTINGS) if f"`{name}`" not in table] == []


def test_every_setting_can_be_made_with_compose() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in ("migration", "web", "worker"):
        given = {setting.removesuffix("_FILE") for setting in services[name]["environment"]}
        assert given >= SETTINGS
