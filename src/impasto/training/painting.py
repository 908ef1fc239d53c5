"""Training of the networks that learn one style: transformer networks and texture networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from impasto.descriptors.devices import device_of
from impasto.images import Cell, sheet
from impasto.losses.functional import excess_grid, usual_grids
from impasto.losses.objective import GramLoss, LayerLosses, Objective, content_losses, style_losses
from impasto.networks.base import PaintingNetwork
from impasto.networks.texture import NOISE_CHANNELS, TextureNetwork
from impasto.training.data import OTHER_STEPS, fingerprint, inside
from impasto.training.processes import rank, world_size
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from impasto.descriptors import Descriptor
    from impasto.training.data import Batch, Crops

    Objectives = Callable[[Tensor, Tensor | None], dict[str, Tensor]]

NetworkT = TypeVar("NetworkT", bound=PaintingNetwork)


@dataclass(frozen=True)
class PerceptualLosses:
    """Losses of content, style and total variation, measured with a descriptor (Johnson et al. 2016, section 3.2).

    Differs from the paper in two ways. Each distance is relative to its target, as in engine 'gatys', so that weights
    keep their meaning for every descriptor, layer and size. A fourth loss penalises the grid pattern of upsampling,
    which does not vanish in a training of a few minutes.
    """

    judge: Descriptor
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    content_weight: float
    style_weight: float
    tv_weight: float
    grid_weight: float
    stride: int
    """Stride of the network, a power of 2; upsampling may paint grids at periods of 2, 4, ... ``stride`` pixels."""

    def objective(self, styles: Sequence[Tensor], shares: Sequence[float]) -> Objectives:
        """Return a function that computes weighted losses from painted images and their content images, if any.

        Args:
            styles: style images (1, 3, H, W) at the scale at which strokes should be painted, on the device of the
                descriptor ``judge``.
            shares: the share of each style in the mixture; their sum is 1.
        """
        with torch.no_grad():
            seen = [self.judge.forward(style, self.style_layers) for style in styles]
        usual = usual_grids(styles, [2 << number for number in range(self.stride.bit_length() - 1)])
        style = LayerLosses(style_losses(GramLoss, seen, shares, "relative"), self.style_layers, self.style_weight)

        def losses(painted: Tensor, contents: Tensor | None) -> dict[str, Tensor]:
            parts = {"style": style}
            if contents is not None:
                with torch.no_grad():
                    wanted = self.judge.forward(inside(contents), self.content_layers)
                parts["content"] = LayerLosses(
                    content_losses(wanted, "relative"), self.content_layers, self.content_weight
                )
            found = Objective(self.judge, parts, self.tv_weight).forward(inside(painted))
            grid = self.grid_weight * excess_grid(painted, usual)
            return {**found, "grid": grid, "total": found["total"] + grid}

        return losses


class PaintingTraining(Generic[NetworkT]):
    """Trains a network to paint photographs in one style, or in a mixture of several."""

    def __init__(
        self,
        network: NetworkT,
        losses: PerceptualLosses,
        styles: Sequence[Tensor],
        shares: Sequence[float],
        contents: Crops,
    ) -> None:
        """Set up the training of ``network``, a module from images to images, on ``contents``."""
        self.network: NetworkT = network
        self.crop = contents.size
        self._contents = contents
        self._objective = losses.objective([style.to(device_of(network)) for style in styles], shares)
        self._styles = styles

    @property
    def fingerprint(self) -> str:
        """Digest of the pictures and the network's shape; loss weights and crops may change on resuming."""
        return fingerprint([dict(self.network.arguments), self._contents.source], self._styles)

    def begin(self) -> None:
        """Start from random weights."""

    def batch(self, step: int) -> Batch:
        """Return this process's part of the photographs of ``step``, and noise if the network takes some."""
        contents = self._contents.at(step, part=rank(), parts=world_size())
        if not self.network.noise_channels:
            return (contents,)
        noise = uniform_noise(self.crop, step=step, seed=self._contents.seed, count=self._contents.batch)
        return contents, noise[rank() :: world_size()].contiguous()

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute the weighted losses of the ``batch`` of ``step``, and their sum as 'total'."""
        del step
        self.network.train()
        contents, *noise = batch
        return self._objective(self.network(*noise, contents), contents)

    def samples(self, network: NetworkT) -> Picture:
        """Paint training photographs, in crops of a batch that is not trained on."""
        network.eval()
        contents, *noise = (tensor.to(device_of(network)) for tensor in self.batch(OTHER_STEPS))
        with torch.no_grad():
            painted = network(*noise, contents)
        rows = [
            [Cell(as_picture(content), "content"), Cell(as_picture(result), "painted")]
            for content, result in zip(contents, painted, strict=True)
        ]
        rows.insert(0, [Cell(as_picture(style[0]), "style") for style in self._styles])
        return sheet(rows, title="Samples", cell_side=self.crop)


class TextureTraining:
    """Trains a network to make one texture, or a mixture of several, from noise (Ulyanov et al. 2016, section 3)."""

    def __init__(
        self,
        network: TextureNetwork,
        losses: PerceptualLosses,
        styles: Sequence[Tensor],
        shares: Sequence[float],
        *,
        size: int,
        batch: int,
        seed: int,
    ) -> None:
        """Set up the training of ``network`` with ``batch`` textures of ``size`` x ``size`` pixels per step."""
        self.network = network
        self.crop = size
        self._batch = batch
        self._seed = seed
        self._objective = losses.objective([style.to(device_of(network)) for style in styles], shares)
        self._styles = styles

    @property
    def fingerprint(self) -> str:
        """Digest of the style and the network's shape."""
        return fingerprint([dict(self.network.arguments), self._seed], self._styles)

    def begin(self) -> None:
        """Start from random weights."""

    def batch(self, step: int) -> Batch:
        """Return this process's part of the noise of ``step``."""
        return (self._noise(step)[rank() :: world_size()].contiguous(),)

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute the weighted losses of the ``batch`` of ``step``, and their sum as 'total'."""
        del step
        return self._objective(self.network(*batch), None)

    def samples(self, network: TextureNetwork) -> Picture:
        """Make textures from noise that is not trained on."""
        with torch.no_grad():
            made = network(self._noise(OTHER_STEPS).to(device_of(network)))
        styles = [Cell(as_picture(style[0]), "style") for style in self._styles]
        rows = [styles, [Cell(as_picture(each), "") for each in made]]
        return sheet(rows, title="Samples", cell_side=self.crop)

    def _noise(self, step: int) -> Tensor:
        return uniform_noise(self.crop, step=step, seed=self._seed, count=self._batch)


def uniform_noise(side: int, *, step: int, seed: int, count: int) -> Tensor:
    """Draw the noise of a batch: (count, NOISE_CHANNELS, side, side), uniform in [0, 1]."""
    random = torch.Generator().manual_seed(seed + 1_000_003 * step)
    return torch.rand(count, NOISE_CHANNELS, side, side, generator=random)


def as_picture(image: Tensor) -> Picture:
    """Turn an image (3, H, W) into a Picture."""
    return Picture(image.detach().clamp(0, 1).permute(1, 2, 0).contiguous().cpu().numpy())
