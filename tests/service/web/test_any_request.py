"""Whatever is sent to any route: never a 5xx, and every answer as the description of the API says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.servers import running_server

pytestmark = pytest.mark.slow

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 8


@pytest.mark.parametrize("known", [False, True], ids=["no job is known", "a job is known"])
def test_any_request(known, tmp_path, photo):
    with running_server(tmp_path / "data", "--workers", "0") as server:
        config = tmp_path / "schemathesis.toml"
        config.write_text("")
        if known:
            with photo.open("rb") as content:
                job = server.post("/v1/jobs", files={"content": content}, data={"style": "great-wave"}).json()["id"]
            server.post(f"/v1/jobs/{job}/cancel")  # so that its event stream ends
            config.write_text(f'[parameters]\njob = "{job}"\n')
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", "--no-color"]
        command += [f"{server.base_url}/openapi.json", "--checks", CHECKS, "--max-examples", str(EXAMPLES)]
        command += ["--phases", "coverage,fuzzing,stateful", "--seed", "0", "--generation-deterministic"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
        assert " passed" in ended.stdout and server.get("/healthz").status_code == 200
