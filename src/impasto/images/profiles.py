"""Colour spaces of files: conversion to sRGB on reading, and back on writing.

ICC profiles of RGB spaces with three curves and three primaries are read, evaluated and made here.
A profile in a file can contain anything: names, serial numbers, whole files. A profile for a result is therefore made
anew from the curves and primaries, and nothing else is copied.

Reference: ICC.1:2010 (profile version 4.3).
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pyvips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.types import FloatArray

    Numbers = npt.NDArray[np.float64]

ICC_FIELD = "icc-profile-data"
SRGB: bytes = pyvips.Image.profile_load("srgb")
"""libvips' built-in sRGB profile."""
_SPACES_OF_BANDS = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",)}
_PLAIN = {"b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband"}
_CMYK_BANDS = 4
_IDENTITY_TOLERANCE = 1 / 512
_INTEROPERABILITY = "exif-ifd4-InteroperabilityIndex"
_COLOR_SPACE = "exif-ifd2-ColorSpace"
_PRIMARIES = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]])
"""XYZ under D50 of the primaries of sRGB, one in each column: IEC 61966-2-1, adapted by Bradford's matrix."""
_DARK = 0.0031308
"""Light below which the curve of sRGB is a straight line."""
_ROOT = 2.4
_NODES = 16384
_BLACK: dict[str, bool] = {"black_point_compensation": True}

_D50 = (0.9642, 1.0, 0.8249)
_CURVE_TAGS = (b"rTRC", b"gTRC", b"bTRC")
_PRIMARY_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ")
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
"""Number of parameters of a parametric curve, by its type: ICC.1:2010, table 65."""
_LARGEST_CURVE = 4096
_MOST_TAGS = 100
_FIXED = 65536


@dataclass(frozen=True)
class MatrixProfile:
    """The curves and primaries of a profile, as they are stored."""

    curves: tuple[bytes, bytes, bytes]
    """Tags of the curves of red, green and blue, from levels to light."""
    primaries: tuple[bytes, bytes, bytes]
    """Tags of the XYZ coordinates of red, green and blue, under D50."""

    @classmethod
    def of(cls, profile: bytes) -> Self | None:
        """Read a profile; None if it is broken, is not for RGB, or has only tables of colours."""
        if profile[16:20] != b"RGB ":
            return None
        try:
            tags = _tags(profile)
            red, green, blue = (_curve(tags[name]) for name in _CURVE_TAGS)
            found = cls((red, green, blue), (_xyz(tags[b"rXYZ"]), _xyz(tags[b"gXYZ"]), _xyz(tags[b"bXYZ"])))
            np.linalg.inv(found.matrix)
        except (KeyError, ValueError, struct.error, np.linalg.LinAlgError):
            return None
        return found

    @classmethod
    def of_gamma(cls, gamma: float, primaries: Sequence[Sequence[float]]) -> Self:
        """Make a profile with one ``gamma``, and the XYZ of red, green and blue under D50."""
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
        red, green, blue = (b"XYZ " + bytes(4) + _fixed(xyz) for xyz in primaries)
        return cls((curve, curve, curve), (red, green, blue))

    @property
    def matrix(self) -> Numbers:
        """The matrix (3, 3) from light (R, G, B), as a column, to XYZ under D50."""
        return np.array([_unfixed(tag, 8, 3) for tag in self.primaries]).T

    def light(self, levels: Numbers) -> Numbers:
        """Return the light (N, 3) of levels (N) in [0, 1]."""
        return np.stack([_evaluated(curve, levels) for curve in self.curves], axis=-1)

    def encode(self) -> bytes:
        """Return the bytes of a profile of version 4."""
        tags = {
            b"desc": _text("RGB"),
            b"cprt": _text("CC0"),
            b"wtpt": b"XYZ " + bytes(4) + _fixed(_D50),
            **dict(zip(_PRIMARY_TAGS, self.primaries, strict=True)),
            **dict(zip(_CURVE_TAGS, self.curves, strict=True)),
        }
        offset = 128 + 4 + 12 * len(tags)
        table, body = struct.pack(">I", len(tags)), b""
        places: dict[bytes, int] = {}
        for name, data in tags.items():
            if data not in places:  # equal curves are stored once
                places[data] = offset + len(body)
                body += data + bytes(-len(data) % 4)
            table += name + struct.pack(">II", places[data], len(data))
        header = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x04200000, b"mntr", b"RGB ", b"XYZ ")
        header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(_D50)
        return header.ljust(128, b"\0") + table + body


def _tags(profile: bytes) -> Mapping[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    rows = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(min(count, _MOST_TAGS))]
    return {name: profile[offset : offset + size] for name, offset, size in rows}


def _xyz(tag: bytes) -> bytes:
    if tag[:4] != b"XYZ ":
        raise ValueError("not an XYZ tag")
    return b"XYZ " + bytes(4) + _fixed(_unfixed(tag, 8, 3))


def _curve(tag: bytes) -> bytes:
    """Return a curve with its numbers alone. Tables are made to rise, and shortened to `_LARGEST_CURVE` numbers."""
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        numbers = _fixed(_unfixed(tag, 12, _PARAMETERS[kind]))
        return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + numbers
    levels = _table(tag)
    if len(levels) > 1:
        levels = np.maximum.accumulate(levels)
    if len(levels) > _LARGEST_CURVE:
        places = np.linspace(0, len(levels) - 1, _LARGEST_CURVE)
        levels = np.rint(np.interp(places, np.arange(len(levels)), levels))
    return b"curv" + bytes(4) + struct.pack(">I", len(levels)) + levels.astype(">u2").tobytes()


def _table(tag: bytes) -> Numbers:
    if tag[:4] != b"curv":
        raise ValueError("not a curve")
    (count,) = struct.unpack_from(">I", tag, 8)
    return np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)


def _evaluated(curve: bytes, x: Numbers) -> Numbers:
    """Return the light of levels ``x``: ICC.1:2010, 10.5 and 10.15."""
    if curve[:4] == b"curv":
        levels = _table(curve)
        if len(levels) > 1:
            return np.interp(x, np.linspace(0, 1, len(levels)), levels / 65535)
        return x ** (levels[0] / 256) if len(levels) else x
    (kind,) = struct.unpack_from(">H", curve, 8)
    given = _unfixed(curve, 12, _PARAMETERS[kind])
    g, a, b, c, d, e, f = [*given, *(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)[len(given) :]]
    if kind in (1, 2):  # these have no parameter d: the curve is constant below the level -b / a
        c, d, e, f = 0.0, -b / a if a else 0.0, given[3] if kind == 2 else 0.0, given[3] if kind == 2 else 0.0
    with np.errstate(over="ignore", divide="ignore"):  # curves of broken profiles
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).clip(0, 1)


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data


def _fixed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * _FIXED) for number in numbers))


def _unfixed(data: bytes, offset: int, count: int) -> list[float]:
    return [number / _FIXED for number in struct.unpack_from(f">{count}i", data, offset)]


ADOBE_RGB = MatrixProfile.of_gamma(
    563 / 256, [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
).encode()
"""A profile of Adobe RGB (1998)."""

_KNOWN = frozenset({pyvips.Image.profile_load("p3"), ADOBE_RGB})
"""Profiles without private data, which results get as they are."""


def colour_bands(image: Any) -> int:
    """Return the number of colour bands of a libvips image, without alpha: 1, 3 or 4 (CMYK)."""
    if image.interpretation == "cmyk":
        return _CMYK_BANDS
    return 1 if image.bands < 3 else 3


def has(image: Any, field: str) -> bool:
    """Say if a libvips image has the metadata ``field``. Listing all fields could fail on names that are not UTF-8."""
    return bool(image.get_typeof(field))


def to_srgb(image: Any) -> tuple[Any, Any | None, bytes | None]:
    """Convert the colour bands of a libvips image to sRGB.

    A profile that is broken, or belongs to another kind of image, is ignored.

    Returns:
        Three values. First, grey or RGB bands, with 16 bits if they were converted. Second, the same as floats with 1
        as white, not clipped; None if no colours outside sRGB are kept. Third, the RGB profile for the result, made
        from the curves and primaries of the original; None if the original was sRGB or its space cannot be restored.
    """
    if image.interpretation == "cmyk":
        return _convert(image, input_profile="cmyk"), None, None
    if image.interpretation not in _PLAIN:
        return image.colourspace("rgb16"), None, None
    if not has(image, ICC_FIELD) and image.bands == 3 and _is_adobe(image):
        image = with_profile(image, ADOBE_RGB)
    profile: bytes = image.get(ICC_FIELD) if has(image, ICC_FIELD) else b""
    space = profile[16:20]
    if space not in _SPACES_OF_BANDS[image.bands]:
        return image, _unclipped(image), None
    try:
        if space == b"RGB " and _is_srgb(profile):
            return image, _unclipped(image), None
        integers = _as_integers(image)
        converted = _convert(integers, input_profile="srgb")
        matrix = MatrixProfile.of(profile)
        if matrix is None:
            return converted, None, None
        return converted, _extended(integers, matrix), profile if profile in _KNOWN else matrix.encode()
    except pyvips.Error:
        return image, None, None


def from_srgb(pixels: FloatArray, profile: bytes) -> FloatArray | None:
    """Convert sRGB pixels (H, W, 3), which may lie outside [0, 1], into an RGB ``profile``, clipped to its gamut.

    Returns None if the profile has no curves and primaries.
    """
    tables = _tables(profile)
    if tables is None:
        return None
    turn, nodes = tables
    magnitude = np.abs(pixels)
    light = np.where(magnitude <= _DARK * 12.92, magnitude / 12.92, ((magnitude + 0.055) / 1.055) ** 2.4)
    own: FloatArray = (np.copysign(light, pixels) @ turn).clip(0, 1)
    place = own ** np.float32(1 / _ROOT) * np.float32(_NODES - 1)
    below = np.minimum(place.astype(np.int32), _NODES - 2)
    place -= below
    for channel in range(3):
        lower = nodes[channel][below[:, :, channel]]
        own[:, :, channel] = lower + place[:, :, channel] * (nodes[channel][below[:, :, channel] + 1] - lower)
    return own


@functools.lru_cache(maxsize=4)
def _tables(profile: bytes) -> tuple[FloatArray, list[FloatArray]] | None:
    """Return the matrix from linear sRGB, and the levels of each channel by the root of its light; see `from_srgb`.

    Levels are interpolated over the root, because all curves are nearly straight there. Pictures are written in strips,
    which share the tables.
    """
    matrix = MatrixProfile.of(profile)
    if matrix is None:
        return None
    levels = np.linspace(0, 1, 65536)
    light, roots = matrix.light(levels), np.linspace(0, 1, _NODES) ** _ROOT
    nodes = [np.interp(roots, light[:, channel], levels).astype(np.float32) for channel in range(3)]
    return (np.linalg.inv(matrix.matrix) @ _PRIMARIES).T.astype(np.float32), nodes


def with_profile(image: Any, profile: bytes) -> Any:
    """Return the libvips image with ``profile`` embedded and unchanged pixels."""
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, ICC_FIELD, profile)
    return tagged


def _is_adobe(image: Any) -> bool:
    """Say if EXIF names Adobe RGB: DCF 2.0, section 3.3.1, or the 2 that some cameras write as colour space."""
    told = {field: str(image.get(field)) for field in (_INTEROPERABILITY, _COLOR_SPACE) if has(image, field)}
    return told.get(_INTEROPERABILITY, "").startswith("R03") or told.get(_COLOR_SPACE, "").split(" ")[0] == "2"


def _unclipped(image: Any) -> Any | None:
    return image if image.format in ("float", "double") else None


def _extended(image: Any, profile: MatrixProfile) -> Any:
    """Convert integer RGB bands from ``profile`` to unclipped sRGB in float."""
    table = profile.light(np.linspace(0, 1, 256 if image.format == "uchar" else 65536)).astype(np.float32)
    own = image.maplut(pyvips.Image.new_from_array(table[None]))
    light = own.recomb((np.linalg.inv(_PRIMARIES) @ profile.matrix).tolist())
    return srgb_curve(light)


def srgb_curve(light: Any) -> Any:
    """Apply the curve of sRGB to a libvips image of linear light, which may be negative."""
    magnitude = light.abs()
    curved = (magnitude <= _DARK).ifthenelse(magnitude * 12.92, magnitude ** (1 / 2.4) * 1.055 - 0.055)
    return curved * light.sign()


def _convert(image: Any, *, input_profile: str) -> Any:
    if image.format == "uchar" and image.interpretation != "cmyk":
        return image.icc_transform("srgb", embedded=True, input_profile=input_profile, depth=16, **_BLACK)
    # lcms computes direct transforms of 16 bits or CMYK with a coarse grid, with errors up to 5 %. The transform in
    # two steps avoids this, but is slow.
    connection = image.icc_import(embedded=True, input_profile=input_profile, **_BLACK)
    return connection.icc_export(output_profile="srgb", depth=16, **_BLACK)


def _is_srgb(profile: bytes) -> bool:
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    image = with_profile(pyvips.Image.new_from_array(cube).copy(interpretation="srgb"), profile)
    converted = _convert(image, input_profile="srgb").numpy()
    return bool(np.abs(converted / 65535 - cube / 255).max() < _IDENTITY_TOLERANCE)


def _as_integers(image: Any) -> Any:
    # lcms in libvips supports integers only.
    if image.format in ("uchar", "ushort"):
        return image
    white = 1.0 if image.format in ("float", "double") else 2.0**32 - 1
    scaled = (image * (65535 / white)).rint().cast("ushort")
    return scaled.copy(interpretation="grey16" if image.bands == 1 else "rgb16")
