"""docs/settings.md lists every setting; what files of the project set, is one.

IMPASTO_WRITE_SETTINGS=1 pytest tests/service/test_settings.py
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from impasto.service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "settings.md"
NOT_OF_THE_SERVICE = {"IMPASTO_WEIGHTS_DIR", "IMPASTO_DB_PASSWORD"}
"""One belongs to the whole program, one to compose.yaml."""
HEAD = """# Settings of the service

Each is a variable, `IMPASTO_` and its name, or a line in `impasto.toml` in the working directory, such as
`max_upload = 20971520`; flags of `impasto serve` and `impasto worker` win over variables, and those over the file.
Lists are JSON: `IMPASTO_QUEUES='["cpu", "gpu"]'`. Times are seconds.

| variable | default | meaning |
|---|---|---|
"""


def document() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if name == "data_dir":
            shown = "in the user's data folder"
        elif default is None or default is PydanticUndefined:
            shown = "none"
        else:
            shown = f"`{default if isinstance(default, str) else json.dumps(default).removesuffix('.0')}`"
        rows.append(f"| `IMPASTO_{name.upper()}` | {shown} | {field.description} |\n")
    return HEAD + "".join(rows)


def test_every_setting_is_listed():
    if os.environ.get("IMPASTO_WRITE_SETTINGS"):
        DOCUMENT.write_text(document())
    assert DOCUMENT.read_text() == document(), "the settings have changed; see the top of this file"


@pytest.mark.parametrize(
    "file", ["docs/service.md", "docs/deployment.md", "README.md", "Dockerfile", "compose.yaml", ".ci/run"]
)
def test_only_settings_are_set(file):
    known = {f"IMPASTO_{name.upper()}" for name in Settings.model_fields} | NOT_OF_THE_SERVICE
    found = set(re.findall(r"\bIMPASTO_[A-Z_]*[A-Z]\b", (ROOT / file).read_text())) - {"IMPASTO_MODEL_STEPS"}
    assert found <= known


def test_compose_names_what_is_there():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {"api", "worker", "database", "redis"} == set(services)
    assert services["api"]["command"][0] == "serve" and services["worker"]["command"] == ["worker"]
    assert "--auth" in services["api"]["command"], "it listens on an address that others reach"
