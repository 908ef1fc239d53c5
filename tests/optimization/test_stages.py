"""A run over several sizes, on objectives that cost nothing."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace

import numpy as np
import pytest

from impasto.errors import CheckpointError, Interrupted
from impasto.images import resize_pixels
from impasto.optimization import Evaluation
from impasto.optimization.arrays import Memory, OnDisk
from impasto.optimization.checkpoint import Checkpoint
from impasto.optimization.descent import DEFAULT_LEARNING_RATE
from impasto.optimization.stages import CoarseToFine, Run, Stage
from impasto.types import Picture

STAGES = [Stage(8, 6, 7), Stage(16, 12, 5), Stage(32, 24, 3)]
TARGET = np.random.default_rng(0).uniform(0.2, 0.8, (24, 32, 3)).astype(np.float32)
START = np.full((6, 8, 3), 0.5, np.float32)


class Bowl:
    """A quartic, which no algorithm is done with after two steps; or a parabola."""

    def __init__(self, bottom, steepness=50):
        self.bottom = bottom
        self.steepness = steepness

    def evaluate(self, image):
        apart = image - self.bottom
        total = (apart**2 + self.steepness * apart**4).mean()
        return Evaluation({"total": float(total)}, (2 * apart + 4 * self.steepness * apart**3) / apart.size)


def bowl_at(stage):
    return Bowl(Memory().image(resize_pixels(TARGET, stage.height, stage.width)))


def a_run(optimizer="lbfgs", objective_at=bowl_at, stages=STAGES, **options):
    stages = [replace(stage, optimizer=optimizer) for stage in stages]
    return Run(stages, CoarseToFine(objective_at, Picture), fingerprint="print", **options)


def minimize(run, on_step=lambda step: None, checkpoint=None):
    return run.minimize(START, on_step=on_step, checkpoint=checkpoint)


class Stopped(Exception):  # noqa: N818 - as a user might name it
    pass


def stop_after(steps, error=Stopped):
    def on_step(step):
        if step.done == steps:
            raise error

    return on_step


def test_pixels_become_an_image_and_pixels_again():
    image = Memory().image(TARGET)
    assert image.shape == (1, 3, 24, 32)
    assert float(image[0, 2, 5, 7]) == float(TARGET[5, 7, 2])
    np.testing.assert_array_equal(Memory().pixels(image), TARGET)


def test_the_steps_count_up_to_the_end():
    steps = []
    minimize(a_run(), steps.append)
    assert [step.done for step in steps] == list(range(1, 16))
    assert {step.total for step in steps} == {15}
    assert [step.scale for step in steps] == [(8, 6)] * 7 + [(16, 12)] * 5 + [(32, 24)] * 3
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    # A step on four times the pixels counts four times as much.
    assert fractions[7] - fractions[6] == pytest.approx(4 * fractions[0])
    assert all(step.note == "" for step in steps)


def test_ends_nearer_to_the_minimum_than_it_began():
    pixels = minimize(a_run())
    assert pixels.shape == TARGET.shape
    assert np.square(pixels - TARGET).mean() < np.square(0.5 - TARGET).mean() / 2


def test_a_preview_has_the_size_of_its_scale():
    sizes = []
    minimize(a_run(), lambda step: sizes.append(step.preview().pixels.shape))
    assert sizes == [(6, 8, 3)] * 7 + [(12, 16, 3)] * 5 + [(24, 32, 3)] * 3


def test_scales_that_are_done_early_are_left_early():
    def even(stage):
        return Bowl(np.float32(0.5), steepness=0)

    steps = []
    pixels = minimize(a_run(objective_at=even), steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 9), (2, 5), (3, 3)]
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == 1.0
    assert all(step.note == "the gradient is zero: nothing is left to change" for step in steps)
    np.testing.assert_array_equal(pixels, np.full((24, 32, 3), 0.5, np.float32))


def test_the_objective_of_each_scale_is_built_once():
    built = []

    def objective_at(stage):
        built.append(stage)
        return bowl_at(stage)

    minimize(a_run(objective_at=objective_at))
    assert built == STAGES


def test_an_exception_of_on_step_comes_through():
    with pytest.raises(Stopped):
        minimize(a_run(), stop_after(4))


def test_an_interrupt_carries_the_best_picture():
    previews = []

    def on_step(step):
        previews.append(step.preview())
        stop_after(9, KeyboardInterrupt)(step)

    with pytest.raises(Interrupted) as caught:
        minimize(a_run(), on_step)
    np.testing.assert_array_equal(caught.value.picture.pixels, previews[-1].pixels)
    assert caught.value.picture.pixels.shape == (12, 16, 3)


def test_an_interrupt_between_scales_carries_the_picture_of_the_last_one():
    last = []

    def objective_at(stage):
        if stage == STAGES[1]:
            raise KeyboardInterrupt
        return bowl_at(stage)

    with pytest.raises(Interrupted) as caught:
        minimize(a_run(objective_at=objective_at), lambda step: last.append(step.preview().pixels))
    np.testing.assert_array_equal(caught.value.picture.pixels, last[-1])


def test_an_interrupt_before_the_first_step_has_no_picture():
    def objective_at(stage):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(a_run(objective_at=objective_at))


def interrupted_at(evaluation):
    """Return objectives whose ``evaluation``-th evaluation, over all stages, a signal ends."""
    count = itertools.count(1)

    class Interrupting(Bowl):
        def evaluate(self, image):
            if next(count) == evaluation:
                signal.raise_signal(signal.SIGINT)
            return super().evaluate(image)

    return lambda stage: Interrupting(Memory().image(resize_pixels(TARGET, stage.height, stage.width)))


def test_an_interrupt_of_the_first_step_has_no_picture():
    with pytest.raises(KeyboardInterrupt):
        minimize(a_run(objective_at=interrupted_at(1)))


@pytest.mark.parametrize("optimizer", sorted(DEFAULT_LEARNING_RATE))
@pytest.mark.parametrize("evaluation", [2, 5, 8, 15])
def test_an_interrupt_keeps_the_last_step_long_before_a_checkpoint_is_due(tmp_path, optimizer, evaluation):
    path = tmp_path / "run.checkpoint"
    whole = minimize(a_run(optimizer))
    with pytest.raises(Interrupted):
        minimize(a_run(optimizer, interrupted_at(evaluation), checkpoint_every=50), checkpoint=Checkpoint(path))
    steps = []
    resumed = minimize(a_run(optimizer, checkpoint_every=50), steps.append, Checkpoint(path, resume=True))
    assert resumed.tobytes() == whole.tobytes()
    assert steps[0].done == evaluation


def test_a_signal_takes_effect_between_two_steps(tmp_path):
    path = tmp_path / "run.checkpoint"
    done = []

    def on_step(step):
        if step.done == 4:
            signal.raise_signal(signal.SIGINT)
        done.append(step.done)

    run = a_run(checkpoint_every=50)
    with pytest.raises(Interrupted):
        minimize(run, on_step, Checkpoint(path))
    assert done == [1, 2, 3, 4]
    assert minimize(run, lambda step: done.append(step.done), Checkpoint(path, resume=True)).tobytes()
    assert done == list(range(1, 16))


@pytest.mark.parametrize("stage", [1, 2])
def test_an_interrupt_before_the_first_step_of_a_stage_keeps_the_stage_before(tmp_path, stage):
    path = tmp_path / "run.checkpoint"

    class Stopping(Drifting):
        def objective(self, given, pixels):
            made = super().objective(given, pixels)
            if given == STAGES[stage]:
                raise KeyboardInterrupt
            return made

    with pytest.raises(Interrupted):
        minimize(Run(STAGES, Stopping(), checkpoint_every=50), checkpoint=Checkpoint(path))
    with pytest.raises(Interrupted):  # again at the same place
        minimize(Run(STAGES, Stopping(), checkpoint_every=50), checkpoint=Checkpoint(path, resume=True))
    resumed = minimize(Run(STAGES, Drifting(), checkpoint_every=50), checkpoint=Checkpoint(path, resume=True))
    assert resumed.tobytes() == minimize(Run(STAGES, Drifting())).tobytes()


@pytest.mark.parametrize("optimizer", sorted(DEFAULT_LEARNING_RATE))
@pytest.mark.parametrize("stop", [1, 4, 7, 8, 12, 14])
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, optimizer, stop):
    path = tmp_path / "run.checkpoint"
    run = a_run(optimizer, checkpoint_every=3)
    all_steps, steps = [], []
    uninterrupted = minimize(run, all_steps.append)
    with pytest.raises(Stopped):
        minimize(run, stop_after(stop), Checkpoint(path))

    resumed = minimize(run, steps.append, Checkpoint(path, resume=True))

    assert resumed.tobytes() == uninterrupted.tobytes()
    # A checkpoint is written after on_step has seen its step.
    first = (stop - 1) // 3 * 3
    assert [(step.done, step.total, step.fraction, step.losses) for step in steps] == [
        (step.done, step.total, step.fraction, step.losses) for step in all_steps[first:]
    ]


def test_a_run_on_disk_ends_in_the_same_bytes_and_leaves_nothing(tmp_path):
    on_disk = minimize(a_run(memory=OnDisk(tmp_path), checkpoint_every=2), checkpoint=Checkpoint(tmp_path / "run"))
    assert on_disk.tobytes() == minimize(a_run()).tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "only the checkpoint, which its caller discards"


class Drifting(CoarseToFine):
    """A method with a state of its own, which the next stages depend on."""

    def __init__(self):
        super().__init__(bowl_at, Picture)
        object.__setattr__(self, "seen", np.zeros(1, np.float32))

    def objective(self, stage, pixels):
        self.seen[...] = pixels.mean()
        return Bowl(Memory().image(resize_pixels(TARGET, stage.height, stage.width)) * (1 - self.seen / 4))

    def resized(self, stage, pixels):
        return super().resized(stage, pixels * (1 - self.seen / 4))

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen[...] = state["seen"]


@pytest.mark.parametrize("stop", [3, 9, 12])
def test_the_state_of_a_method_is_continued_too(tmp_path, stop):
    path = tmp_path / "run.checkpoint"
    uninterrupted = minimize(Run(STAGES, Drifting()))
    run = Run(STAGES, Drifting(), checkpoint_every=2)
    with pytest.raises(Stopped):
        minimize(run, stop_after(stop), Checkpoint(path))
    resumed = minimize(Run(STAGES, Drifting()), checkpoint=Checkpoint(path, resume=True))
    assert resumed.tobytes() == uninterrupted.tobytes()
    assert resumed.tobytes() != minimize(a_run()).tobytes()


def test_an_interrupt_between_scales_of_a_resumed_run_carries_what_was_painted(tmp_path):
    path = tmp_path / "run.checkpoint"
    previews = []

    def on_step(step):
        previews.append(step.preview().pixels)
        stop_after(10)(step)

    def objective_at(stage):
        raise KeyboardInterrupt

    with pytest.raises(Stopped):
        minimize(a_run(checkpoint_every=9), on_step, Checkpoint(path))
    with pytest.raises(Interrupted) as caught:
        minimize(a_run(objective_at=objective_at), checkpoint=Checkpoint(path, resume=True))
    np.testing.assert_array_equal(caught.value.picture.pixels, previews[8])


def test_a_checkpoint_of_another_run_is_refused_before_anything_is_computed(tmp_path):
    path = tmp_path / "run.checkpoint"
    with pytest.raises(Stopped):
        minimize(a_run(checkpoint_every=1), stop_after(3), Checkpoint(path))
    other = Run(STAGES, None, fingerprint="other")
    with pytest.raises(CheckpointError, match="belongs to a run with other pictures or options"):
        minimize(other, checkpoint=Checkpoint(path, resume=True))


def test_no_checkpoint_is_kept_if_none_is_wanted(tmp_path):
    with pytest.raises(Stopped):
        minimize(a_run(checkpoint_every=0), stop_after(9), Checkpoint(tmp_path / "run.checkpoint"))
    assert list(tmp_path.iterdir()) == []
