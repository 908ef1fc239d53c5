"""Colour preservation for the content image, and colour transfer between pictures.

All functions take and return float32 arrays of shape (H, W, 3), sRGB in [0, 1].

References: Gatys et al. (2016), "Preserving Color in Neural Artistic Style Transfer"; Sun et al. (2016),
"Return of Frustratingly Easy Domain Adaptation" (CORAL).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.types import FloatArray

ColorPreservation: TypeAlias = Literal["none", "luminance", "histogram", "coral"]

_Matrix: TypeAlias = npt.NDArray[np.float64]

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # the Y of YIQ
_ROWS = 256
_NOISE = 1e-4
"""Variance of JPEG noise in a flat colour. Directions in colour space with less variance are amplified no further."""
_FLAT = 1e-5
"""Variance below which `Palette` regards a direction in colour space as flat."""
_USUAL, _RARE = 2.0, 1.5
"""Standard deviations up to which `ChromaLimit` keeps chroma as it is, and by which it exceeds them at most."""


def prepare_style(style: FloatArray, content: FloatArray, mode: ColorPreservation) -> FloatArray:
    """Return the ``style`` pixels, changed as ``mode`` needs it to give the result the colours of ``content``."""
    match mode:
        case "luminance":
            # The style becomes grey, because its colours are discarded later and must not affect the optimisation.
            return np.repeat(luminance(match_luminance(style, content))[:, :, None], 3, axis=2)
        case "histogram" | "coral":
            return color_map(style, content, mode)(style)
        case "none":
            return style


def restore_colors(stylized: FloatArray, content: FloatArray, mode: ColorPreservation) -> FloatArray:
    """Return the ``stylized`` pixels with the colours of ``content``, if ``mode`` is applied after painting."""
    return with_luminance_of(content, stylized) if mode == "luminance" else stylized


def luminance(pixels: FloatArray) -> FloatArray:
    """Return the luminance (H, W), the Y of YIQ."""
    result: FloatArray = pixels @ _LUMINANCE
    return result


def with_luminance_of(content: FloatArray, stylized: FloatArray) -> FloatArray:
    """Return the luminance of ``stylized`` with the chroma of ``content``, of the same shape.

    Differs from Gatys et al. (2016): a colour outside the gamut is desaturated until it fits, because clipping would
    change the luminance.
    """
    mixed = np.empty_like(stylized)
    for top in range(0, len(stylized), _ROWS):  # in strips, to save memory with large pictures
        rows = slice(top, top + _ROWS)
        target = luminance(stylized[rows])[:, :, None]
        # Adding the same number to R, G and B does not change I and Q.
        chroma = content[rows] - luminance(content[rows])[:, :, None]
        room = np.where(chroma > 0, 1 - target, target)
        share = np.divide(room, np.abs(chroma), out=np.ones_like(chroma), where=np.abs(chroma) > room)
        np.clip(target + chroma * share.min(axis=2, keepdims=True), 0, 1, out=mixed[rows])
    return mixed


def match_luminance(style: FloatArray, content: FloatArray) -> FloatArray:
    """Return ``style`` with the mean and standard deviation of the luminance of ``content``; chroma stays."""
    source, reference = luminance(style), luminance(content)
    gain = reference.std() / source.std() if source.var() > _NOISE else 1.0
    target = ((source - source.mean()) * gain + reference.mean()).clip(0, 1).astype(np.float32)
    return with_luminance_of(style, np.repeat(target[:, :, None], 3, axis=2))


@dataclass(frozen=True, eq=False)
class ColorMap:
    """An affine map of colours: x -> A (x - mean) + target_mean, clipped to [0, 1]."""

    matrix: FloatArray
    mean: FloatArray
    target_mean: FloatArray

    def __call__(self, pixels: FloatArray) -> FloatArray:
        """Map pixels (H, W, 3)."""
        mapped = np.empty_like(pixels, dtype=np.float32)
        for top in range(0, len(pixels), _ROWS):
            rows = slice(top, top + _ROWS)
            np.clip((pixels[rows] - self.mean) @ self.matrix.T + self.target_mean, 0, 1, out=mapped[rows])
        return mapped


def color_map(source: FloatArray, reference: FloatArray, mode: Literal["histogram", "coral"]) -> ColorMap:
    """Find the map that gives ``source`` the mean and the covariance of ``reference``.

    'histogram' is the linear histogram matching of Gatys et al. (2016), in the form of image analogies:
    A = cov_reference^(1/2) cov_source^(-1/2). 'coral' does the same on standardised channels.
    """
    # Matching the whole distribution (Pitie et al. 2005) was tried, but it turns flat areas into blotches.
    mean, covariance = _moments(source)
    target_mean, target_covariance = _moments(reference)
    if mode == "histogram":
        matrix = _power(target_covariance, 0.5) @ _power(covariance, -0.5, floor=_NOISE)
    else:
        scale = np.sqrt(np.maximum(np.diag(covariance), _NOISE))
        target_scale = np.sqrt(np.maximum(np.diag(target_covariance), _NOISE))
        correlation = covariance / np.outer(scale, scale)
        target_correlation = target_covariance / np.outer(target_scale, target_scale)
        floor = _NOISE / float(np.mean(scale**2))
        transfer = _power(target_correlation, 0.5) @ _power(correlation, -0.5, floor=floor)
        matrix = target_scale[:, None] * transfer / scale
    return ColorMap(matrix.astype(np.float32), mean.astype(np.float32), target_mean.astype(np.float32))


@dataclass(frozen=True, eq=False)
class ChromaLimit:
    """Compresses the rare chroma of a picture, and keeps its luminance and all that is paler than the mean.

    A map to another palette may amplify rare chroma to colours that neither picture has, such as magenta lips in a pale
    face.
    """

    mean: FloatArray
    """Mean chroma: (3). The chroma of a colour is its difference from grey of the same luminance."""
    whitening: FloatArray
    """Matrix (3, 3) that maps differences from the mean to standard deviations."""
    share: float
    """Share of the change that is made, between 0 and 1."""

    @classmethod
    def of(cls, pixels: FloatArray, share: float = 1.0) -> Self:
        """Measure the chroma of ``pixels`` (H, W, 3)."""
        mean, covariance = _moments(pixels)
        to_chroma = np.eye(3) - np.outer(np.ones(3), _LUMINANCE)
        whitening = _power(to_chroma @ covariance @ to_chroma.T, -0.5, floor=_FLAT)
        return cls((to_chroma @ mean).astype(np.float32), whitening.astype(np.float32), share)

    def __call__(self, pixels: FloatArray) -> FloatArray:
        """Limit pixels (H, W, 3)."""
        result = np.empty_like(pixels)
        for top in range(0, len(pixels), _ROWS):
            rows = slice(top, top + _ROWS)
            chroma = pixels[rows] - luminance(pixels[rows])[:, :, None]
            change = chroma - self.mean
            deviation = np.linalg.norm(change @ self.whitening, axis=2, keepdims=True)
            beyond = np.maximum(deviation - _USUAL, 0)
            limited = np.minimum(deviation, _USUAL) + _RARE * np.tanh(beyond / _RARE)
            excess = 1 - np.divide(limited, deviation, out=np.ones_like(deviation), where=beyond > 0)
            excess[np.linalg.norm(chroma, axis=2) <= np.linalg.norm(self.mean)] = 0  # black, white and grey stay so
            np.clip(pixels[rows] - np.float32(self.share) * excess * change, 0, 1, out=result[rows])
        return result


@dataclass(frozen=True, eq=False)
class Palette:
    """Mean and covariance of colours."""

    mean: _Matrix
    """Mean: (3)."""
    covariance: _Matrix
    """Covariance: (3, 3)."""

    @classmethod
    def of(cls, pictures: Sequence[FloatArray], shares: Sequence[float] = (1.0,)) -> Palette:
        """Measure ``pictures``, each (H, W, 3), weighted by ``shares``, whose sum is 1."""
        each = [(share, *_moments(pixels)) for share, pixels in zip(shares, pictures, strict=True)]
        mean = sum((share * own for share, own, _ in each), np.zeros(3))
        covariance = sum(
            (share * (spread + np.outer(own - mean, own - mean)) for share, own, spread in each), np.zeros((3, 3))
        )
        return cls(mean, covariance)

    def towards(self, other: Palette, share: float) -> Palette:
        """Return the palette of colours that are interpolated from this palette towards ``other`` by ``share``."""
        half = self.map_to(other).matrix * share + np.eye(3) * (1 - share)
        return Palette((1 - share) * self.mean + share * other.mean, half @ self.covariance @ half.T)

    def mapped(self, change: ColorMap) -> Palette:
        """Return the palette of the colours that ``change`` makes of colours of this palette."""
        return Palette(
            change.matrix @ (self.mean - change.mean) + change.target_mean,
            change.matrix @ self.covariance @ change.matrix.T,
        )

    def map_to(self, other: Palette) -> ColorMap:
        """Return the map that gives colours of this palette the mean and covariance of ``other``.

        It is the linear Monge-Kantorovich map, which moves colours as little as possible: Pitie and Kokaram (2007),
        "The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer", eq. 17.
        """
        root = _power(self.covariance, 0.5, floor=_FLAT)
        inverse = _power(self.covariance, -0.5, floor=_FLAT)
        matrix = inverse @ _power(root @ other.covariance @ root, 0.5) @ inverse
        return ColorMap(matrix.astype(np.float32), self.mean.astype(np.float32), other.mean.astype(np.float32))


def _moments(pixels: FloatArray) -> tuple[_Matrix, _Matrix]:
    count = pixels.shape[0] * pixels.shape[1]
    parts = [slice(top, top + _ROWS) for top in range(0, len(pixels), _ROWS)]
    mean: _Matrix = sum(pixels[rows].sum((0, 1), dtype=np.float64) for rows in parts) / count
    covariance = np.zeros((3, 3))
    for rows in parts:
        centred = pixels[rows].reshape(-1, 3) - mean
        covariance += centred.T @ centred
    return mean, covariance / count


def _power(symmetric: _Matrix, exponent: float, *, floor: float = 0.0) -> _Matrix:
    """Return a power of a symmetric matrix, with no eigenvalue below ``floor``."""
    eigenvalues, vectors = np.linalg.eigh(symmetric)
    result: _Matrix = vectors * np.maximum(eigenvalues, floor) ** exponent @ vectors.T
    return result
