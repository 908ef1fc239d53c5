"""What files of the project set, is a setting."""

from __future__ import annotations

import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from impasto.cli.main import run
from impasto.errors import UsageError
from impasto.service.settings import Settings
from lanes import slow

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
        (
            "BROKER",
            "amqp://user:password@host",
            "setting broker has to begin with redis:// or rediss://; if it",
        ),
        ("BROKER", "host:6379", "setting broker has to begin with redis:// or rediss://; if it"),
        ("SECRET", "too short", "setting secret: String should have at least 32"),
        (
            "WEBHOOK_SECRET",
            "whsec_no base64 at all, that",
            "setting webhook_secret: what follows 'whsec_' is not base64",
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


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8765"),
        ({"port": 9000}, "http://127.0.0.1:9000"),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"host": "::1", "root_path": "/paint"}, "http://[::1]:8765/paint"),
        ({"base_url": "https://example.org/paint/", "port": 9000}, "https://example.org/paint"),
    ],
)
def test_links_that_are_sent(given, url):
    assert Settings(**given).public_url == url


@pytest.mark.parametrize("root_path", ["paint", "/", "/paint/", "//evil", "/a/../b", "/a b", "/a?b"])
def test_root_paths_that_are_none(root_path):
    with pytest.raises(ValidationError):
        Settings(root_path=root_path)


@pytest.mark.parametrize(
    ("root_path", "own"),
    [
        ("/v1", "/v1/jobs"),
        *slow(("/jobs", "/jobs/{job}"), ("/static", "/static/{version}/{name}"), ("/healthz", "/healthz")),
    ],
)
def test_root_paths_with_which_a_path_of_the_service_begins(root_path, own, tmp_path):
    # In a process of its own: the server sets its process's handlers of signals and folder of temporary files.
    command = [sys.executable, "-m", "impasto", "serve", "--workers", "0", "--data-dir", tmp_path]
    done = subprocess.run([*command, "--root-path", root_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"root_path is {root_path}, but the service's own path {own} begins with it; choose another"
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_user_without_a_home(monkeypatch):
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    with pytest.raises(UsageError, match="set IMPASTO_DATA_DIR"):
        Settings()
