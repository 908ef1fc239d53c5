"""Networks of the true shapes: the real Oxford VGG19 where it is at hand, else generated ones of its size."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file

from impasto.descriptors.vgg import layer_names
from impasto.weights.canonical import tensor_shapes

REAL = Path(__file__).resolve().parents[3] / "shared" / "weights" / "vgg19-imagenet.safetensors"

# Standard deviations of the published weights, per block, as (filters, biases).
TORCHVISION = {
    "1": (0.056, 0.25),
    "2": (0.043, 0.13),
    "3": (0.025, 0.10),
    "4": (0.016, 0.10),
    "5": (0.016, 0.13),
}
OXFORD = {
    "1": (0.040, 0.31),
    "2": (0.026, 0.15),
    "3": (0.012, 0.06),
    "4": (0.0072, 0.02),
    "5": (0.0083, 0.25),
}
FIRST = {"torchvision": 0.25, "oxford": 0.19}
STD = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)


def generate(architecture, training):
    """Draw a network whose layers have the size that ``training`` left them with."""
    generator = torch.Generator().manual_seed(0)
    sizes = TORCHVISION if training == "torchvision" else OXFORD
    tensors = {}
    for name, shape in tensor_shapes(architecture).items():
        size = sizes[name[4]][0 if name.endswith("weight") else 1]
        if name == "conv1_1.weight":
            size = FIRST[training]
        tensors[name] = torch.randn(shape, generator=generator) * size
    return tensors


@pytest.fixture(scope="session")
def oxford():
    """Simonyan and Zisserman's VGG19 in the form of Caffe: BGR, 0 to 255."""
    if not REAL.exists():
        return generate("vgg19", "oxford")
    tensors = {name: tensor.float() for name, tensor in load_file(REAL).items()}
    tensors["conv1_1.weight"] = (tensors["conv1_1.weight"] / (255 * STD)).flip(1)
    return tensors


@pytest.fixture(scope="session")
def folded(oxford):
    """The same network with its preprocessing folded into conv1_1: RGB of unit variance."""
    return {**oxford, "conv1_1.weight": oxford["conv1_1.weight"].flip(1) * 255 * STD}


@pytest.fixture(scope="session")
def torchvision16():
    return generate("vgg16", "torchvision")


@pytest.fixture(scope="session")
def image():
    """A colour gradient with some noise, (1, 3, 32, 32), RGB in [0, 1]: no two channels or axes are alike."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    noise = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    return (0.6 * torch.stack([x, y * y, 1 - x * y]) + 0.4 * noise)[None]


@pytest.fixture(scope="session")
def plain():
    """A plain VGG on input that is preprocessed already: ``plain(tensors, input) -> activations``."""

    def forward(tensors, x):
        architecture = "vgg19" if "conv3_4.weight" in tensors else "vgg16"
        features = {}
        for layer in layer_names(architecture):
            if layer.startswith("conv"):
                edges = "replicate" if layer == "conv1_1" else "constant"
                padded = F.pad(x, (1, 1, 1, 1), mode=edges)
                x = F.conv2d(padded, tensors[f"{layer}.weight"].float(), tensors[f"{layer}.bias"].float())
            elif layer.startswith("relu"):
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, 2)
            features[layer] = x
        return features

    return forward


@pytest.fixture(scope="session")
def sequential():
    """Torchvision's keys for canonical ones: ``sequential(tensors) -> {'features.0.weight': ...}``."""

    def rename(tensors):
        layers = layer_names("vgg19" if "conv3_4.weight" in tensors else "vgg16")
        return {f"features.{layers.index(name.split('.')[0])}.{name.split('.')[1]}": t for name, t in tensors.items()}

    return rename


@pytest.fixture(scope="session")
def constant():
    """A network of the true shapes in a few kilobytes: all filters of a layer are one number."""

    def build(architecture, *, ratio, first=0.2):
        tensors = {}
        for name, shape in tensor_shapes(architecture).items():
            size = first if name == "conv1_1.weight" else ratio * math.sqrt(2 / (9 * shape[0]))
            tensors[name] = torch.full((1,), size).expand(shape)
        return tensors

    return build


@pytest.fixture
def folder(tmp_path):
    """A folder that is emptied afterwards: pytest would keep gigabytes of networks."""
    yield tmp_path
    shutil.rmtree(tmp_path)
