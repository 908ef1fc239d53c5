"""The pictures of one command, several of which are painted at once.

One picture leaves most of many processors idle: its first sizes are small, and a part of the work is done by one
thread. Pictures side by side, each with its own engine on its part of the threads, use them all. They also take as many
times the memory. So the first picture is painted alone, and what it takes tells how many fit.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Condition, local
from typing import TYPE_CHECKING

from impasto.cli.film import is_film
from impasto.cli.stylize_run import PictureRun
from impasto.errors import OutOfMemoryError
from impasto.files import folder_made
from impasto.optimization.memory import PeakMemory, free_memory, resident_memory

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from impasto.cli.console import BatchDisplay, RunDisplay
    from impasto.cli.provenance import Source
    from impasto.cli.stylize_run import PreparedFilm, Report, StylizeRun
    from impasto.engines.base import Engine

_SHARE = 0.5
"""Share of the free memory that pictures side by side may take."""
_PIXEL_BYTES = 2000
"""Bytes of memory for each pixel that a picture has more than the first. Engine 'nnst' takes 1,800."""


class SideBySide:
    """Paints the pictures of ``run``, which ``display`` shows."""

    def __init__(self, run: StylizeRun, display: BatchDisplay) -> None:
        self._run = run
        self._display = display
        self._first: tuple[int, int] | None = None
        """Number of pixels of the first picture, and the bytes of memory that it took."""
        self._folders = ExitStack()
        """The folders of the results, which are removed at the end if they are empty."""
        self._engines = local()
        """The engine of each thread, as the attribute ``own``."""

    def outcomes(self, pairs: Sequence[tuple[Source, Path | None]]) -> Generator[tuple[Source, Future[Report]]]:
        """Paint ``pairs`` of a content image and its target; yield each with its report or error, in their order.

        A picture for which the memory did not suffice beside others is painted alone at the end.

        To stop what is being painted, close the iterator.

        Raises:
            ImpastoError: the engine cannot be created.
        """
        waiting = list(pairs)
        with self._folders:
            with _blas_limited(self._run.threads):
                while waiting and (count := self._count(waiting)) == 1:
                    source, target = waiting.pop(0)
                    yield source, self._alone(source, target)
            if waiting:
                yield from self._beside_others(waiting, count)

    def _beside_others(
        self, pairs: Sequence[tuple[Source, Path | None]], count: int
    ) -> Generator[tuple[Source, Future[Report]]]:
        """See `outcomes`; paint ``count`` pictures at once."""
        threads = self._run.threads or _processors() // count
        room, pool, left = _Room(_budget()), ThreadPoolExecutor(count), []
        with _blas_limited(threads):
            try:
                painted = [pool.submit(self._beside, *pair, threads, room) for pair in pairs]
                for pair, outcome in zip(pairs, painted, strict=True):
                    if isinstance(outcome.exception(), MemoryError | OutOfMemoryError):
                        left.append(pair)
                    else:
                        yield pair[0], outcome
            except BaseException:  # also if the iterator is closed
                self._run.stopped.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
        for source, target in left:  # without others, the memory may suffice
            yield source, self._alone(source, target)

    def _count(self, waiting: Sequence[tuple[Source, Path | None]]) -> int:
        """Return how many of the ``waiting`` can be painted at once, if they are like the first picture."""
        if not self._first or not self._run.shares or any(is_film(source.path, target) for source, target in waiting):
            return 1
        fitting = int(_budget() / self._first[1])
        return max(1, min(len(waiting), _processors() // (self._run.threads or 1), fitting))

    def _alone(self, source: Source, target: Path | None) -> Future[Report]:
        """Paint one picture with all threads."""
        outcome: Future[Report] = Future()
        before = resident_memory()
        with self._display.run(target) as display, PeakMemory() as peak:
            try:
                prepared = self._prepared(source, target, display)
            except Exception as error:  # whoever asks for the outcome gets it
                outcome.set_exception(error)
                return outcome
            engine = self._run.engine(display)  # an error here is not caught, because it concerns all pictures
            try:
                outcome.set_result(prepared.paint(engine))
            except Exception as error:  # whoever asks for the outcome gets it
                outcome.set_exception(error)
                return outcome
        if isinstance(prepared, PictureRun) and not self._first:  # later ones share its engine
            self._first = prepared.pixels, max(1, (peak.bytes or resident_memory()) - before)
        return outcome

    def _beside(self, source: Source, target: Path | None, threads: int, room: _Room) -> Report:
        """Paint one picture beside others, with ``threads``, as soon as there is ``room``."""
        assert self._first
        with self._display.run(target) as display:
            prepared = self._prepared(source, target, display)
            assert isinstance(prepared, PictureRun)
            pixels, size = self._first
            with room.taken(size + _PIXEL_BYTES * max(0, prepared.pixels - pixels)):
                return prepared.paint(self._own_engine(threads))

    def _prepared(self, source: Source, target: Path | None, display: RunDisplay) -> PreparedFilm | PictureRun:
        if target:
            self._folders.enter_context(folder_made(target.parent))
        return self._run.prepare(source, target, display)

    def _own_engine(self, threads: int) -> Engine:
        if not hasattr(self._engines, "own"):
            painting = self._run.painting
            options = painting.options.model_copy(update={"threads": threads})
            self._engines.own = replace(painting, options=options).create_engine()
        own: Engine = self._engines.own
        return own


class _Room:
    """Memory that pictures share."""

    def __init__(self, size: float) -> None:
        self._size = self._free = size
        self._changed = Condition()

    @contextmanager
    def taken(self, size: float) -> Iterator[None]:
        """Wait until ``size`` bytes are free, or all if it is more; take them for this block."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


def _budget() -> float:
    return _SHARE * free_memory()


def _processors() -> int:
    """Return the number of processor threads that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _blas_limited(threads: int) -> Iterator[None]:
    """Let each matrix product of NumPy use ``threads`` at most; 0 for all."""
    if threads:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads, user_api="blas"):
            yield
    else:
        yield
