"""Unpaired translation: Zhu et al. (2017), "Unpaired Image-to-Image Translation using Cycle-Consistent Networks"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from impasto.descriptors.devices import device_of
from impasto.images import Cell, sheet
from impasto.networks.blocks import instance_norm
from impasto.networks.transformer import TransformerNetwork
from impasto.training.data import OTHER_STEPS, fingerprint
from impasto.training.painting import as_picture
from impasto.training.processes import rank, world_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.descriptors import Descriptor
    from impasto.training.data import Batch, Crops
    from impasto.types import Features, Picture

JUDGED_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Layers of the descriptor whose activations the discriminators take as input."""
_POOL = 50
"""Size of the pool of earlier results for a discriminator (section 4, after Shrivastava et al. 2017)."""

_SLOPE = 0.2


class CycleNetworks(nn.Module):
    """Both generators, both discriminators, and the pools of earlier results.

    Attributes:
        to_b: the generator from domain A to domain B.
        to_a: the generator from domain B to domain A.
    """

    pool_a: Tensor
    pool_b: Tensor
    pooled: Tensor

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        discriminator: int,
        crop: int,
        seed: int,
        judge: Descriptor | None = None,
    ) -> None:
        """Build all four networks with weights from ``seed``.

        The discriminators take activations of ``judge`` as input, or pixels if it is None.
        """
        super().__init__()
        self.to_b, self.to_a = (
            TransformerNetwork(width=width, blocks=blocks, additive=True, seed=seed + n) for n in (0, 1)
        )
        self.judge_a, self.judge_b = (_discriminator(judge, width=discriminator, seed=seed + n) for n in (2, 3))
        # Buffers are saved in checkpoints, so a resumed training has the same pools.
        for name in ("pool_a", "pool_b"):
            self.register_buffer(name, torch.zeros(_POOL, 3, crop, crop, dtype=torch.float16))
        self.register_buffer("pooled", torch.zeros((), dtype=torch.int64))


def _discriminator(judge: Descriptor | None, *, width: int, seed: int) -> nn.Module:
    if judge is None:
        return PatchDiscriminator(width=width, seed=seed)
    side = max(judge.minimum_size(layer) for layer in JUDGED_LAYERS)
    seen = judge.forward(torch.zeros(1, 3, side, side), JUDGED_LAYERS)  # before the judge is moved to a GPU
    return FeatureDiscriminator({layer: x.shape[1] for layer, x in seen.items()}, width=width, seed=seed)


class CycleTraining:
    """Trains both directions at once, with least-squares adversarial losses (section 4).

    Differs from the paper in two ways. Generators and discriminators are updated in the same step, not in turn,
    and neither side receives gradients of the other's losses. A generator computes a residual, initially zero, that is
    added to its input. Otherwise, generators would need most of the paper's 200 epochs to learn to keep colours and
    outlines.
    """

    def __init__(
        self,
        network: CycleNetworks,
        a: Crops,
        b: Crops,
        weights: Mapping[str, float],
        judge: Descriptor | None = None,
    ) -> None:
        """Set up the training of ``network`` on two domains, with the ``weights`` of the losses 'cycle' and 'identity'.

        The discriminators of ``network`` take activations of ``judge`` as input, or pixels if it is None.
        """
        self.network = network
        self.crop = a.size
        self._a = a
        self._b = b
        self._weights = weights
        self._judge = judge

    @property
    def fingerprint(self) -> str:
        """Digest of the pictures, the crops and the networks' shapes."""
        shapes = {name: list(tensor.shape) for name, tensor in self.network.state_dict().items()}
        judge = self._judge.identity if self._judge else "pixels"
        return fingerprint([shapes, self._a.source, self._b.source, judge])

    def begin(self) -> None:
        """Start from generators that change nothing."""

    def batch(self, step: int) -> Batch:
        """Return this process's part of the pictures of both domains of ``step``."""
        return tuple(crops.at(step, part=rank(), parts=world_size()) for crops in (self._a, self._b))

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of the ``batch`` of ``step``, and their sum as 'total'."""
        network = self.network
        a, b = batch
        painted_b, painted_a = network.to_b(a), network.to_a(b)
        losses = {
            "generators": self._marked(network.judge_b, painted_b) + self._marked(network.judge_a, painted_a),
            "cycle": self._weights["cycle"]
            * ((network.to_a(painted_b) - a).abs().mean() + (network.to_b(painted_a) - b).abs().mean()),
            "discriminators": self._discrimination(network.judge_b, b, self._shown(network.pool_b, painted_b, step))
            + self._discrimination(network.judge_a, a, self._shown(network.pool_a, painted_a, step)),
        }
        if self._weights["identity"]:
            kept = (network.to_b(b) - b).abs().mean() + (network.to_a(a) - a).abs().mean()
            losses["identity"] = self._weights["identity"] * kept
        network.pooled += 1
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def samples(self, network: CycleNetworks) -> Picture:
        """Draw pictures that are not trained on, translated to the other domain and back again."""
        a, b = (crops.at(OTHER_STEPS).to(device_of(network)) for crops in (self._a, self._b))
        with torch.no_grad():
            to_b, to_a = network.to_b(a), network.to_a(b)
            back_a, back_b = network.to_a(to_b), network.to_b(to_a)
        titles = ("A", "A to B", "and back", "B", "B to A", "and back")
        columns = (a, to_b, back_a, b, to_a, back_b)
        rows = [
            [Cell(as_picture(image), title) for image, title in zip(images, titles, strict=True)]
            for images in zip(*columns, strict=True)
        ]
        return sheet(rows, title="Samples", cell_side=self.crop)

    def _shown(self, pool: Tensor, painted: Tensor, step: int) -> Tensor:
        """Put ``painted`` (N, 3, H, W) into the pool, and return it with random pictures replaced by earlier ones."""
        shown = painted.detach().clone()
        random = torch.Generator().manual_seed(step)
        first = int(self.network.pooled) * len(shown)
        for index in range(len(shown)):
            slot = first + index
            if slot < len(pool):
                pool[slot] = shown[index]
            elif torch.rand((), generator=random) < 0.5:
                slot = int(torch.randint(len(pool), (), generator=random))
                earlier = pool[slot].float()
                pool[slot] = shown[index]
                shown[index] = earlier
        return shown

    def _seen(self, image: Tensor) -> Tensor | Features:
        return image if self._judge is None else self._judge.forward(image, JUDGED_LAYERS)

    def _marked(self, discriminator: nn.Module, painted: Tensor) -> Tensor:
        """Return the distance of the scores for ``painted`` from 1, the score of real pictures.

        Its gradients reach only the generator, not the discriminator.
        """
        constants = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        return _distance(functional_call(discriminator, constants, (self._seen(painted),)), 1)

    def _discrimination(self, discriminator: nn.Module, real: Tensor, painted: Tensor) -> Tensor:
        with torch.no_grad():
            seen = [self._seen(image) for image in (real, painted)]
        return (_distance(discriminator(seen[0]), 1) + _distance(discriminator(seen[1]), 0)) / 2


class PatchDiscriminator(nn.Module):
    """The discriminator of CycleGAN: four convolutions that halve or keep the sides, and one that scores 70x70 patches.

    Isola et al. (2017), section 3.2.2.
    """

    def __init__(self, *, width: int = 64, seed: int = 0) -> None:
        """Build the network: ``width``, 2 ``width``, 4 ``width`` and 8 ``width`` channels."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = [3, width, 2 * width, 4 * width, 8 * width]
            strides = [2, 2, 2, 1]
            self.convolutions = nn.ModuleList(
                nn.Conv2d(channels, wider, 4, stride, padding=1)
                for channels, wider, stride in zip(widths, widths[1:], strides, strict=False)
            )
            self.last = nn.Conv2d(8 * width, 1, 4, padding=1)
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.normal_(module.weight, std=0.02)  # Zhu et al. (2017), section 7.2

    def forward(self, image: Tensor) -> list[Tensor]:
        """Score the patches of ``image`` (N, 3, H, W), sRGB in [0, 1]: one map (N, 1, rows, columns); 1 means real."""
        x = 2 * image - 1
        for depth, convolution in enumerate(self.convolutions):
            x = convolution(x)
            x = functional.leaky_relu(instance_norm(x) if depth else x, _SLOPE)
        return [self.last(x)]


class FeatureDiscriminator(nn.Module):
    """Scores patches from features of a fixed descriptor: Sauer et al. (2021), "Projected GANs Converge Faster".

    Section 3.2: one small network for each layer. Differs from the paper in that activations are not mixed over
    channels and scales by random maps. Instead, each layer is normalised as a whole.
    """

    def __init__(self, channels: Mapping[str, int], *, width: int = 64, seed: int = 0) -> None:
        """Build a small network of ``width`` channels for each layer, given the number of ``channels`` by layer."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = nn.ModuleDict(
                {
                    layer: nn.Sequential(
                        nn.Conv2d(count, width, 4, stride=2, padding=1),
                        nn.LeakyReLU(_SLOPE),
                        nn.Conv2d(width, width, 3, padding=1),
                        nn.LeakyReLU(_SLOPE),
                        nn.Conv2d(width, 1, 3, padding=1),
                    )
                    for layer, count in channels.items()
                }
            )

    def forward(self, features: Features) -> list[Tensor]:
        """Score the patches of ``features``: one map (N, 1, rows, columns) per layer; 1 means real."""
        return [part(functional.group_norm(features[layer].float(), 1)) for layer, part in self.parts.items()]


def _distance(marks: list[Tensor], wanted: int) -> Tensor:
    return torch.stack([(each - wanted).square().mean() for each in marks]).mean()
