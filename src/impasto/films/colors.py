"""Colour spaces of films.

Engines and styles are for sRGB. A film in a similar colour space keeps it. A film with a high dynamic range (PQ, HLG)
or a wide gamut (BT.2020, P3) becomes BT.709. FFmpeg's scaler maps its tones by the curve of SMPTE ST 2094-10, and its
gamut perceptually.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import ImageReadError, needs_extra

with needs_extra("a film", "film"):
    from av.filter import Graph

if TYPE_CHECKING:
    from impasto.types import FloatArray

_NAMES = ("color_range", "color_primaries", "color_trc", "colorspace")
_RGB, _LIMITED, _BT709 = 0, 1, 1
UNKNOWN = 2
"""Number of an unknown colour matrix, transfer curve or gamut, in ITU-T H.273 and in FFmpeg."""
_GAMUTS = frozenset({0, _BT709, UNKNOWN, 4, 5, 6, 7, 22})
"""Numbers of gamuts near that of sRGB, of which 22 is EBU 3213."""
_CURVES = frozenset({0, _BT709, UNKNOWN, 4, 5, 6, 7, 11, 12, 13, 14, 15})
"""Numbers of transfer curves with the dynamic range of sRGB and nearly its shape."""
_READABLE = frozenset({_RGB, _BT709, UNKNOWN, 3, 4, 5, 6, 7, 9})
"""Numbers of colour matrices that FFmpeg's scaler knows."""
BT709 = {"color_range": _LIMITED, "color_primaries": _BT709, "color_trc": _BT709, "colorspace": _BT709}
_TO_BT709 = "out_primaries=bt709:out_transfer=bt709:intent=perceptual"


class Colors:
    """The colour space of a film.

    Attributes:
        result: colour space of the result, with the attribute names of `av.VideoFrame`.
    """

    def __init__(self, frame: Any) -> None:
        """Take the colour space of ``frame``, an `av.VideoFrame`.

        Raises:
            ImageReadError: FFmpeg's scaler does not know the colour space.
        """
        given = {name: int(getattr(frame, name)) for name in _NAMES}
        # Profile 5 of Dolby Vision does not declare its colours, which belong to no other standard.
        dolby = "DOVI_METADATA" in map(_kind, frame.side_data) and given["color_trc"] == UNKNOWN
        if dolby or given["colorspace"] not in _READABLE:
            kind = "Dolby Vision" if dolby else f"colour matrix {given['colorspace']}"
            raise ImageReadError(f"a film in {kind} cannot be read; convert it to HDR10, HLG or SDR")
        self._graph: tuple[object, Any] = None, None
        self._mapped = given["color_primaries"] not in _GAMUTS or given["color_trc"] not in _CURVES
        if self._mapped:
            self.result = BT709
        elif given["colorspace"] == _RGB:  # the result is not written as RGB
            self.result = {**given, "colorspace": _BT709, "color_range": _LIMITED}
        else:
            self.result = given

    def pixels(self, frame: Any, width: int, height: int) -> FloatArray:
        """Return ``frame`` as (H, W, 3) in [0, 1], of the given size. Transparent pixels are laid over white."""
        if self._mapped:
            frame = self._map(frame)
        opaque = not any(component.is_alpha for component in frame.format.components)
        levels = frame.to_ndarray(format="rgb24" if opaque else "rgba", width=width, height=height)
        pixels: FloatArray = np.divide(levels, 255, dtype=np.float32)
        if opaque:
            return pixels
        alpha = pixels[..., 3:]
        return np.asarray(pixels[..., :3] * alpha + (1 - alpha), np.float32)

    def _map(self, frame: Any) -> Any:
        """Return ``frame`` in BT.709, as RGB."""
        kind = (frame.width, frame.height, frame.format.name)
        if self._graph[0] != kind:
            graph = Graph()
            source = graph.add_buffer(None, *kind, time_base=frame.time_base)
            graph.link_nodes(
                source, graph.add("scale", _TO_BT709), graph.add("format", "rgb24"), graph.add("buffersink")
            )
            graph.configure()
            self._graph = kind, graph
        graph = self._graph[1]
        graph.push(frame)
        return graph.pull()


def _kind(side_data: Any) -> str:
    return str(side_data.type.name)
