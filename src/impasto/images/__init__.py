"""Image processing without networks: reading and writing files, colours, sizes, sheets and animations."""

from impasto.images.animation import is_animated, write_animation
from impasto.images.color import ColorPreservation, luminance, prepare_style, restore_colors
from impasto.images.decoding import made_by, open_picture, read_picture
from impasto.images.encoding import PictureWriter, encode_picture, largest_file, output_format, write_picture
from impasto.images.formats import PICTURE_SUFFIXES, result_name
from impasto.images.lazy import LazyPicture, resize_picture
from impasto.images.limits import Limits
from impasto.images.scale import fit_size, resize_pixels
from impasto.images.sheet import Cell, plot_losses, sheet
from impasto.images.sources import PictureSource, as_picture, open_source

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
    "is_animated",
    "largest_file",
    "luminance",
    "made_by",
    "open_picture",
    "open_source",
    "output_format",
    "plot_losses",
    "prepare_style",
    "read_picture",
    "resize_picture",
    "resize_pixels",
    "restore_colors",
    "result_name",
    "sheet",
    "write_animation",
    "write_picture",
]
