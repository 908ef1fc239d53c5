"""Hints about jobs through Celery and Redis, for workers on any number of machines.

Redis holds hints only, so it may be flushed or killed. A lost hint is sent again. A duplicate hint has no effect, as
the job is already claimed.
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
"""Seconds between two checks of the queues."""
_LEASE = 10.0
_AGAIN_AFTER = 10.0
_PER_SLOT, _SMALLEST_WINDOW = 4, 16
_EPOCH = "impasto:epoch"
_SOCKET_SECONDS, _CONNECT_SECONDS = 5, 2


def celery_app(broker: str) -> Celery:
    """Make the Celery application for ``broker``, such as 'redis://host:6379/0'."""
    app = Celery("impasto", broker=broker)
    app.conf.update(
        # These only prevent a busy worker from holding hints back from others. Correctness does not depend on them.
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
    """Call ``run`` with the job id of every hint. Call ``on_stop`` when the process is asked to end."""

    def stop(**_: object) -> None:
        on_stop()

    def keep_logging(**_: object) -> None:
        """Keep the logging as it is set up. If this signal has a receiver, Celery does not set log levels."""

    worker_shutting_down.connect(stop, weak=False)
    setup_logging.connect(keep_logging, weak=False)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def hinted(job_id: str) -> None:
        run(job_id)

    app.worker_main(
        [
            "--quiet",  # no banner
            "worker",
            "--pool=threads",  # painting runs in a child process
            "--concurrency=1",
            f"--queues={','.join(queues)}",
            "--without-mingle",
            "--without-gossip",
        ]
    )


class Dispatcher:
    """Sends hints about the next jobs. Only one process at a time does so."""

    def __init__(self, hints: Hints, upkeep: Upkeep, broker: str, name: str, slots: int) -> None:
        """Send hints about jobs in ``hints`` to ``broker``; ``slots`` is the number of workers on all machines."""
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
        """Send the hints that are due; return their number.

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
        except Exception as error:  # any error of Celery, kombu or redis; unsent hints are sent later
            _log.warning("a hint cannot be sent: %s", type(error).__name__)
            self._hints.untold([job_id for job_id, _ in due[sent:]])
        return sent

    def _check_epoch(self) -> None:
        """Mark all hints as unsent if Redis has lost its data or this process has just become the dispatcher."""
        known = self._redis.get(_EPOCH)
        if known is None:
            self._redis.set(_EPOCH, secrets.token_hex(8), nx=True)
            known = self._redis.get(_EPOCH)
        if known != self._epoch:
            self._hints.untold()
            self._epoch = known  # type: ignore[assignment]

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()
        self._app.close()
