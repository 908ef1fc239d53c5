"""Progress of several runs, reported as one run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from impasto.types import OnStep, Step


def as_part(on_step: OnStep, name: str, steps: Sequence[int], index: int) -> OnStep:
    """Return a callback through which run ``index`` of several reports its steps as a part of the whole.

    Args:
        on_step: receives the steps of all runs.
        name: name of the run, which is put before its notes.
        steps: number of steps of each run.
        index: index of the run in ``steps``.
    """
    before, total = sum(steps[:index]), sum(steps)

    def on_step_of_part(step: Step) -> None:
        on_step(
            replace(
                step,
                done=before + step.done,
                total=total,
                fraction=(before + step.fraction * steps[index]) / total,
                note=f"{name}: {step.note}" if step.note else "",
            )
        )

    return on_step_of_part


def with_notes(on_step: OnStep, notes: MutableSequence[str]) -> OnStep:
    """Return a callback that adds ``notes`` to the next step and takes them out of the list."""

    def noted(step: Step) -> None:
        on_step(replace(step, note=". ".join(filter(None, [*notes, step.note]))))
        notes.clear()

    return noted
