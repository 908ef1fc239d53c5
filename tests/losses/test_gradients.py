"""The gradients written out as forward computations are those of automatic differentiation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from impasto.descriptors.compact import load_compact
from impasto.losses.gradients import HYPER_LAYERS, OWN_LAYERS, NeighborGraphs, Pass, hypercolumns


@pytest.fixture(scope="module")
def network():
    return load_compact().narrow


@pytest.fixture(scope="module")
def graphs(network):
    return NeighborGraphs(network)


def pictures(height, width, count=2):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return [torch.rand(1, 3, height, width, generator=generator) for _ in range(count)]


SIZES = pytest.mark.parametrize("size", [(8, 8), (8, 64), (40, 24), (64, 64)])


def assert_same_gradient(function, image):
    gradient, loss = function(image)
    leaf = image.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(function(leaf)[1].sum(), leaf)
    assert float((gradient - expected).norm()) <= 1e-5 * float(expected.norm())
    assert torch.isfinite(loss).all() and float(expected.norm()) > 0


@SIZES
def test_the_gradient_of_hypercolumns(graphs, size):
    image, other = pictures(*size)
    own = torch.ones(1, 1, size[0] // 8, size[1] // 8)
    own.flatten()[1::3] = 0
    with torch.no_grad():
        target = graphs.see_hypercolumns(other)
    assert_same_gradient(lambda x: graphs.match_hypercolumns(x, target, own, torch.tensor([0.7, 1e-6])), image)


@SIZES
def test_the_gradient_of_layers(graphs, size):
    image, other = pictures(*size)
    own = torch.ones(1, 1, size[0] // 8, size[1] // 8)
    own.flatten()[1::3] = 0
    with torch.no_grad():
        targets = graphs.see_layers(other)
    factors = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert_same_gradient(lambda x: graphs.match_layers(x, *targets, own, factors), image)


def test_the_losses_are_what_they_say(graphs, network):
    image, other = pictures(48, 32)
    with torch.no_grad():
        target, targets = graphs.see_hypercolumns(other), graphs.see_layers(other)
        found = hypercolumns(Pass.of(network, image, HYPER_LAYERS).activations)
        layers = network.forward(image, OWN_LAYERS)
        own = torch.ones(1, 1, 6, 4)
        _, angle = graphs.match_hypercolumns(image, target, own, torch.tensor([1.0, 0.0]))
        _, distance = graphs.match_hypercolumns(image, target, own, torch.tensor([0.0, 1.0]))
        _, by_layer = graphs.match_layers(image, *targets, own, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert float(angle) == pytest.approx(float((1 - F.cosine_similarity(found, target, dim=1)).sum()), rel=1e-4)
    assert float(distance) == pytest.approx(float((found - target).square().sum()), rel=1e-4)
    expected = sum(
        factor * float((layers[layer] - each).square().sum())
        for factor, layer, each in zip((1, 2, 3, 4), OWN_LAYERS, targets, strict=True)
    )
    assert float(by_layer) == pytest.approx(expected, rel=1e-4)


def test_in_flat_areas_equal_maxima_share_the_derivative(network):
    """Of a flat picture, every value of a pooled square is its maximum."""
    image = torch.full((1, 3, 32, 32), 0.4)
    seen = Pass.of(network, image, ["relu3_1"])
    pull = torch.ones_like(seen.activations["relu3_1"])
    along = torch.ones_like(image)
    step = 1e-3
    ahead, behind = (
        Pass.of(network, image + sign * step * along, ["relu3_1"]).activations["relu3_1"] for sign in (1, -1)
    )
    rate = float((ahead - behind).sum()) / (2 * step)
    assert float((seen.gradient({"relu3_1": pull}) * along).sum()) == pytest.approx(rate, rel=0.02)


def test_features_are_those_of_the_descriptor(graphs, network):
    (image,) = pictures(40, 56, 1)
    with torch.no_grad():
        expected = network.forward(image, OWN_LAYERS)
        found = graphs.see_layers(image)
    for layer, features in zip(OWN_LAYERS, found, strict=True):
        torch.testing.assert_close(features, expected[layer], rtol=1e-4, atol=1e-3 * float(expected[layer].abs().max()))
