"""What the three optimization algorithms have in common, on a bowl with a known bottom."""

from __future__ import annotations

import pytest
import torch

from impasto.engines.optimizers import DEFAULT_LEARNING_RATE, build_optimizer
from impasto.engines.store import OnDisk, Store

STORE = Store(torch.device("cpu"))
NAMES = sorted(DEFAULT_LEARNING_RATE)
GENERATOR = torch.Generator().manual_seed(0)
BOTTOM = torch.empty(1, 3, 9, 12).uniform_(0.2, 0.8, generator=GENERATOR)
CURVATURES = torch.empty(1, 3, 9, 12).uniform_(1, 20, generator=GENERATOR)


def slope(image):
    return CURVATURES * (image - BOTTOM)


def descend(name, image, steps, learning_rate=None):
    optimizer = build_optimizer(name, image, learning_rate or DEFAULT_LEARNING_RATE[name], STORE)
    for _ in range(steps):
        optimizer.step(slope(image))
    return optimizer


@pytest.mark.parametrize("name", NAMES)
def test_reaches_the_bottom(name):
    image = torch.full_like(BOTTOM, 0.5)
    descend(name, image, 300)
    torch.testing.assert_close(image, BOTTOM, atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps_before", [0, 1, 2, 17])
def test_continues_bit_for_bit_from_a_state(name, steps_before):
    image = torch.full_like(BOTTOM, 0.5)
    optimizer = descend(name, image, steps_before)
    state = {key: value.clone() for key, value in optimizer.state().items()}
    restored_image = image.clone()
    for _ in range(15):
        optimizer.step(slope(image))

    restored = build_optimizer(name, restored_image, DEFAULT_LEARNING_RATE[name], STORE)
    restored.restore(state)
    for _ in range(15):
        restored.step(slope(restored_image))

    assert torch.equal(restored_image, image)
    assert not torch.equal(image, torch.full_like(BOTTOM, 0.5))


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_is_complete(name):
    image = torch.full_like(BOTTOM, 0.5)
    state = descend(name, image, 12).state()
    restored = build_optimizer(name, image.clone(), DEFAULT_LEARNING_RATE[name], STORE)
    restored.restore(state)
    again = restored.state()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_stay_in_range_and_the_gradient_is_left_alone(name):
    image = torch.full((1, 3, 8, 8), 0.99)
    gradient = torch.full_like(image, -1.0)
    optimizer = build_optimizer(name, image, 1.0, STORE)
    for _ in range(3):
        optimizer.step(gradient)
    assert float(image.max()) == 1.0
    assert torch.equal(gradient, torch.full_like(image, -1.0))
    assert image.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_what_the_loss_weighs_changes_nothing(name):
    # 2 to a power: the rounding is the same.
    plain, heavy = torch.full_like(BOTTOM, 0.5), torch.full_like(BOTTOM, 0.5)
    optimizers = [build_optimizer(name, image, DEFAULT_LEARNING_RATE[name], STORE) for image in (plain, heavy)]
    for _ in range(10):
        optimizers[0].step(slope(plain))
        optimizers[1].step(2.0**20 * slope(heavy))
    torch.testing.assert_close(heavy, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_learning_rate_is_in_units_of_pixel_values(name):
    image = torch.full_like(BOTTOM, 0.5)
    build_optimizer(name, image, 0.03, STORE).step(slope(image))
    assert float((image - 0.5).abs().mean()) == pytest.approx(0.03, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_of_zero_moves_nothing(name):
    image = torch.full((1, 3, 8, 8), 0.5)
    build_optimizer(name, image, DEFAULT_LEARNING_RATE[name], STORE).step(torch.zeros_like(image))
    assert torch.equal(image, torch.full_like(image, 0.5))


@pytest.mark.parametrize("name", NAMES)
def test_moves_alike_on_disk(name, tmp_path, monkeypatch):
    images = []
    for store, strip in ((STORE, 1 << 20), (OnDisk(tmp_path), 40)):  # the whole; some rows at a time
        monkeypatch.setattr("impasto.engines.store._STRIP", strip)
        images.append(store.kept(torch.full_like(BOTTOM, 0.5)))
        optimizer = build_optimizer(name, images[-1], DEFAULT_LEARNING_RATE[name], store)
        for _ in range(8):
            optimizer.step(store.kept(slope(images[-1])))
    assert torch.equal(*images)
    assert not torch.equal(images[0], torch.full_like(BOTTOM, 0.5))
