"""The Python client, against a real server."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import impasto
from impasto.errors import RequestError, ServiceError
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.types import Picture
from service.servers import free_port, running_server

ALONE = """
import importlib.metadata, re, sys

def needs(name, extra):
    for line in importlib.metadata.requires(name) or ():
        requirement, _, condition = line.partition(";")
        if "extra" not in condition or f"'{extra}'" in condition.replace('"', "'"):
            yield re.match(r"[\\w.-]+", requirement).group()

installed = {}
for module, names in importlib.metadata.packages_distributions().items():
    for name in names:
        installed.setdefault(name.lower().replace("_", "-"), set()).add(module)
wanted, found = ["impasto"], set()
while wanted:
    name = wanted.pop().lower().replace("_", "-")
    if name in {*installed, "impasto"} - found:
        found.add(name)
        wanted += needs(name, "client" if name == "impasto" else "binary")
allowed = set().union(*(installed.get(name, ()) for name in found))
for name, modules in installed.items():
    for module in modules - allowed:
        sys.modules[module] = None
assert sys.modules["fastapi"] is sys.modules["limits"] is sys.modules["torch"] is None

import impasto
with impasto.Client(sys.argv[1]) as client:
    job = client.submit(sys.argv[2], style="great-wave", engine="fast", size=64)
    print(client.wait(job.id, timeout=60).state)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("service")) as server:
        yield str(server.base_url)


@pytest.fixture
def client(url):
    with impasto.Client(url) as made:
        yield made


def test_from_photo_to_result(client, photo, painting):
    seen = []
    job = client.submit(photo, style="great-wave", style_image=painting, weight=[2, 1], format="png", size=64)
    done = client.wait(job.id, on_change=seen.append, timeout=60)
    assert done.state == "succeeded" and seen[-1] == done
    picture = read_picture(client.result(job.id))
    assert (picture.width, picture.format) == (64, "png")
    assert job.id in [each.id for each in client.jobs()]
    assert client.wait(job.id).state == "succeeded", "one that has ended is not waited for"
    client.delete(job.id)
    with pytest.raises(RequestError) as refused:
        client.wait(job.id)
    assert (refused.value.status, refused.value.code) == (404, "not_found")


def test_the_client_needs_nothing_of_the_server(url, photo):
    """What `pip install 'impasto[client]'` does not bring cannot be imported."""
    done = subprocess.run([sys.executable, "-c", ALONE, url, photo], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "succeeded\n"), done.stderr


@pytest.mark.slow
def test_masks(client, photo):
    black, white = (encode_picture(Picture(np.full((20, 20, 3), shade, np.float32)), "png") for shade in (0, 1))
    styles = ["great-wave", "the-scream"]
    jobs = [client.submit(photo, style=styles, mask=masks, format="png", size=64) for masks in ([], [black, black])]
    jobs.append(client.submit(photo, style=styles, mask=[white, black], format="png", size=64))
    jobs.append(client.submit(photo, style="great-wave", format="png", size=64))
    assert all(client.wait(job.id, timeout=60).state == "succeeded" for job in jobs)
    mixed, content, first, alone = (read_picture(client.result(job.id)).pixels for job in jobs)
    np.testing.assert_array_equal(first, alone)
    assert np.abs(content - resize_picture(read_picture(photo), 64, content.shape[0]).pixels).max() <= 1.01 / 255
    assert np.abs(mixed - alone).mean() > 0.01
    with pytest.raises(RequestError, match="1 masks are given for 2 styles"):
        client.submit(photo, style=styles, mask=white)


def test_a_mask_of_transparency(client, photo):
    content = resize_picture(read_picture(photo), 64, 48)
    half = np.zeros((48, 64), np.float32)
    half[:, :32] = 1.0
    given = encode_picture(replace(content, alpha=half), "png")
    job = client.submit(given, style="great-wave", mask="alpha", format="png")
    assert client.wait(job.id, timeout=60).state == "succeeded"
    painted = read_picture(client.result(job.id)).pixels
    assert np.abs(painted - content.pixels)[:, 33:].max() < 1.5 / 255
    assert np.abs(painted - content.pixels)[:, :32].mean() > 0.03
    with pytest.raises(RequestError, match="no transparency that could be its mask"):
        client.submit(photo, style="great-wave", mask="alpha")


def test_cancel_and_retry(client, photo, painting):
    job = client.submit(photo, style_image=[painting], engine="gatys", descriptor="compact", steps=2000, size=96)
    client.cancel(job.id)
    assert client.wait(job.id, timeout=60).state == "canceled"
    assert client.retry(job.id).state == "queued"
    with pytest.raises(TimeoutError, match="within 1 seconds"):
        client.wait(job.id, timeout=1)
    client.delete(job.id)


def test_the_gallery(client):
    assert "great-wave" in [style.name for style in client.styles()]


def test_refusals(client, photo):
    with pytest.raises(RequestError, match="did you mean 'great-wave'") as refused:
        client.submit(photo, style="grate-wave")
    assert (refused.value.status, refused.value.code) == (422, "unknown_name")
    first = client.submit(photo, style="great-wave", size=64, idempotency_key="once")
    assert client.submit(photo, style="great-wave", size=64, idempotency_key="once").id == first.id


def test_a_service_that_is_not_there(photo):
    with impasto.Client(f"http://127.0.0.1:{free_port()}") as away, pytest.raises(ServiceError, match="be reached"):
        away.submit(photo, style="great-wave")


@pytest.mark.slow
def test_the_server_restarts_while_one_waits(tmp_path, photo):
    told = SimpleNamespace(job=None)
    with running_server(tmp_path, "--workers", "0") as server, impasto.Client(str(server.base_url)) as client:
        told.job = client.submit(photo, style="great-wave", size=64).id
        with pytest.raises(TimeoutError):
            client.wait(told.job, timeout=1)
    with running_server(tmp_path) as server, impasto.Client(str(server.base_url)) as client:
        assert client.wait(told.job, timeout=60).state == "succeeded"
