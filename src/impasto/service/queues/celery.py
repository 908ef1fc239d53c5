"""Celery and Redis tell workers on any number of machines about jobs. They hold hints, and nothing that matters.

A hint that is lost is sent again, and one that comes twice finds the job taken: Redis may be flushed or killed.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down
from redis import Redis
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.service.ports import Hints, Upkeep

_log = logging.getLogger(__name__)

TASK = "impasto.run"
EVERY = 0.3
"""Seconds between two looks at the queue."""
_LEASE = 10.0
_AGAIN_AFTER = 10.0
_PER_SLOT, _SMALLEST_WINDOW = 4, 16
_EPOCH = "impasto:epoch"
_SOCKET_SECONDS, _CONNECT_SECONDS = 5, 2


def celery_app(broker: str) -> Celery:
    """Make the Celery application for ``broker``, such as 'redis://host:6379/0'."""
    app = Celery("impasto", broker=broker)
    app.conf.update(
        # Only so that a busy worker keeps no hints from the others; nothing depends on them.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        task_create_missing_queues=True,
        worker_soft_shutdown_timeout=30,
        broker_transport_options={
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": _CONNECT_SECONDS,
            "socket_keepalive": True,
        },
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
    )
    return app


def consume(app: Celery, queues: Sequence[str], run: Callable[[str], None], on_stop: Callable[[], None]) -> None:
    """Call ``run`` with the id of every job that a hint names, until the process is asked to end: then ``on_stop``."""

    def stop(**_: object) -> None:
        on_stop()

    def keep_logging(**_: object) -> None:
        """Leave it as it is set up: where this is connected, Celery does not set the level of all to its own."""

    worker_shutting_down.connect(stop, weak=False)
    setup_logging.connect(keep_logging, weak=False)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def hinted(job_id: str) -> None:
        run(job_id)

    app.worker_main(
        [
            "--quiet",  # no banner
            "worker",
            "--pool=threads",  # the work is done by a child process of its own
            "--concurrency=1",
            f"--queues={','.join(queues)}",
            "--without-mingle",
            "--without-gossip",
        ]
    )


class Dispatcher:
    """Sends hints about the jobs that come next; of all processes, one does."""

    def __init__(self, hints: Hints, upkeep: Upkeep, broker: str, name: str, slots: int) -> None:
        """Send hints about jobs in ``hints`` to ``broker``, for so many ``slots`` of all workers."""
        self._hints = hints
        self._upkeep = upkeep
        self._name = name
        self._window = max(_SMALLEST_WINDOW, _PER_SLOT * slots)
        self._app = celery_app(broker)
        self._redis = Redis.from_url(
            broker, socket_timeout=_SOCKET_SECONDS, socket_connect_timeout=_CONNECT_SECONDS, protocol=2
        )
        self._epoch: bytes | None = None

    def dispatch(self) -> int:
        """Send what is due; return how many hints.

        Raises:
            StorageError: the job table cannot be reached.
        """
        if not self._upkeep.lead("dispatcher", self._name, _LEASE):
            self._epoch = None
            return 0
        try:
            self._check_epoch()
        except RedisError as error:
            _log.warning("Redis cannot be reached: %s", type(error).__name__)
            return 0
        due = self._hints.due(self._window, _AGAIN_AFTER)
        sent = 0
        try:
            for job_id, queue in due:
                self._app.send_task(TASK, [job_id], queue=queue, retry=False, ignore_result=True)
                sent += 1
        except Exception as error:  # whatever Celery, kombu or redis raise: what was not sent is sent another time
            _log.warning("a hint cannot be sent: %s", type(error).__name__)
            self._hints.untold([job_id for job_id, _ in due[sent:]])
        return sent

    def _check_epoch(self) -> None:
        """Find out whether Redis has forgotten what it was told."""
        known = self._redis.get(_EPOCH)
        if known is None:
            self._redis.set(_EPOCH, secrets.token_hex(8), nx=True)
            known = self._redis.get(_EPOCH)
        if known != self._epoch:
            self._hints.untold()
            self._epoch = known  # type: ignore[assignment]

    def close(self) -> None:
        """Let go of all connections."""
        self._redis.close()
        self._app.close()
