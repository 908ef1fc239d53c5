"""Peers that stall, send without end or read nothing: the service stays small, and answers others within a second."""

from __future__ import annotations

import io
import resource
import select
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import psutil
import pytest
from PIL import Image

from service.servers import running_server, wait_for

pytestmark = pytest.mark.slow

LARGEST_MEMORY = 300 << 20
ANSWERED_WITHIN = 10.0
"""Seconds. Less than one on an idle machine, up to three on one with three other processes for each core."""
DROPPED_WITHIN = 90.0
PAINTED_WITHIN = 300.0
"""Seconds. Workers have a low priority: on a machine that computes other things, a small picture takes minutes."""
HALF_A_POST = (
    "POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n{key}"
    'Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; name="content"'
).format


@pytest.fixture(scope="module", autouse=True)
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module", params=[False, True], ids=["without keys", "with keys"])
def server(request, tmp_path_factory):
    """A server, and the headers of an honest client."""
    data = tmp_path_factory.mktemp("service")
    flags = ["--workers", "0", *(["--auth", "--host", "0.0.0.0"] if request.param else [])]
    with running_server(data, *flags) as client:
        if request.param:
            client.headers = key_for(data, "honest")
        assert send(client).status_code == 202
        yield client


def key_for(data, tenant):
    command = [sys.executable, "-m", "impasto", "keys", "create", tenant, "--data-dir", data]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {"Authorization": f"Bearer {made}"}


def picture(side=64):
    file = io.BytesIO()
    Image.effect_noise((side, side), 100).convert("RGB").save(file, "png")
    return file.getvalue()


def send(client, content=None, **fields):
    return client.post("/v1/jobs", files={"content": content or picture()}, data={"style": "great-wave", **fields})


def memory(client):
    """Resident bytes of the process that answers."""
    port = client.base_url.port
    listening = next(
        each for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port == port
    )
    return psutil.Process(listening.pid).memory_info().rss


def assert_well(client):
    started = time.perf_counter()
    with httpx.Client(
        base_url=client.base_url, headers=client.headers, timeout=ANSWERED_WITHIN
    ) as other:  # a connection of its own
        # On a machine that computes other things, the first answers may be 503 with Retry-After.
        wait_for(lambda: send(other).status_code == 202, seconds=ANSWERED_WITHIN, what="an accepted job")
        assert other.get("/").status_code == 200
    assert time.perf_counter() - started < ANSWERED_WITHIN
    assert memory(client) < LARGEST_MEMORY


def connect(client, begin=b"", source="127.0.0.1", **options):
    made = socket.create_connection(("127.0.0.1", client.base_url.port), source_address=(source, 0))
    for option, value in options.items():
        made.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
    made.sendall(begin)
    return made


def is_closed(connection):
    connection.setblocking(False)
    try:
        while data := connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return not data


def half_a_post(client, key=""):
    return HALF_A_POST(host=f"127.0.0.1:{client.base_url.port}", key=key).encode()


def test_unfinished_requests(server):
    """More than one address may have: some are closed because of their number, the others because of their time."""
    kinds = [b"GET / HTTP/1.1\r\nHost: a", half_a_post(server, key_line(server)), half_a_post(server), b""]
    with ExitStack() as held:
        stalled = [held.enter_context(connect(server, kinds[number % len(kinds)])) for number in range(2200)]
        assert_well(server)
        wait_for(lambda: all(map(is_closed, stalled)), seconds=DROPPED_WITHIN, what="the end of the stalled ones")
        assert_well(server)


def test_unfinished_requests_from_many_addresses(server):
    with ExitStack() as held:
        for number in range(2000):
            source = f"127.0.{1 + number % 200}.1"
            held.enter_context(connect(server, half_a_post(server), source))
        assert_well(server)


def test_bodies_that_trickle(server):
    with ExitStack() as held:
        slow = [held.enter_context(connect(server, half_a_post(server, key_line(server)))) for _ in range(300)]
        assert_well(server)

        def all_dropped():
            for each in slow:
                try:
                    each.setblocking(False)
                    each.send(b"a")
                except OSError:
                    continue
            return all(map(is_closed, slow))

        wait_for(all_dropped, seconds=DROPPED_WITHIN, what="the end of the slow ones")


def key_line(client):
    key = client.headers.get("Authorization")
    return f"Authorization: {key}\r\n" if key else ""


@pytest.mark.parametrize("kind", ["one header", "many headers", "long path", "trailers", "chunk extension"])
def test_endless_heads(server, kind):
    start = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{server.base_url.port}\r\n{key_line(server)}"
    chunked = f"{start}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    begin, block = {
        "one header": (f"{start}X-A: ", "a" * (1 << 16)),
        "many headers": (start, "".join(f"X-{number}: {'a' * 50}\r\n" for number in range(1000))),
        "long path": ("GET /", "a" * (1 << 16)),
        "trailers": (f"{chunked}0\r\nX-A: ", "a" * (1 << 16)),
        "chunk extension": (f"{chunked}1;a=", "a" * (1 << 16)),
    }[kind]
    with connect(server, begin.encode()) as endless:
        with pytest.raises(OSError):
            for _ in range(400 << 4):
                endless.sendall(block.encode())
        assert_well(server)


def test_a_head_that_is_too_large_is_told_so(server):
    for headers in ({"X-A": "a" * 40_000}, {f"X-{number}": "a" for number in range(120)}):
        refused = server.get("/healthz", headers=headers)
        assert refused.status_code == 431 and refused.json()["code"] == "head_too_large"
    assert server.get("/healthz", headers={"X-A": "a" * 20_000}).status_code == 200


def test_requests_without_a_key_are_refused_before_their_body(server):
    if not key_line(server):
        pytest.skip("this server asks for no keys")
    with connect(server, half_a_post(server)) as sender:
        assert sender.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_readers_that_do_not_read(tmp_path):
    with running_server(tmp_path) as server:
        job = send(server, picture(700), size="700", engine="fast", format="png").json()["id"]

        def painted():
            body = server.get(f"/v1/jobs/{job}").json()
            return body if body["result"] else None

        done = wait_for(painted, seconds=PAINTED_WITHIN, what="a result")
        whole = server.get(done["result"])
        assert len(whole.content) > 1 << 20
        ask = f"GET {{}} HTTP/1.1\r\nHost: 127.0.0.1:{server.base_url.port}\r\n\r\n"
        with ExitStack() as held:
            begin = ask.format(done["result"]).encode()
            slow = [held.enter_context(connect(server, begin, SO_RCVBUF=4096)) for _ in range(100)]
            slow += [held.enter_context(connect(server, begin * 8, SO_RCVBUF=4096)) for _ in range(20)]
            slow += [
                held.enter_context(connect(server, ask.format("/openapi.json").encode(), SO_RCVBUF=4096))
                for _ in range(100)
            ]
            assert_well(server)
            wait_for(lambda: all(map(is_reset, slow)), seconds=DROPPED_WITHIN, what="the end of those who do not read")
            assert_well(server)
        assert server.get(done["result"]).content == whole.content


def test_requests_sent_at_once_end_with_their_connection(server):
    """The first of two is answered without end, and the second waits for it."""
    job = send(server).json()["id"]
    ask = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1:{server.base_url.port}\r\n{key_line(server)}\r\n"
    with connect(server, ask.encode() * 2) as peer:
        assert peer.recv(1000).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: "impasto_event_streams 1.0" in server.get("/metrics").text, what="a stream")
    ended = "impasto_event_streams 0.0"
    wait_for(lambda: ended in server.get("/metrics").text, seconds=ANSWERED_WITHIN, what="the end of the stream")


def is_reset(connection):
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP)
    return bool(poller.poll(0))


def test_one_key_does_not_hold_up_another(tmp_path):
    """Ten pictures that take long to decode, of one key, and a POST of another."""
    with running_server(tmp_path, "--workers", "0", "--auth") as server:
        greedy = key_for(tmp_path, "greedy")
        server.headers = key_for(tmp_path, "honest")
        assert send(server).status_code == 202
        file = io.BytesIO()
        Image.new("RGB", (6000, 6000)).save(file, "png")
        slow = {"files": {"content": file.getvalue()}, "data": {"style": "great-wave", "size": "64"}}
        with ThreadPoolExecutor(10) as people:
            asked = [
                people.submit(httpx.post, f"{server.base_url}/v1/jobs", headers=greedy, timeout=120, **slow)
                for _ in range(10)
            ]
            for _ in range(3):
                assert_well(server)
            answers = [each.result().status_code for each in asked]
            assert set(answers) <= {202, 503}, answers
