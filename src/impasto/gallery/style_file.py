"""The ``.style`` file: the code of one style, its provenance, and the network to which the code belongs."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from impasto.errors import ImageError, StyleError
from impasto.files import write_whole
from impasto.gallery.looks import LOOKS, Look, crop_swatch, look_of
from impasto.images import encode_picture, fit_size, read_picture, resize_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from impasto.types import FloatArray

SUFFIX = ".style"
_VERSION = 1
_LARGEST = 1 << 20
_IMAGE_SIDE = 768
_IMAGE_QUALITY = 88
_TEXTS = ("name", "title", "artist", "year", "license", "network")


@dataclass(frozen=True, eq=False)
class GalleryStyle:
    """A style as a code for one network."""

    name: str
    """Lower-case letters, digits and hyphens: ``great-wave``."""
    code: FloatArray
    """(code_size): scales and shifts of every normalisation of the network."""
    network: str
    """sha256 of the weights of the network to which the code belongs."""
    title: str = ""
    artist: str = ""
    year: str = ""
    license: str = ""
    """Licence of the style image."""
    swatch: bytes = b""
    """A small picture in this style, as a WebP file."""
    image: bytes = b""
    """A picture in this style for engines that need a style image, as a JPEG file; empty if there is none."""
    look: Look | Literal[""] = ""
    """What the picture looks like, in one word; empty if there is none, or if the file is of an older version."""
    layers: Mapping[str, FloatArray] = field(default_factory=dict)
    """Weights, by name, that were learned with the style and replace the network's own."""

    def with_image(self, image: bytes) -> GalleryStyle:
        """Return this style with the JPEG file ``image``, and the swatch and look that it gives."""
        pixels = read_picture(image).pixels
        return replace(self, image=image, swatch=crop_swatch(pixels), look=look_of(pixels))

    @property
    def place(self) -> tuple[int, str]:
        """What lists of styles are sorted by: the look, then the name."""
        return (LOOKS.index(self.look) if self.look else len(LOOKS)), self.name

    @property
    def picture(self) -> Picture | None:
        """A picture in this style, for engines that need a style image; None if the file has none.

        Raises:
            StyleError: the picture is damaged.
        """
        if not self.image:
            return None
        try:
            return read_picture(self.image)
        except ImageError as error:
            raise StyleError(f"the picture of style {self.name!r} is damaged ({error}); download it again") from error


def encode_style_image(picture: Picture) -> bytes:
    """Encode ``picture`` for a style file: a JPEG of at most 768 pixels a side, composited over white."""
    size = fit_size(picture.width, picture.height, min(_IMAGE_SIDE, max(picture.width, picture.height)))
    plain = Picture(resize_picture(Picture(picture.over_white), *size).pixels)
    return encode_picture(plain, "jpeg", quality=_IMAGE_QUALITY)


def write_style_file(style: GalleryStyle, path: Path) -> None:
    """Write ``style`` to ``path``, with its numbers as float16.

    Raises:
        StyleError: the style has numbers that float16 cannot represent.
        FileWriteError: the folder is missing, or the file cannot be written.
    """
    with np.errstate(over="ignore"):
        code = style.code.astype("<f2")
        layers = {name: weights.astype("<f2") for name, weights in style.layers.items()}
    if not all(np.isfinite(numbers).all() for numbers in (code, *layers.values())):
        raise StyleError(
            f"the code of style {style.name!r} has numbers that are not finite; learn it at a lower learning rate"
        )
    content = {
        "impasto style": _VERSION,
        **{name: getattr(style, name) for name in _TEXTS},
        "look": style.look,
        "code": base64.b64encode(code.tobytes()).decode(),
        "swatch": base64.b64encode(style.swatch).decode(),
    }
    if style.image:
        content["image"] = base64.b64encode(style.image).decode()
    if layers:
        content["layers"] = {
            name: {"shape": weights.shape, "weights": base64.b64encode(weights.tobytes()).decode()}
            for name, weights in layers.items()
        }
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def read_style_file(path: Path) -> GalleryStyle:
    """Read a style that `write_style_file` wrote.

    Raises:
        StyleError: the file is missing, damaged, not a style, or from a newer version of impasto.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        content = json.loads(path.read_bytes())
        if content["impasto style"] > _VERSION:
            raise StyleError(f"{path.name} was written by a newer version of impasto; update this one")
        code = _numbers(content["code"])
        layers = {name: _numbers(each["weights"], each["shape"]) for name, each in content.get("layers", {}).items()}
        swatch, image = (base64.b64decode(content.get(name, ""), validate=True) for name in ("swatch", "image"))
        texts = {name: str(content[name]) for name in _TEXTS}
        look: Look | Literal[""] = next((look for look in LOOKS if look == content.get("look")), "")
        return GalleryStyle(code=code, swatch=swatch, image=image, look=look, layers=layers, **texts)
    except FileNotFoundError as error:
        raise StyleError(f"{path} does not exist; check the path") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StyleError(f"{path.name} is not a style file ({cause}); learn the style anew from its picture") from error


def _numbers(text: str, shape: Sequence[int] = (-1,)) -> FloatArray:
    numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    if not numbers.size or not np.isfinite(numbers).all():
        raise ValueError("its code is incomplete")
    return numbers.reshape(shape)
