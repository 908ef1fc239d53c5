"""E-mail through a real SMTP server that fails in every way."""

from __future__ import annotations

import email
import ssl
from email.policy import default

import pytest
from aiosmtpd.controller import Controller

from impasto.errors import StorageError
from impasto.service.delivery.email import EmailSender
from impasto.service.jobs import Channel
from service.servers import free_port


class Postbox:
    """Keeps what arrives; says what it is told to say."""

    def __init__(self):
        self.messages = []
        self.to_recipient = self.to_message = "250 OK"
        self.drops = self.hangs = False

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - the library's name
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.messages.append(email.message_from_bytes(envelope.content, policy=default))
        if self.drops:
            server.transport.abort()
        if self.hangs:
            import asyncio

            await asyncio.sleep(3)
        return self.to_message


@pytest.fixture
def postbox():
    return Postbox()


@pytest.fixture
def server(postbox):
    controller = Controller(postbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def post(office, server):
    return office(smtp_host="127.0.0.1", smtp_port=server.port, smtp_starttls=False)


def test_a_result(post, postbox):
    job = post.end("email", "a@example.org")
    assert post.courier().send_one() and not post.courier().send_one()
    (message,) = postbox.messages
    assert (message["To"], message["Subject"]) == ("a@example.org", "Your picture is painted")
    assert message["Message-ID"] == f"<{job}.1.email@paint.example.org>"
    text = message.get_body("plain").get_content()
    assert f"https://paint.example.org/v1/jobs/{job}/result?until=" in text.replace("=\n", "")
    assert "<a href=" in message.get_body("html").get_content()
    (attachment,) = message.iter_attachments()
    assert (attachment.get_content_type(), attachment.get_content()) == ("image/png", b"x" * 1000)
    assert post.state() == [("delivered", 1, None)]


def test_a_large_result_is_a_link(post, postbox):
    post.end("email", "a@example.org", size=6 << 20)
    post.courier().send_one()
    assert not list(postbox.messages[0].iter_attachments())
    assert "It is here" in postbox.messages[0].get_body("plain").get_content()


def test_a_failure(post, postbox):
    post.end("email", "a@example.org", fails=True)
    post.courier().send_one()
    (message,) = postbox.messages
    assert message["Subject"] == "Your picture could not be painted"
    assert "&lt;broken&gt;" in message.get_body("html").get_content()


@pytest.mark.parametrize("what", ["to_recipient", "to_message"])
@pytest.mark.parametrize(
    ("says", "ends"), [("421 closing", "pending"), ("451 later", "pending"), ("550 no such user", "failed")]
)
def test_a_server_that_says_no(post, postbox, what, says, ends):
    post.end("email", "a@example.org")
    setattr(postbox, what, says)
    post.courier().send_one()
    ((state, attempt, error),) = post.state()
    assert (state, attempt) == (ends, 1) and says[:3] in error


def test_logs_hold_no_words_of_a_mail_server(post, postbox, caplog):
    post.end("email", "a@example.org")
    postbox.to_recipient = "550 <a@example.org> is unknown here"
    with caplog.at_level("INFO"):
        post.courier().send_one()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("impasto")]
    assert ours == ["email is not delivered, attempt 1: 550"]
    assert "unknown here" in post.state()[0][2], "whoever runs the service finds them in the table"


def test_a_connection_that_is_lost_after_the_message(post, postbox):
    post.end("email", "a@example.org")
    postbox.drops = True
    post.courier().send_one()
    assert post.state()[0][0] == "pending"
    postbox.drops = False
    post.due()
    post.courier().send_one()
    assert len({message["Message-ID"] for message in postbox.messages}) == 1 and len(postbox.messages) == 2
    assert post.state() == [("delivered", 2, None)]


def test_a_server_that_hangs(post, postbox):
    post.end("email", "a@example.org")
    postbox.hangs = True
    post.courier(senders={Channel.EMAIL: post.sender(EmailSender, seconds=0.5)}).send_one()
    assert post.state()[0][0] == "pending"


def test_a_server_that_is_not_there(office):
    post = office(smtp_host="127.0.0.1", smtp_port=free_port(), smtp_starttls=False)
    post.end("email", "a@example.org")
    for _ in range(8):
        assert post.courier().send_one()
        post.due()
    assert not post.courier().send_one()
    assert post.state()[0][:2] == ("failed", 8)


@pytest.mark.parametrize(("host", "state"), [("localhost", "delivered"), ("127.0.0.1", "pending")])
def test_an_encrypted_connection_to_the_right_host(office, postbox, authority, host, state):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    controller = Controller(postbox, hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True)
    controller.start()
    try:
        post = office(smtp_host=host, smtp_port=controller.port)
        post.end("email", "a@example.org")
        post.courier().send_one()
        assert post.state()[0][0] == state
    finally:
        controller.stop()


def test_without_a_server(office):
    post = office()
    post.end("email", "a@example.org")
    post.courier().send_one()
    assert post.state() == [("pending", 1, "no email is set up")]


def test_a_machine_that_cannot_reach_the_pictures_leaves_messages_to_others(post, postbox, monkeypatch):
    jobs = [post.end("email", "a@example.org") for _ in range(2)]
    cut_off, other = post.courier("cut off"), post.courier("other")

    def get(_):
        raise StorageError("the store cannot be reached; try again")

    with monkeypatch.context() as away:
        away.setattr(post.parts.blobs, "get", get)
        assert cut_off.send_one() and not cut_off.send_one()
    assert [state[:2] for state in post.state()] == [("pending", 1), ("pending", 0)], "nothing is held"
    post.due()
    assert other.send_one() and other.send_one() and not cut_off.send_one()
    assert {message["Message-ID"] for message in postbox.messages} == {
        f"<{job}.1.email@paint.example.org>" for job in jobs
    }


def test_what_was_sent_is_recorded_when_the_outbox_is_reached_again(post, postbox, monkeypatch):
    monkeypatch.setattr("impasto.service.delivery._RECORDED_EVERY", 0.0)
    post.end("email", "a@example.org")
    delivered, times = post.parts.outbox.delivered, iter(range(3))

    def away(*arguments):
        if next(times, None) is not None:
            raise StorageError("the job table cannot be reached; try again")
        return delivered(*arguments)

    courier = post.courier()
    monkeypatch.setattr(post.parts.outbox, "delivered", away)
    assert courier.send_one() and post.state() == [("delivered", 1, None)] and len(postbox.messages) == 1
