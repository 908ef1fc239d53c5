"""Jobs that have ended, and certificates that the tests trust."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from threading import Event

import pytest
import trustme

from impasto.service import wiring
from impasto.service.delivery import Courier
from impasto.service.jobs import Channel, NewJob
from impasto.service.settings import Settings
from impasto.service.signing import Signer


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate authority that this process trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


class OneByOne(Courier):
    def send_one(self):
        """Send the next message; return whether there was one."""
        delivery = self.next()
        if delivery is not None:
            self.send(delivery)
        return delivery is not None


@dataclass
class Office:
    """Everything that a message passes through."""

    parts: wiring.Parts

    def end(self, channel, destination, *, fails=False, size=1000):
        """Let a job end that has to be told about; return its id."""
        new = NewJob(tenant="one", params={}, request_sha256="0" * 64, notify={Channel(channel): destination})
        self.parts.submissions.submit(new)
        job = self.parts.claims.claim("worker", ["cpu"], 10)
        assert job.id == new.id
        if fails:
            assert self.parts.claims.fail(job, "bad_image", "the picture is <broken>")
        else:
            key = f"results/{job.id}/1.png"
            self.parts.blobs.put(key, b"x" * size)
            assert self.parts.claims.finish(job, key, hashlib.sha256(b"x" * size).hexdigest())
        return job.id

    def courier(self, name="courier", senders=None):
        senders = senders or wiring.senders(self.parts.settings)
        return OneByOne(self.parts.outbox, self.parts.blobs, senders, name, Event())

    def sender(self, kind, *, seconds):
        """A sender that gives up after ``seconds``."""
        return kind(self.parts.settings, Signer.of(self.parts.settings), seconds)

    def state(self):
        """What the table says about all messages: state, attempts, error."""
        with self.parts.database.read() as (connection, _):
            return [tuple(row) for row in connection.exec_driver_sql("SELECT state, attempt, error FROM outbox")]

    def due(self):
        """Let all waiting messages be due now."""
        with self.parts.database.begin() as (connection, _):
            connection.exec_driver_sql("UPDATE outbox SET not_before = 0")


@pytest.fixture
def office(tmp_path):
    made = []

    def make(**settings):
        chosen = Settings(data_dir=tmp_path / "data", base_url="https://paint.example.org", **settings)
        made.append(wiring.build(chosen))
        return Office(made[-1])

    yield make
    for parts in made:
        with closing(parts):
            pass
