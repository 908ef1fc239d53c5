"""Losses and gradients tile by tile, against those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from impasto.descriptors.compact import load_compact
from impasto.engines.tiled_objective import TiledObjective, Tiling
from impasto.losses.objective import GramLoss, LayerLosses, MeanStdLoss, Objective, content_losses, style_losses
from impasto.optimization.arrays import Memory, OnDisk
from impasto.options import shares_of_layers

CPU = torch.device("cpu")

CONTENT = {"relu4_2": 1.0}
STYLE = {"relu1_1": 1.0, "relu2_1": 0.5, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 2.0}


def picture(height, width, seed):
    """Shapes of all sizes, so that all layers respond."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, height, width)
    for cells in (3, 9, 40):
        noise = torch.rand(1, 3, cells, cells, generator=generator)
        image += torch.nn.functional.interpolate(noise, (height, width), mode="bicubic") / 3
    return image.clamp(0, 1)


@pytest.fixture(scope="module")
def network():
    """Without Winograd's kernels, whose rounding depends on the size: now and then, it turns a maximum of a pooling."""
    network = load_compact()
    for convolution in network.narrow.convolutions.values():
        convolution.weight_backward = None
    return network


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GramLoss, MeanStdLoss])
@pytest.mark.parametrize("normalization", ["relative", "paper"])
@pytest.mark.parametrize("size", [(256, 384), (301, 213)])
def test_the_gradient_is_that_of_the_whole(network, tmp_path, kind, normalization, size):
    image, content, style = picture(*size, seed=0), picture(*size, seed=1), picture(200, 200, seed=2)
    style_parts = style_losses(kind, [network.forward(style, STYLE)], [1.0], normalization)
    parts = {
        "content": LayerLosses(content_losses(network.forward(content, CONTENT), normalization), CONTENT, 2.0),
        "style": LayerLosses(style_parts, STYLE, 30.0),
    }
    leaf = image.clone().requires_grad_(True)
    whole = Objective(network, parts, 5.0)(leaf)
    (expected,) = torch.autograd.grad(whole["total"], leaf)
    for memory in (Memory(), OnDisk(tmp_path)):
        tiled = TiledObjective(
            Tiling(network, 96, memory, CPU),
            content=content.numpy(),
            content_shares=shares_of_layers(CONTENT, 2.0),
            style=style_parts,
            style_shares=shares_of_layers(STYLE, 30.0),
            tv_weight=5.0,
            normalization=normalization,
        )
        losses, gradient = tiled.evaluate(image.numpy())
        assert losses == pytest.approx({name: float(loss.detach()) for name, loss in whole.items()}, rel=1e-5)
        assert np.linalg.norm(gradient - expected.numpy()) < 1e-5 * expected.norm()
        assert np.abs(gradient - expected.numpy()).max() < 1e-5 * expected.abs().max()


def test_the_statistics_are_those_of_the_whole(network):
    image, tiling = picture(333, 250, seed=3), Tiling(network, 64, Memory(), CPU)
    with torch.no_grad():
        expected = {layer: GramLoss.statistics(x) for layer, x in network.forward(image, STYLE).items()}
    found = tiling.statistics(image.numpy(), STYLE, GramLoss)
    for layer in STYLE:
        assert (found[layer] - expected[layer]).norm() < 1e-5 * expected[layer].norm()
