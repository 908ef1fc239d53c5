"""Bad pictures are refused with a code, or fail as their sender's affair, and the server goes on."""

from __future__ import annotations

import psutil
import pytest

from bad_pictures import BAD, WHOLE, damaged, odd, png, webp_of_size, with_flipped_bits
from service.servers import running_server, wait_for

pytestmark = pytest.mark.slow

MEMORY = 3 << 29
"""Bytes that the process may have that decodes pictures of strangers."""
CODES = {"bad_image", "image_too_large", "image_too_small", "decode_failed"}


def beyond_limits() -> dict[str, tuple[bytes, str]]:
    """Good pictures that this service does not take, and their codes. The bomb takes seconds to make."""
    return {
        "a bomb of pixels": (png(20_000, 20_000, pixels=bytes(1 + 3 * 20_000) * 20_000), "image_too_large"),
        "large webp": (webp_of_size(16_383, 16_383), "image_too_large"),
        "long png": (png(12_001, 16, pixels=bytes((1 + 3 * 12_001) * 16)), "image_too_large"),
        "too small": (png(8, 8, pixels=bytes((1 + 3 * 8) * 8)), "image_too_small"),
    }


def some(pictures: dict[str, bytes], every: int) -> dict[str, bytes]:
    """The suite of the decoder has them all."""
    return dict(list(pictures.items())[::every])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_PER_MINUTE", "100000")
        with running_server(tmp_path_factory.mktemp("service")) as client:
            yield client


def send(server, content):
    files = {"content": ("x", content, "application/octet-stream")}
    return server.post("/v1/jobs", files=files, data={"style": "great-wave", "size": "48", "engine": "fast"})


def decoder(server):
    """The child of the server that decodes."""
    port = str(server.base_url.port)
    parent = next(each for each in psutil.process_iter() if {"serve", port} <= set(each.cmdline()))
    found = [each for each in parent.children() if not each.children() and "spawn_main" in " ".join(each.cmdline())]
    return max(found, key=psutil.Process.create_time)


def test_bad_pictures_are_refused_with_a_code(server):
    beyond = beyond_limits()
    pictures = {name: data for name, (data, _) in (BAD | beyond).items()} | some(damaged(), 5)
    codes = {}
    for name, content in pictures.items():
        answer = send(server, content)
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
        codes[name] = answer.json()["code"]
    assert set(codes.values()) <= CODES, {name: code for name, code in codes.items() if code not in CODES}
    assert {name: codes[name] for name in beyond} == {name: code for name, (_, code) in beyond.items()}
    assert codes["large jpeg without pixels"] == "image_too_large" and codes["svg"] == "bad_image"
    most = decoder(server).memory_info()
    assert most.vms <= MEMORY
    assert send(server, WHOLE["png"]).status_code == 202


def test_what_is_taken_can_be_painted(server):
    jobs = {}
    for name, content in (odd() | some(with_flipped_bits(), 5)).items():
        answer = send(server, content)
        assert answer.status_code == 202 or 400 <= answer.status_code < 500, (name, answer.text)
        if answer.status_code == 202:
            jobs[name] = answer.json()["id"]
        else:
            assert answer.json()["code"] in CODES, (name, answer.text)
    assert jobs.keys() >= {"jpeg and archive", "gif and script", "png and page", "a profile that is none"}

    for state in ("queued", "running"):
        wait_for(lambda state=state: not server.get(f"/v1/jobs?state={state}").json()["jobs"], seconds=300, what=state)
    found = {name: server.get(f"/v1/jobs/{job}").json() for name, job in jobs.items()}
    assert {name: job["error"] for name, job in found.items() if job["state"] != "succeeded"} == {}
    assert {job["attempt"] for job in found.values()} == {1}, "no picture has killed a worker"
