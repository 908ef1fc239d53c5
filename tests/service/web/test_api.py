"""The HTTP API of a real server with a real worker and the default engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from fastapi import Response
from PIL import Image

from impasto.errors import StorageError
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.service import wiring
from impasto.service.settings import Settings
from impasto.service.web import health_routes
from lanes import slow
from service.servers import running_server, wait_for

STATES = {"queued", "running", "succeeded", "failed", "canceled", "expired"}


def small(path, size=(96, 64), form="jpeg"):
    return encode_picture(resize_picture(read_picture(path), *size), form)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("service")) as client:
        yield client


@pytest.fixture(scope="module")
def photo_bytes(request):
    return small(request.getfixturevalue("photo"))


def send(server, content, headers=None, **fields):
    files = [("content", ("photo.jpg", content, "image/jpeg"))]
    files += [("style_image", ("style.jpg", data, "image/jpeg")) for data in fields.pop("style_images", ())]
    return server.post("/v1/jobs", files=files, data={"size": "64", **fields}, headers=headers)


def finished(server, job):
    def done():
        body = server.get(f"/v1/jobs/{job}").json()
        return body if body["state"] in STATES - {"queued", "running"} else None

    return wait_for(done, what="the end of the job")


def assert_problem(answer, status, code, text=""):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code) and text in body["detail"], body


def test_from_photo_to_result(server, photo_bytes):
    answer = send(server, photo_bytes, style="great-wave", strength="0.5", format="png")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{body['id']}"
    assert body["state"] == "queued" and body["position"] == 0 and body["result"] is None
    done = finished(server, body["id"])
    assert (done["state"], done["progress"], done["error"]) == ("succeeded", 1.0, None)
    result = server.get(f"/v1/jobs/{body['id']}/result")
    assert result.headers["content-type"] == "image/png" and "attachment" in result.headers["content-disposition"]
    assert "sandbox" in result.headers["content-security-policy"]
    picture = read_picture(result.content)
    assert (picture.width, picture.height) == (64, 43) and '"strength":0.5' in picture.metadata["options"]
    assert server.get(done["result"]).content == result.content
    assert server.delete(f"/v1/jobs/{body['id']}").status_code == 204
    for path in ("", "/result", "/events", "/preview"):
        assert_problem(server.get(f"/v1/jobs/{body['id']}{path}"), 404, "not_found")
    assert_problem(server.get(done["result"]), 404, "not_found")


@pytest.mark.slow
def test_ones_own_styles_mixed(server, photo_bytes, painting):
    style = small(painting, form="png")
    fields = {"style": "great-wave", "style_images": [style], "weight": ["2", "1"], "keep_colors": "luminance"}
    assert finished(server, send(server, photo_bytes, **fields).json()["id"])["state"] == "succeeded"


def test_events(server, photo_bytes):
    job = send(server, photo_bytes, style="great-wave").json()["id"]
    seen = []
    with server.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data:"):
                seen.append(json.loads(line[5:]))
            if line.startswith("id:"):
                last = line[3:].strip()
    assert seen[-1]["state"] == "succeeded" and {body["id"] for body in seen} == {job}
    with server.stream("GET", f"/v1/jobs/{job}/events", headers={"Last-Event-ID": last}) as stream:
        assert not [line for line in stream.iter_lines() if line.startswith("data:")]
    with server.stream("GET", f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "0"}) as stream:
        assert len([line for line in stream.iter_lines() if line.startswith("data:")]) == 1


def test_the_same_request_twice(server, photo_bytes):
    key = {"Idempotency-Key": "breakfast"}
    first = send(server, photo_bytes, key, style="great-wave")
    second = send(server, photo_bytes, key, style="great-wave")
    assert (first.status_code, second.status_code) == (202, 200) and first.json()["id"] == second.json()["id"]
    assert_problem(send(server, photo_bytes, key, style="starry-night"), 409, "conflict", "another request")


def test_lists_and_cancel(server, photo_bytes, painting):
    job = send(
        server, photo_bytes, style_images=[small(painting)], engine="gatys", descriptor="compact", steps="2000"
    ).json()["id"]
    assert server.post(f"/v1/jobs/{job}/cancel").status_code == 200
    assert finished(server, job)["state"] == "canceled"
    listed = server.get("/v1/jobs", params={"state": "canceled"}).json()
    assert job in [body["id"] for body in listed["jobs"]]
    first = server.get("/v1/jobs", params={"most": 1}).json()
    assert len(first["jobs"]) == 1
    rest = server.get("/v1/jobs", params={"before": first["next"]}).json()
    assert first["jobs"][0]["id"] not in [body["id"] for body in rest["jobs"]]
    assert server.post(f"/v1/jobs/{job}/retry").json()["state"] == "queued"
    assert server.delete(f"/v1/jobs/{job}").status_code == 204


def test_styles(server):
    styles = server.get("/v1/styles").json()["styles"]
    wave = next(style for style in styles if style["name"] == "great-wave")
    assert len(styles) >= 32 and wave["artist"] and wave["license"] and wave["look"] == "drawn"
    looks = ["bold", "drawn", "soft", "pale", "dark"]
    assert [style["look"] for style in styles] == sorted((style["look"] for style in styles), key=looks.index)
    thumbnail = server.get(wave["thumbnail"])
    assert thumbnail.headers["content-type"] == "image/webp" and Image.open(io.BytesIO(thumbnail.content)).size
    assert_problem(server.get("/v1/styles/grate-wave/thumbnail"), 404, "not_found", "did you mean 'great-wave'")


@pytest.mark.parametrize(
    ("fields", "status", "code", "text"),
    [
        ({"style": "grate-wave"}, 422, "unknown_name", "did you mean 'great-wave'"),
        ({}, 422, "bad_option", "no style is given"),
        ({"style": "great-wave", "engine": "gatis"}, 422, "unknown_name", "did you mean 'gatys'"),
        ({"style": "great-wave", "strenght": "0.5"}, 422, "unknown_name", "strength"),
        ({"style": "great-wave", "strength": "2"}, 422, "bad_option", "strength"),
        ({"style": "great-wave", "engine": "fast", "network": "/etc"}, 422, "bad_option", "not a file"),
        ({"style": "great-wave", "descriptor": "/etc"}, 422, "bad_option", "not a file"),
        ({"style": "great-wave", "engine": "gatys", "save_every": "5"}, 422, "bad_option", "of the command line"),
        ({"style": "great-wave", "size": "100000"}, 422, "bad_option", "at most 4096"),
        ({"style": "great-wave", "format": "bmp"}, 422, "unknown_name", "bmp"),
        ({"style": "great-wave", "priority": "9"}, 422, "bad_request", "priority"),
        ({"style": "great-wave", "weight": ["1", "2"]}, 422, "bad_option", "2 weights"),
        ({"style": "great-wave", "weight": "nan"}, 422, "bad_option", "positive"),
    ],
)
def test_requests_that_cannot_be(server, photo_bytes, fields, status, code, text):
    assert_problem(send(server, photo_bytes, **fields), status, code, text)


def test_gatys_may_not_read_files_of_the_server(server, photo_bytes, painting):
    for name, value in (("init", "/etc/passwd"), ("descriptor", "../secret"), ("init", "secret")):
        answer = send(server, photo_bytes, engine="gatys", style_images=[small(painting)], **{name: value})
        assert_problem(answer, 422, "bad_option", name)


def test_pictures_that_are_not_taken(server, photo_bytes):
    with io.BytesIO() as file:
        Image.new("L", (20_000, 4_000)).save(file, "PNG")
        bomb = file.getvalue()
    with io.BytesIO() as file:
        Image.new("L", (13_000, 100)).save(file, "PNG")
        long = file.getvalue()
    for data, status, code in (
        (b"", 422, "bad_image"),
        (b"GIF89a", 422, "bad_image"),
        (photo_bytes[:500], 422, "bad_image"),
        (bomb, 413, "image_too_large"),
        (long, 413, "image_too_large"),
        (photo_bytes + bytes(20 << 20), 413, "image_too_large"),
    ):
        assert_problem(send(server, data, style="great-wave"), status, code)
    for large in (bytes(30 << 20), bytes(60 << 20)):
        assert_problem(send(server, large, style="great-wave"), 413, "body_too_large", "larger than 21 MiB")
    page = server.post("/paint", files={"content": bytes(30 << 20)}, data={"style": "great-wave"})
    assert page.status_code == 413 and "larger than 21 MiB" in page.text and "<form" in page.text
    assert_problem(server.post("/v1/jobs", data={"style": "great-wave"}), 422, "bad_request", "content")


def test_a_picture_larger_than_results_may_be_needs_a_size(server):
    file = io.BytesIO()
    Image.new("RGB", (4200, 64)).save(file, "png")
    files = {"content": file.getvalue()}
    refused = server.post("/v1/jobs", files=files, data={"style": "great-wave"})
    assert_problem(refused, 422, "bad_option", "the picture has 4200 pixels on its long side, and no size is given")
    assert server.post("/v1/jobs", files=files, data={"style": "great-wave", "size": "256"}).status_code == 202


def test_unknown_jobs_and_routes(server):
    assert_problem(server.get("/v1/jobs/nothing"), 404, "not_found")
    assert_problem(server.get("/nothing"), 404, "not_found")
    assert_problem(server.put("/v1/jobs"), 405, "method_not_allowed")
    assert server.get("/healthz").json()["status"] == "ok"
    assert server.get("/healthz").headers["x-content-type-options"] == "nosniff"


def accepted(server):
    """How many jobs were, as the service counts."""
    counts = re.findall(r"^impasto_jobs_accepted_total{.*} ([\d.]+)$", server.get("/metrics").text, re.MULTILINE)
    return sum(map(float, counts))


@pytest.mark.slow
def test_the_api_of_the_sources(server, photo_bytes):
    assert "/transform" in server.get("/index").text
    models = server.get("/help").json()["models"]
    assert len(models) >= 32 and models[0]["sample"].startswith("data:image/webp;base64,UklGR")
    encoded = base64.b64encode(photo_bytes).decode()
    for image in (encoded, f"data:image/jpeg;base64,{encoded}"):
        before = accepted(server)
        answer = server.post("/transform", json={"filename": "me.PNG", "image": image, "model": "great-wave"})
        assert accepted(server) == before + 1
        assert answer.status_code == 202, answer.text
        done = finished(server, answer.json()["id"])
        assert done["state"] == "succeeded" and server.get(done["result"]).headers["content-type"] == "image/png"
    for change, text in (({"filename": "me.exe"}, "me.exe"), ({"image": "%%"}, "base64"), ({"model": "x"}, "unknown")):
        body = {"filename": "me.png", "image": encoded, "model": "great-wave", **change}
        assert text in server.post("/transform", json=body).json()["detail"]
    large = base64.b64encode(photo_bytes + bytes(20 << 20)).decode()
    body = {"filename": "me.png", "image": large, "model": "great-wave"}
    assert_problem(server.post("/transform", json=body), 413, "image_too_large")
    assert_problem(server.post("/transform", json={**body, "image": 2 * large}), 413, "body_too_large")


def test_nothing_is_sent_where_nothing_is_set_up(server, photo_bytes):
    for field, value in (("email", "a@example.org"), ("webhook", "https://example.org")):
        assert_problem(send(server, photo_bytes, style="great-wave", **{field: value}), 422, "bad_option", "sends no")


def test_engines(server):
    found = {engine["name"]: engine for engine in server.get("/v1/engines").json()["engines"]}
    assert next(iter(found)) == "nnst"
    assert all(found[name]["available"] for name in ("nnst", "fast", "gatys"))
    assert found["fast"]["options"]["properties"]["strength"]["maximum"] == 1
    assert {"steps", "style_weight"} <= found["gatys"]["options"]["properties"].keys()
    assert "save_every" not in found["gatys"]["options"]["properties"], "nobody would see these files"
    assert all(engine["summary"] for engine in found.values())


@pytest.mark.slow
def test_health(server, tmp_path):
    assert server.get("/healthz").json()["status"] == "ok"
    wait_for(lambda: server.get("/readyz").json()["status"] == "ok", what="a worker")
    assert server.get("/readyz").json()["checks"] == {"database": "ok", "pictures": "ok"}
    with running_server(tmp_path / "alone", "--workers", "0") as alone:
        answer = alone.get("/readyz")
        assert answer.status_code == 200, "jobs are taken"
        assert answer.json()["status"] == "degraded" and "jobs wait" in answer.json()["checks"]["workers"]
        (tmp_path / "alone" / "blobs").rename(tmp_path / "gone")
        (tmp_path / "alone" / "blobs").write_text("no folder")
        refused = wait_for(lambda: (found := alone.get("/readyz")).status_code == 503 and found, what="the new state")
        assert refused.json()["status"] == "unavailable" and refused.json()["checks"]["database"] == "ok"


def test_the_probe_of_the_process_needs_no_thread():
    """All threads may wait for the database or the pictures."""
    assert asyncio.run(health_routes.healthz()).status == "ok"


@pytest.mark.parametrize("broken", ["room", "role"])
def test_readiness_while_the_room_or_a_role_cannot_be_found(tmp_path, monkeypatch, broken):
    def away(*_):
        raise StorageError("it cannot be reached; try again")

    with closing(wiring.build(Settings(data_dir=tmp_path))) as parts:
        request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(parts=parts)))
        owner, name = (parts.submissions, "check_room") if broken == "room" else (parts.upkeep, "led")
        monkeypatch.setattr(owner, name, away)
        health = health_routes.readyz(request, response := Response())
    assert (health.status, response.status_code) == ("unavailable", 503)
    failed = "pictures" if broken == "room" else "database"
    assert health.checks == {"database": "ok", "pictures": "ok", failed: "it cannot be reached; try again"}


def test_metrics(server, photo_bytes):
    finished(server, send(server, photo_bytes, style="great-wave").json()["id"])
    text = server.get("/metrics").text
    assert 'impasto_jobs{state="succeeded"}' in text and 'impasto_jobs{state="queued"} 0.0' in text
    assert 'impasto_jobs_accepted_total{engine="nnst"}' in text and "impasto_job_run_seconds" in text
    assert 'impasto_http_answers_total{method="POST",route="/v1/jobs",status="202"}' in text


@pytest.mark.slow
def test_limits(tmp_path, photo_bytes, monkeypatch):
    monkeypatch.setenv("IMPASTO_PER_MINUTE", "3")
    with running_server(tmp_path / "rates") as server:
        answers = [send(server, photo_bytes, style="great-wave") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
        assert_problem(answers[-1], 429, "too_many_requests", "more than 3 jobs in a minute")
        assert answers[-1].headers["retry-after"]
    with running_server(tmp_path / "wrong") as server:
        answers = [send(server, photo_bytes, style="great-wave", strength="7") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [422, 422, 422, 429], "wrong requests count, too"
    monkeypatch.setenv("IMPASTO_QUOTA", str(1 << 17))
    with running_server(tmp_path / "quota") as server:
        assert_problem(send(server, photo_bytes, style="great-wave"), 507, "storage_full", "no room")
    monkeypatch.delenv("IMPASTO_QUOTA")
    monkeypatch.setenv("IMPASTO_BACKLOG", "1")
    with running_server(tmp_path / "backlog", "--workers", "0") as server:
        assert send(server, photo_bytes, style="great-wave").status_code == 202
        full = send(server, photo_bytes, style="great-wave")
        assert_problem(full, 503, "backlog_full", "1 jobs are already waiting")
        assert full.headers["retry-after"]


@pytest.mark.slow
def test_a_queue_of_its_own(tmp_path, photo_bytes, painting, monkeypatch):
    monkeypatch.setenv("IMPASTO_ENGINE_QUEUES", '{"gatys": "gpu"}')
    with running_server(tmp_path) as server:
        slow = {"engine": "gatys", "descriptor": "compact", "steps": "2", "style_images": [small(painting)]}
        waits = send(server, photo_bytes, **slow).json()["id"]
        painted = send(server, photo_bytes, style="great-wave").json()["id"]
        assert finished(server, painted)["state"] == "succeeded"
        assert server.get(f"/v1/jobs/{waits}").json()["state"] == "queued", "the worker of 'cpu' leaves it"
        command = [sys.executable, "-m", "impasto", "worker", "--data-dir", str(tmp_path), "--queue", "gpu"]
        with subprocess.Popen(command) as worker:
            try:
                assert finished(server, waits)["state"] == "succeeded"
            finally:
                worker.terminate()


def test_a_queue_for_an_engine_that_there_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_ENGINE_QUEUES", '{"gatis": "gpu"}')
    command = [sys.executable, "-m", "impasto", "serve", "--data-dir", str(tmp_path), "--port", "0"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2 and "unknown engine 'gatis'; did you mean 'gatys'?" in answer.stderr


@pytest.fixture(scope="module")
def painted(server, photo_bytes):
    job = send(server, photo_bytes, style="great-wave", format="JPG").json()["id"]
    return finished(server, job)["result"]


def test_head(server, painted):
    for path in ("/", "/healthz", "/readyz", "/v1/styles", "/openapi.json", "/manifest.webmanifest", painted):
        whole, head = server.get(path), server.head(path)
        assert head.status_code == whole.status_code == 200 and head.content == b"", path
        assert head.headers["content-length"] == str(len(whole.content)), path
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert server.head("/v1/jobs/nothing").status_code == 404
    job = painted.split("/")[3]
    assert server.head(f"/v1/jobs/{job}/events").headers["content-type"].startswith("text/event-stream")


def test_what_the_client_has_is_not_sent_again(server, painted):
    etag = server.get(painted).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = server.get(painted, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert server.get(painted, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_part_of_a_result(server, painted):
    whole = server.get(painted)
    size = len(whole.content)
    for asked, part in (
        ("0-9", slice(0, 10)),
        ("10-", slice(10, None)),
        ("-7", slice(-7, None)),
        ("5-99999999", slice(5, None)),
    ):
        answer = server.get(painted, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, whole.content[part]), asked
        assert answer.headers["content-range"].endswith(f"/{size}")
    for asked in ("bytes=", "bytes=-", "lines=0-3", "bytes=9-3", "bytes=0-1,4-5"):
        assert server.get(painted, headers={"Range": asked}).status_code == 200, asked
    assert_problem(server.get(painted, headers={"Range": f"bytes={size}-"}), 416, "no_such_range")
    assert server.get(painted, headers={"Range": f"bytes={'9' * 5000}-"}).status_code == 200
    assert server.head(painted, headers={"Range": "bytes=0-9"}).status_code == 200
    assert server.get(painted, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


@pytest.mark.parametrize("form", ["image/jpeg", *slow("JPG", ".jpg", "jpeg")])
def test_formats_as_people_write_them(server, photo_bytes, form):
    job = send(server, photo_bytes, style="great-wave", format=form).json()["id"]
    finished(server, job)
    assert server.get(f"/v1/jobs/{job}/result").headers["content-type"] == "image/jpeg"


def test_base64_as_programs_write_it(server, photo_bytes):
    plain = base64.b64encode(photo_bytes).decode()
    for text in (
        plain,
        base64.encodebytes(photo_bytes).decode(),
        base64.urlsafe_b64encode(photo_bytes).decode(),
        plain.rstrip("="),
        "data:image/jpeg;base64," + plain.replace("A", "A\r\n", 9),
    ):
        body = {"filename": "photo.JPG", "image": text, "model": "great-wave"}
        assert server.post("/transform", json=body).status_code == 202, text[:30]
    body = {"filename": "photo.jpg", "image": "***", "model": "great-wave"}
    assert_problem(server.post("/transform", json=body), 422, "bad_request", "base64")


def test_texts_that_are_none(server, photo_bytes):
    body = {"filename": "\ud800.jpg", "image": "", "model": "\ud800", "email": "\ud800"}
    assert (
        server.post("/transform", content=json.dumps(body), headers={"Content-Type": "application/json"}).status_code
        < 500
    )
    for charset in ("unicode_escape", "rot13", "zlib", "undefined", "utf-16", "utf-8; charset=punycode"):
        headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
        for path in ("/v1/jobs", "/paint"):
            assert_problem(server.post(path, content=b"--x--", headers=headers), 415, "unsupported_charset")
    for path in ("/v1/jobs/%00", "/v1/jobs/%00/result", "/v1/jobs?before=%00", "/v1/styles/%00/thumbnail", "/jobs/%00"):
        assert server.get(path).status_code in (200, 404), path


def test_fields_that_a_form_leaves_empty(server, photo_bytes):
    assert send(server, photo_bytes, style="great-wave", size="", strength="").status_code == 202


def test_an_unknown_network_is_refused(server, photo_bytes):
    for engine in ("fast", "adain"):
        answer = send(server, photo_bytes, style="great-wave", engine=engine, network="nowhere")
        assert_problem(answer, 422, "unknown_name", "unknown network 'nowhere'")


def test_requests_of_other_pages(server, photo_bytes):
    own = f"http://127.0.0.1:{server.base_url.port}"
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": own}, 202),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
    ):
        assert send(server, photo_bytes, headers, style="great-wave").status_code == status, headers


def test_no_redirect_repeats_the_host(server):
    for path in ("/v1/jobs/", "/healthz/", "/v1/styles/"):
        answer = server.get(path, headers={"Host": "localhost"})
        assert answer.status_code == 404 and "location" not in answer.headers


@pytest.mark.slow
def test_a_damaged_result(tmp_path, photo_bytes):
    with running_server(tmp_path) as server:
        done = finished(server, send(server, photo_bytes, style="great-wave").json()["id"])
        [path] = (tmp_path / "blobs" / "results").rglob("*.jpeg")
        whole = path.read_bytes()
        end = {"Range": "bytes=-10"}
        for first in ({}, end):  # without and with the hashes of blocks
            for damaged in (whole[:-1], b"", whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"a"):
                path.write_bytes(damaged)
                for headers in ({}, end, {"Range": f"bytes={len(whole) - 1}-"}):
                    assert_problem(server.get(done["result"], headers=headers), 500, "damaged", "painted again")
            path.write_bytes(whole)
            assert whole.endswith(server.get(done["result"], headers=first).content)
        path.write_bytes(whole)
        assert server.get(done["result"]).content == whole


@pytest.mark.slow
def test_the_data_folder_is_gone(tmp_path, photo_bytes):
    data = tmp_path / "data"
    with running_server(data, "--workers", "0") as server:
        assert send(server, photo_bytes, style="great-wave").status_code == 202
        data.rename(tmp_path / "elsewhere")
        assert server.get("/readyz").status_code == 503
        for content in (photo_bytes, bytes(1 << 20)):
            assert_problem(
                send(server, content, style="great-wave"),
                503,
                "storage" if content == photo_bytes else "service_unavailable",
            )
        assert not data.exists()
        (tmp_path / "elsewhere").rename(data)
        assert server.get("/readyz").status_code == 200
        assert send(server, photo_bytes, style="great-wave").status_code == 202
