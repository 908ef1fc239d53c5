"""A worker claims jobs, has a child process paint them, and stores the results.

The worker itself never decodes a picture, and survives a crash of the child. If the worker is lost, the lease of its
job runs out and another worker takes the job.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import time
from contextlib import suppress
from itertools import islice
from threading import Lock, Thread
from typing import TYPE_CHECKING

from impasto.errors import BlobMissingError, ImpastoError, OutOfMemoryError, StorageError
from impasto.service.child import Child, ChildDiedError
from impasto.service.delivery import Courier
from impasto.service.jobs import Beat
from impasto.service.logs import about, log_errors
from impasto.service.painter import Failure, Painted, PaintTask, Progress, is_answer, serve, understand
from impasto.service.retry import STORAGE_ATTEMPTS, job_delay
from impasto.service.wiring import senders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from impasto.service.jobs import Job
    from impasto.service.wiring import Parts

_log = logging.getLogger(__name__)

_BEATS_PER_LEASE = 4
_SLOWEST_BEAT = 0.5
"""Longest time between heartbeats in seconds, so that cancelled jobs end soon, and previews come in time."""
_STOPS_WITHIN = 1.0
_UPKEEP_EVERY = 1.0
_EXPIRE_EVERY = 60.0
_CLEANING_LEASE, _CLEANING_PAUSE = 10.0, 30.0
_SWEEP_EVERY = 3600.0
"""Seconds between two searches for orphaned pictures, of all workers together: each lists the whole store."""
_STRANGE_AFTER = 24 * 3600.0
_AT_ONCE = 500
_MESSAGES_AT_ONCE = 6
_DELIVERY_ENDS_WITHIN = 40.0
_UNREACHABLE_DELAY = 1.0
_LONGEST_PAUSE = 3
"""A worker that cannot reach a store pauses no longer than a job does after so many attempts: 40 s on average."""


def work(parts: Parts, stop: Event) -> None:
    """Paint jobs, and share the upkeep of the job table with other workers, until ``stop`` is set."""
    worker = Worker(parts, stop)
    queue = parts.queue.load()(parts, worker.name)
    courier, turn = Courier(parts.outbox, parts.blobs, senders(parts.settings), worker.name, stop), Lock()
    beside = [
        Thread(target=_look_after, args=(parts, worker.name, stop), name="upkeep", daemon=True),
        Thread(target=_clean, args=(parts, worker.name, stop), name="cleaning", daemon=True),
        *(
            Thread(target=_deliver, args=(courier, turn, stop), name="delivery", daemon=True)
            for _ in range(_MESSAGES_AT_ONCE)
        ),
    ]
    for thread in beside:
        thread.start()
    try:
        queue.consume(worker.take, stop)
    finally:
        stop.set()
        worker.end()
    _join(beside)


def _join(threads: Sequence[Thread]) -> None:
    """Wait until these threads have ended, for no longer than `_DELIVERY_ENDS_WITHIN` in all."""
    until = time.monotonic() + _DELIVERY_ENDS_WITHIN
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _deliver(courier: Courier, turn: Lock, stop: Event) -> None:
    while not stop.is_set():
        delivery = None
        with turn:  # without messages, one thread of the worker looks for them: with many workers, polling adds up
            if stop.is_set():
                return
            with log_errors("delivery"):
                delivery = courier.next()
            if delivery is None:
                stop.wait(_UPKEEP_EVERY)
        if delivery is not None:
            with log_errors("delivery"):
                courier.send(delivery)


def _sweep_orphaned(parts: Parts, stop: Event) -> None:
    """Delete pictures left by a request that was never answered or by a lost worker, until ``stop`` is set."""
    now = parts.database.time()  # not of this machine's clock, which may be wrong
    keys = (key for key, changed in parts.blobs.entries() if now - changed > _STRANGE_AFTER and key.count("/") == 2)
    while not stop.is_set() and (some := list(islice(keys, _AT_ONCE))):
        parts.blobs.delete(*parts.upkeep.orphaned(some))


def _look_after(parts: Parts, name: str, stop: Event) -> None:
    upkeep, expired = parts.upkeep, float("-inf")
    while not stop.wait(_UPKEEP_EVERY):
        with log_errors("upkeep"):
            if not upkeep.lead("upkeep", name, 3 * _UPKEEP_EVERY):
                continue
            upkeep.reap()
            upkeep.correct_times()
            if time.monotonic() - expired > _EXPIRE_EVERY and not upkeep.expire():  # which takes some jobs at a time
                expired = time.monotonic()


def _clean(parts: Parts, name: str, stop: Event) -> None:
    """Delete pictures that nobody needs. A worker that cannot do so pauses, so that another one takes the role."""
    upkeep, pause, sweep_at = parts.upkeep, _UPKEEP_EVERY, float("-inf")
    while not stop.wait(pause):
        pause = _CLEANING_PAUSE
        with log_errors("cleaning"):
            while not stop.is_set() and upkeep.lead("cleaning", name, _CLEANING_LEASE):
                keys = upkeep.garbage()
                if not keys:
                    if time.monotonic() > sweep_at and upkeep.lead("orphans", name, _SWEEP_EVERY):
                        sweep_at = time.monotonic() + _SWEEP_EVERY
                        _sweep_orphaned(parts, stop)
                    break
                parts.blobs.delete(*keys)
                upkeep.collected(keys)
            pause = _UPKEEP_EVERY


class Worker:
    """Claims and paints one job after the other."""

    def __init__(self, parts: Parts, stop: Event) -> None:
        """Paint with ``parts``. When ``stop`` is set, a job in progress is finished or requeued."""
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._parts = parts
        self._stop = stop
        self._child = Child(serve, understand=understand)
        self._child.start()  # so that the first job need not wait for its imports
        self._group = ""
        self._unreachable = 0
        """Attempts in a row that failed because the job table or the picture store could not be reached."""

    def take(self, job: str | None = None) -> bool:
        """See `impasto.service.queues.Take`."""
        settings = self._parts.settings
        claimed = self._parts.claims.claim(self.name, settings.queues, settings.lease, group=self._group, job=job)
        if claimed is None:
            return False
        self._group = claimed.group
        with about(job=claimed.id, attempt=claimed.attempt):
            reached = _Attempt(self._parts, self._child, self._stop, claimed).make()
        if reached:
            self._unreachable = 0
        else:
            # Perhaps only this machine is cut off, or S3 refuses its clock. Without a pause, it would always be the
            # worker that is free: it would claim every job and put it back, until the jobs have no attempts left.
            self._unreachable += 1
            self._stop.wait(job_delay(min(self._unreachable, _LONGEST_PAUSE)))
        return True

    def end(self) -> None:
        """Kill the child process."""
        self._child.kill()


class _Attempt:
    """One attempt at one job."""

    def __init__(self, parts: Parts, child: Child, stop: Event, job: Job) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._child = child
        self._stop = stop
        self._job = job
        self._started = self._held = time.monotonic()
        self._beat_every = min(_SLOWEST_BEAT, parts.settings.lease / _BEATS_PER_LEASE)
        self._progress = 0.0
        self._preview: str | None = None

    def make(self) -> bool:
        """End the job, or leave it to another attempt; return whether the job table and the pictures were reached."""
        job, claims = self._job, self._parts.claims
        try:
            answer = self._answer()
            if isinstance(answer, Painted):
                self._finish(answer)
            elif isinstance(answer, Failure):
                self._fail(answer)
            elif answer is Beat.CANCEL:
                claims.canceled(job)
            if answer is Beat.LOST:
                _log.warning("the lease is lost")
                claims.unwanted(job, job.own_preview_key)
        except StorageError as error:
            _log.warning("%s", error)
            if job.attempt < STORAGE_ATTEMPTS:
                with suppress(Exception):
                    claims.put_back(job, delay=job_delay(job.attempt), counts=False)
            else:
                self._leave(Failure(error.code, str(error), again=False))
            return False
        except Exception:  # a bug must not end the worker and so stop all other jobs
            _log.exception("attempt")
            self._leave(Failure(ImpastoError.code, "something went wrong in the service; try again later", again=True))
        return True

    def _leave(self, failure: Failure) -> None:
        # If this cannot be recorded either, the lease runs out, and another worker takes the job.
        with suppress(Exception):
            self._fail(failure)

    def _answer(self) -> Painted | Failure | Beat | None:
        """Return the outcome of the attempt; None if the job was requeued."""
        job = self._job
        try:
            inputs = {name: self._parts.blobs.get(key) for name, key in job.inputs.items()}
        except BlobMissingError:
            return Failure("input_missing", "a picture of the job has been deleted; send it again", again=False)
        try:
            self._child.begin(PaintTask(job.params, inputs), is_answer)
            while True:
                message = self._child.receive(self._beat_every / 2)
                if isinstance(message, Painted | Failure):
                    return message
                if isinstance(message, Progress):
                    self._see(message)
                if (beat := self._beat()) is not Beat.GO_ON:
                    self._child.stop(_STOPS_WITHIN)  # its networks stay in memory for the next job
                    return beat
                if (failure := self._overrun()) is not None:
                    self._child.kill()
                    return failure
                if self._stop.is_set():
                    self._child.kill()
                    self._parts.claims.put_back(job, delay=0.0, counts=False)
                    return None
        except ChildDiedError:
            return Failure("crashed", "the process that painted it has crashed; try a smaller size", again=True)

    def _see(self, message: Progress) -> None:
        self._progress = message.fraction
        if message.preview is not None:
            self._parts.blobs.put(self._job.own_preview_key, message.preview)
            self._preview = self._job.own_preview_key

    def _beat(self) -> Beat:
        now = time.monotonic()
        if now - self._held < self._beat_every:
            return Beat.GO_ON
        try:
            answer = self._parts.claims.beat(
                self._job, self._settings.lease, progress=self._progress, preview=self._preview
            )
        except StorageError as error:
            _log.warning("%s", error)
            return Beat.LOST if now - self._held > self._settings.lease else Beat.GO_ON
        self._held = now
        return answer

    def _overrun(self) -> Failure | None:
        settings = self._settings
        if time.monotonic() - self._started > settings.job_seconds:
            text = f"painting took longer than {settings.job_seconds:g} seconds; choose a smaller size or fewer steps"
            return Failure("timeout", text, again=False)
        if self._child.memory() > settings.job_memory:
            text = f"painting needs more than {settings.job_memory >> 20} MiB; choose a smaller size"
            return Failure(OutOfMemoryError.code, text, again=False)
        return None

    def _finish(self, painted: Painted) -> None:
        job, parts = self._job, self._parts
        key = job.own_result_key
        parts.blobs.put(key, painted.data)
        sha256 = hashlib.sha256(painted.data).hexdigest()
        while True:
            try:
                accepted = parts.claims.finish(job, key, sha256)
                break
            except StorageError:
                # The result may have been accepted: the answer may have been lost after the commit.
                if time.monotonic() - self._held > self._settings.lease:
                    raise
                time.sleep(_UNREACHABLE_DELAY)
        if accepted:
            _log.info("painted in %.1f s", time.monotonic() - self._started)
        else:
            parts.claims.unwanted(job, key, job.own_preview_key)
            parts.claims.canceled(job)

    def _fail(self, failure: Failure) -> None:
        job, claims = self._job, self._parts.claims
        _log.info("%s: %s", failure.code, failure.text)
        if failure.again:
            self._child.kill()
        if not (failure.again and claims.put_back(job, delay=job_delay(job.attempt), counts=True)):
            claims.fail(job, failure.code, failure.text)
