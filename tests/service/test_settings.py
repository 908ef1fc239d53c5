"""What files of the project set, is a setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from impasto.service.settings import Settings

ROOT = Path(__file__).parents[2]
NOT_OF_THE_SERVICE = {"IMPASTO_WEIGHTS_DIR", "IMPASTO_DB_PASSWORD"}
"""One belongs to the whole program, one to compose.yaml."""


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
