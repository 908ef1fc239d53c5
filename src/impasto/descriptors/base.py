"""The protocol of descriptor networks, and the names of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from impasto.errors import ImageSizeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from impasto.types import Features


class Sight(Protocol):
    """A descriptor network, or graphs that were made of one."""

    @property
    def name(self) -> str:
        """Of the descriptor, as it is written into results."""

    @property
    def identity(self) -> str:
        """The sha256 of the weights, as it is written into results."""

    def minimum_size(self, layer: str) -> int:
        """Smallest height and width in pixels for which ``layer`` has 2x2 positions, fewer make no statistics."""

    def reach(self, layer: str) -> int:
        """Receptive field of ``layer``, as a margin in pixels."""


class Descriptor(Sight, Protocol):
    """A frozen feature network: images in, activations by layer name out. It has no state but its weights."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that can be asked for, shallow to deep."""

    def forward(self, image: torch.Tensor, layers: Iterable[str]) -> Features:
        """Compute ``layers`` for ``image`` (N, 3, H, W), sRGB in [0, 1]; no deeper than asked."""


def check_size(descriptor: Sight, width: int, height: int, layers: Iterable[str], what: str = "image") -> None:
    """Make sure that a picture of ``width`` x ``height`` has 2x2 positions at least in each of ``layers``.

    Raises:
        ImageSizeError: it has not; ``what`` is the picture's name in the message.
        UnknownNameError: a layer that ``descriptor`` does not have.
    """
    needed = {layer: descriptor.minimum_size(layer) for layer in layers}
    layer = max(needed, key=needed.__getitem__)
    if min(width, height) < (minimum := needed[layer]):
        raise ImageSizeError(
            f"{what} is {width}x{height}; {layer} needs at least {minimum}x{minimum}; "
            "choose a larger size or shallower layers"
        )
