"""Descriptor networks, which are frozen feature networks: their protocol, and the smallest pictures they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from impasto.errors import ImageSizeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from impasto.types import Features


class Sight(Protocol):
    """A descriptor network, or graphs that were exported from one."""

    @property
    def name(self) -> str:
        """Name of the descriptor, as written into results."""

    @property
    def identity(self) -> str:
        """The sha256 of the weights, as written into results."""

    def minimum_size(self, layer: str) -> int:
        """Smallest height and width in pixels for which ``layer`` has 2x2 positions, the minimum for statistics."""

    def reach(self, layer: str) -> int:
        """Receptive field of ``layer``, as a margin in pixels."""


class FeatureExtractor(Protocol):
    """Maps images to activations by layer name."""

    def forward(self, image: torch.Tensor, layers: Iterable[str]) -> Features:
        """Compute ``layers`` of ``image`` (N, 3, H, W), sRGB in [0, 1]. Deeper layers are not computed."""


class Descriptor(Sight, FeatureExtractor, Protocol):
    """A frozen feature network, without state except its weights."""

    @property
    def layers(self) -> tuple[str, ...]:
        """All available layers, from shallow to deep."""


def check_size(descriptor: Sight, width: int, height: int, layers: Iterable[str], what: str = "image") -> None:
    """Check that a picture of ``width`` x ``height`` has at least 2x2 positions in each of ``layers``.

    Raises:
        ImageSizeError: the picture is too small; ``what`` is its name in the message.
        UnknownNameError: ``descriptor`` does not have one of the layers.
    """
    needed = {layer: descriptor.minimum_size(layer) for layer in layers}
    layer = max(needed, key=needed.__getitem__)
    if min(width, height) < (minimum := needed[layer]):
        raise ImageSizeError(
            f"{what} is {width}x{height}; {layer} needs at least {minimum}x{minimum}; "
            "choose a larger size or shallower layers"
        )
