"""What the three optimization algorithms have in common, on a bowl with a known bottom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from impasto.optimization.arrays import Memory, OnDisk
from impasto.optimization.descent import DEFAULT_LEARNING_RATE, build_optimizer

NAMES = sorted(DEFAULT_LEARNING_RATE)
GENERATOR = np.random.default_rng(0)
BOTTOM = GENERATOR.uniform(0.2, 0.8, (1, 3, 9, 12)).astype(np.float32)
CURVATURES = GENERATOR.uniform(1, 20, (1, 3, 9, 12)).astype(np.float32)


def slope(image):
    return CURVATURES * (image - BOTTOM)


def grey():
    return np.full_like(BOTTOM, 0.5)


def build(name, image, learning_rate=None, **options):
    return build_optimizer(name, image, learning_rate or DEFAULT_LEARNING_RATE[name], **options)


def descend(name, image, steps):
    optimizer = build(name, image)
    for _ in range(steps):
        optimizer.step(slope(image))
    return optimizer


@pytest.mark.parametrize("name", NAMES)
def test_reaches_the_bottom(name):
    image = grey()
    descend(name, image, 500)
    np.testing.assert_allclose(image, BOTTOM, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "build_torch"),
    [
        ("adam", lambda image: torch.optim.Adam([image], lr=0.02, betas=(0.9, 0.99))),
        ("sgd", lambda image: torch.optim.SGD([image], lr=0.01, momentum=0.9)),
    ],
)
def test_moves_as_pytorch_does(name, build_torch):
    image, theirs = grey(), torch.from_numpy(grey())
    ours, torch_optimizer = build(name, image), build_torch(theirs)
    scale = 1 / np.abs(slope(image)).mean()
    for _ in range(25):
        theirs.grad = torch.from_numpy(scale * slope(theirs.numpy()))
        torch_optimizer.step()
        theirs.clamp_(0, 1)
        ours.step(slope(image))
        np.testing.assert_allclose(image, theirs.numpy(), atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps_before", [0, 1, 2, 17])
def test_continues_bit_for_bit_from_a_state(name, steps_before):
    image = grey()
    optimizer = descend(name, image, steps_before)
    state = {key: value.copy() for key, value in optimizer.state().items()}
    restored_image = image.copy()
    for _ in range(15):
        optimizer.step(slope(image))

    restored = build(name, restored_image)
    restored.restore(state)
    for _ in range(15):
        restored.step(slope(restored_image))

    np.testing.assert_array_equal(restored_image, image)
    assert not np.array_equal(image, grey())


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_is_complete(name):
    image = grey()
    state = descend(name, image, 12).state()
    restored = build(name, image.copy())
    restored.restore(state)
    again = restored.state()
    assert again.keys() == state.keys()
    for key in state:
        np.testing.assert_array_equal(again[key], state[key])


@pytest.mark.parametrize("name", NAMES)
def test_pixels_stay_in_range_and_the_gradient_is_left_alone(name):
    image = np.full((1, 3, 8, 8), 0.99, np.float32)
    gradient = np.full_like(image, -1.0)
    optimizer = build(name, image, 1.0)
    for _ in range(3):
        optimizer.step(gradient)
    assert image.max() == 1.0
    np.testing.assert_array_equal(gradient, np.full_like(image, -1.0))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_loss_weighs_changes_nothing(name):
    # 2 to a power: the rounding is the same.
    plain, heavy = grey(), grey()
    optimizers = [build(name, image) for image in (plain, heavy)]
    for _ in range(10):
        optimizers[0].step(slope(plain))
        optimizers[1].step(np.float32(2.0**20) * slope(heavy))
    np.testing.assert_allclose(heavy, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_learning_rate_is_in_units_of_pixel_values(name):
    image = grey()
    build(name, image, 0.03).step(slope(image))
    assert float(np.abs(image - 0.5).mean()) == pytest.approx(0.03, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_of_zero_moves_nothing(name):
    image = grey()
    build(name, image).step(np.zeros_like(image))
    np.testing.assert_array_equal(image, grey())


@pytest.mark.parametrize("name", NAMES)
def test_moves_alike_on_disk_and_for_any_layout_of_the_gradient(name, tmp_path):
    shape = (1, 3, 610, 600)  # more blocks than are in memory at once
    bottom = GENERATOR.uniform(0.2, 0.8, shape).astype(np.float32)

    def start():
        return np.full(shape, 0.5, np.float32)

    images = []
    for memory in (Memory(), OnDisk(tmp_path)):
        images.append(memory.copied(start()))
        optimizer = build(name, images[-1], memory=memory)
        for _ in range(8):
            optimizer.step(memory.kept(images[-1] - bottom))
    images.append(start())
    optimizer = build(name, images[-1])
    for _ in range(8):
        channels_last = np.ascontiguousarray((images[-1] - bottom).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        optimizer.step(channels_last)
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    assert not np.array_equal(images[0], start())
