"""Films: read frame by frame, divided into shots, painted with one set of statistics per shot, and written."""

from types import MappingProxyType

FILM_FORMATS = MappingProxyType(
    {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
)
"""Suffixes of files that are taken for films, and the containers that they stand for."""
