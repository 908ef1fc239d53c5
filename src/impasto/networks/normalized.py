"""Networks whose instance normalisations can be frozen: one pass for training, and the two that paint any size.

A normalisation needs the statistics of the whole picture. So there are two ways through the same weights beside the
one for training: `measure` turns a thumbnail into one scale and one shift per channel, and `render`, given these,
paints any part of any enlargement of the picture without looking at the rest of it.
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
    """Paints with a code: the scales, then the shifts, of all its normalisations (Dumoulin et al. 2017).

    Attributes:
        widths: channels of each normalisation, in the order in which they are met.
        code_size: twice their sum.
    """

    widths: tuple[int, ...]
    code_size: int

    def _set_widths(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self._bounds = [0, *accumulate(self.widths)]
        self.code_size = 2 * self._bounds[-1]

    def plain_code(self) -> Tensor:
        """Return the code (code_size) that only normalises: scales of one and shifts of zero."""
        return torch.cat([torch.ones(self.code_size // 2), torch.zeros(self.code_size // 2)])

    @abstractmethod
    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        """Paint ``inputs``; ``normalize`` is called once for each normalisation, in their order."""

    def _train_pass(self, inputs: Sequence[Tensor], code: Tensor) -> Tensor:
        """Paint, each picture normalised by its own statistics."""
        parts = iter(self._parts(code))

        def normalize(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            return torch.addcmul(shift, instance_norm(x), scale)

        return self._paint(inputs, normalize)

    def _measure_pass(self, inputs: Sequence[Tensor], code: Tensor) -> tuple[Tensor, Tensor]:
        """Find the scales and shifts (1, code_size) that do to these ``inputs`` what normalising them does.

        What is painted on the way is returned with them.
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
        """Paint with what `_measure_pass` found: pure convolution."""
        parts = iter(self._parts(affine))

        def scale_and_shift(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            return x * scale + shift

        return self._paint(inputs, scale_and_shift)

    def _parts(self, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Take a code (N or 1, code_size) apart into scale and shift (N or 1, C, 1, 1) for each normalisation."""
        scales, shifts = code[:, :, None, None].chunk(2, dim=1)
        return [(scales[:, a:b], shifts[:, a:b]) for a, b in pairwise(self._bounds)]
