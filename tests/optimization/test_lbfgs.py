"""The quasi-Newton steps, on problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.optimization.lbfgs import LBFGS, spread_over_scales


def ill_conditioned(height=8, width=10, condition=100.0):
    """Curvatures from 1 to ``condition``, mixed over the picture."""
    curvatures = np.geomspace(1, condition, 3 * height * width, dtype=np.float32)
    return np.random.default_rng(1).permutation(curvatures).reshape(1, 3, height, width)


def uniform(shape, low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def grey(shape):
    return np.full(shape, 0.5, np.float32)


def steps_until(solved, image, gradient_of, move, limit=2000):
    for step in range(limit):
        if solved(image):
            return step
        move(gradient_of(image))
    return limit


def test_finds_a_minimum_inside_the_range():
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)
    image = grey(minimum.shape)
    optimizer = LBFGS(image, 1.0)
    for _ in range(150):
        optimizer.step(curvatures * (image - minimum))
    np.testing.assert_allclose(image, minimum, atol=1e-4, rtol=0)


def test_finds_the_nearest_picture_to_a_minimum_outside_the_range():
    minimum = uniform((1, 3, 8, 10), -0.5, 1.5)
    image = grey(minimum.shape)
    optimizer = LBFGS(image, 1.0)
    for _ in range(150):
        optimizer.step(image - minimum)
        assert 0 <= image.min() <= image.max() <= 1
    np.testing.assert_allclose(image, minimum.clip(0, 1), atol=1e-4, rtol=0)


def test_needs_far_fewer_steps_than_gradient_descent_on_an_ill_conditioned_problem():
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)

    def solved(image):
        return np.abs(image - minimum).max() < 1e-3

    def gradient_of(image):
        return curvatures * (image - minimum)

    image = grey(minimum.shape)
    quasi_newton = steps_until(solved, image, gradient_of, LBFGS(image, 1.0).step)
    image = grey(minimum.shape)
    best_fixed_length = 2 / (curvatures.min() + curvatures.max())

    def downhill(gradient):
        image[...] -= best_fixed_length * gradient

    descent = steps_until(solved, image, gradient_of, downhill)
    assert descent < 2000
    assert quasi_newton < descent / 2


def two_loops(direction, pairs):
    """Algorithm 7.4 as it is printed, in float64, with the initial inverse Hessian of pictures."""

    def spread(vector):
        return np.stack([spread_over_scales(plane) for plane in vector[0]])[None]

    shares = []
    for move, change in reversed(pairs):
        shares.append((move * direction).sum() / (move * change).sum())
        direction = direction - shares[-1] * change
    move, change = pairs[-1]
    direction = (move * change).sum() / (change * spread(change)).sum() * spread(direction)
    for (move, change), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + move * (share - (change * direction).sum() / (move * change).sum())
    return direction


@pytest.mark.parametrize("size", [(8, 10), (37, 51), (201, 150)])
def test_steps_as_the_textbook_does(size):
    # Inside the range, where nothing is clipped; more steps than pairs are remembered; blocks that are not full.
    curvatures = uniform((1, 3, *size), 1, 4, seed=1)
    minimum = uniform(curvatures.shape, 0.45, 0.55)
    image = grey(minimum.shape)
    optimizer = LBFGS(image, 1.0)
    pairs, last = [], None
    for _ in range(LBFGS.HISTORY + 5):
        before = image.astype(np.float64)
        gradient = curvatures * (image - minimum)
        if last is not None:
            pairs = [*pairs, (last[0], gradient.astype(np.float64) - last[1])][-LBFGS.HISTORY :]
        optimizer.step(gradient)
        move = image - before
        if pairs:
            expected = -two_loops(gradient.astype(np.float64), pairs)
            assert np.linalg.norm(move - expected) < 1e-3 * np.linalg.norm(expected)
        last = (move, gradient.astype(np.float64))
    assert image.min() > 0 and image.max() < 1


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_first_move_has_a_known_length_whatever_the_loss_weighs(scale):
    image = grey((1, 3, 16, 16))
    LBFGS(image, 1.0).step(np.float32(scale) * uniform(image.shape, -1, 1))
    assert float(np.abs(image - 0.5).mean()) == pytest.approx(LBFGS.FIRST_MOVE, rel=1e-3)


def test_the_learning_rate_shortens_a_step():
    gradient = uniform((1, 3, 8, 8), -1, 1)
    whole, quarter = grey(gradient.shape), grey(gradient.shape)
    LBFGS(whole, 1.0).step(gradient)
    LBFGS(quarter, 0.25).step(gradient)
    np.testing.assert_allclose(quarter - 0.5, (whole - 0.5) / 4, atol=1e-6, rtol=0)


def test_a_pair_without_positive_curvature_is_not_remembered():
    image = grey((1, 3, 8, 8))
    optimizer = LBFGS(image, 1.0)
    hill_top = uniform(image.shape, 0.4, 0.6)
    for _ in range(3):
        optimizer.step(-(image - hill_top))
    assert optimizer.state()["order"].size == 0
    assert np.isfinite(image).all()


def test_goes_on_after_a_pair_was_refused():
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)
    image = grey(minimum.shape)
    optimizer = LBFGS(image, 1.0)
    last_image, last_gradient = image.copy(), np.zeros_like(image)
    for step in range(160):
        order = optimizer.state()["order"].tolist()
        gradient = curvatures * (image - minimum)
        if step == 14:  # of a hill
            gradient = last_gradient - (image - last_image)
        last_image, last_gradient = image.copy(), gradient
        optimizer.step(gradient)
        if step == 14:
            assert optimizer.state()["order"].tolist() == order
    np.testing.assert_allclose(image, minimum, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("steps", "pairs"), [(None, LBFGS.HISTORY), (30, LBFGS.HISTORY), (4, 4), (1, 1)])
def test_the_history_is_limited(steps, pairs):
    curvatures = ill_conditioned()
    minimum = uniform(curvatures.shape, 0.2, 0.8)
    image = grey(minimum.shape)
    optimizer = LBFGS(image, 1.0, steps=steps)
    for _ in range(30):
        optimizer.step(curvatures * (image - minimum))
    assert {name for name in optimizer.state() if name[-1].isdigit()} == {
        f"{kind}{row}" for kind in ("move", "change") for row in range(pairs)
    }
