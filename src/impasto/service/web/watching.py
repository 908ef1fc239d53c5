"""Watching of jobs. One query serves all watched jobs, whatever the number of watchers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread

from impasto.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from impasto.service.jobs import Job
    from impasto.service.stores.submissions import SQLSubmissions

_log = logging.getLogger(__name__)

_EVERY = 0.25


class Watch:
    """Notifies the watchers of a job when it has changed."""

    def __init__(self, submissions: SQLSubmissions) -> None:
        """Watch jobs of ``submissions``."""
        self._submissions = submissions
        self._watchers: dict[str, set[asyncio.Queue[Job | None]]] = {}
        self._known: dict[str, int] = {}
        self._ending = False

    def end(self) -> None:
        """Ask `run` to end all watches of this process. A signal handler may call this."""
        self._ending = True

    async def run(self) -> None:
        """Poll for changes until `end` is called."""
        while not self._ending:
            await asyncio.sleep(_EVERY)
            if not self._watchers:
                continue
            try:
                changed = await to_thread.run_sync(self._submissions.changed, dict(self._known))
            except StorageError as error:  # watchers see no change, and their streams stay open
                _log.warning("%s", error)
                continue
            for job in changed:
                self._known[job.id] = job.revision
                for queue in self._watchers.get(job.id, ()):
                    queue.put_nowait(job)
        for queues in self._watchers.values():
            for queue in queues:
                queue.put_nowait(None)

    @asynccontextmanager
    async def of(self, job: Job) -> AsyncIterator[asyncio.Queue[Job | None]]:
        """Provide a queue of the changed versions of ``job``. None in it means that the watch has ended."""
        queue: asyncio.Queue[Job | None] = asyncio.Queue()
        if self._ending:
            queue.put_nowait(None)
        watchers = self._watchers.setdefault(job.id, set())
        watchers.add(queue)
        self._known[job.id] = min(job.revision, self._known.get(job.id, job.revision))
        try:
            yield queue
        finally:
            watchers.discard(queue)
            if not watchers and self._watchers.get(job.id) is watchers:
                del self._watchers[job.id]
                self._known.pop(job.id, None)
