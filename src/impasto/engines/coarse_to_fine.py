"""Minimising an objective over several sizes of one picture, with progress and checkpoints."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.engines.checkpoints import RunState
from impasto.engines.descent import Descent
from impasto.engines.memory import freed_blocks_kept
from impasto.engines.store import OnDisk, Store
from impasto.engines.tensors import to_pixels
from impasto.errors import Interrupted
from impasto.images.scale import resize_pixels
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import Tensor

    from impasto.engines.checkpoints import Checkpoint
    from impasto.engines.descent import Differentiated
    from impasto.engines.scales import Scale
    from impasto.types import FloatArray, OnStep, Picture

    Objective = Callable[[Tensor], Mapping[str, Tensor]] | Differentiated


@dataclass(frozen=True)
class CoarseToFine:
    """An optimisation that has its sizes, its objective at each, and its algorithm, but no picture yet."""

    scales: Sequence[Scale]
    objective_at: Callable[[Scale, Store], Objective]
    """Builds the objective of a scale, with what it keeps in the store; its targets are computed here, once."""
    optimizer: str
    learning_rate: float | None
    device: torch.device
    checkpoint_every: int = 0
    store: Store | None = None
    """Of what is as large as the picture; in memory if not given."""
    tile: int = 0
    """What a checkpoint says of the tiles that the objective looks at."""
    fingerprint: str = ""
    """Of everything that determines the run; a checkpoint with another one is refused."""

    def minimize(
        self,
        start: FloatArray,
        *,
        finish: Callable[[FloatArray], Picture],
        on_step: OnStep,
        checkpoint: Checkpoint | None = None,
    ) -> FloatArray:
        """Run through all scales.

        Args:
            start: pixels (H, W, 3) of the size of the first scale.
            finish: makes the picture that the user sees from pixels of any scale.
            on_step: called after every step.
            checkpoint: where to keep the state, and whether to continue from there.

        Returns:
            Pixels with the lowest loss, of the size of the last scale.

        Raises:
            Interrupted: KeyboardInterrupt arrived; carries the best picture so far.
            DivergedError: the losses of the starting picture are not finite.
            CheckpointError: the checkpoint belongs to another run.
        """
        state = checkpoint.load(self.fingerprint) if checkpoint else None
        first = state.scale if state else 0
        done = state.done if state else 0
        pixels = to_pixels(state.tensors["best"]) if state else start
        store = self.store or Store(self.device)
        # Where the state is on disk, memory is scarce, and what is freed is needed elsewhere.
        with nullcontext() if isinstance(store, OnDisk) else freed_blocks_kept():
            for index, scale in list(enumerate(self.scales))[first:]:
                try:
                    objective = self.objective_at(scale, store)
                except KeyboardInterrupt:
                    if index == 0:
                        raise  # nothing is painted yet
                    raise Interrupted(finish(resize_pixels(pixels, scale.height, scale.width))) from None
                # Not before: until now, targets had the memory.
                image = store.image(resize_pixels(pixels, scale.height, scale.width))
                del pixels
                descent = Descent(
                    image, objective, optimizer=self.optimizer, learning_rate=self.learning_rate, store=store
                )
                del image
                done_before = done
                if state and index == first:
                    descent.restore(state.tensors, state.course)
                    done_before -= state.done_at_scale
                try:
                    done = self._descend(descent, index, done_before, done, finish, on_step, checkpoint)
                except KeyboardInterrupt:
                    raise Interrupted(finish(to_pixels(descent.best))) from None
                pixels = to_pixels(descent.best)
        if checkpoint:
            checkpoint.discard()
        return pixels

    def _descend(
        self,
        descent: Descent,
        index: int,
        done_before: int,
        done: int,
        finish: Callable[[FloatArray], Picture],
        on_step: OnStep,
        checkpoint: Checkpoint | None,
    ) -> int:
        """Take the steps of the scale ``index`` that are left; return the steps done in all."""
        scale = self.scales[index]
        later_steps = sum(later.steps for later in self.scales[index + 1 :])
        done_work = sum(earlier.work for earlier in self.scales[:index])
        all_work = sum(each.work for each in self.scales)
        while done - done_before < scale.steps and not descent.converged:
            losses, note = descent.step()
            done += 1
            left = 0 if descent.converged else scale.steps - (done - done_before)
            left_work = left * scale.width * scale.height
            on_step(
                Step(
                    done=done,
                    total=done + left + later_steps,
                    fraction=(done_work + scale.work - left_work) / all_work,
                    scale=(scale.width, scale.height),
                    losses=losses,
                    preview=lambda: finish(to_pixels(descent.best)),
                    note=note,
                )
            )
            # Last, so that a run killed before this line repeats the step, and on_step misses none.
            if checkpoint and self.checkpoint_every and done % self.checkpoint_every == 0:
                tensors, course = descent.state()
                state = RunState(index, done, done - done_before, course, tensors, self.tile)
                checkpoint.save(state, self.fingerprint)
        return done
