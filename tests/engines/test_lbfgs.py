"""The quasi-Newton steps, on problems whose answer is known."""

from __future__ import annotations

import pytest
import torch

from impasto.engines.lbfgs import LBFGS, spread_over_scales
from impasto.engines.store import Store

STORE = Store(torch.device("cpu"))


def ill_conditioned(height=8, width=10, condition=100.0):
    """Curvatures from 1 to ``condition``, mixed over the picture."""
    generator = torch.Generator().manual_seed(1)
    curvatures = torch.logspace(0, torch.log10(torch.tensor(condition)).item(), 3 * height * width)
    return curvatures[torch.randperm(len(curvatures), generator=generator)].view(1, 3, height, width)


def uniform(shape, low, high, seed=0):
    return torch.empty(shape).uniform_(low, high, generator=torch.Generator().manual_seed(seed))


def steps_until(solved, image, gradient_of, move, limit=2000):
    for step in range(limit):
        if solved(image):
            return step
        move(gradient_of(image))
    return limit


def test_finds_a_minimum_inside_the_range():
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)
    image = torch.full_like(minimum, 0.5)
    optimizer = LBFGS(image, 1.0, STORE)
    for _ in range(150):
        optimizer.step(curvatures * (image - minimum))
    torch.testing.assert_close(image, minimum, atol=1e-4, rtol=0)


def test_finds_the_nearest_picture_to_a_minimum_outside_the_range():
    minimum = uniform((1, 3, 8, 10), -0.5, 1.5)
    image = torch.full_like(minimum, 0.5)
    optimizer = LBFGS(image, 1.0, STORE)
    for _ in range(150):
        optimizer.step(image - minimum)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
    torch.testing.assert_close(image, minimum.clamp(0, 1), atol=1e-4, rtol=0)


def test_needs_far_fewer_steps_than_gradient_descent_on_an_ill_conditioned_problem():
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)

    def solved(image):
        return bool((image - minimum).abs().max() < 1e-3)

    def gradient_of(image):
        return curvatures * (image - minimum)

    image = torch.full_like(minimum, 0.5)
    quasi_newton = steps_until(solved, image, gradient_of, LBFGS(image, 1.0, STORE).step)
    image = torch.full_like(minimum, 0.5)
    best_fixed_length = 2 / float(curvatures.min() + curvatures.max())
    descent = steps_until(solved, image, gradient_of, lambda gradient: image.sub_(best_fixed_length * gradient))
    assert descent < 2000
    assert quasi_newton < descent / 2


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_first_move_has_a_known_length_whatever_the_loss_weighs(scale):
    image = torch.full((1, 3, 16, 16), 0.5)
    LBFGS(image, 1.0, STORE).step(scale * uniform(image.shape, -1, 1))
    assert float((image - 0.5).abs().mean()) == pytest.approx(LBFGS.FIRST_MOVE, rel=1e-3)


def test_the_learning_rate_shortens_a_step():
    gradient = uniform((1, 3, 8, 8), -1, 1)
    whole, quarter = torch.full_like(gradient, 0.5), torch.full_like(gradient, 0.5)
    LBFGS(whole, 1.0, STORE).step(gradient)
    LBFGS(quarter, 0.25, STORE).step(gradient)
    torch.testing.assert_close(quarter - 0.5, (whole - 0.5) / 4)


def test_a_pair_without_positive_curvature_is_not_remembered():
    image = torch.full((1, 3, 8, 8), 0.5)
    optimizer = LBFGS(image, 1.0, STORE)
    hill_top = uniform(image.shape, 0.4, 0.6)
    for _ in range(3):
        optimizer.step(-(image - hill_top))
    assert not [name for name in optimizer.state() if name.startswith("move")]
    assert torch.isfinite(image).all()


def test_the_history_is_limited():
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)
    image = torch.full_like(minimum, 0.5)
    optimizer = LBFGS(image, 1.0, STORE)
    for _ in range(30):
        optimizer.step(curvatures * (image - minimum))
    names = set(optimizer.state())
    pairs = {f"{kind}{i}" for kind in ("move", "change") for i in range(LBFGS.HISTORY)}
    assert names == {*pairs, "last_move", "last_gradient"}


SIZES = [(16, 16), (1, 1), (1, 9), (9, 1), (7, 5), (13, 16), (33, 31)]


@pytest.mark.parametrize("size", SIZES)
def test_spreading_is_linear(size):
    x, y = uniform((2, 1, 3, *size), -1, 1).double()
    torch.testing.assert_close(spread_over_scales(2 * x - 3 * y), 2 * spread_over_scales(x) - 3 * spread_over_scales(y))


@pytest.mark.parametrize("size", SIZES)
def test_spreading_is_symmetric(size):
    x, y = uniform((2, 1, 3, *size), -1, 1).double()
    torch.testing.assert_close((spread_over_scales(x) * y).sum(), (x * spread_over_scales(y)).sum())


@pytest.mark.parametrize("size", SIZES)
def test_spreading_is_positive(size):
    pixels = size[0] * size[1]
    matrix = spread_over_scales(torch.eye(pixels).double().view(pixels, 1, *size)).view(pixels, pixels)
    assert float(torch.linalg.eigvalsh((matrix + matrix.T) / 2).min()) > 0.99


def test_spreading_adds_the_same_to_all_of_an_even_ground():
    even = torch.full((1, 3, 32, 48), 0.25)
    torch.testing.assert_close(spread_over_scales(even, scales=4), (1 + 1.5 + 1.5**2 + 1.5**3) * even)


def test_spreading_moves_the_neighbours_of_a_pixel_along():
    single = torch.zeros(1, 3, 32, 32)
    single[:, :, 16, 16] = 1
    spread = spread_over_scales(single)[0, 0]
    assert float(spread[16, 16]) > float(spread[16, 18]) > float(spread[16, 24]) > 0
