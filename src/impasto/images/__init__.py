"""Image processing without networks: reading and writing files, colours, sizes, sheets and animations."""

from impasto.images.animation import write_animation
from impasto.images.color import ColorPreservation, luminance, prepare_style, restore_colors
from impasto.images.curves import plot_losses
from impasto.images.decoding import made_by, open_picture, read_picture
from impasto.images.encoding import PICTURE_SUFFIXES, PictureWriter, encode_picture, output_format, write_picture
from impasto.images.lazy import LazyPicture, resize_picture
from impasto.images.limits import Limits
from impasto.images.scale import fit_size, resize_pixels
from impasto.images.sheet import Cell, sheet
from impasto.images.sources import PictureSource, as_picture

__all__ = [
    "PICTURE_SUFFIXES",
    "Cell",
    "ColorPreservation",
    "LazyPicture",
    "Limits",
    "PictureSource",
    "PictureWriter",
    "as_picture",
    "encode_picture",
    "fit_size",
    "luminance",
    "made_by",
    "open_picture",
    "output_format",
    "plot_losses",
    "prepare_style",
    "read_picture",
    "resize_picture",
    "resize_pixels",
    "restore_colors",
    "sheet",
    "write_animation",
    "write_picture",
]
