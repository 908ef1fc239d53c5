"""Style transfer for films. Frames are divided into shots and painted with one set of statistics per shot."""

from types import MappingProxyType

ANIMATION_SUFFIXES = frozenset({".gif", ".webp"})
"""Suffixes of pictures that may be animations."""
FILM_FORMATS = MappingProxyType(
    {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".gif": "gif", ".webp": "webp"}
    | {".3gp": "3gp", ".flv": "flv", ".ts": "mpegts"}
)
"""Suffixes of films that can be written, and their containers."""
_READ_ONLY = {".3g2", ".asf", ".avi", ".f4v", ".m2ts", ".m2v", ".mpeg", ".mpg", ".mts", ".ogv", ".vob", ".wmv"}
FILM_SUFFIXES = frozenset({*FILM_FORMATS, *_READ_ONLY}) - ANIMATION_SUFFIXES
"""Suffixes of files that are read as films."""
