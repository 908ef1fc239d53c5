"""A run over the stages of one picture, from coarse to fine, with progress and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from impasto.errors import Interrupted
from impasto.images.scale import resize_pixels
from impasto.optimization.checkpoint import RunState
from impasto.optimization.descent import Descent
from impasto.optimization.memory.arrays import Memory
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from impasto.optimization.checkpoint import Checkpoint
    from impasto.optimization.objective import Objective
    from impasto.optimization.scales import Stage
    from impasto.types import FloatArray, OnStep, Picture


StageT = TypeVar("StageT", bound="Stage")
StageT_contra = TypeVar("StageT_contra", bound="Stage", contravariant=True)


class Method(Protocol[StageT_contra]):
    """The method-specific part of a run: objectives and pictures."""

    def objective(self, stage: StageT_contra, pixels: FloatArray) -> Objective:
        """Build the objective of ``stage``, which starts from ``pixels`` (H, W, 3) of its size."""

    def resized(self, stage: StageT_contra, pixels: FloatArray) -> FloatArray:
        """Return the ``pixels`` (H, W, 3) of the stage before, resized to the size of ``stage``."""

    def state(self) -> Mapping[str, FloatArray]:
        """Return the state on which later objectives depend, without the pixels."""

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue from a result of `state`; ``state`` may contain other arrays as well."""

    def picture(self, pixels: FloatArray) -> Picture:
        """Make the result picture from ``pixels`` (H, W, 3) of any stage."""


@dataclass(frozen=True)
class CoarseToFine:
    """The method of a run whose objectives depend only on the size. The picture is enlarged from stage to stage."""

    objective_at: Callable[[Stage], Objective]
    """Builds the objective of a stage and computes its targets."""
    picture: Callable[[FloatArray], Picture]
    """Makes the result picture from pixels of any stage."""

    def objective(self, stage: Stage, pixels: FloatArray) -> Objective:
        """See `Method.objective`."""
        return self.objective_at(stage)

    def resized(self, stage: Stage, pixels: FloatArray) -> FloatArray:
        """See `Method.resized`."""
        return resize_pixels(pixels, stage.height, stage.width)

    def state(self) -> dict[str, FloatArray]:
        """See `Method.state`."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Method.restore`."""


@dataclass(frozen=True)
class Run(Generic[StageT]):
    """An optimisation with its stages and its method; `minimize` takes the initial picture."""

    stages: Sequence[StageT]
    method: Method[StageT]
    checkpoint_every: int = 0
    fingerprint: str = ""
    """Digest of everything that determines the run. A checkpoint with another fingerprint is refused."""
    memory: Memory = field(default_factory=Memory)
    """Storage for arrays as large as the picture."""
    tile: int = 0
    """Side of the tiles in which the objective evaluates the picture, for checkpoints; 0 means no tiles."""

    def minimize(self, start: FloatArray, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> FloatArray:
        """Run through all stages.

        Args:
            start: pixels (H, W, 3) of the size of the first stage.
            on_step: called after every step; an exception from it stops the run.
            checkpoint: the file for the state of the run, which also says if the run continues from it.

        Returns:
            Pixels (H, W, 3) of the size of the last stage.

        Raises:
            Interrupted: KeyboardInterrupt arrived; carries the best picture so far.
            DivergedError: the losses of the starting picture are not finite.
            CheckpointError: the checkpoint belongs to another run.
        """
        state = checkpoint.load(self.fingerprint) if checkpoint else None
        first, done = (state.stage, state.done) if state else (0, 0)
        pixels = state.arrays["start"].astype(np.float32, copy=False) if state else start
        for index in range(first, len(self.stages)):
            stage, best = self.stages[index], None
            continued = state if index == first else None
            try:
                if continued:
                    self.method.restore(continued.arrays)
                elif index > 0:
                    pixels = self.method.resized(stage, pixels)
                pixels = self.memory.kept(pixels)
                descent = self._descent(stage, pixels)
                best = descent.best
                every = self.checkpoint_every
                will_save = checkpoint and every and done % every + stage.steps >= every
                begun = pixels if will_save else None
                del pixels  # not needed any more; a large picture takes much memory
                done_before = done
                if continued:
                    descent.restore(continued.arrays, continued.course)
                    done_before -= continued.done_at_stage
                while done - done_before < stage.steps and not descent.converged:
                    losses, note = descent.step()
                    done += 1
                    on_step(self._progress(index, done, done_before, descent, losses, note))
                    # Last, so that a run killed before this line repeats the step, and on_step misses none.
                    if checkpoint and begun is not None and done % every == 0:
                        arrays, course = descent.state()
                        arrays |= {"start": begun, **self.method.state()}
                        here = RunState(index, done, done - done_before, course, arrays, self.tile)
                        checkpoint.save(here, self.fingerprint, self.memory)
                del descent  # frees its state before the next picture is made
                pixels = to_pixels(best)
            except KeyboardInterrupt:
                if best is not None:
                    pixels = to_pixels(best)
                elif continued:
                    pixels = to_pixels(continued.arrays["best"].astype(np.float32, copy=False))
                elif index == 0:
                    raise  # nothing is painted yet
                raise Interrupted(self.method.picture(pixels)) from None
        if checkpoint:
            checkpoint.discard()
        return pixels

    def _descent(self, stage: StageT, pixels: FloatArray) -> Descent:
        objective = self.method.objective(stage, pixels)
        return Descent(
            self.memory.image(pixels),  # after the objective, whose computation of targets needs memory
            objective,
            optimizer=stage.optimizer,
            learning_rate=stage.learning_rate,
            steps=stage.steps,
            keeps_best=stage.keeps_best,
            memory=self.memory,
        )

    def _progress(
        self, index: int, done: int, done_before: int, descent: Descent, losses: dict[str, float], note: str
    ) -> Step:
        stage = self.stages[index]
        left = 0 if descent.converged else stage.steps - (done - done_before)
        later_steps = sum(later.steps for later in self.stages[index + 1 :])
        done_work = sum(earlier.work for earlier in self.stages[:index])
        all_work = sum(each.work for each in self.stages)
        return Step(
            done=done,
            total=done + left + later_steps,
            fraction=(done_work + stage.work - left * stage.width * stage.height) / all_work,
            scale=(stage.width, stage.height),
            losses=losses,
            preview=lambda: self.method.picture(to_pixels(descent.best)),
            note=note,
        )


def to_image(pixels: FloatArray) -> FloatArray:
    """Turn pixels (H, W, 3) into an image (1, 3, H, W)."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


def to_pixels(image: FloatArray) -> FloatArray:
    """Turn an image (1, 3, H, W) into pixels (H, W, 3)."""
    return np.ascontiguousarray(image[0].transpose(1, 2, 0))
