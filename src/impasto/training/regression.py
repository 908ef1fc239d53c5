"""Least-squares fits of convolutions. They serve as initial weights and shorten a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from impasto.networks.blocks import EdgeConvolution

if TYPE_CHECKING:
    from torch import Tensor, nn

    from impasto.descriptors.vgg import VGG
    from impasto.networks.base import Decoder

_RIDGE = 1e-4
_SAMPLED_POSITIONS = 4000


def fit_convolution(convolution: nn.Conv2d, inputs: Tensor, outputs: Tensor, generator: torch.Generator) -> None:
    """Set weight and bias of ``convolution`` to the ridge regression of ``outputs`` (O, P) on ``inputs`` (I, P)."""
    positions = torch.randperm(inputs.shape[1], generator=generator)[: _wanted(len(inputs))]
    # On the CPU, because not every GPU has float64.
    a, b = (each[:, positions].cpu().double() for each in (inputs, outputs))
    center_a, center_b = a.mean(1, keepdim=True), b.mean(1, keepdim=True)
    a, b = a - center_a, b - center_b
    gram = a @ a.T
    gram += torch.eye(len(gram)) * _RIDGE * gram.trace() / len(gram)
    weight = torch.linalg.solve(gram, a @ b.T).T
    convolution.weight.copy_(weight.view(convolution.weight.shape))
    cast("Tensor", convolution.bias).copy_((center_b - weight @ center_a)[:, 0])


def _wanted(inputs: int) -> int:
    """Return the number of positions that a regression on this number of ``inputs`` needs."""
    return 20 * inputs + _SAMPLED_POSITIONS


def by_channel(features: Tensor) -> Tensor:
    """Reorder (N, C, ...) to (C, P), where P counts the positions of all N."""
    return features.transpose(0, 1).flatten(1)


@torch.no_grad()
def fit_edge_convolution(
    convolution: EdgeConvolution, inputs: Tensor, outputs: Tensor, generator: torch.Generator
) -> None:
    """Fit a 3x3 convolution with reflected edges to map ``inputs`` (N, I, H, W) to ``outputs`` (N, O, H, W)."""
    share = math.ceil(_wanted(9 * inputs.shape[1]) / len(inputs))
    patches, answers = [], []
    for image, wanted in zip(inputs, outputs, strict=True):
        seen = F.unfold(F.pad(image[None], (1, 1, 1, 1), mode="reflect"), 3)[0]
        positions = torch.randperm(seen.shape[1], generator=generator)[:share]
        patches.append(seen[:, positions])
        answers.append(wanted.flatten(1)[:, positions])
    fit_convolution(convolution, torch.cat(patches, 1), torch.cat(answers, 1), generator)


@torch.no_grad()
def fit_decoder(decoder: Decoder, encoder: VGG, layer: str, images: Tensor, *, seed: int) -> None:
    """Fit ``decoder`` to invert ``encoder``, from ``layer`` back to ``images`` (N, 3, H, W), one convolution at a time.

    The convolutions are fitted in the decoder's order, deepest layer first. The target of each is the input of its
    counterpart in the encoder. Its inputs come from the convolutions already fitted, so it can correct their errors.
    """
    generator = torch.Generator().manual_seed(seed)
    names = encoder.layers[: encoder.layers.index(layer) + 1]
    undone = reversed([index for index, name in enumerate(names) if name.startswith("conv")])
    x = encoder.forward(images, [layer])[layer]
    for module in decoder.layers:
        if isinstance(module, EdgeConvolution):
            index = next(undone)
            target = encoder.forward(images, [names[index - 1]])[names[index - 1]] if index else images
            fit_edge_convolution(module, x, target, generator)
        x = module(x)
