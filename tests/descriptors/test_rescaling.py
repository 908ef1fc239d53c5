"""Gatys' rescaling: what becomes one, and what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.vgg import VGG, rescale_activations
from impasto.images import read_picture
from impasto.images.scale import resize_pixels
from impasto.losses.functional import gram_matrix
from random_networks import narrow_vgg

if TYPE_CHECKING:
    from pathlib import Path


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def tensor_of(path: Path, height: int, width: int) -> Tensor:
    return torch.from_numpy(resize_pixels(read_picture(path).pixels, height, width)).permute(2, 0, 1)[None].contiguous()


def relus(network: VGG) -> list[str]:
    return [layer for layer in network.layers if layer.startswith("relu")]


def mean_activations(network: VGG, images: list[Tensor]) -> dict[str, Tensor]:
    """Of each filter over images and positions, every image counting the same."""
    totals = [network.forward(image, relus(network)) for image in images]
    return {
        layer: torch.stack([features[layer].float().mean((0, 2, 3)) for features in totals]).mean(0)
        for layer in relus(network)
    }


def excited(means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Which filters respond with more than a quarter of the layer's mean."""
    return {layer: mean > 0.25 * mean.mean() for layer, mean in means.items()}


def check_means_are_one(network: VGG, rescaled: VGG, images: list[Tensor]) -> None:
    before, after = mean_activations(network, images), mean_activations(rescaled, images)
    for layer, responds in excited(before).items():
        assert responds.float().mean() > 0.3, layer
        ones = torch.ones_like(after[layer][responds])
        torch.testing.assert_close(after[layer][responds], ones, rtol=1e-3, atol=0, msg=layer)
        assert (after[layer][~responds] < 1.001).all(), layer
    assert (before["relu1_1"] - 1).abs().max() > 0.1  # there was something to do


def check_function_is_the_same_up_to_channel_scales(
    network: VGG, rescaled: VGG, images: list[Tensor], other: Tensor
) -> None:
    means = mean_activations(network, images)
    original, features = network.forward(other, network.layers), rescaled.forward(other, network.layers)
    for layer in network.layers:
        if not layer.startswith("pool"):  # whose scales are those of the layer before
            mean = means[layer.replace("conv", "relu")]
            scales = mean.clamp_min(0.25 * float(mean.mean())).view(1, -1, 1, 1)
        error = (features[layer] * scales - original[layer]).norm() / original[layer].norm()
        assert error < 1e-4, layer


@pytest.fixture
def images() -> list[Tensor]:
    """Two calibration images of different sizes."""
    return [noise(1, 3, 32, 40), noise(1, 3, 35, 33, seed=1) ** 3]


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_mean_activations_are_one_over_the_images(images: list[Tensor], pooling: str) -> None:
    network = narrow_vgg(pooling=pooling)
    check_means_are_one(network, rescale_activations(network, images), images)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_function_is_the_same_up_to_channel_scales(images: list[Tensor], pooling: str) -> None:
    network = narrow_vgg(pooling=pooling)
    rescaled = rescale_activations(network, images)
    check_function_is_the_same_up_to_channel_scales(network, rescaled, images, noise(1, 3, 64, 70, seed=2))


def test_layers_become_comparable(images: list[Tensor]) -> None:
    network = narrow_vgg()
    rescaled = rescale_activations(network, images)
    sizes = [gram_matrix(rescaled.forward(images[0], [layer])[layer]).mean().item() for layer in relus(network)]
    assert max(sizes) < 5 * min(sizes)


def test_a_filter_that_never_responds_is_not_raised(images: list[Tensor]) -> None:
    network = narrow_vgg()
    network.convolutions["conv1_1"].bias[3] = -100
    rescaled = rescale_activations(network, images)
    features = rescaled.forward(images[0], relus(network))
    assert not features["relu1_1"][:, 3].any()
    assert all(torch.isfinite(activations).all() for activations in features.values())
    mean = network.forward(images[0], ["relu1_1"])["relu1_1"].mean()
    assert rescaled.convolutions["conv1_1"].weight[3].abs().max() < 200 / mean


def test_everything_else_is_kept(images: list[Tensor]) -> None:
    network = narrow_vgg(name="mine", identity="abc", pooling="average", precision="bfloat16")
    weight = network.convolutions["conv2_1"].weight.clone()
    rescaled = rescale_activations(network, [images[0][:, :, :32, :32]])
    kept = ("name", "identity", "architecture", "pooling", "precision", "layers")
    assert {key: getattr(rescaled, key) for key in kept} == {key: getattr(network, key) for key in kept}
    assert torch.equal(rescaled.mean, network.mean)
    assert torch.equal(rescaled.std, network.std)
    assert torch.equal(network.convolutions["conv2_1"].weight, weight)


def test_a_short_network() -> None:
    whole = narrow_vgg()
    tensors = {
        f"{layer}.{kind}": getattr(whole.convolutions[layer], kind)
        for layer in ("conv1_1", "conv1_2")
        for kind in ("weight", "bias")
    }
    short = VGG("vgg19", tensors, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    images = [noise(1, 3, 20, 24)]
    check_means_are_one(short, rescale_activations(short, images), images)


@pytest.mark.usefixtures("stored_weights")
def test_the_whole_network_on_pictures(photo: Path, painting: Path) -> None:
    network = load_descriptor("vgg19")
    images = [tensor_of(photo, 64, 80), tensor_of(painting, 80, 64)]
    rescaled = rescale_activations(network, images)
    check_means_are_one(network, rescaled, images)
    check_function_is_the_same_up_to_channel_scales(network, rescaled, images, tensor_of(photo, 64, 64))
