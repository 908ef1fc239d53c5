"""ICC profiles of RGB spaces with three curves and three primaries: reading, evaluating and making them.

A profile in a file can contain anything: names, serial numbers, whole files. A profile for a result is therefore made
anew from the curves and primaries, and nothing else is copied.

Reference: ICC.1:2010 (profile version 4.3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Numbers = npt.NDArray[np.float64]

_D50 = (0.9642, 1.0, 0.8249)
_CURVES = (b"rTRC", b"gTRC", b"bTRC")
_PRIMARIES = (b"rXYZ", b"gXYZ", b"bXYZ")
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
            red, green, blue = (_curve(tags[name]) for name in _CURVES)
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
            **dict(zip(_PRIMARIES, self.primaries, strict=True)),
            **dict(zip(_CURVES, self.curves, strict=True)),
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
    return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).clip(0, 1)


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data


def _fixed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * _FIXED) for number in numbers))


def _unfixed(data: bytes, offset: int, count: int) -> list[float]:
    return [number / _FIXED for number in struct.unpack_from(f">{count}i", data, offset)]
