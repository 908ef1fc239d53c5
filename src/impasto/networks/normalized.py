"""Networks whose instance normalisations can be frozen, with one pass for training and two passes for painting.

Instance normalisation needs the statistics of the whole picture. Painting therefore takes two passes with the same
weights. `measure` turns the statistics of a thumbnail into one scale and one shift per channel. With these, `render`
paints any tile of the picture without the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.networks.blocks import VARIANCE_FLOOR, instance_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Normalize = Callable[[Tensor], Tensor]


class NormalizedNetwork(nn.Module, ABC):
    """Paints with a code: the scales, then the shifts, of all normalisations (Dumoulin et al. 2017).

    Attributes:
        widths: channels of each normalisation, in the order of the forward pass.
        code_size: twice the sum of the widths.
    """

    widths: tuple[int, ...]
    code_size: int

    def _set_widths(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self._bounds = [0, *accumulate(self.widths)]
        self.code_size = 2 * self._bounds[-1]

    def plain_code(self) -> Tensor:
        """Return the code (code_size) of plain normalisation: scales of one and shifts of zero."""
        return torch.cat([torch.ones(self.code_size // 2), torch.zeros(self.code_size // 2)])

    @abstractmethod
    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        """Paint ``inputs``. ``normalize`` is called once for each normalisation, in the order of `widths`."""

    def _train_pass(self, inputs: Sequence[Tensor], code: Tensor) -> Tensor:
        """Paint, and normalise each picture by its own statistics."""
        parts = iter(self._parts(code))

        def normalize(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            return torch.addcmul(shift, instance_norm(x), scale)

        return self._paint(inputs, normalize)

    def _measure_pass(self, inputs: Sequence[Tensor], code: Tensor) -> tuple[Tensor, Tensor]:
        """Find the scales and shifts that act on ``inputs`` like normalisation with ``code``.

        Returns:
            Scales and shifts (1, code_size), and the painted picture.
        """
        parts = iter(self._parts(code))
        found: list[tuple[Tensor, Tensor]] = []

        def normalize(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            mean = x.mean((2, 3), keepdim=True)
            variance = (x - mean).square().mean((2, 3), keepdim=True)
            scale = scale * (variance + VARIANCE_FLOOR).rsqrt()
            found.append((scale, shift - mean * scale))
            return x * scale + found[-1][1]

        painted = self._paint(inputs, normalize)
        return torch.cat([part for parts in zip(*found, strict=True) for part in parts], dim=1).flatten(1), painted

    def _render_pass(self, inputs: Sequence[Tensor], affine: Tensor) -> Tensor:
        """Paint with the scales and shifts from `_measure_pass`, without statistics of ``inputs``."""
        parts = iter(self._parts(affine))

        def scale_and_shift(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            return x * scale + shift

        return self._paint(inputs, scale_and_shift)

    def _parts(self, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Split a code (N or 1, code_size) into scale and shift (N or 1, C, 1, 1) for each normalisation."""
        scales, shifts = code[:, :, None, None].chunk(2, dim=1)
        return [(scales[:, a:b], shifts[:, a:b]) for a, b in pairwise(self._bounds)]
