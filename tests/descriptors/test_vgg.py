"""VGG by its layer names: the published architecture, what each layer holds, and what it costs to ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor

from impasto.descriptors import check_size
from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.vgg import VGG, layer_names
from impasto.errors import ImageSizeError, UnknownNameError, WeightsFormatError
from impasto.images import read_picture
from impasto.images.scale import resize_pixels
from impasto.weights.canonical import TORCHVISION
from random_networks import he_tensors, narrow_vgg

if TYPE_CHECKING:
    from pathlib import Path

# Simonyan and Zisserman (2014), table 1, columns D and E: widths of the convolutions, M for a pooling.
PUBLISHED = {
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> VGG:
    return narrow_vgg()


@pytest.fixture(scope="module")
def everything(network: VGG) -> dict[str, Tensor]:
    """All layers of one image of odd size at once."""
    return dict(network.forward(noise(2, 3, 75, 66), network.layers))


# names


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_layers_are_those_of_the_published_architecture(architecture: str) -> None:
    names, block, index = [], 1, 0
    for row in PUBLISHED[architecture].split():
        if row == "M":
            names.append(f"pool{block}")
            block, index = block + 1, 0
        else:
            index += 1
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
    assert layer_names(architecture) == tuple(names)


def test_layers_stand_where_everybody_counts_them() -> None:
    # The positions in torchvision's ``features`` that published scripts name by number.
    names = layer_names("vgg19")
    assert [names[i] for i in (1, 6, 11, 20, 22, 29)] == [
        "relu1_1",
        "relu2_1",
        "relu3_1",
        "relu4_1",
        "relu4_2",
        "relu5_1",
    ]
    assert len(names) == 37
    assert len(layer_names("vgg16")) == 31


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("relu4_5", "unknown layer of vgg19 'relu4_5'; did you mean 'relu4_4'?"),
        ("relu6_1", "unknown layer of vgg19 'relu6_1'; did you mean 'relu5_1'?"),
        ("pool_4", "unknown layer of vgg19 'pool_4'; did you mean 'pool4'?"),
    ],
)
def test_unknown_layer(network: VGG, layer: str, sentence: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(sentence)):
        network.forward(noise(1, 3, 32, 32), ["relu1_1", layer])
    with pytest.raises(UnknownNameError, match=re.escape(sentence)):
        network.minimum_size(layer)


def test_unknown_architecture_and_pooling() -> None:
    arguments = {"tensors": {}, "mean": TORCHVISION.mean, "std": TORCHVISION.std}
    with pytest.raises(UnknownNameError, match=r"^unknown architecture 'vgg119'; did you mean 'vgg19'\?$"):
        VGG("vgg119", **arguments)
    with pytest.raises(UnknownNameError, match=r"^unknown pooling 'mean'; known: average, max$"):
        VGG("vgg19", pooling="mean", **arguments)
    with pytest.raises(WeightsFormatError, match=r"hold no conv1_1.weight; vgg19 starts with it$"):
        VGG("vgg19", **arguments)


# what the layers hold


def test_shapes_and_types(everything: dict[str, Tensor]) -> None:
    # 75x66 halves, without the odd rows and columns, to 37x33, 18x16, 9x8, 4x4, 2x2.
    assert everything["conv1_1"].shape == (2, 8, 75, 66)
    assert everything["relu1_2"].shape == (2, 8, 75, 66)
    assert everything["pool1"].shape == (2, 8, 37, 33)
    assert everything["relu2_2"].shape == (2, 16, 37, 33)
    assert everything["relu3_4"].shape == (2, 32, 18, 16)
    assert everything["relu4_2"].shape == (2, 64, 9, 8)
    assert everything["relu5_1"].shape == (2, 64, 4, 4)
    assert everything["pool5"].shape == (2, 64, 2, 2)
    assert {features.dtype for features in everything.values()} == {torch.float32}


def test_layers_are_what_their_names_say(network: VGG, everything: dict[str, Tensor]) -> None:
    image = noise(2, 3, 75, 66).double()
    mean, std = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (TORCHVISION.mean, TORCHVISION.std))
    x = (image - mean) / std
    for layer in network.layers:
        if layer.startswith("conv"):
            x = F.pad(x, (1, 1, 1, 1), mode="replicate" if layer == "conv1_1" else "constant")
            convolution = network.convolutions[layer]
            x = F.conv2d(x, convolution.weight.double(), convolution.bias.double())
        elif layer.startswith("relu"):
            x = x.clamp_min(0)
        else:
            x = F.max_pool2d(x, 2)
        assert (everything[layer] - x).abs().max() < 1e-4 * x.abs().max(), layer


def test_the_mean_colour_shows_nothing_but_the_biases() -> None:
    tensors = he_tensors({"conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,)})
    network = VGG("vgg19", tensors, mean=(0.25, 0.5, 0.75), std=(0.1, 0.2, 0.3))
    image = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1).expand(1, 3, 5, 6)
    expected = tensors["conv1_1.bias"].view(1, 4, 1, 1).expand(1, 4, 5, 6)
    torch.testing.assert_close(network.forward(image, ["conv1_1"])["conv1_1"], expected)


def test_each_channel_is_divided_by_its_own_deviation() -> None:
    weight = torch.zeros(3, 3, 3, 3)
    for channel in range(3):
        weight[channel, channel, 1, 1] = 1  # passes its channel on
    tensors = {"conv1_1.weight": weight, "conv1_1.bias": torch.zeros(3)}
    network = VGG("vgg19", tensors, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    white = network.forward(torch.ones(1, 3, 2, 2), ["conv1_1"])["conv1_1"]
    torch.testing.assert_close(white[0, :, 0, 0], torch.tensor([0.9 / 0.5, 0.8 / 0.25, 0.7 / 0.125]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_even_picture_is_even_up_to_its_border(precision: str) -> None:
    # With zeros around the picture, its outermost pixels would see an edge.
    image = torch.tensor([0.9, 0.2, 0.6]).view(1, 3, 1, 1).expand(1, 3, 16, 20)
    features = narrow_vgg(precision=precision).forward(image, ["conv1_1"])["conv1_1"].float()
    assert features.std(dim=1).min() > 0.1
    torch.testing.assert_close(features, features[:, :, 8:9, 10:11].expand_as(features), rtol=1e-2, atol=1e-5)


def test_poolings_take_the_largest_or_the_mean() -> None:
    image = noise(1, 3, 16, 20)
    for pooling, reduce in (("max", torch.amax), ("average", torch.mean)):
        features = narrow_vgg(pooling=pooling).forward(image, ["relu1_2", "pool1"])
        windows = features["relu1_2"].view(1, 8, 8, 2, 10, 2)
        torch.testing.assert_close(features["pool1"], reduce(windows, dim=(3, 5)))


def test_pooling_changes_what_is_deeper_and_nothing_before() -> None:
    image = noise(1, 3, 16, 20)
    largest, mean = (
        narrow_vgg(pooling=pooling).forward(image, ["relu1_2", "relu2_1"]) for pooling in ("max", "average")
    )
    assert torch.equal(largest["relu1_2"], mean["relu1_2"])
    assert not torch.allclose(largest["relu2_1"], mean["relu2_1"], rtol=0.05)


# what asking does


def test_activations_before_the_rectification_stay_as_they_are(everything: dict[str, Tensor]) -> None:
    for layer, features in everything.items():
        if layer.startswith("conv"):
            assert features.min() < 0, layer
            assert torch.equal(everything[layer.replace("conv", "relu")], features.clamp_min(0)), layer


@pytest.mark.parametrize("layer", ["conv1_1", "relu1_1", "pool1", "conv2_1", "relu2_2", "relu3_4", "conv4_2", "pool5"])
def test_a_layer_alone_is_the_layer_among_others(network: VGG, everything: dict[str, Tensor], layer: str) -> None:
    alone = network.forward(noise(2, 3, 75, 66), [layer])
    assert list(alone) == [layer]
    torch.testing.assert_close(alone[layer], everything[layer])


def test_layers_may_be_named_in_any_order_and_twice(network: VGG, everything: dict[str, Tensor]) -> None:
    features = network.forward(noise(2, 3, 75, 66), iter(["relu2_1", "conv1_1", "relu2_1"]))
    assert set(features) == {"conv1_1", "relu2_1"}
    assert torch.equal(features["relu2_1"], everything["relu2_1"])


def test_the_image_is_left_alone(network: VGG) -> None:
    image = noise(1, 3, 16, 16)
    network.forward(image, ["relu2_1"])
    assert torch.equal(image, noise(1, 3, 16, 16))


def test_gradients_do_not_depend_on_which_other_layers_are_asked(network: VGG) -> None:
    gradients = []
    for others in ([], ["conv1_1", "conv1_2", "relu1_2", "conv2_1", "conv2_2"]):
        image = noise(1, 3, 80, 80).requires_grad_()
        features = network.forward(image, ["relu2_2", *others])["relu2_2"]
        gradients.append(torch.autograd.grad(features.square().mean(), image)[0])
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)


def test_nothing_is_computed_beyond_the_deepest_layer_asked() -> None:
    tensors = he_tensors(
        {"conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,), "conv1_2.weight": (4, 4, 3, 3), "conv1_2.bias": (4,)}
    )
    unusable = {"conv2_1.weight": torch.zeros(4, 99, 3, 3), "conv2_1.bias": torch.zeros(4)}
    network = VGG("vgg19", {**tensors, **unusable}, mean=TORCHVISION.mean, std=TORCHVISION.std)
    assert network.forward(noise(1, 3, 8, 8), ["relu1_1", "pool1"])["pool1"].shape == (1, 4, 4, 4)
    with pytest.raises(RuntimeError, match="99 channels"):
        network.forward(noise(1, 3, 8, 8), ["relu1_1", "conv2_1"])


def test_a_network_may_end_early() -> None:
    whole = narrow_vgg()
    tensors = {
        f"{layer}.{kind}": getattr(whole.convolutions[layer], kind)
        for layer in ("conv1_1", "conv1_2", "conv2_1")
        for kind in ("weight", "bias")
    }
    short = VGG("vgg19", tensors, mean=TORCHVISION.mean, std=TORCHVISION.std)
    assert short.layers == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1")
    image = noise(1, 3, 16, 16)
    torch.testing.assert_close(short.forward(image, ["relu2_1"]), whole.forward(image, ["relu2_1"]))
    with pytest.raises(UnknownNameError, match="unknown layer of vgg19 'relu2_2'; did you mean 'relu2_1'"):
        short.forward(image, ["relu2_2"])


def test_weights_are_constants_even_if_they_were_parameters() -> None:
    tensors = he_tensors({"conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,)})
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}
    network = VGG("vgg19", parameters, mean=TORCHVISION.mean, std=TORCHVISION.std)
    assert not network.forward(noise(1, 3, 4, 4), ["relu1_1"])["relu1_1"].requires_grad
    assert not list(network.parameters())


# sizes

MINIMUM_SIZES = {
    "conv1_1": 2,
    "relu1_2": 2,
    "pool1": 4,
    "relu2_1": 4,
    "pool2": 8,
    "relu3_1": 8,
    "conv4_1": 16,
    "relu4_1": 16,
    "pool4": 32,
    "relu5_1": 32,
    "pool5": 64,
}


@pytest.mark.parametrize(("layer", "size"), MINIMUM_SIZES.items())
def test_smallest_image_leaves_two_by_two_positions(network: VGG, layer: str, size: int) -> None:
    assert network.minimum_size(layer) == size
    assert network.forward(noise(1, 3, size, size), [layer])[layer].shape[2:] == (2, 2)
    with pytest.raises(ImageSizeError, match=rf"image is {size}x{size - 1}; {layer} needs at least {size}x{size}"):
        network.forward(noise(1, 3, size - 1, size), [layer])


def test_sentence_about_an_image_that_is_too_small(network: VGG) -> None:
    sentence = "image is 15x20; relu4_1 needs at least 16x16; choose a larger size or shallower layers"
    with pytest.raises(ImageSizeError) as caught:
        network.forward(noise(1, 3, 20, 15), ["relu4_1", "relu1_1"])
    assert str(caught.value) == sentence
    with pytest.raises(ImageSizeError) as caught:
        check_size(network, 15, 20, ["relu1_1", "relu4_1"], "style image")
    assert str(caught.value) == f"style {sentence}"
    check_size(network, 16, 16, ["relu1_1", "relu4_1"])


# bfloat16


def test_bfloat16_features_are_those_of_float32_within_a_few_percent(network: VGG) -> None:
    image, layers = noise(1, 3, 32, 40), ["conv1_1", "relu1_1", "relu2_1", "pool2", "relu3_1", "relu4_2", "relu5_1"]
    exact, rounded = network.forward(image, layers), narrow_vgg(precision="bfloat16").forward(image, layers)
    for layer in layers:
        assert rounded[layer].dtype == torch.bfloat16
        error = ((rounded[layer].float() - exact[layer]).norm() / exact[layer].norm()).item()
        assert 0 < error < 0.03, layer


@pytest.mark.usefixtures("shared", "stored_weights")
def test_bfloat16_on_the_real_network(photo: Path) -> None:
    pixels = resize_pixels(read_picture(photo).pixels, 32, 48)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]
    exact, rounded = (
        load_descriptor("vgg19", precision=precision).forward(image, layers) for precision in ("float32", "bfloat16")
    )
    for layer in layers:
        error = ((rounded[layer].float() - exact[layer]).norm() / exact[layer].norm()).item()
        assert 0 < error < 0.03, layer
