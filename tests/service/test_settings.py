"""What files of the project set, is a setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from impasto.cli.main import run
from impasto.service.settings import Settings

ROOT = Path(__file__).parents[2]
NOT_OF_THE_SERVICE = {"IMPASTO_WEIGHTS_DIR", "IMPASTO_STYLES_DIR", "IMPASTO_DB_PASSWORD"}
"""Two belong to the whole program, one to compose.yaml."""


@pytest.mark.parametrize(
    "file", ["docs/service.md", "docs/deployment.md", "README.md", "Dockerfile", "compose.yaml", ".ci/run"]
)
def test_only_settings_are_set(file):
    known = {f"IMPASTO_{name.upper()}" for name in Settings.model_fields} | NOT_OF_THE_SERVICE
    found = set(re.findall(r"\bIMPASTO_[A-Z_]*[A-Z]\b", (ROOT / file).read_text())) - {"IMPASTO_MODEL_STEPS"}
    assert found <= known


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "many", "setting port: Input should be a valid integer"),
        ("ENGINE_QUEUES", "gatys=gpu", "the settings cannot be read: error parsing value for field"),
        ("ENGINE_QUEUES", '{"gatys": "a,b"}', "setting engine_queues.gatys: String should match"),
        ("SECRET", "too short", "setting secret: String should have at least 32"),
        (
            "WEBHOOK_SECRET",
            "whsec_no base64 at all, that",
            "setting webhook_secret: what follows 'whsec_' is no base64",
        ),
        (
            "WEBHOOK_SECRET",
            "whsec_MTIzNDU2Nzg5MDEyMzQ1",
            "setting webhook_secret: what follows 'whsec_' is base64 of fewer",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_without_its_value(variable, value, sentence, monkeypatch, capsys):
    monkeypatch.setenv(f"IMPASTO_{variable}", value)
    assert run(["worker"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {sentence}") and said.count("\n") == 1 and value not in said


def test_compose_names_what_is_there():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {"api", "worker", "database", "redis"} == set(services)
    assert services["api"]["command"][0] == "serve" and services["worker"]["command"] == ["worker"]
    assert "--auth" in services["api"]["command"], "it listens on an address that others reach"
