"""The gradients written out as forward computations are those of automatic differentiation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from impasto.descriptors.compact import load_compact
from impasto.losses.functional import gram_matrix
from impasto.losses.gradients import (
    CONTENT_LAYER,
    HYPER_LAYERS,
    OWN_LAYERS,
    STYLE_LAYERS,
    NeighborGraphs,
    Pass,
    StatisticsGraphs,
    hypercolumns,
)


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


@pytest.fixture(scope="module", params=["compact", "narrow"])
def statistics(request, network):
    """Those of the compact descriptor, whose maps are no rotations of its own activations, and without the maps."""
    return StatisticsGraphs(load_compact()) if request.param == "compact" else StatisticsGraphs(network)


@pytest.mark.parametrize("size", [(16, 16), (16, 96), (80, 48)])
def test_the_gradient_of_statistics(statistics, size):
    image, other = (each.double().float() for each in pictures(*size))
    own = torch.ones(1, 1, size[0] // 16, size[1] // 16)
    own.flatten()[1::3] = 0
    with torch.no_grad():
        *targets, content = statistics.sum_statistics(other, own)
        *sums, _ = statistics.sum_statistics(image, own)
    scales = [1 / float(target.square().sum()) for target in targets]
    factor = torch.tensor([1 / float(content.square().sum())])
    derivatives = [2 * scale * (each - target) for scale, each, target in zip(scales, sums, targets, strict=True)]
    gradient, loss = statistics.pull_statistics(image, own, content, factor, *derivatives)
    leaf = image.clone().requires_grad_(True)
    *sums, seen = statistics.sum_statistics(leaf, own)
    here = F.interpolate(own, scale_factor=2.0)
    content_loss = factor * ((seen - content) ** 2 * here).sum()
    style_loss = sum(
        scale * (each - target).square().sum() for scale, each, target in zip(scales, sums, targets, strict=True)
    )
    (expected,) = torch.autograd.grad(content_loss + style_loss, leaf)
    assert float(loss) == pytest.approx(float(content_loss.detach()), rel=1e-5)
    assert float((gradient - expected).norm()) <= 1e-5 * float(expected.norm())


def test_sums_are_those_of_gram_matrices_and_means():
    descriptor = load_compact()
    (image,) = pictures(64, 48, count=1)
    with torch.no_grad():
        *sums, content = StatisticsGraphs(descriptor).sum_statistics(image, torch.ones(1, 1, 4, 3))
        features = descriptor.forward(image, [*STYLE_LAYERS, CONTENT_LAYER])
    torch.testing.assert_close(content, features[CONTENT_LAYER])
    for layer, found in zip(STYLE_LAYERS, sums, strict=True):
        positions = features[layer].shape[2] * features[layer].shape[3]
        torch.testing.assert_close(found[:-1, :-1] / positions, gram_matrix(features[layer])[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found[-1, :-1] / positions, features[layer].mean((2, 3))[0], rtol=1e-4, atol=1e-4)
        assert float(found[-1, -1]) == positions
