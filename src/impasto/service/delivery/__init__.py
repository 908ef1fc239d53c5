"""Delivery of the messages in the outbox. A message may be sent more than once, but always with the same id."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Protocol

from impasto.errors import BlobMissingError
from impasto.service.logs import about
from impasto.service.retry import MESSAGE_LEASE, message_delay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.service.blobs import BlobStore
    from impasto.service.jobs import Channel, Delivery
    from impasto.service.stores.outbox import SQLOutbox

_log = logging.getLogger(__name__)


class NotDeliveredError(Exception):
    """A message could not be delivered.

    Attributes:
        kind: short reason, such as a status, that is safe to log.
        permanent: whether further attempts are useless.
    """

    def __init__(self, kind: str, words: str, *, permanent: bool = False) -> None:
        """Describe the reason in ``words``, which may contain the address of the recipient."""
        super().__init__(f"{kind}: {words}"[:300])
        self.kind, self.permanent = kind, permanent


class Sender(Protocol):
    """A way to send messages."""

    def send(self, delivery: Delivery, picture: bytes | None) -> None:
        """Send a message; ``picture`` is the result, if there is one.

        Raises:
            NotDeliveredError: the message could not be delivered.
        """


class Courier:
    """Takes messages from the outbox, and sends them."""

    def __init__(self, outbox: SQLOutbox, blobs: BlobStore, senders: Mapping[Channel, Sender], name: str) -> None:
        """Send messages with ``senders``; ``name`` is unique among all couriers."""
        self._outbox = outbox
        self._blobs = blobs
        self._senders = senders
        self._name = name

    def send_one(self) -> bool:
        """Send one message; return whether there was one to be sent.

        Raises:
            StorageError: the outbox or the picture store cannot be reached.
        """
        delivery = self._outbox.next(self._name, MESSAGE_LEASE)
        if delivery is None:
            return False
        with about(job=delivery.job.id):
            self._send(delivery)
        return True

    def _send(self, delivery: Delivery) -> None:
        sender = self._senders.get(delivery.channel)
        if sender is None:
            reason = f"no {delivery.channel} is set up"
            self._outbox.refused(delivery, self._name, reason, again_in=message_delay(delivery.attempt))
            return
        picture = self._picture(delivery)
        try:
            sender.send(delivery, picture)
        except NotDeliveredError as error:
            self._refused(delivery, error)
        except Exception as error:  # a bug must not cause endless attempts
            _log.exception("%s", delivery.channel)
            self._refused(delivery, NotDeliveredError(type(error).__name__, "something went wrong in the service"))
        else:
            self._outbox.delivered(delivery, self._name)
            _log.info("%s is delivered", delivery.channel)

    def _refused(self, delivery: Delivery, error: NotDeliveredError) -> None:
        again_in = None if error.permanent else message_delay(delivery.attempt)
        _log.warning("%s is not delivered, attempt %d: %s", delivery.channel, delivery.attempt, error.kind)
        self._outbox.refused(delivery, self._name, str(error), again_in=again_in)

    def _picture(self, delivery: Delivery) -> bytes | None:
        job = delivery.job
        if job.result_key is None:
            return None
        try:
            data = self._blobs.get(job.result_key)
        except BlobMissingError:
            return None
        if hashlib.sha256(data).hexdigest() != job.result_sha256:
            _log.error("the result is damaged in the store; it is not attached")
            return None
        return data
