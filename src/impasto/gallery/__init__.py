"""Styles that need no style image: codes for the conditional network, in files of some kilobytes."""

from impasto.gallery.catalog import StyleCatalog, StyleSource, as_style_source, style_path
from impasto.gallery.looks import LOOKS, Look
from impasto.gallery.style_file import GalleryStyle, encode_style_image, read_style_file, write_style_file

__all__ = [
    "LOOKS",
    "GalleryStyle",
    "Look",
    "StyleCatalog",
    "StyleSource",
    "as_style_source",
    "encode_style_image",
    "read_style_file",
    "style_path",
    "write_style_file",
]
