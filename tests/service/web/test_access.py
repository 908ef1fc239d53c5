"""Nobody reads what is not his: every route of the API, with no key, a wrong one, and somebody else's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from impasto.images import encode_picture, read_picture, resize_picture
from service.servers import running_server, wait_for

OPEN = {"/healthz", "/readyz", "/index"}


def key_for(data, tenant):
    command = [sys.executable, "-m", "impasto", "keys", "create", tenant, "--data-dir", data]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {"Authorization": f"Bearer {made}"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def server(data):
    with running_server(data, "--auth") as client:
        yield client


@pytest.fixture(scope="module")
def owner(data):
    return key_for(data, "owner")


@pytest.fixture(scope="module")
def job(server, owner, request):
    content = encode_picture(resize_picture(read_picture(request.getfixturevalue("photo")), 96, 64), "jpeg")
    answer = server.post(
        "/v1/jobs", files={"content": content}, data={"style": "great-wave", "size": "64"}, headers=owner
    )
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"]
    return wait_for(
        lambda: (b := server.get(path, headers=owner).json())["state"] == "succeeded" and b, what="a result"
    )


def routes(server):
    schema = server.get("/openapi.json").json()
    return [(method, path) for path, methods in schema["paths"].items() for method in methods if path not in OPEN]


def test_every_route_asks_for_a_key(server, job):
    found = routes(server)
    assert len(found) >= 12
    for method, path in found:
        for headers in ({}, {"Authorization": "Bearer imp_0123456789ab_wrong"}, {"Authorization": "Basic YTpi"}):
            answer = server.request(method, path.format(job=job["id"], name="great-wave"), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (method, path, headers)


def test_somebody_elses_jobs_are_not_there(server, data, job, owner):
    other = key_for(data, "other")
    for method, path in routes(server):
        if "{job}" in path:
            answer = server.request(method, path.format(job=job["id"]), headers=other)
            assert answer.status_code == 404, (method, path)
    assert server.get("/v1/jobs", headers=other).json()["jobs"] == []
    assert server.get(f"/v1/jobs/{job['id']}", headers=owner).json()["state"] == "succeeded"


def test_links(server, job):
    assert server.get(job["result"]).status_code == 200
    path, _, query = job["result"].partition("?")
    until, _, signature = query.partition("&")
    for wrong in (
        path,
        f"{path}?{until}",
        f"{path}?until=1&{signature}",
        f"{path}?until=99999999999&{signature}",
        f"{path}?{until}&signature={'0' * 64}",
        f"{path}?{until}&signature=%C3%A4",
        job["result"].replace(job["id"], "01900000-0000-7000-8000-000000000000"),
    ):
        assert server.get(wrong).status_code == 401, wrong


def test_a_disabled_key(server, data):
    headers = key_for(data, "brief")
    assert server.get("/v1/jobs", headers=headers).status_code == 200
    prefix = headers["Authorization"].split("_")[1]
    command = [sys.executable, "-m", "impasto", "keys", "disable", prefix, "--data-dir", data]
    assert subprocess.run(command, check=False).returncode == 0
    assert server.get("/v1/jobs", headers=headers).status_code == 401
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "no key" in again.stderr
    listing = [sys.executable, "-m", "impasto", "keys", "list", "--data-dir", data]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in listed.splitlines() if prefix in line)
    assert line.split()[:2] == [prefix, "brief"] and "disabled" in line
    assert headers["Authorization"].split("_")[2] not in listed


def test_a_public_address_needs_keys(tmp_path):
    command = [sys.executable, "-m", "impasto", "serve", "--host", "0.0.0.0", "--data-dir", tmp_path]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--auth" in refused.stderr
