"""Webhooks to a real HTTPS server, and addresses that nobody should be made to call."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from impasto.errors import StorageError, UsageError
from impasto.service.delivery.webhook import WebhookSender, check_url, is_public, sign
from impasto.service.jobs import Channel

SECRET = "a secret of enough letters"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The one in the example of the standard."""


class Target:
    """A server that keeps what it is told, and answers as it is told to."""

    def __init__(self, authority):
        self.requests, self.status, self.headers, self.body = [], 200, {}, b""
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.requests.append((self.path, dict(self.headers), body))
                self.send_response(target.status)
                for name, value in {**target.headers, "Content-Length": str(len(target.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(target.body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]
        self.url = f"https://localhost:{self.port}/hook?a=b"


@pytest.fixture
def target(authority):
    made = Target(authority)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def post(office):
    return office(webhook_secret=SECRET, webhook_private=True)


@pytest.mark.parametrize(("secret", "key"), [(SECRET, SECRET.encode()), (STANDARD_SECRET, STANDARD_SECRET)])
def test_what_is_sent(office, target, secret, key):
    post = office(webhook_secret=secret, webhook_private=True)
    job = post.end("webhook", target.url)
    post.courier().send_one()
    assert post.state() == [("delivered", 1, None)]
    ((path, headers, body),) = target.requests
    assert path == "/hook?a=b" and headers["webhook-id"] == f"{job}.1.webhook"
    told = Webhook(key).verify(body, headers)
    assert told["type"] == "job.succeeded" and told["data"]["id"] == job
    assert told["data"]["result"].startswith(f"https://paint.example.org/v1/jobs/{job}/result?until=")


def test_a_failure(post, target):
    post.end("webhook", target.url, fails=True)
    post.courier().send_one()
    told = json.loads(target.requests[0][2])
    assert told["type"] == "job.failed" and told["data"]["error"]["code"] == "bad_image"


@pytest.mark.parametrize(("status", "state"), [(500, "pending"), (404, "pending"), (410, "failed"), (302, "pending")])
def test_refusals(post, target, status, state):
    target.status, target.headers = status, {"Location": f"https://localhost:{target.port}/elsewhere"}
    post.end("webhook", target.url)
    post.courier().send_one()
    assert post.state()[0][0] == state and len(target.requests) == 1, "no redirection is followed"
    assert str(status) in post.state()[0][2]


def test_the_signature_of_the_standard():
    found = sign(STANDARD_SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_another_secret_does_not_verify(post, target):
    post.end("webhook", target.url)
    post.courier().send_one()
    ((_, headers, body),) = target.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(STANDARD_SECRET).verify(body, headers)


def test_a_certificate_of_somebody_else(post, target):
    post.end("webhook", target.url.replace("localhost", "127.0.0.1"))
    post.courier().send_one()
    assert post.state()[0][0] == "pending" and "certificate" in post.state()[0][2].lower()


def impatient(post, seconds):
    return post.courier(senders={Channel.WEBHOOK: post.sender(WebhookSender, seconds=seconds)})


def test_a_server_that_says_nothing(post):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        post.end("webhook", f"https://localhost:{silent.getsockname()[1]}/")
        impatient(post, 0.3).send_one()
    assert post.state()[0][0] == "pending"


def test_a_server_that_answers_byte_by_byte(post, authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    told = Event()

    def drip(server):
        connection, _ = server.accept()
        with context.wrap_socket(connection, server_side=True) as line, suppress(OSError):
            while not told.wait(0.1):  # never so long that a single read would be over
                line.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = Thread(target=drip, args=(server,), daemon=True)
        dripping.start()
        post.end("webhook", f"https://localhost:{server.getsockname()[1]}/")
        try:
            impatient(post, 1.0).send_one()
        finally:
            told.set()
            dripping.join()
    assert post.state()[0][:2] == ("pending", 1)


def test_what_nobody_thought_of_counts_as_an_attempt(post, caplog):
    class Broken:
        def send(self, *_):
            raise RuntimeError("no sender should do this")

    post.end("webhook", "https://example.org/")
    post.courier(senders={Channel.WEBHOOK: Broken()}).send_one()
    assert post.state() == [("pending", 1, "RuntimeError: something went wrong in the service")]
    assert "no sender should do this" in caplog.text, "whoever runs the service can find out"


def test_a_host_whose_first_address_does_not_answer(post, target, monkeypatch):
    find = socket.getaddrinfo

    def found(host, port, *arguments, **options):
        hosts = ("127.0.0.9", "127.0.0.1") if host == "localhost" else (host,)
        return [entry for each in hosts for entry in find(each, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    post.end("webhook", target.url)
    post.courier().send_one()
    assert post.state() == [("delivered", 1, None)] and len(target.requests) == 1


def test_addresses_are_tried_in_turn_of_their_families(post, target, monkeypatch):
    find = socket.getaddrinfo

    def found(host, port, *arguments, **options):
        hosts = ["::2", "::3", "::4", "::5", "127.0.0.1"] if host == "localhost" else [host]
        return [entry for each in hosts for entry in find(each, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    post.end("webhook", target.url)
    post.courier().send_one()
    assert post.state() == [("delivered", 1, None)] and len(target.requests) == 1


def test_plain_addresses_where_private_ones_are_allowed(office):
    with pytest.raises(UsageError, match="must be an https:// URL with a host and without a user"):
        check_url("http://localhost/hook")
    assert check_url("http://localhost/hook", plain=True)
    seen = []

    class Plain(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.headers["Host"], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        made = office(webhook_secret=SECRET, webhook_private=True)
        job = made.end("webhook", f"http://localhost:{server.server_port}/hook")
        assert made.courier().send_one() and made.state()[0][0] == "delivered"
        server.shutdown()
    assert seen[0][0] == f"localhost:{server.server_port}" and seen[0][1]["data"]["id"] == job


def test_hosts_inside_are_not_called(office, target):
    guarded = office(webhook_secret=SECRET)
    guarded.end("webhook", target.url)
    guarded.courier().send_one()
    assert (
        guarded.state() == [("failed", 1, "private address: localhost is not on the public internet")]
        and not target.requests
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "ff02::1",
        "::ffff:10.0.0.1", "::10.0.0.1", "2002:0a00:0001::1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1",
        "2001:0000:4136:e378:8000:63bf:f5ff:fffe", "2606:4700::5efe:10.0.0.1", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "https://", "https:///path", "ftp://example.org", "https://a:b@example.org/",
        "example.org",
        "https://example.org:99999/", "https://exa mple.org/\r\nX: y", "https://[::1",
        "https://example.org/" + "a" * 2000, "https://a..b/", f"https://{'a' * 64}.org/",
    ],
)  # fmt: skip
def test_urls_that_are_not_told(url):
    with pytest.raises(UsageError, match="https://"):
        check_url(url)


def test_urls_that_are():
    assert check_url("https://example.org:8443/hook?x=1") == "https://example.org:8443/hook?x=1"


def test_a_machine_whose_clock_is_wrong_and_whose_store_is_away_sends_webhooks(office, target, monkeypatch):
    """The receiver refuses those whose time is wrong by five minutes; and the picture is not a part of them."""
    post = office(webhook_secret=SECRET, webhook_private=True)
    job = post.end("webhook", target.url)
    with post.parts.database.read() as (_, now):
        pass

    def get(_):
        raise StorageError("the store cannot be reached; try again")

    monkeypatch.setattr(post.parts.blobs, "get", get)
    monkeypatch.setattr(post.parts.database, "_clock", lambda: now + 7200.0)
    assert post.courier().send_one() and post.state() == [("delivered", 1, None)]
    ((_, headers, _),) = target.requests
    assert headers["webhook-id"] == f"{job}.1.webhook" and float(headers["webhook-timestamp"]) == int(now + 7200.0)
