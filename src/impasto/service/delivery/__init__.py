"""Delivery of the messages in the outbox. A message may be sent more than once, but always with the same id."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING, Protocol

from impasto.errors import BlobMissingError, StorageError
from impasto.service.logs import about
from impasto.service.retry import MESSAGE_LEASE, message_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from impasto.service.blobs import BlobStore
    from impasto.service.jobs import Channel, Delivery
    from impasto.service.stores.outbox import SQLOutbox

_log = logging.getLogger(__name__)

_RECORDED_EVERY = 1.0
_PAUSE = 30.0
"""Seconds without messages of any channel after the picture store could not be reached."""


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

    def send(self, delivery: Delivery, picture: Callable[[], bytes | None]) -> None:
        """Send a message; ``picture()`` is the result, if there is one.

        Raises:
            NotDeliveredError: the message could not be delivered.
            StorageError: the picture store cannot be reached.
        """


class Courier:
    """Takes messages from the outbox, and sends them."""

    def __init__(
        self, outbox: SQLOutbox, blobs: BlobStore, senders: Mapping[Channel, Sender], name: str, stop: Event
    ) -> None:
        """Send messages with ``senders`` until ``stop`` is set; ``name`` is unique among all couriers."""
        self._outbox = outbox
        self._blobs = blobs
        self._senders = senders
        self._name = name
        self._stop = stop
        self._paused_until = float("-inf")

    def next(self) -> Delivery | None:
        """Take a message that has to be sent; None if there is none.

        For a while after the picture store could not be reached, it is None even if messages wait, also webhooks.

        Raises:
            StorageError: the outbox cannot be reached.
        """
        return None if time.monotonic() < self._paused_until else self._outbox.next(self._name, MESSAGE_LEASE)

    def send(self, delivery: Delivery) -> None:
        """Send a message, and record the outcome.

        Raises:
            StorageError: the outbox cannot be reached.
        """
        with about(job=delivery.job.id):
            self._send(delivery)

    def _send(self, delivery: Delivery) -> None:
        sender = self._senders.get(delivery.channel)
        if sender is None:
            reason = f"no {delivery.channel} is set up"
            self._record(
                lambda: self._outbox.refused(delivery, self._name, reason, again_in=message_delay(delivery.attempt))
            )
            return
        try:
            sender.send(delivery, lambda: self._picture(delivery))
        except NotDeliveredError as error:
            self._refused(delivery, error)
        except StorageError as error:  # perhaps only on this machine, so that another one can send the message
            self._paused_until = time.monotonic() + _PAUSE
            self._refused(delivery, NotDeliveredError(error.code, str(error)))
        except Exception as error:  # a bug must not cause endless attempts
            _log.exception("%s", delivery.channel)
            self._refused(delivery, NotDeliveredError(type(error).__name__, "something went wrong in the service"))
        else:
            self._record(lambda: self._outbox.delivered(delivery, self._name))
            _log.info("%s is delivered", delivery.channel)

    def _refused(self, delivery: Delivery, error: NotDeliveredError) -> None:
        again_in = None if error.permanent else message_delay(delivery.attempt)
        _log.warning("%s is not delivered, attempt %d: %s", delivery.channel, delivery.attempt, error.kind)
        self._record(lambda: self._outbox.refused(delivery, self._name, str(error), again_in=again_in))

    def _record(self, outcome: Callable[[], bool]) -> None:
        """Record an outcome. Retries until the lease ends.

        An unrecorded message blocks others of its tenant and is sent again.
        """
        until = time.monotonic() + MESSAGE_LEASE
        while True:
            try:
                outcome()
                return
            except StorageError:
                if time.monotonic() > until or self._stop.wait(_RECORDED_EVERY):
                    raise

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
