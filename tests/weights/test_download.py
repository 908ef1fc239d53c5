"""Downloads from a real HTTP server that misbehaves on demand."""

from __future__ import annotations

import hashlib
import http.server
import random
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import pytest

from impasto.errors import DownloadError
from impasto.weights.download import download

CONTENT = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NO_PAUSES = (0, 0, 0)


@dataclass
class Server:
    """Serves ``content``; each request takes one behaviour from ``plan`` until that is used up."""

    content: bytes = CONTENT
    ranges: bool = True
    announced: int | None = None
    plan: list[object] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    gate: threading.Event | None = None
    url: str = ""


@dataclass
class Cut:
    after: int


@dataclass
class Status:
    code: int


@dataclass
class Garbled:
    """Answers a range that was not asked for."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        site.requests.append({"path": self.path, **self.headers})
        if site.gate:
            site.gate.wait()
        step = site.plan.pop(0) if site.plan else None
        if isinstance(step, Status):
            self.send_error(step.code)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and site.ranges else 0
        total = len(site.content)
        if start and start >= total:
            self.send_error(416)
            return
        if isinstance(step, Garbled):
            start += 1
        body = site.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(site.announced or len(body)))
        self.end_headers()
        self.wfile.write(body[: step.after] if isinstance(step, Cut) else body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(**settings):
        site = Server(**settings)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.site = site
        site.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return site

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def files(folder):
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_plain(serve, tmp_path):
    site = serve()
    seen = []
    target = tmp_path / "new" / "weights.pth"
    result = download([site.url], target, sha256=SHA256, on_progress=lambda *progress: seen.append(progress))
    assert result == target
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == {"weights.pth"}
    assert "Range" not in site.requests[0]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_what_is_there_is_not_downloaded_again(serve, tmp_path):
    site = serve()
    target = tmp_path / "weights.pth"
    target.write_bytes(CONTENT)
    assert download([site.url], target, sha256=SHA256) == target
    assert site.requests == []


def test_a_damaged_file_is_replaced(serve, tmp_path):
    target = tmp_path / "weights.pth"
    target.write_bytes(CONTENT[:-1] + b"!")
    download([serve().url], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_several_cuts_are_resumed(serve, tmp_path):
    site = serve(plan=[Cut(100_000), Cut(1), Status(503), Cut(300_000)])
    seen = []
    target = tmp_path / "weights.pth"
    download([site.url], target, sha256=SHA256, on_progress=lambda *p: seen.append(p), pauses=NO_PAUSES)
    assert target.read_bytes() == CONTENT
    assert [request.get("Range") for request in site.requests] == [
        None,
        "bytes=100000-",
        "bytes=100001-",
        "bytes=100001-",
        "bytes=400001-",
    ]
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {len(CONTENT)}


def test_more_cuts_than_pauses_are_no_matter_while_bytes_arrive(serve, tmp_path):
    site = serve(plan=[Cut(50_000)] * 12)
    download([site.url], tmp_path / "weights.pth", sha256=SHA256, pauses=())
    assert len(site.requests) == 13


def test_a_later_call_resumes(serve, tmp_path):
    site = serve(plan=[Cut(400_000), Status(500)])
    target = tmp_path / "weights.pth"
    with pytest.raises(DownloadError, match=r"answered 500 .*400000 bytes came; the next attempt goes on"):
        download([site.url], target, sha256=SHA256, pauses=())
    assert files(tmp_path) == {"weights.pth.part"}
    download([site.url], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert site.requests[-1]["Range"] == "bytes=400000-"
    assert files(tmp_path) == {"weights.pth"}


def test_a_file_that_changed_meanwhile_is_not_mixed(serve, tmp_path):
    site = serve()
    target = tmp_path / "weights.pth"
    (tmp_path / "weights.pth.part").write_bytes(bytes(400_000))
    download([site.url], target, sha256=SHA256)
    assert [request.get("Range") for request in site.requests] == ["bytes=400000-", None]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_file_that_is_complete_or_too_long(size, serve, tmp_path):
    site = serve()
    target = tmp_path / "weights.pth"
    (tmp_path / "weights.pth.part").write_bytes((CONTENT + bytes(5))[:size])
    download([site.url], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert len(site.requests) == (1 if size == len(CONTENT) else 2)


def test_server_without_ranges_starts_again(serve, tmp_path):
    site = serve(ranges=False, plan=[Cut(400_000)])
    target = tmp_path / "weights.pth"
    download([site.url], target, sha256=SHA256, pauses=NO_PAUSES)
    assert target.read_bytes() == CONTENT


def test_server_without_ranges_that_always_cuts_is_given_up(serve, tmp_path):
    site = serve(ranges=False, plan=[Cut(400_000)] * 100)
    with pytest.raises(DownloadError, match="sent 400000 of 1000000 bytes"):
        download([site.url], tmp_path / "weights.pth", sha256=SHA256, pauses=NO_PAUSES)
    assert len(site.requests) == 1 + len(NO_PAUSES) + 1  # the first brought bytes, the others none


def test_a_range_that_was_not_asked_for(serve, tmp_path):
    site = serve(plan=[Cut(1000), Garbled()])
    target = tmp_path / "weights.pth"
    download([site.url], target, sha256=SHA256, pauses=NO_PAUSES)
    assert target.read_bytes() == CONTENT


def test_wrong_hash(serve, tmp_path):
    site = serve(content=b"something else")
    wrong = hashlib.sha256(b"something else").hexdigest()[:16]
    with pytest.raises(
        DownloadError, match=rf"127\.0\.0\.1:\d+ sent a file with sha256 {wrong}\.\.\. instead of {SHA256[:16]}\.\.\."
    ):
        download([site.url], tmp_path / "weights.pth", sha256=SHA256)
    assert len(site.requests) == 1
    assert files(tmp_path) == set()


def test_wrong_hash_in_pieces_ends_too(serve, tmp_path):
    site = serve(content=CONTENT[::-1], plan=[Cut(1000), None, Cut(1000), None])
    with pytest.raises(DownloadError, match="sent a file with sha256"):
        download([site.url], tmp_path / "weights.pth", sha256=SHA256, pauses=NO_PAUSES)
    assert len(site.requests) == 4
    assert files(tmp_path) == set()


def test_mirrors_in_order(serve, tmp_path):
    missing, wrong, right, unused = serve(plan=[Status(404)]), serve(content=b"x"), serve(), serve()
    target = tmp_path / "weights.pth"
    urls = [missing.url, "ftp://example.invalid/weights.pth", wrong.url, right.url, unused.url]
    download(urls, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert [len(site.requests) for site in (missing, wrong, right, unused)] == [1, 1, 1, 0]


def test_another_mirror_continues(serve, tmp_path):
    first, second = serve(plan=[Cut(400_000), Status(404)]), serve()
    target = tmp_path / "weights.pth"
    download([first.url, second.url], target, sha256=SHA256, pauses=NO_PAUSES)
    assert target.read_bytes() == CONTENT
    assert second.requests[0]["Range"] == "bytes=400000-"


def test_temporary_errors_are_retried_and_lasting_ones_not(serve, tmp_path):
    site = serve(plan=[Status(500), Status(429), Status(503)])
    download([site.url], tmp_path / "weights.pth", sha256=SHA256, pauses=NO_PAUSES)
    assert len(site.requests) == 4
    forbidden = serve(plan=[Status(403)])
    with pytest.raises(DownloadError, match=r"could not download other\.pth: 127.* answered 403 Forbidden; fetch"):
        download([forbidden.url], tmp_path / "other.pth", sha256=SHA256, pauses=NO_PAUSES)
    assert len(forbidden.requests) == 1


def test_every_address_stands_in_the_message(serve, tmp_path):
    site = serve(plan=[Status(500)] * 4)
    port = closed_port()
    urls = [site.url, f"http://127.0.0.1:{port}/weights.pth"]
    with pytest.raises(DownloadError) as caught:
        download(urls, tmp_path / "weights.pth", sha256=SHA256, pauses=NO_PAUSES)
    message = str(caught.value)
    assert "answered 500 Internal Server Error; 127.0.0.1" in message
    assert f"127.0.0.1:{port} refuses connections (is there a network?)" in message
    assert message.endswith("fetch the file by hand and run 'impasto models add FILE'")


def test_passwords_do_not_stand_in_the_message(tmp_path):
    url = f"http://user:secret@127.0.0.1:{closed_port()}/weights.pth"
    with pytest.raises(DownloadError, match="could not download") as caught:
        download([url], tmp_path / "weights.pth", sha256=SHA256, pauses=NO_PAUSES)
    assert "secret" not in str(caught.value)


def test_unresolvable_host(tmp_path):
    with pytest.raises(DownloadError, match=r"weights\.pth: impasto\.invalid cannot be found \(is there a network\?\)"):
        download(["http://impasto.invalid/weights.pth"], tmp_path / "weights.pth", sha256=SHA256)


def test_silent_server(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/weights.pth"
        with pytest.raises(DownloadError, match=r"does not answer within 0.05 s \(is there a firewall\?\)"):
            download([url], tmp_path / "weights.pth", sha256=SHA256, timeout=0.05, pauses=(1000,))


def test_a_server_that_announces_too_much(serve, tmp_path):
    site = serve(announced=len(CONTENT) + 1000)
    target = tmp_path / "weights.pth"
    download([site.url], target, sha256=SHA256, pauses=NO_PAUSES)
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_that_announces_too_much(serve, tmp_path):
    site = serve(announced=len(CONTENT) + 1000, ranges=False)
    target = tmp_path / "weights.pth"
    download([site.url], target, sha256=SHA256, pauses=NO_PAUSES)
    assert target.read_bytes() == CONTENT


def test_a_server_that_announces_too_little(serve, tmp_path):
    site = serve(announced=1000)
    with pytest.raises(DownloadError, match="sent a file with sha256"):
        download([site.url], tmp_path / "weights.pth", sha256=SHA256, pauses=NO_PAUSES)
    assert files(tmp_path) == set()


def test_no_address(tmp_path):
    with pytest.raises(DownloadError, match="no address is known; fetch the file by hand"):
        download([], tmp_path / "weights.pth", sha256=SHA256)


@pytest.mark.parametrize("sha256", ["", "abc", "not hex digits", SHA256.upper(), SHA256[:8]])
def test_senseless_digest(sha256, tmp_path):
    with pytest.raises(ValueError, match="must be 64 hex digits"):
        download([], tmp_path / "weights.pth", sha256=sha256)


def test_a_folder_that_cannot_be_made(serve, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"cannot write .*weights\.pth: (File exists|Not a directory)"):
        download([serve().url], tmp_path / "file" / "weights.pth", sha256=SHA256)


def test_interrupting_keeps_what_came(serve, tmp_path):
    def interrupt(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([serve().url], tmp_path / "weights.pth", sha256=SHA256, on_progress=interrupt)
    part = (tmp_path / "weights.pth.part").read_bytes()
    assert part
    assert CONTENT.startswith(part)


def test_two_processes_at_once(serve, tmp_path):
    site = serve(gate=threading.Event())
    target = tmp_path / "weights.pth"
    code = (
        "import sys, pathlib\n"
        "from impasto.weights.download import download\n"
        "print('ready', flush=True)\n"
        "download([sys.argv[1]], pathlib.Path(sys.argv[2]), sha256=sys.argv[3])\n"
    )
    command = [sys.executable, "-c", code, site.url, str(target), SHA256]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    site.gate.set()  # only now the first one gets its first byte
    for process in processes:
        with process:
            assert process.wait(timeout=60) == 0
    assert target.read_bytes() == CONTENT
    assert len(site.requests) == 1
