"""Networks made for tests."""

from __future__ import annotations

import torch

from impasto.descriptors.vgg import VGG, layer_names
from impasto.weights.canonical import TORCHVISION


def he_tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random filters that keep the size of activations (He et al. 2015), and small biases."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        fan_in = shape[1] * 9 if len(shape) == 4 else 100
        tensors[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
    return tensors


def narrow_vgg(**arguments: object) -> VGG:
    """A real VGG19 of an eighth of the width with random weights: quick, and exact enough to test any mathematics."""
    widths = [8, 16, 32, 64, 64]
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for name in layer_names("vgg19"):
        if name.startswith("conv"):
            width = widths[int(name[4]) - 1]
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width, channels, 3, 3), (width,)
            channels = width
    return VGG(
        "vgg19",
        he_tensors(shapes),
        mean=TORCHVISION.mean,
        std=TORCHVISION.std,
        **arguments,  # type: ignore[arg-type]
    )
