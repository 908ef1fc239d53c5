"""Colour spaces that files state by the code points of ITU-T H.273, with a high dynamic range or wide primaries.

PNG states them in the chunk cICP, AVIF and HEIC in a box colr of type nclx. Decoders give the coded values, which look
grey or dull if they are taken for sRGB. A high dynamic range (PQ or HLG) becomes sRGB: light above the reference white
of 203 cd/m² (ITU-R BT.2408) is compressed, up to 1,000 cd/m². A result has the range of sRGB, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from impasto.images.formats import HEAD
from impasto.images.libvips import pyvips
from impasto.images.profiles import ICC_FIELD, has, srgb_curve, with_profile

if TYPE_CHECKING:
    import numpy.typing as npt

_SRGB, _BT2020, _P3 = 1, 9, 12
_PQ, _HLG = 16, 18
_CHANNELS = "RGB"
_WHITE, _PEAK = 203.0, 1000.0
_TO_SRGB = {
    _SRGB: np.eye(3),
    _BT2020: np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]),
    _P3: np.array([[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0196, -0.0786, 1.0983]]),
}
"""Linear light of these primaries to that of sRGB, both under D65."""


class CodePoints(NamedTuple):
    """What a file says of its colours."""

    primaries: int
    transfer: int


def stated(data: bytes) -> CodePoints | None:
    """Find the code points in a PNG, AVIF or HEIC file; None if it states none."""
    if data[:4] == b"\x89PNG":
        found = re.search(rb"\0\0\0\x04cICP(.)(.)", data[: data.find(b"IDAT")], re.DOTALL)
        return CodePoints(found[1][0], found[2][0]) if found else None
    found = re.search(rb"colrnclx(..)(..)", data[:HEAD], re.DOTALL) if data[4:8] == b"ftyp" else None
    return CodePoints(int.from_bytes(found[1]), int.from_bytes(found[2])) if found else None


def to_srgb(image: Any, points: CodePoints, white: float) -> Any:
    """Convert a libvips image of a high dynamic range to sRGB; give one in P3 that has no profile that of P3.

    Args:
        image: an RGB image with or without alpha, whose greatest value is ``white``.
        points: what its file states.
        white: 255 or about 65,535.
    """
    if points.primaries not in _TO_SRGB or image.bands < len(_CHANNELS):
        return image
    if points.transfer not in (_PQ, _HLG):
        plain = points.primaries != _P3 or has(image, ICC_FIELD)
        return image if plain else with_profile(image, pyvips.Image.profile_load("p3"))
    levels = np.arange(256 if image.format == "uchar" else 65536) / white
    light = pq_light(levels) if points.transfer == _PQ else hlg_light(levels)
    own = image.extract_band(0, n=len(_CHANNELS)).maplut(pyvips.Image.new_from_array(light.astype(np.float32)[None]))
    own = own.recomb((_TO_SRGB[points.primaries] / _WHITE).tolist())
    brightest = (own[0] > own[1]).ifthenelse(own[0], own[1])
    brightest = (brightest > own[2]).ifthenelse(brightest, own[2])
    # Reinhard et al. (2002), "Photographic Tone Reproduction for Digital Images", eq. 4, for the brightest channel.
    own *= (brightest * (_WHITE / _PEAK) ** 2 + 1) / (brightest + 1)
    srgb = (srgb_curve(own) * 65535 + 0.5).cast("ushort").copy(interpretation="rgb16")
    if image.bands > len(_CHANNELS):
        srgb = srgb.bandjoin((image[len(_CHANNELS)] * (65535 / white)).cast("ushort"))
    for field in (
        ICC_FIELD,
        "heif-compression",
    ):  # neither the profile nor the bits of the file are those of the result
        if has(srgb, field):
            srgb.remove(field)
    return srgb


def pq_light(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Light in cd/m² of coded ``levels`` from 0 to 1: SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    root = np.clip(levels, 0, 1) ** (1 / m2)
    light: npt.NDArray[np.float64] = 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return light


def hlg_light(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Light in cd/m² of coded ``levels`` from 0 to 1 on a display of 1,000 cd/m²: ITU-R BT.2100, table 5.

    The display's gamma is applied to each channel, and not to the luminance.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    levels = np.clip(levels, 0, 1)
    scene = np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
    light: npt.NDArray[np.float64] = _PEAK * np.clip(scene, 0, 1) ** 1.2
    return light
