"""Colour spaces of files: conversion to sRGB on reading, and back on writing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyvips

ICC_FIELD = "icc-profile-data"
SRGB: bytes = pyvips.Image.profile_load("srgb")
"""libvips' built-in sRGB profile."""

_SPACES_OF_BANDS = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",)}
_PLAIN = {"b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband"}
_CMYK_BANDS = 4
_IDENTITY_TOLERANCE = 1 / 512


def colour_bands(image: Any) -> int:
    """Return the number of colour bands of a libvips image, without alpha: 1, 3 or 4 (CMYK)."""
    if image.interpretation == "cmyk":
        return _CMYK_BANDS
    return 1 if image.bands < 3 else 3


def to_srgb(image: Any) -> tuple[Any, bytes | None]:
    """Convert the colour bands of a libvips image to sRGB.

    Returns grey or RGB bands, with 16 bits if they were converted, and the original RGB profile. The profile is None if
    it was sRGB or cannot hold RGB. A profile that is broken or belongs to another kind of image is ignored.
    """
    if image.interpretation == "cmyk":
        return _convert(image, input_profile="cmyk"), None
    if image.interpretation not in _PLAIN:
        return image.colourspace("rgb16"), None
    profile: bytes = image.get(ICC_FIELD) if ICC_FIELD in image.get_fields() else b""
    space = profile[16:20]
    if space not in _SPACES_OF_BANDS[image.bands]:
        return image, None
    try:
        if space == b"RGB " and _is_srgb(profile):
            return image, None
        return _convert(_as_integers(image), input_profile="srgb"), profile if space == b"RGB " else None
    except pyvips.Error:
        return image, None


def from_srgb(image: Any, profile: bytes) -> Any | None:
    """Convert 16-bit sRGB bands into an RGB ``profile`` and embed it; None if it cannot hold RGB."""
    if profile[16:20] != b"RGB ":
        return None
    connection = image.icc_import(input_profile="srgb", black_point_compensation=True)
    try:
        return with_profile(connection, profile).icc_export(depth=16, black_point_compensation=True).copy_memory()
    except pyvips.Error:
        return None


def with_profile(image: Any, profile: bytes) -> Any:
    """Return the libvips image with ``profile`` embedded and the pixels as they are."""
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, ICC_FIELD, profile)
    return tagged


def _convert(image: Any, *, input_profile: str) -> Any:
    black: dict[str, bool] = {"black_point_compensation": True}
    if image.format == "uchar" and image.interpretation != "cmyk":
        return image.icc_transform("srgb", embedded=True, input_profile=input_profile, depth=16, **black)
    # lcms computes direct transforms of 16 bits or CMYK with a coarse grid, with errors up to 5 %. The transform in
    # two steps avoids this, but is slow.
    connection = image.icc_import(embedded=True, input_profile=input_profile, **black)
    return connection.icc_export(output_profile="srgb", depth=16, **black)


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
