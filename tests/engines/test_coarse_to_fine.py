"""A run over several sizes, on objectives that cost nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from impasto.engines.checkpoints import Checkpoint
from impasto.engines.coarse_to_fine import CoarseToFine
from impasto.engines.optimizers import DEFAULT_LEARNING_RATE
from impasto.engines.scales import Scale
from impasto.engines.tensors import to_pixels, to_tensor
from impasto.errors import CheckpointError, Interrupted
from impasto.images import resize_pixels
from impasto.types import Picture

CPU = torch.device("cpu")
SCALES = [Scale(8, 6, 7), Scale(16, 12, 5), Scale(32, 24, 3)]
TARGET = np.random.default_rng(0).uniform(0.2, 0.8, (24, 32, 3)).astype(np.float32)
START = np.full((6, 8, 3), 0.5, np.float32)


def bowl_at(scale, store=None):
    target = to_tensor(resize_pixels(TARGET, scale.height, scale.width), CPU)
    # A quartic: no algorithm is done with it after two steps.
    return lambda image: {"total": (image - target).square().mean() + 50 * (image - target).pow(4).mean()}


def a_run(optimizer="lbfgs", objective_at=bowl_at, scales=SCALES, checkpoint_every=0):
    return CoarseToFine(
        scales,
        objective_at,
        optimizer=optimizer,
        learning_rate=None,
        device=CPU,
        checkpoint_every=checkpoint_every,
        fingerprint="print",
    )


def minimize(run, on_step=lambda step: None, checkpoint=None):
    return run.minimize(START, finish=Picture, on_step=on_step, checkpoint=checkpoint)


class Stopped(Exception):  # noqa: N818 - as a user might name it
    pass


def stop_after(steps, error=Stopped):
    def on_step(step):
        if step.done == steps:
            raise error

    return on_step


def test_pixels_become_an_image_and_pixels_again():
    image = to_tensor(TARGET, CPU)
    assert image.shape == (1, 3, 24, 32)
    assert float(image[0, 2, 5, 7]) == float(TARGET[5, 7, 2])
    np.testing.assert_array_equal(to_pixels(image), TARGET)


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
    def even(scale, store):
        return lambda image: {"total": (image - 0.5).square().mean()}

    steps = []
    pixels = minimize(a_run(objective_at=even), steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 9), (2, 5), (3, 3)]
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == 1.0
    assert all(step.note == "the gradient is zero: nothing is left to change" for step in steps)
    np.testing.assert_array_equal(pixels, np.full((24, 32, 3), 0.5, np.float32))


def test_the_objective_of_each_scale_is_built_once():
    built = []

    def objective_at(scale, store):
        built.append(scale)
        return bowl_at(scale)

    minimize(a_run(objective_at=objective_at))
    assert built == SCALES


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

    def objective_at(scale, store):
        if scale == SCALES[1]:
            raise KeyboardInterrupt
        return bowl_at(scale)

    with pytest.raises(Interrupted) as caught:
        minimize(a_run(objective_at=objective_at), lambda step: last.append(step.preview().pixels))
    np.testing.assert_array_equal(caught.value.picture.pixels, resize_pixels(last[-1], 12, 16))


def test_an_interrupt_before_the_first_step_has_no_picture():
    def objective_at(scale, store):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(a_run(objective_at=objective_at))


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
    assert not path.exists()


def test_an_interrupt_between_scales_of_a_resumed_run_carries_what_was_painted(tmp_path):
    path = tmp_path / "run.checkpoint"
    previews = []

    def on_step(step):
        previews.append(step.preview().pixels)
        stop_after(10)(step)

    def objective_at(scale, store):
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
    other = CoarseToFine(SCALES, None, optimizer="lbfgs", learning_rate=None, device=CPU, fingerprint="other")
    with pytest.raises(CheckpointError, match="belongs to a run with other pictures or options"):
        minimize(other, checkpoint=Checkpoint(path, resume=True))


def test_no_checkpoint_is_kept_if_none_is_wanted(tmp_path):
    with pytest.raises(Stopped):
        minimize(a_run(checkpoint_every=0), stop_after(9), Checkpoint(tmp_path / "run.checkpoint"))
    assert list(tmp_path.iterdir()) == []
