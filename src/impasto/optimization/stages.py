"""A run over the stages of one picture, from coarse to fine: their sizes and steps, progress and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from impasto.errors import Interrupted, is_shortage_of_gpu
from impasto.images.scale import fit_size, resize_pixels
from impasto.optimization.arrays import Memory
from impasto.optimization.checkpoint import RunState, uninterrupted
from impasto.optimization.descent import Descent
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from impasto.optimization import Objective
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.types import FloatArray, OnStep, Picture

StageT = TypeVar("StageT", bound="Stage")
StageT_contra = TypeVar("StageT_contra", bound="Stage", contravariant=True)

_COARSEST_SHORT_SIDE = 64
_STEPS_RATIO = 2.0
_FEWEST_STEPS = 2
"""Minimum number of steps of a scale. Each step evaluates the result of the one before, so one step changes nothing."""


class Method(Protocol[StageT_contra]):
    """The method-specific part of a run: objectives and pictures."""

    def objective(self, stage: StageT_contra, pixels: FloatArray) -> Objective:
        """Build the objective of ``stage``, which starts from ``pixels`` (H, W, 3)."""

    def resized(self, stage: StageT_contra, pixels: FloatArray) -> FloatArray:
        """Return the ``pixels`` (H, W, 3) of the stage before, resized to the size of ``stage``."""

    def state(self) -> Mapping[str, FloatArray]:
        """Return the state on which later objectives depend, without the pixels."""

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue from the arrays that `state` returned. Other arrays in ``state`` are ignored."""

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
    """Side of the tiles in which the objective evaluates the picture, for the checkpoint. 0 means no tiles."""

    def minimize(self, start: FloatArray, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> FloatArray:
        """Run through all stages.

        Args:
            start: pixels (H, W, 3) of the size of the first stage.
            on_step: called after every step; an exception from it stops the run.
            checkpoint: the file in which the state of the run is saved, and from which the run may continue.

        Returns:
            Pixels (H, W, 3) of the size of the last stage.

        Raises:
            Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far.
            DivergedError: the losses of the starting picture are not finite.
            CheckpointError: the checkpoint belongs to another run.
        """
        begin = checkpoint.load(self.fingerprint) if checkpoint else None
        begin = begin or self._ended(-1, 0, start)
        while True:
            stage = _StageRun(self, begin, checkpoint if self.checkpoint_every else None)
            del begin  # not needed any more; a large picture takes much memory
            try:
                pixels = stage.minimize(on_step)
            except KeyboardInterrupt:
                stage.keep()
                if (found := stage.found()) is None:
                    raise  # nothing is painted yet
                raise Interrupted(self.method.picture(found)) from None
            if stage.index + 1 == len(self.stages):
                break
            begin = self._ended(stage.index, stage.done, pixels)
            del stage, pixels
        return pixels

    def _ended(self, index: int, done: int, pixels: FloatArray) -> RunState:
        """Return the state at the end of the stage ``index``, from which the next stage begins."""
        state = {name: array.copy() for name, array in self.method.state().items()}
        return RunState(index + 1, done, 0, {}, {"start": pixels, **state}, self.tile)


class _StageRun(Generic[StageT]):
    """One stage of a run.

    Attributes:
        index: index of the stage.
        done: steps done, over all stages.
    """

    def __init__(self, run: Run[StageT], begin: RunState, checkpoint: Checkpoint | None) -> None:
        """Begin from a state of this stage, or, if none of its steps is done, from the end of the stage before.

        With ``checkpoint``, the state is kept there.
        """
        self.index, self.done = begin.stage, begin.done
        self._run = run
        self._stage = run.stages[begin.stage]
        self._done_before = begin.done - begin.done_at_stage
        self._checkpoint = checkpoint
        self._begin: RunState | None = begin
        self._start: FloatArray | None = None
        self._descent: Descent | None = None
        self._best: FloatArray | None = None

    def minimize(self, on_step: OnStep) -> FloatArray:
        """Take the steps; return the pixels (H, W, 3) that the stage ends with."""
        descent = self._descent = self._begun()
        self._best = descent.best
        every = self._run.checkpoint_every
        while self.done - self._done_before < self._stage.steps and not descent.converged:
            evaluation = descent.evaluate()
            with uninterrupted():
                losses, note = descent.move(evaluation)
                del evaluation
                self.done += 1
                self._begin = None
                on_step(self._progress(descent, losses, note))
                # Last, so that a run killed before this line repeats the step, and on_step misses none.
                if every and self.done % every == 0:
                    self.keep()
        del descent
        self._descent = None  # frees its state before the picture is made
        return self._run.memory.pixels(self._best)

    def keep(self) -> None:
        """Write the state of the last step to the checkpoint; if there is none, that of the stage before."""
        if self._checkpoint is None:
            return
        run, descent, state = self._run, self._descent, self._begin
        with uninterrupted():
            if state is None and descent is not None and self._start is not None:
                arrays, course = descent.state()
                arrays |= {"start": self._start, **run.method.state()}
                state = RunState(self.index, self.done, self.done - self._done_before, course, arrays, run.tile)
            if state is not None and state.done:
                self._checkpoint.save(state, run.fingerprint, run.memory)

    def found(self) -> FloatArray | None:
        """Return the best pixels (H, W, 3) so far; None if no step has been done."""
        if not self.done:
            return None
        if self._best is not None:
            return self._run.memory.pixels(self._best)
        if self._begin is None:
            return None
        if self._begin.done_at_stage:
            return self._run.memory.pixels(self._begin.arrays["best"].astype(np.float32, copy=False))
        return self._begin.arrays["start"].astype(np.float32, copy=False)

    def _begun(self) -> Descent:
        """Build the descent, and restore it if this is the middle of the stage."""
        run, stage, begin = self._run, self._stage, self._begin
        assert begin is not None
        run.method.restore(begin.arrays)
        pixels: FloatArray = begin.arrays["start"].astype(np.float32, copy=False)
        if begin.stage and not begin.done_at_stage:
            pixels = run.method.resized(stage, pixels)
        pixels = run.memory.kept(pixels)
        objective = run.method.objective(stage, pixels)
        try:
            descent = self._descent_in(run.memory, pixels, objective)  # after the objective, whose targets need memory
        except RuntimeError as error:
            if not is_shortage_of_gpu(error):
                raise
            descent = self._descent_in(Memory(), pixels, objective)
        if begin.done_at_stage:
            descent.restore(begin.arrays, begin.course)
        if self._checkpoint:
            self._start = pixels
        return descent

    def _descent_in(self, memory: Memory, pixels: FloatArray, objective: Objective) -> Descent:
        stage = self._stage
        return Descent(
            memory.image(pixels),
            objective,
            optimizer=stage.optimizer,
            learning_rate=stage.learning_rate,
            steps=stage.steps,
            keeps_best=stage.keeps_best,
            circular=stage.circular,
            memory=memory,
        )

    def _progress(self, descent: Descent, losses: dict[str, float], note: str) -> Step:
        stages, stage = self._run.stages, self._stage
        left = 0 if descent.converged else stage.steps - (self.done - self._done_before)
        later_steps = sum(later.steps for later in stages[self.index + 1 :])
        done_work = sum(earlier.work for earlier in stages[: self.index])
        all_work = sum(each.work for each in stages)
        return Step(
            done=self.done,
            total=self.done + left + later_steps,
            fraction=(done_work + stage.work - left * stage.width * stage.height) / all_work,
            scale=(stage.width, stage.height),
            losses=losses,
            preview=lambda: self._run.method.picture(self._run.memory.pixels(descent.best)),
            note=note,
        )


@dataclass(frozen=True)
class Stage:
    """A part of an optimisation: some steps at one size of the picture."""

    width: int
    height: int
    steps: int
    optimizer: str = "lbfgs"
    """Name of the optimizer: see `impasto.optimization.descent.build_optimizer`."""
    learning_rate: float | None = None
    """Learning rate in the optimizer's own unit; None is its default."""
    keeps_best: bool = True
    """See `impasto.optimization.descent.Descent`."""
    circular: bool = False
    """True if opposite edges of the picture are neighbours, as in a tile."""

    @property
    def work(self) -> int:
        """Number of pixels times number of steps."""
        return self.width * self.height * self.steps


def fit_layers(width: int, height: int, long_side: float, minimum: int) -> tuple[int, int]:
    """Return (width, height) with this ``long_side``, or larger if the short side would be below ``minimum``."""
    narrowest = minimum * max(width, height) / min(width, height)
    return fit_size(width, height, round(max(long_side, narrowest)))


def plan_scales(
    width: int,
    height: int,
    scales: int,
    steps: int,
    minimum: int,
    optimizer: str = "lbfgs",
    learning_rate: float | None = None,
) -> list[Stage]:
    """Divide ``steps`` among sizes that double up to ``width`` x ``height``.

    Each scale gets half as many steps as the coarser scale before it, whose steps cost a quarter. Most of the style is
    transferred at coarse scales. Gatys et al. (2017), section 6, go from coarse to fine for quality, not for speed.

    Args:
        width: width of the result in pixels.
        height: height of the result in pixels.
        scales: number of scales; 0 for as many as leave the coarsest a short side of at least 64 pixels.
        steps: total number of steps; each scale gets at least two, unless ``steps`` is 1.
        minimum: minimum short side of a scale. It may reduce the number of scales, but not below one.
        optimizer: optimizer of all stages.
        learning_rate: learning rate of all stages.
    """
    short = min(width, height)
    halvings = 0
    while short / 2 ** (halvings + 1) >= minimum and (
        halvings + 1 < scales if scales else short / 2 ** (halvings + 1) >= _COARSEST_SHORT_SIDE
    ):
        halvings += 1
    shares = [_STEPS_RATIO**level for level in range(halvings + 1)]
    shares.reverse()
    fewest = min(steps, _FEWEST_STEPS)
    counts = [max(fewest, round(steps * share / sum(shares))) for share in shares]
    counts[0] = max(fewest, counts[0] + steps - sum(counts))
    return [
        Stage(max(1, round(width / 2**level)), max(1, round(height / 2**level)), count, optimizer, learning_rate)
        for level, count in zip(range(halvings, -1, -1), counts, strict=True)
    ]
