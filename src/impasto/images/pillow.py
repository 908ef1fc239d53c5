"""Reading through Pillow of PIL images, and of files that libvips, as built for its wheels, cannot read.

Each format has its own reader here. Pillow does not choose the reader, because it would try dozens of other formats.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import ImageReadError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

_READERS = {
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile", ""),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile", ""),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile", ""),
    "heic": ("pillow_heif", "HeifImageFile", "heic"),
    "jxl": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile", "jxl"),
}
"""Module, class, and the extra that installs them, by format."""
_ORIENTATION, _BITS = 274, 258  # tags of EXIF and TIFF
_TIFF_MODES = {"1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16"}

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Python would print what Pillow logs about broken files


def transcoded(
    name: str, form: str, data: bytes, check_size: Callable[[int, int], None], odd: str | None = None
) -> bytes:
    """Return the picture ``data`` of the format ``form`` as an uncompressed TIFF file.

    Args:
        name: name of the file, for messages.
        form: a format of `_READERS`.
        data: bytes of the file.
        check_size: refuses a width and height before the pixels are decoded.
        odd: peculiarity of the file, for messages.

    Raises:
        ImageReadError: the file is broken or truncated, or of a kind that Pillow does not read, or the reader is not
            installed.
        OutOfMemoryError: the memory does not suffice.
    """
    module, reader, extra = _READERS[form]
    try:
        open_file = getattr(importlib.import_module(module), reader)
    except ModuleNotFoundError as error:
        raise ImageReadError(
            f"{name} is a {form.upper()} file; save it as JPEG, or install its reader: pip install 'impasto[{extra}]'"
        ) from error
    try:
        if form == "jxl":
            check_size(*_jxl_size(data))  # the reader decodes all pixels when it opens a file
        with warnings.catch_warnings(action="ignore"), open_file(io.BytesIO(data)) as image:
            check_size(*image.size)
            image.load()
            return as_tiff(_whole_range(image))
    except MemoryError as error:
        raise OutOfMemoryError(f"the memory does not suffice to read {name}; close other programs") from error
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:80] or "its data do not decode"
        if odd is not None:
            raise ImageReadError(
                f"{name} is broken, or a kind of {form.upper()} file that impasto does not read ({odd}); save it as "
                "RGB of 8 or 16 bits"
            ) from error
        raise ImageReadError(
            f"{name} is a broken or truncated {form.upper()} file ({reason}); save or download it again"
        ) from error


def _whole_range(image: Any) -> Any:
    """Return a PIL image, scaled so that white is 65535 if it has more than 8 bits."""
    (bits, *_) = getattr(image, "tag_v2", {}).get(_BITS, (16,))
    if image.mode != "I;16" or bits == 16:
        return image
    from PIL import Image

    levels = np.rint(np.asarray(image) * (65535 / (2**bits - 1))).astype(np.uint16)
    return Image.fromarray(levels)


def _jxl_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG XL file: ISO/IEC 18181-1, annex D.2; a container as in 18181-2."""
    if data[:2] != b"\xff\x0a":
        box = max(data.find(b"jxlc"), data.find(b"jxlp"))
        data = data[data.index(b"\xff\x0a", box) :]
    bits = int.from_bytes(data[2:18], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    height, ratio = side(), take(3)
    if not ratio:
        return side(), height
    over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * over // under, height


def as_tiff(image: Any) -> bytes:
    """Return a PIL image as an uncompressed TIFF file, with its profile and orientation.

    Reading this file then handles profile, orientation and CMYK as for any other file.
    """
    if image.mode == "La":
        image = image.convert("LA")  # PIL has no direct conversion
    if "transparency" in image.info or image.mode in ("PA", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode not in _TIFF_MODES:
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(
        buffer,
        format="TIFF",
        compression="raw",
        tiffinfo={_ORIENTATION: image.getexif().get(_ORIENTATION, 1)},
    )
    return buffer.getvalue()
