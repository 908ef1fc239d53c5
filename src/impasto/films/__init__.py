"""Films: read frame by frame, divided into shots, painted with one set of statistics per shot, and written."""

from types import MappingProxyType

FILM_FORMATS = MappingProxyType({".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"})
"""Suffixes of films that are written, and the containers that they stand for."""
FILM_SUFFIXES = frozenset({*FILM_FORMATS, ".avi"})
"""Of files that are taken for films. An .avi has no times of frames, and is read only."""
