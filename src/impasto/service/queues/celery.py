"""Hints about jobs through Celery and Redis, for workers on any number of machines.

Redis holds hints only, so it may be flushed or killed. A lost hint is sent again. A duplicate hint has no effect, as
the job is already claimed.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

from celery import Celery
from celery.platforms import EX_OK
from celery.signals import setup_logging, worker_shutting_down
from celery.worker import state
from redis import Redis
from redis.exceptions import RedisError

from impasto.errors import StorageError, UsageError
from impasto.service.logs import log_errors

if TYPE_CHECKING:
    from threading import Event

    from impasto.service.queues import Take
    from impasto.service.stores.claims import SQLHints
    from impasto.service.stores.upkeep import SQLUpkeep
    from impasto.service.wiring import Parts

_log = logging.getLogger(__name__)

_TASK = "impasto.run"
_EVERY = 0.3
"""Seconds between two checks of the queues."""
_ENDS_WITHIN = 40.0
_LEASE = 10.0
_ASKED_EVERY = 2.0
"""Seconds between two attempts to become the dispatcher, which all other workers make."""
_AGAIN_AFTER = 10.0
_PER_SLOT, _SMALLEST_WINDOW = 4, 16
_EPOCH = "impasto:epoch"
_SOCKET_SECONDS, _CONNECT_SECONDS = 5, 2


class CeleryQueue:
    """Takes a job when its hint arrives, and sends hints to all workers if no other worker does so."""

    def __init__(self, parts: Parts, name: str) -> None:
        """Connect to the broker of the settings; ``name`` is the name of the worker.

        Raises:
            UsageError: the broker's address is invalid.
        """
        settings = parts.settings
        assert settings.broker is not None  # its scheme selected this queue
        self._queues = settings.queues
        self._broker = settings.broker
        self._dispatcher = Dispatcher(parts.hints, parts.upkeep, settings.broker, name, settings.slots)

    def consume(self, take: Take, stop: Event) -> None:
        """See `impasto.service.queues.JobQueue.consume`."""
        dispatching = Thread(target=self._dispatch, args=(stop,), name="dispatcher", daemon=True)
        dispatching.start()
        try:
            self._work(take, stop)
        finally:
            stop.set()
            dispatching.join(_ENDS_WITHIN)

    def _dispatch(self, stop: Event) -> None:
        with closing(self._dispatcher):
            pause = _EVERY
            while not stop.wait(pause):
                with log_errors("dispatcher"):
                    pause = _ASKED_EVERY if self._dispatcher.dispatch() is None else _EVERY
            # Celery's handler of SIGTERM sets this. If another thread has set ``stop``, it has to be set here.
            state.should_stop = EX_OK

    def _work(self, take: Take, stop: Event) -> None:
        def shutting_down(**_: object) -> None:
            stop.set()

        def keep_logging(**_: object) -> None:
            """Do nothing. If this signal has a receiver, Celery leaves the logging as it is set up."""

        app = _celery_app(self._broker)
        worker_shutting_down.connect(shutting_down, weak=False)
        setup_logging.connect(keep_logging, weak=False)

        @app.task(name=_TASK)  # type: ignore[untyped-decorator]
        def hinted(job_id: str) -> None:
            try:
                take(job_id)
            except StorageError as error:  # the hint is sent again
                _log.warning("%s", error)

        app.worker_main(
            [
                "--quiet",  # no banner
                "worker",
                "--pool=threads",  # painting runs in a child process
                "--concurrency=1",
                f"--queues={','.join(self._queues)}",
                "--without-mingle",
                "--without-gossip",
            ]
        )


class Dispatcher:
    """Sends hints about the next jobs. Only one process at a time does so."""

    def __init__(self, hints: SQLHints, upkeep: SQLUpkeep, broker: str, name: str, slots: int) -> None:
        """Send hints about jobs in ``hints`` to ``broker``; ``slots`` is the number of workers on all machines.

        Raises:
            UsageError: the address of ``broker`` is invalid.
        """
        self._hints = hints
        self._upkeep = upkeep
        self._name = name
        self._window = max(_SMALLEST_WINDOW, _PER_SLOT * slots)
        self._app = _celery_app(broker)
        try:
            self._redis = Redis.from_url(
                broker, socket_timeout=_SOCKET_SECONDS, socket_connect_timeout=_CONNECT_SECONDS, protocol=2
            )
        except ValueError:  # its text may contain a part of the password
            raise UsageError("setting broker is not a valid address; give one such as redis://host:6379/0") from None
        self._epoch: bytes | None = None
        self._away = False
        """True while the broker cannot be reached. The role is then left to a process that reaches it."""

    def dispatch(self) -> int | None:
        """Send the hints that are due; return their number, or None if another process sends them.

        Raises:
            StorageError: the job table cannot be reached.
        """
        try:
            if self._away:
                self._redis.ping()
                self._away = False
            if not self._upkeep.lead("dispatcher", self._name, _LEASE):
                self._epoch = None
                return None
            self._check_epoch()
        except RedisError as error:
            self._away = True
            _log.warning("Redis cannot be reached: %s", type(error).__name__)
            return 0
        due = self._hints.due(self._window, _AGAIN_AFTER)
        sent = 0
        try:
            for job_id, queue in due:
                self._app.send_task(_TASK, [job_id], queue=queue, retry=False, ignore_result=True)
                sent += 1
        except Exception as error:  # any error of Celery, kombu or redis; unsent hints are sent later
            self._away = True
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


def _celery_app(broker: str) -> Celery:
    """Make the Celery application for ``broker``, such as 'redis://host:6379/0'."""
    app = Celery("impasto", broker=broker)
    app.conf.update(
        # The first three keep a busy worker from holding back hints. Correctness does not depend on them.
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
