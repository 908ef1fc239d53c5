"""Output of a running command: progress bars on a terminal, plain lines elsewhere, and errors."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from rich.progress import Progress

    from impasto.types import Step

_SECONDS_BETWEEN_LINES = 10.0
SOME_FAILED = 3
"""Exit code of a command that made only some of its pictures."""


def fail(error: object, code: int) -> int:
    """Write one sentence to stderr and return ``code``."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


class RunDisplay:
    """Shows the steps of one run on stderr, so that stdout stays free for pictures and JSON."""

    def __init__(self, name: str, *, quiet: bool, bars: Progress | None = None) -> None:
        """Show the run ``name`` among ``bars``, or in a bar of its own if None.

        If ``quiet``, show nothing, not even notes.
        """
        self.name = name
        self._quiet = quiet
        self._shared = bars
        self._bar = bars or (_bar() if _shows_bars(quiet) else None)
        if self._bar:
            self._task = self._bar.add_task(name, total=1.0, state="")
        self._began: tuple[float, float] | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar and not self._shared:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shared:
            self._shared.remove_task(self._task)
        elif self._bar:
            self._bar.stop()

    def download(self, done: int, total: int | None) -> None:
        """Show the progress of a download of weights, in bytes. It begins with ``done`` = 0 and ``total`` = None."""
        size = f": {done // 2**20} of {total // 2**20} MiB" if total else " that are not on this machine ..."
        self._show(f"fetching weights{size}", done == (total or 0))
        if self._bar and done == total:
            self._bar.reset(self._task)  # for the steps of the run, which come next
        elif self._bar and total:
            self._bar.update(self._task, completed=done / total)

    def step(self, step: Step) -> None:
        """Show a step of an engine."""
        if step.note:
            self.note(f"step {step.done}: {step.note}")
        state = f"step {step.done}/{step.total} at {step.scale[0]}x{step.scale[1]}"
        if "total" in step.losses:
            state += f" loss {step.losses['total']:.4g}"
        if self._bar:
            self._bar.update(self._task, completed=step.fraction, state=state)
            return
        # The steps before a run was resumed took no time in this process.
        self._began = self._began or (time.monotonic(), step.fraction)
        elapsed, done = time.monotonic() - self._began[0], step.fraction - self._began[1]
        left = f", {elapsed * (1 - step.fraction) / done:.0f} s left" if done > 0 else ""
        self._show(f"{state}{left}", step.done == step.total)

    def counter(self, what: str) -> Callable[[int, int], None]:
        """Return a function that shows the number of things that are done, and the number of all."""
        return lambda done, total: self._show(f"{what}: {done} of {total}", done == total)

    def note(self, text: str) -> None:
        """Show a note to the user."""
        if self._quiet:
            return
        if self._bar:
            self._bar.console.print(f"{self.name}: {text}", markup=False)
        else:
            sys.stderr.write(f"{self.name}: {text}\n")  # at once, because others may write beside it

    def _show(self, state: str, last: bool) -> None:
        if self._bar:
            self._bar.update(self._task, state=state)
        elif last or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.note(state)


class BatchDisplay:
    """Shows the runs of one command, several of which may go on at once."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        """Show ``total`` runs. If there are several, another bar counts those that have ended."""
        self._quiet = quiet
        self._bars: Progress | None = None
        if total > 1 and _shows_bars(quiet):
            self._bars = _bar()
            self._all = self._bars.add_task(f"{total} pictures", total=total, state="")

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def run(self, target: Path | None) -> RunDisplay:
        """Return the display of a run whose result is ``target``, or stdout if it is None."""
        return RunDisplay(target.name if target else "stdout", quiet=self._quiet, bars=self._bars)

    def advance(self) -> None:
        """Count one more run as ended."""
        if self._bars:
            self._bars.advance(self._all)


def _shows_bars(quiet: bool) -> bool:
    return sys.stderr.isatty() and not quiet


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # what is written to a file is no part of the display
        speed_estimate_period=120,
    )
