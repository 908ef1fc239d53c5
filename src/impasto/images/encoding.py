"""Writing of picture files through libvips.

If a format does not support the bit depth, the nearest supported one is used: 8 bits for JPEG, WebP and GIF, 16 for PNG
and 12 for AVIF. JPEG has no alpha, so transparent pictures are laid over white. Alpha in GIF is either on or off. Float
TIFF gets an sRGB profile, because programs interpret floats without a profile differently. Only impasto's own metadata
are written.
"""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from impasto.errors import FileWriteError, UsageError
from impasto.files import check_folder, whole_file, write_whole
from impasto.images import profiles, xmp
from impasto.images.decoding import LARGE_PICTURE, cause
from impasto.images.formats import SUFFIXES
from impasto.images.libvips import pyvips

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.types import FloatArray, PathOrFile, Picture


class PictureWriter:
    """Writes a picture file from rows that are given strip by strip.

    JPEG, PNG and TIFF take the same memory for pictures of any size. WebP, AVIF and GIF are encoded as a whole.
    """

    def __init__(
        self,
        outline: Picture,
        width: int,
        height: int,
        format: str,
        *,
        keep_profile: bool = True,
        quality: int | None = None,
    ) -> None:
        """Prepare to encode. Unsupported settings are refused here, before the work.

        Args:
            outline: a picture with the alpha, bit depth and profile of the strips.
            width: width of the whole picture in pixels.
            height: height of the whole picture in pixels.
            format: a suffix or name of a format, such as 'png'.
            keep_profile: convert back into the ICC profile of the original file and embed it; otherwise the file is
                sRGB.
            quality: 1 to 100, for JPEG (95 if None), WebP (90) and AVIF (80).

        Raises:
            FileWriteError: the format is unknown, or the picture is too large for the format.
            UsageError: the quality is out of range, or a quality is given for a format that has none.
        """
        self._form = _known_format(format, format)
        self._saver = saver = _SAVERS[self._form]
        options = dict(saver.options)
        if quality is not None and (saver.quality is None or not 1 <= quality <= 100):
            raise UsageError(f"quality {quality} for {self._form}: give 1 to 100, and only for JPEG, WebP or AVIF")
        if saver.quality is not None:
            options["Q"] = quality or saver.quality
        if max(width, height) > saver.longest_side:
            raise FileWriteError(
                f"picture is {width}x{height}; {self._form} holds at most "
                f"{saver.longest_side} pixels a side; choose png or tiff, or a smaller size"
            )
        large = width * height > LARGE_PICTURE
        self._depth = saver.depth(outline.bit_depth)
        if self._form == "tiff":
            options["predictor"] = "float" if self._depth == 32 else "horizontal"
            options["bigtiff"] = width * height * 4 * self._depth // 8 > 1 << 31
        if self._form == "jpeg":
            options["optimize_coding"] = not large  # the optimisation keeps the whole picture in memory
        self._options = options
        self._width, self._height = width, height
        self._bands = saver.bands(outline.alpha is not None)
        self._keep_profile = keep_profile
        self._profile: bytes | None = None
        # libvips caches files by name, so each file gets a new name.
        self._path = Path(tempfile.gettempdir()) / f"impasto-{uuid4().hex}.rows" if large else None
        self._rows: IO[bytes] = self._path.open("xb") if self._path else io.BytesIO()

    @property
    def memory(self) -> int:
        """Maximum memory in bytes for the whole picture."""
        # Rows in memory are copied for libvips; rows in a file are mapped.
        rows = self._bands * self._depth // 8 * (1 if self._path else 2)
        held = _COEFFICIENTS if self._options.get("optimize_coding") else self._saver.held
        return self._width * self._height * (rows + held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the rows and delete their temporary file."""
        self._rows.close()
        if self._path:
            self._path.unlink(missing_ok=True)

    def write(self, strip: Picture) -> None:
        """Add the next rows.

        Raises:
            FileWriteError: the disk for temporary files is full.
        """
        for top in range(0, strip.height, _ROWS):
            part = strip.rows(top, top + _ROWS)
            levels, self._profile = _encodable(part, self._depth, self._saver.alpha, self._keep_profile)
            self._bands = levels.shape[2]
            try:
                self._rows.write(levels.tobytes())
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                folder = tempfile.gettempdir()
                raise FileWriteError(f"cannot keep the picture in {folder}: {reason}; free space") from error

    def encode(self, metadata: Mapping[str, str]) -> bytes:
        """Return the bytes of the file. JPEG cannot hold ``metadata`` beyond 50 kB, and GIF cannot hold any."""
        buffer = io.BytesIO()
        self._encode(buffer, metadata)
        return buffer.getvalue()

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the file atomically. ``metadata`` that the format cannot hold are written to a sidecar, NAME.xmp.

        Raises:
            FileWriteError: the folder is missing, or the disk is full or read-only.
        """
        with whole_file(path) as temporary, temporary.open("w+b", buffering=0) as file:
            self._encode(file, metadata)
        if metadata and len(xmp.pack(metadata)) > self._saver.packet:
            write_whole(xmp.sidecar(path), xmp.pack(metadata))

    def _encode(self, file: IO[bytes], metadata: Mapping[str, str]) -> None:
        refused: list[BaseException] = []

        def guarded(function: Callable[..., Any], failure: Any) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                try:
                    return function(*arguments)
                except BaseException as error:  # libvips would report any exception as a write error
                    refused.append(error)
                    return failure

            return call

        target = pyvips.TargetCustom()
        target.on_write(guarded(file.write, -1))
        target.on_seek(guarded(file.seek, -1))  # TIFF goes back to write the offsets of its strips
        target.on_read(guarded(file.read, b""))
        try:
            image = self._image()
            if self._profile is not None:
                image = profiles.with_profile(image, self._profile)
            if metadata:
                image.set_type(pyvips.GValue.blob_type, xmp.XMP_FIELD, xmp.pack(metadata))
            getattr(image, self._saver.function)(target, keep="xmp,icc", **self._options)
        except pyvips.Error as error:
            if refused:
                raise refused[0] from None
            raise FileWriteError(f"libvips cannot encode {self._form}: {cause(error)}; choose png") from error
        if refused:
            raise refused[0]

    def _image(self) -> Any:
        kind = {8: "uchar", 16: "ushort", 32: "float"}[self._depth]
        if isinstance(self._rows, io.BytesIO):
            image = pyvips.Image.new_from_memory(self._rows.getvalue(), self._width, self._height, self._bands, kind)
        else:
            self._rows.flush()
            size = self._bands * self._depth // 8
            image = pyvips.Image.rawload(str(self._path), self._width, self._height, size)
        space = {8: "srgb", 16: "rgb16", 32: "scrgb"}[self._depth]
        return image.copy(format=kind, bands=self._bands, interpretation=space)


def encode_picture(picture: Picture, format: str, *, keep_profile: bool = True, quality: int | None = None) -> bytes:
    """Return the bytes of a file in ``format`` (a suffix or name of a format): see `PictureWriter`.

    Raises:
        FileWriteError: the format is unknown, or the picture is too large for the format.
        UsageError: the quality is out of range, or a quality is given for a format that has none.
    """
    with _written(picture, format, keep_profile, quality) as writer:
        return writer.encode(picture.metadata)


def largest_file(width: int, height: int, format: str, *, bit_depth: int, alpha: bool) -> int:
    """Return the largest size in bytes of a file that `encode_picture` makes.

    No encoder makes a file noticeably larger than the uncompressed pixels, not even from noise. Uncompressed pixels
    take 3 or 4 bytes each at 8 bits, and up to 16 bytes at 32. A twentieth and 64 KiB are added for the format, the
    profile and the metadata.

    Raises:
        FileWriteError: the format is unknown.
    """
    saver = _SAVERS[_known_format(format, format)]
    pixels = width * height * saver.bands(alpha) * saver.depth(bit_depth) // 8
    return pixels + pixels // 20 + (64 << 10)


def write_picture(
    picture: Picture,
    file: PathOrFile,
    *,
    format: str | None = None,
    keep_profile: bool = True,
    quality: int | None = None,
) -> None:
    """Write a picture into a file. A path is written atomically. The other options are those of `PictureWriter`.

    Args:
        picture: the picture.
        file: a path, or an object that is open for writing bytes, such as `io.BytesIO`.
        format: a suffix or name of a format, such as 'png'; by default the suffix of the path.
        keep_profile: see `PictureWriter`.
        quality: see `PictureWriter`.

    Raises:
        FileWriteError: the format is unknown, the folder is missing, the disk is full or read-only, or the picture is
            too large for the format.
        UsageError: the quality is out of range, or a quality is given for a format that has none.
    """
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        form = output_format(path, format)
        with _written(picture, form, keep_profile, quality) as writer:
            writer.save(path, picture.metadata)
        return
    if not callable(getattr(file, "write", None)):
        raise FileWriteError(f"cannot write into a {type(file).__name__}; give a path or an open binary file")
    if format is None:
        raise FileWriteError("an open file has no suffix; give format, such as 'png'")
    data = encode_picture(picture, format, keep_profile=keep_profile, quality=quality)
    try:
        file.write(data)
    except TypeError as error:
        raise FileWriteError(f"the file takes no bytes ({error}); open it in binary mode, 'wb'") from error
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise FileWriteError(f"cannot write {len(data):,} bytes into the file: {error}") from error


def output_format(path: str | Path, format: str | None = None) -> str:
    """Return the format in which ``path`` will be written. Call it before long work to fail early.

    Args:
        path: path of the file.
        format: a suffix or name of a format; by default the suffix of ``path``.

    Raises:
        FileWriteError: the format is unknown, or the folder does not exist.
    """
    form = picture_format(path, format)
    check_folder(Path(path))
    return form


def picture_format(path: str | Path, format: str | None = None) -> str:
    """Return the format of ``path`` as `output_format` does, whether or not its folder exists.

    Raises:
        FileWriteError: the format is unknown.
    """
    return _known_format(Path(path).suffix.removeprefix(".") if format is None else format, str(path))


def _written(picture: Picture, format: str, keep_profile: bool, quality: int | None) -> PictureWriter:
    writer = PictureWriter(picture, picture.width, picture.height, format, keep_profile=keep_profile, quality=quality)
    writer.write(picture)
    return writer


def _known_format(suffix: str, name: str) -> str:
    if suffix.lower() not in SUFFIXES:
        kind = f"{suffix!r} is not a format that impasto writes" if suffix else "it has no suffix"
        raise FileWriteError(f"cannot write {name}: {kind}; use one of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix.lower()]


@dataclass(frozen=True)
class _Saver:
    function: str
    depths: tuple[int, ...]
    longest_side: int
    alpha: bool = True
    quality: int | None = None
    packet: int = 1 << 30
    """Maximum size of the XMP packet in bytes."""
    held: int = 1
    """Bytes per pixel of the whole picture that the encoder holds in memory, as measured."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def depth(self, bit_depth: int) -> int:
        """Return the nearest supported depth for a picture of ``bit_depth``."""
        return max(depth for depth in self.depths if depth <= max(bit_depth, 8))

    def bands(self, alpha: bool) -> int:
        return 4 if alpha and self.alpha else 3


_ROWS = 128
"""Number of rows that are encoded at once. Fewer rows take less memory for copies."""
_COEFFICIENTS = 9
"""Bytes per pixel that a JPEG encoder with optimised coding holds until the end."""
_ANY_SIDE = 10_000_000  # the maximum of libvips
_SAVERS = {
    "jpeg": _Saver(
        "jpegsave_target", (8,), 65500, alpha=False, quality=95, packet=50_000, options={"optimize_coding": True}
    ),
    "png": _Saver("pngsave_target", (8, 16), _ANY_SIDE),
    "tiff": _Saver("tiffsave_target", (8, 16, 32), _ANY_SIDE, options={"compression": "deflate"}),
    "webp": _Saver("webpsave_target", (8,), 16383, quality=90, held=6, options={"exact": True}),
    "avif": _Saver("heifsave_target", (8, 16), 16384, quality=80, held=20, options={"compression": "av1"}),
    "gif": _Saver("gifsave_target", (8,), 65535, packet=0, held=9),
}


def _encodable(picture: Picture, depth: int, alpha: bool, keep_profile: bool) -> tuple[npt.NDArray[Any], bytes | None]:
    """Return the levels (H, W, bands) with ``depth`` bits, and their profile."""
    pixels = picture.pixels.clip(0, 1)
    if picture.beyond is not None:
        pixels += picture.beyond
    if picture.alpha is not None and not alpha:
        pixels = 1 - (1 - pixels) * picture.alpha[:, :, None]
    own = profiles.from_srgb(pixels, picture.icc) if keep_profile and picture.icc is not None else None
    profile = picture.icc if own is not None else profiles.SRGB if depth == 32 else None
    if own is not None:
        pixels = own
    elif depth < 32:
        pixels = pixels.clip(0, 1)
    if picture.alpha is not None and alpha:
        pixels = np.dstack([pixels, picture.alpha.clip(0, 1)])
    return _quantised(pixels, depth), profile


def _quantised(pixels: FloatArray, depth: int) -> npt.NDArray[Any]:
    if depth == 32:
        return np.ascontiguousarray(pixels)
    levels: npt.NDArray[Any] = np.rint(pixels * np.float32(2**depth - 1)).astype(f"uint{depth}")
    return levels
