"""Training of the encoder-decoder networks that paint in any style: AdaIN and SANet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

import torch

from impasto.descriptors.devices import device_of
from impasto.images import Cell, sheet
from impasto.losses.functional import excess_grid, grid_share, relative_distance, total_variation
from impasto.networks import adain, sanet
from impasto.networks.base import EncodedNetwork
from impasto.networks.blocks import mean_and_std
from impasto.training.data import OTHER_STEPS, fingerprint, inside
from impasto.training.painting import as_picture
from impasto.training.processes import rank, world_size
from impasto.training.regression import fit_decoder, fit_edge_convolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from impasto.training.data import Batch, Crops
    from impasto.types import Picture

_PERIODS = (2, 4, 8)
"""Periods in pixels of the grids that the decoder's upsampling can paint."""
_STEPS_TO_FIT = 8
"""Number of steps whose pictures are used to fit the decoder at the beginning."""
_SHARPNESS = 2.0
"""Initial sharpness of the attention: the standard deviation of the logits of dissimilar positions."""

NetworkT = TypeVar("NetworkT", bound=EncodedNetwork)


class EncodedTraining(Generic[NetworkT]):
    """Base class for training both networks. Each photograph of a batch is painted in the style of a different
    painting."""

    def __init__(self, network: NetworkT, contents: Crops, styles: Crops, weights: Mapping[str, float]) -> None:
        """Set up the training of ``network`` on batches of ``contents`` and ``styles`` of equal size, with loss
        ``weights``."""
        self.network: NetworkT = network
        self.crop = contents.size
        self._contents = contents
        self._styles = styles
        self._weights = weights

    @property
    def fingerprint(self) -> str:
        """Digest of picture names, seeds and tensor shapes; loss weights and crops may change on resuming."""
        shapes = {name: list(tensor.shape) for name, tensor in self.network.tensors().items()}
        return fingerprint([shapes, self._contents.source, self._styles.source])

    def begin(self) -> None:
        """Fit the decoder to invert the encoder."""
        images = torch.cat(
            [crops.at(step) for crops in (self._contents, self._styles) for step in range(_STEPS_TO_FIT)]
        )
        self._begin(images.to(device_of(self.network)))

    def _begin(self, images: Tensor) -> None:
        """Fit the network to reconstruct ``images`` (N, 3, H, W)."""
        network = self.network
        fit_decoder(network.decoder, network.encoder, network.encoded_layers[0], images, seed=self._contents.seed)

    def batch(self, step: int) -> Batch:
        """Return this process's part of the photographs and paintings of ``step``."""
        return tuple(crops.at(step, part=rank(), parts=world_size()) for crops in (self._contents, self._styles))

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute the weighted losses of the ``batch`` of ``step``, and their sum as 'total'."""
        del step
        contents, styles = batch
        painted, parts = self._parts(contents, styles)
        usual = {period: torch.maximum(grid_share(contents, period), grid_share(styles, period)) for period in _PERIODS}
        parts |= {"tv": total_variation(inside(painted)), "grid": excess_grid(painted, usual)}
        losses = {name: self._weights[name] * loss for name, loss in parts.items()}
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def samples(self, network: NetworkT) -> Picture:
        """Paint photographs in the styles of paintings: training pictures, in crops of a batch that is not trained
        on."""
        contents, styles = (crops.at(OTHER_STEPS).to(device_of(network)) for crops in (self._contents, self._styles))
        rows = [[Cell(as_picture(style), "style") for style in styles]]
        for content in contents:
            with torch.no_grad():
                painted = self._painted(network, content.expand_as(styles), styles)
            rows.append([*(Cell(as_picture(each), "") for each in painted), Cell(as_picture(content), "content")])
        return sheet(rows, title="Samples", cell_side=self.crop)

    def _parts(self, contents: Tensor, styles: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Paint ``contents`` and compute the unweighted losses, by name, from the encoder's activations."""
        raise NotImplementedError

    def _painted(self, network: NetworkT, contents: Tensor, styles: Tensor) -> Tensor:
        raise NotImplementedError


class AdaINTraining(EncodedTraining[adain.AdaINNetwork]):
    """Huang and Belongie (2017), section 5: only the decoder is trained.

    Differs from the paper in that distances are relative to their targets, which puts the losses of deep and shallow
    layers, and of different encoders, on the same scale; and in the losses 'tv' and 'grid'.
    """

    style_layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")

    def _parts(self, contents: Tensor, styles: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        network = self.network
        with torch.no_grad():
            wanted = network.encoder.forward(styles, self.style_layers)
            target = network.target(contents, network.predict(styles))
        painted: Tensor = network.decoder(target)
        found = network.encoder.forward(painted, self.style_layers)
        return painted, {
            # eq. 12: the picture, encoded again, should match the decoder's input
            "content": relative_distance(found[adain.LAYER], target).mean(),
            "style": _style_distance(found, wanted),
        }

    def _painted(self, network: adain.AdaINNetwork, contents: Tensor, styles: Tensor) -> Tensor:
        painted: Tensor = network(contents, network.predict(styles))
        return painted


class SANetTraining(EncodedTraining[sanet.SANetwork]):
    """Park and Lee (2019), section 3.3: content, style, and two identity losses.

    Differs from the paper in the relative distances, the losses 'tv' and 'grid', and the fitted initial weights.
    """

    style_layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

    def _begin(self, images: Tensor) -> None:
        """Initialise the attention so that it favours similar positions, and fit the merging layer to restore
        relu4_1."""
        super()._begin(images)
        network = self.network
        with torch.no_grad():
            for attention in (network.fine, network.coarse):
                for convolution in (attention.query, attention.key, attention.value, attention.out):
                    torch.nn.init.dirac_(convolution.weight)
                    torch.nn.init.zeros_(cast("Tensor", convolution.bias))
                # The products of similar activations grow with the number of channels.
                for convolution in (attention.query, attention.key):
                    convolution.weight.mul_((_SHARPNESS**2 / convolution.in_channels) ** 0.25)
            wanted, merged = [], []
            for image in images[:, None]:
                features = network.encoded(image)
                wanted.append(features[sanet.LAYERS[0]])
                merged.append(network.attend_twice(features, network.measure(image), *network.memories(image)))
            generator = torch.Generator().manual_seed(self._contents.seed)
            fit_edge_convolution(network.merge, torch.cat(merged), torch.cat(wanted), generator)

    def _parts(self, contents: Tensor, styles: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        network, encoder = self.network, self.network.encoder
        with torch.no_grad():
            content, style = (encoder.forward(images, self.style_layers) for images in (contents, styles))
        painted: Tensor = network(contents, styles)
        found = encoder.forward(painted, self.style_layers)
        losses = {
            # eq. 5, of normalised activations, as in the authors' code
            "content": torch.stack(
                [relative_distance(_normal(found[layer]), _normal(content[layer])).mean() for layer in sanet.LAYERS]
            ).mean(),
            "style": _style_distance(found, style),
        }
        # eq. 7: a picture painted in its own style should not change
        pixels, features = [], []
        for images, given in ((contents, content), (styles, style)):
            same: Tensor = network(images, images)
            seen = encoder.forward(same, self.style_layers)
            pixels.append((same - images).square().mean())
            features += [relative_distance(seen[layer], given[layer]).mean() for layer in self.style_layers]
        return painted, {**losses, "identity": torch.stack(pixels).sum(), "features": torch.stack(features).mean()}

    def _painted(self, network: sanet.SANetwork, contents: Tensor, styles: Tensor) -> Tensor:
        painted: Tensor = network(contents, styles)
        return painted


def _style_distance(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Relative distance of means and deviations from those of the style (Huang and Belongie 2017, eq. 13)."""
    return torch.stack(
        [relative_distance(mean_and_std(found[layer]), mean_and_std(wanted[layer])).mean() for layer in found]
    ).mean()


def _normal(features: Tensor) -> Tensor:
    mean, std = mean_and_std(features).unbind(1)
    normal: Tensor = (features - mean[:, :, None, None]) / std[:, :, None, None]
    return normal
