"""Style transfer for films. Frames are divided into shots and painted with one set of statistics per shot."""

from types import MappingProxyType

FILM_FORMATS = MappingProxyType({".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"})
"""Suffixes of films that can be written, and their containers."""
FILM_SUFFIXES = frozenset({*FILM_FORMATS, ".avi"})
"""Suffixes of files that are read as films. An .avi file has no frame times and cannot be written."""
