"""The service behind a real proxy that offers it under a path of its own: page, API, links and description."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager

import httpx
import pytest
import trustme
from playwright.sync_api import expect

from service.servers import free_port, missing, running_server, wait_for
from service.web.test_page import WAVE, browser, chosen, painted, small_photo, visit  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow

SETTINGS = """
daemon off; worker_processes 1; error_log stderr warn; pid {folder}/pid; {user}
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}{listens}; {locations} }}
}}
"""
LOCATIONS = {
    "root path, taken away": "proxy_buffering off; location /paint/ {{ proxy_pass http://127.0.0.1:{port}/; }}",
    "root path, left": "proxy_buffering off; location /paint/ {{ proxy_pass http://127.0.0.1:{port}; }}",
    "header": "location /paint/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_set_header X-Forwarded-Prefix /paint; }}",
}


@contextmanager
def nginx(folder, locations, *, certificate=None):
    """Run nginx; with a ``certificate``, a PEM file with its key, by HTTP/2."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("nginx")
    folder.mkdir()
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    listens, scheme = "", "http"
    if certificate:
        listens, scheme = f" ssl http2; ssl_certificate {certificate}; ssl_certificate_key {certificate}", "https"
    settings = SETTINGS.format(folder=folder, port=port, user=user, locations=locations, listens=listens)
    (folder / "conf").write_text(settings)
    with subprocess.Popen([program, "-p", folder, "-c", folder / "conf"]) as process:
        try:
            wait_for(lambda: answers(f"{scheme}://127.0.0.1:{port}/"), what="nginx")
            yield f"{scheme}://127.0.0.1:{port}"
        finally:
            process.terminate()


def answers(url):
    try:
        return httpx.get(url, verify=False)
    except httpx.ConnectError:
        return None


@pytest.fixture(scope="module", params=list(LOCATIONS))
def server(request, tmp_path_factory):
    """The address of the service as a visitor sees it."""
    folder = tmp_path_factory.mktemp("proxy")
    flags = [] if request.param == "header" else ["--root-path", "/paint"]
    with running_server(folder / "data", *flags) as client:
        location = LOCATIONS[request.param].format(port=client.base_url.port)
        with nginx(folder / "nginx", location) as url:
            yield f"{url}/paint"


def test_from_photo_to_picture_in_a_browser(visit, small_photo, server):  # noqa: F811
    page = visit()
    elsewhere = []
    page.on("request", lambda asked: asked.url.startswith((server, "blob:", "data:")) or elsewhere.append(asked.url))
    chosen(page, small_photo).click(WAVE)
    page.wait_for_selector("#film li[data-state=succeeded]", timeout=300_000)
    assert page.locator("#download").get_attribute("href").startswith("/paint/v1/jobs/")
    page.goto(f"{server}/?lang=zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    assert page.context.cookies(f"{server}/")[0]["path"] == "/paint/"
    assert elsewhere == []


def test_by_http2_through_a_proxy_that_buffers(visit, small_photo, tmp_path):  # noqa: F811
    certificate = tmp_path / "certificate.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    location = "location / {{ proxy_pass http://127.0.0.1:{port}; proxy_ignore_headers X-Accel-Buffering; }}"
    with running_server(tmp_path / "data") as client:
        location = location.format(port=client.base_url.port)
        with nginx(tmp_path / "nginx", location, certificate=certificate) as url:
            page = visit(url=url, ignore_https_errors=True, service_workers="block")
            assert page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
            painted(page, small_photo)
            page.close()


def test_without_javascript(visit, small_photo, server):  # noqa: F811
    page = visit(java_script_enabled=False, ready=False)
    page.set_input_files("#choose", small_photo)
    page.click("#paint")
    page.wait_for_url(f"{server}/jobs/*")

    def done():
        page.reload()
        return page.locator("img.result").count()

    wait_for(done, what="a result")
    assert httpx.get(httpx.URL(server).join(page.locator("img.result").get_attribute("src"))).status_code == 200


def test_the_api(server, small_photo):  # noqa: F811
    origin = httpx.URL(server)
    answer = httpx.post(f"{server}/v1/jobs", files={"content": small_photo.read_bytes()}, data={"style": "great-wave"})
    assert answer.headers["location"].startswith("/paint/v1/jobs/")

    def result():
        return httpx.get(origin.join(answer.headers["location"])).json()["result"]

    assert httpx.get(origin.join(wait_for(result, what="a result"))).status_code == 200
    assert httpx.get(f"{server}/openapi.json").json()["servers"] == [{"url": "/paint"}]
    style = httpx.get(f"{server}/v1/styles").json()["styles"][0]
    assert httpx.get(origin.join(style["thumbnail"])).status_code == 200
    manifest = httpx.get(f"{server}/manifest.webmanifest").json()
    assert (manifest["start_url"], manifest["scope"]) == ("/paint/", "/paint/")
    assert httpx.get(origin.join(manifest["icons"][0]["src"])).status_code == 200


def test_the_prefix_of_a_stranger_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_TRUSTED_PROXIES", '["10.0.0.0/8"]')
    with running_server(tmp_path, "--workers", "0") as client:
        for prefix in ("/evil", "//evil.example", "/a/../b", "/<b>"):
            assert "evil" not in client.get("/", headers={"X-Forwarded-Prefix": prefix}).text
    monkeypatch.delenv("IMPASTO_TRUSTED_PROXIES")
    with running_server(tmp_path, "--workers", "0") as client:
        assert 'href="/good/static/' in client.get("/", headers={"X-Forwarded-Prefix": "/good/"}).text
        for prefix in ("//evil.example", "/evil/../b", "/<evil>", "evil"):
            assert "evil" not in client.get("/", headers={"X-Forwarded-Prefix": prefix}).text
        for path in ("/v1/styles", "/healthz"):
            prefix = path.removesuffix("/styles")
            assert client.get(path, headers={"X-Forwarded-Prefix": prefix}).status_code == 200


def test_the_root_path_wins_over_a_header(tmp_path):
    with running_server(tmp_path, "--workers", "0", "--root-path", "/paint") as client:
        assert 'href="/paint/static/' in client.get("/", headers={"X-Forwarded-Prefix": "/other"}).text
        assert client.get("/other/healthz", headers={"X-Forwarded-Prefix": "/other"}).status_code == 404
        assert client.get("/paint").status_code == 200
