"""The pictures of one command, several of which are painted at once.

One picture leaves most processors of a large machine idle: its first sizes are small, and a part of the work runs in
one thread. Several pictures at once, each with its own engine and an equal part of the threads, use more of them, but
the memory grows with their number. The first picture is painted alone, and its memory decides how many are painted at
once.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Condition, local
from typing import TYPE_CHECKING, Self

from impasto.cli.film import is_film
from impasto.cli.stylize_run import PictureRun
from impasto.errors import Interrupted, NetworkFileError, OutOfMemoryError
from impasto.files import folder_made
from impasto.optimization.memory import PeakMemory, free_memory, resident_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from impasto.cli.console import BatchDisplay, RunDisplay
    from impasto.cli.provenance import Source
    from impasto.cli.stylize_run import PreparedFilm, Report, StylizeRun
    from impasto.engines.base import Engine

    Pair = tuple[Source, Path | None]
    """A content image and the file of its result; None is stdout."""

_SHARE = 0.5
"""Share of the free memory that pictures side by side may take."""
_PIXEL_BYTES = 2000
"""Bytes of memory for each pixel that a picture has more than the first. Engine 'nnst' takes 1,800 up to 1,024 pixels,
which are `impasto.engines.nnst._GRAPH_BYTES` and `_STATE_BYTES`; larger pictures and other engines take less."""
_LEAST_BYTES = 256 << 20
"""Memory that a picture is expected to take at least, because not every system tells the peak."""
_SHORTAGES = (MemoryError, OutOfMemoryError, NetworkFileError)
"""Errors that too little memory may cause."""


class SideBySide:
    """Paints the pictures of ``run``, which ``display`` shows.

    The ``with`` block ends when no picture is being painted any more. On Ctrl-C, they stop after their next step.
    """

    def __init__(self, run: StylizeRun, display: BatchDisplay) -> None:
        """Prepare to paint. Results that ``run`` keeps are reported as skipped."""
        self._run = run
        self._display = display
        self._before = resident_memory()
        self._first: tuple[int, int] | None = None
        """Number of pixels of the first picture, and the bytes of memory that it took."""
        self._engines = local()
        """The engine of each thread, as the attribute ``own``."""
        self._pool: ThreadPoolExecutor | None = None
        self._open = ExitStack()
        """Limits, and the folders of the results, which are removed at the end if they are empty."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt | Interrupted):
            self._run.stopped.set()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        self._open.close()

    def outcomes(self, pairs: Sequence[Pair]) -> Iterator[tuple[Source, Future[Report]]]:
        """Paint ``pairs``; yield each content image with the report or the error of its result, in their order.

        A picture for which the memory did not suffice beside others is painted alone at the end.

        Raises:
            ImpastoError: the engine cannot be created.
        """
        waiting = deque(pairs)
        together = self._run.paints_side_by_side and not any(_needs_all(*pair) for pair in pairs)
        while waiting and (count := self._count(len(waiting)) if together else 1) == 1:
            source, target = waiting.popleft()
            yield source, self._alone(source, target)
        if not waiting:
            return
        threads = self._run.threads or _processors() // count
        limited = self._open.enter_context(ExitStack())
        limited.enter_context(_blas_limited(threads))
        room, pool, left = _Room(_budget()), ThreadPoolExecutor(count), []
        self._pool = pool
        painted = deque((pair, pool.submit(self._beside, *pair, threads, room)) for pair in waiting)
        while painted:  # whoever has an error has its frames, and the arrays in them
            pair, outcome = painted.popleft()
            if isinstance(outcome.exception(), _SHORTAGES):
                left.append(pair)
            else:
                yield pair[0], outcome
            del outcome
        pool.shutdown()  # its threads have the engines
        limited.close()
        for source, target in left:
            yield source, self._alone(source, target)

    def _count(self, waiting: int) -> int:
        """Return how many of the ``waiting`` pictures can be painted at once, if they are like the first one."""
        if not self._first:
            return 1
        return max(1, min(waiting, _processors() // (self._run.threads or 1), int(_budget() / self._first[1])))

    def _alone(self, source: Source, target: Path | None) -> Future[Report]:
        """Paint one picture with all threads."""
        if (skipped := self._skipped(target)) is not None:
            return _ended(skipped)
        with self._display.run(target) as display, PeakMemory() as peak, _blas_limited(self._run.threads):
            try:
                prepared = self._prepared(source, target, display)
            except Exception as error:  # whoever asks for the outcome gets it
                return _ended(error)
            engine = self._run.engine(display)  # an error here is not caught, because it concerns all pictures
            try:
                report = prepared.paint(engine)
            except Exception as error:  # whoever asks for the outcome gets it
                return _ended(error)
        if isinstance(prepared, PictureRun) and not self._first:
            taken = (peak.bytes or resident_memory()) - self._before
            self._first = prepared.pixels, max(_LEAST_BYTES, taken)
        return _ended(report)

    def _beside(self, source: Source, target: Path | None, threads: int, room: _Room) -> Report:
        """Paint one picture beside others, with ``threads``, as soon as there is ``room``."""
        if (skipped := self._skipped(target)) is not None:
            return skipped
        assert self._first
        with self._display.run(target) as display:
            prepared = self._prepared(source, target, display)
            assert isinstance(prepared, PictureRun)
            pixels, size = self._first
            with room.taken(size + _PIXEL_BYTES * max(0, prepared.pixels - pixels)):
                if self._run.stopped.is_set():
                    raise KeyboardInterrupt  # before the first step would replace an older result
                return prepared.paint(self._own_engine(threads))

    def _skipped(self, target: Path | None) -> Report | None:
        """Return the report on a finished result that is to be kept. Another command may have painted it meanwhile."""
        return {"output": str(target), "skipped": True} if self._run.keeps(target) else None

    def _prepared(self, source: Source, target: Path | None, display: RunDisplay) -> PreparedFilm | PictureRun:
        if target:
            self._open.enter_context(folder_made(target.parent))
        return self._run.prepare(source, target, display)

    def _own_engine(self, threads: int) -> Engine:
        if not hasattr(self._engines, "own"):
            painting = self._run.painting
            options = painting.options.model_copy(update={"threads": threads})
            self._engines.own = replace(painting, options=options).create_engine()
        own: Engine = self._engines.own
        return own


class _Room:
    """The memory for pictures that are painted at once."""

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


def _needs_all(source: Source, target: Path | None) -> bool:
    """Return True if pictures cannot be painted beside this one: a film, or one from stdin, which is read once."""
    return source.path is None or is_film(source.path, target)


def _ended(outcome: Report | Exception) -> Future[Report]:
    """Return the outcome of a picture that has ended."""
    ended: Future[Report] = Future()
    if isinstance(outcome, Exception):
        ended.set_exception(outcome)
    else:
        ended.set_result(outcome)
    return ended


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
