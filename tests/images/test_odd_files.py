"""Every odd file that people feed to style transfer, and what it must decode to."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 - registers the format
import pytest
import pyvips
from PIL import Image

from impasto.images import read_picture
from impasto.images.profiles import MatrixProfile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pillow_heif.register_heif_opener()
# The scene: four quadrants, no two alike, so that every turn and every mixed-up channel shows.
RED, GREEN, BLUE, GREY = (200, 40, 40), (40, 160, 60), (50, 70, 200), (180, 180, 180)
HEIGHT, WIDTH = 32, 48
SCENE = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
SCENE[:16, :24], SCENE[:16, 24:], SCENE[16:, :24], SCENE[16:, 24:] = RED, GREEN, BLUE, GREY
SCENE16 = SCENE.astype(np.uint16) * 257 + 1
COLOURS = tuple(tuple(level / 255 for level in colour) for colour in (RED, GREEN, BLUE, GREY))
LUMA = np.asarray(Image.fromarray(SCENE).convert("L"))
GREYS = tuple((float(LUMA[y, x]) / 255,) * 3 for y, x in ((8, 12), (8, 36), (24, 12), (24, 36)))
ALPHA = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
ALPHA[:16, :24], ALPHA[16:, 24:] = 0, 51
ALPHAS = (0.0, 1.0, 1.0, 0.2)
P3 = pyvips.Image.profile_load("p3")
SRGB = pyvips.Image.profile_load("srgb")


def pil(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def scene(mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(SCENE)
    alpha = Image.fromarray(ALPHA)
    if mode == "RGBA":
        return Image.merge(mode, (*image.split(), alpha))
    return Image.merge(mode, (image.convert("L"), alpha)) if mode == "LA" else image.convert(mode)


def vips(array: np.ndarray, interpretation: str = "srgb", icc: bytes | None = None) -> pyvips.Image:
    image = pyvips.Image.new_from_array(array).copy(interpretation=interpretation)
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return image


def by_pil(form: str, image: Image.Image | str = "RGB", **options: object) -> Callable[[], bytes]:
    return lambda: pil(scene(image) if isinstance(image, str) else image, form, **options)


def by_vips(suffix: str, image: pyvips.Image, **options: object) -> Callable[[], bytes]:
    return lambda: image.write_to_buffer(suffix, **options)


def icc_profile(space: bytes, gamma: float) -> bytes:
    """Return a small ICC v2 profile: grey, or RGB with the primaries of sRGB."""

    def xyz(x: float, y: float, z: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67 + 3)
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1, 0.8249)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(0.43607, 0.22249, 0.01392), b"gXYZ": xyz(0.38515, 0.71687, 0.09708)}
        tags |= {b"bXYZ": xyz(0.14307, 0.06061, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", 0, b"\0\0\0\0", 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    profile = header + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


def linear_light(levels: np.ndarray) -> np.ndarray:
    value = levels / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


TURNS = {  # what a viewer does for each EXIF orientation, undone
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(form: str, orientation: int, **options: object) -> Callable[[], bytes]:
    image = scene()
    exif = image.getexif()
    exif[274] = orientation
    stored = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    return by_pil(form, stored, exif=exif.tobytes(), **options)  # Pillow takes the orientation out of an object


def animated(form: str, **options: object) -> Callable[[], bytes]:
    others = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("black", "white")]
    return by_pil(form, save_all=True, append_images=others, duration=100, **options)


def cmyk() -> Image.Image:
    """Paper, black, cyan and yellow."""
    inks = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    inks[:16, 24:, 3], inks[16:, :24, 0], inks[16:, 24:, 2] = 255, 255, 255
    return Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes())


def wild_floats() -> bytes:
    values = (SCENE / 255).astype(np.float32)
    values[:16, :24] = (np.nan, -3.0, np.inf)
    values[:16, 24:] = (1.5, 0.5, -0.25)
    return vips(values, "scrgb").tiffsave_buffer()


def big_endian_tiff() -> bytes:
    """A hand-made TIFF of the other byte order, 16 bits."""
    data = SCENE16.astype(">u2").tobytes()
    bits = 8 + len(data)
    tags = [(256, 3, 1, WIDTH << 16), (257, 3, 1, HEIGHT << 16), (258, 3, 3, bits), (259, 3, 1, 1 << 16)]
    tags += [(262, 3, 1, 2 << 16), (273, 4, 1, 8), (277, 3, 1, 3 << 16), (278, 3, 1, HEIGHT << 16)]
    tags += [(279, 4, 1, len(data)), (284, 3, 1, 1 << 16)]
    directory = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", *tag) for tag in tags) + bytes(4)
    return b"MM\0*" + struct.pack(">I", bits + 6) + data + struct.pack(">3H", 16, 16, 16) + directory


def pages() -> bytes:
    stack = np.concatenate([SCENE, np.zeros_like(SCENE)])
    image = vips(stack)
    image.set_type(pyvips.GValue.gint_type, "page-height", HEIGHT)
    return image.tiffsave_buffer()


def upside_down_bmp() -> bytes:
    """A BMP whose rows begin at the top, which a negative height says."""
    data = bytearray(pil(scene().transpose(Image.Transpose.FLIP_TOP_BOTTOM), "BMP"))
    data[22:26] = struct.pack("<i", -HEIGHT)
    return bytes(data)


def avif_white(bits: int) -> Callable[[], bytes]:
    levels = np.full((HEIGHT, WIDTH, 3), 65535, dtype=np.uint16)
    return by_vips(".avif", vips(levels, "rgb16"), bitdepth=bits, lossless=True)


def with_secrets() -> bytes:
    image = scene()
    exif = image.getexif()
    exif[0x010F] = "Secret Camera"
    return pil(image, "JPEG", quality=98, exif=exif, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>secret</x:xmpmeta>")


def with_entity_bomb() -> bytes:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    return pil(scene(), "JPEG", quality=98, xmp=bomb)


@dataclass(frozen=True)
class Odd:
    name: str
    make: Callable[[], bytes]
    form: str
    colours: tuple[tuple[float, ...], ...] = COLOURS
    alphas: tuple[float, ...] | None = None
    depth: int = 8
    size: tuple[int, int] = (WIDTH, HEIGHT)
    icc: bytes | None = None
    tolerance: float = 0.5 / 255


LOSSY = 6 / 255
WHITES = ((1.0, 1.0, 1.0),) * 4
BITS = ((0.0,) * 3, (0.0,) * 3, (0.0,) * 3, (1.0,) * 3)
INKS = ((1.0, 1.0, 1.0), (0.1, 0.1, 0.1), (0.0, 0.62, 0.87), (1.0, 0.94, 0.0))
FIRST_CLEAR = (0, 1, 1, 1)
PALETTE = scene().quantize(16)
FIRST_INDEX = PALETTE.getpixel((0, 0))
BILEVEL = Image.fromarray(LUMA > 130)
CMYK = cmyk()
RGBA = np.dstack([SCENE, ALPHA])
VEILED = np.dstack([SCENE, np.maximum(ALPHA, 51)])
RGBA16 = np.dstack([SCENE16, ALPHA * np.uint16(257)])
FLOATS = (SCENE / 255).astype(np.float32)
LINEAR = linear_light(SCENE).astype(np.float32)
LINEAR_GREY = Image.fromarray(np.rint(linear_light(LUMA) * 255).astype(np.uint8))
GREY_ICC, LINEAR_ICC = icc_profile(b"GRAY", 1), icc_profile(b"RGB ", 1)
REBUILT_ICC = MatrixProfile.of(LINEAR_ICC).encode()
PRESS_ICC = pyvips.Image.profile_load("cmyk")
UINT32 = (vips(SCENE16, "rgb16") * 65537.0).cast("uint").copy(interpretation="rgb")
TILES = {"tile": True, "tile_width": 16, "tile_height": 16}


def jpeg(name: str, make: Callable[[], bytes] | None = None, **expected: Any) -> Odd:
    make = make or by_pil("JPEG", quality=98)
    return Odd(f"jpeg {name}", make, "jpeg", **{"tolerance": LOSSY, **expected})


def tagged(icc: bytes, mode: str = "RGB") -> Callable[[], bytes]:
    return by_pil("JPEG", mode, quality=98, icc_profile=icc)


def png(name: str, make: Callable[[], bytes], **expected: Any) -> Odd:
    return Odd(f"png {name}", make, "png", **expected)


def tiff(name: str, make: Callable[[], bytes], **expected: Any) -> Odd:
    return Odd(f"tiff {name}", make, "tiff", **expected)


ODD_FILES = [
    jpeg("plain"),
    jpeg("progressive 4:2:0", by_pil("JPEG", progressive=True, subsampling=2)),
    jpeg("grey", by_pil("JPEG", "L"), colours=GREYS),
    jpeg("CMYK", by_pil("JPEG", CMYK, quality=98), colours=INKS, tolerance=0.12),
    jpeg("P3", tagged(P3), colours=(), icc=P3),
    jpeg("sRGB profile", tagged(SRGB)),
    jpeg("broken profile", tagged(b"junk" * 99)),
    jpeg("cut profile", tagged(P3[:150])),
    jpeg("grey, RGB profile", tagged(SRGB, "L"), colours=GREYS),
    jpeg("RGB, grey profile", tagged(GREY_ICC)),
    jpeg("with secrets", with_secrets),
    jpeg("with entities in XMP", with_entity_bomb),
    *(jpeg(f"orientation {n}", turned("JPEG", n, quality=98)) for n in range(1, 9)),
    jpeg("orientation 99", turned("JPEG", 99, quality=98)),
    jpeg("one row", by_pil("JPEG", scene().crop((0, 0, WIDTH, 1))), size=(WIDTH, 1), colours=()),
    png("plain", by_pil("PNG")),
    png("interlaced", by_vips(".png", vips(SCENE), interlace=True)),
    png("grey", by_pil("PNG", "L"), colours=GREYS),
    png("1 bit", by_pil("PNG", BILEVEL), colours=BITS),
    png("palette", by_pil("PNG", scene().quantize(64))),
    png("palette 2 bits", by_pil("PNG", scene().quantize(4), bits=2)),
    png("palette, transparent", by_pil("PNG", PALETTE, transparency=FIRST_INDEX), alphas=FIRST_CLEAR),
    png("transparent colour", by_pil("PNG", transparency=RED), alphas=FIRST_CLEAR),
    png("alpha", by_pil("PNG", "RGBA"), alphas=ALPHAS),
    png("grey alpha", by_pil("PNG", "LA"), colours=GREYS, alphas=ALPHAS),
    png("16", by_vips(".png", vips(SCENE16, "rgb16")), depth=16),
    png("16 grey", by_pil("PNG", Image.fromarray(LUMA.astype(np.uint16) * 257)), depth=16, colours=GREYS),
    png("16 alpha", by_vips(".png", vips(RGBA16, "rgb16")), depth=16, alphas=ALPHAS),
    png("16 P3", by_vips(".png", vips(SCENE16, "rgb16", P3)), depth=16, colours=(), icc=P3),
    png("linear grey", by_pil("PNG", LINEAR_GREY, icc_profile=GREY_ICC), colours=GREYS, tolerance=2 / 255),
    png("orientation 6", turned("PNG", 6)),
    png("1x1", by_pil("PNG", Image.new("RGB", (1, 1), RED)), size=(1, 1), colours=()),
    tiff("plain", by_pil("TIFF")),
    tiff("LZW", by_pil("TIFF", compression="tiff_lzw")),
    tiff("JPEG inside", by_vips(".tif", vips(SCENE), compression="jpeg", Q=98), tolerance=LOSSY),
    tiff("tiled", by_vips(".tif", vips(SCENE), **TILES)),
    tiff("pyramid", by_vips(".tif", vips(SCENE), pyramid=True, **TILES)),
    tiff("BigTIFF", by_vips(".tif", vips(SCENE), bigtiff=True)),
    tiff("big-endian 16", big_endian_tiff, depth=16),
    tiff("pages", pages),
    tiff("orientation 8", turned("TIFF", 8)),
    tiff("fax", by_pil("TIFF", BILEVEL, compression="group4"), colours=BITS),
    tiff("palette", by_pil("TIFF", PALETTE)),
    tiff("CMYK", by_pil("TIFF", CMYK), colours=INKS, tolerance=0.12),
    tiff("CMYK profile", by_pil("TIFF", CMYK, icc_profile=PRESS_ICC), colours=INKS, tolerance=0.12),
    tiff("alpha", by_vips(".tif", vips(RGBA)), alphas=ALPHAS),
    tiff(
        "premultiplied",
        by_vips(".tif", vips(VEILED), premultiply=True),
        alphas=(0.2, 1, 1, 0.2),
        tolerance=3 / 255,
    ),
    tiff("Lab", by_vips(".tif", vips(SCENE).colourspace("lab")), depth=32, tolerance=2 / 255),
    tiff("uint32", by_vips(".tif", UINT32), depth=32),
    tiff("float", by_vips(".tif", vips(FLOATS, "scrgb")), depth=32),
    tiff("float grey", by_pil("TIFF", Image.fromarray(np.float32(LUMA / 255))), depth=32, colours=GREYS),
    tiff("float alpha", by_vips(".tif", vips(np.float32(RGBA / 255), "scrgb")), depth=32, alphas=ALPHAS),
    tiff("float out of range", wild_floats, depth=32, colours=((0, 0, 1), (1, 0.5, 0), *COLOURS[2:])),
    tiff(
        "float, linear profile",
        by_vips(".tif", vips(LINEAR, "scrgb", LINEAR_ICC)),
        depth=32,
        icc=REBUILT_ICC,
        tolerance=1 / 255,
    ),
    Odd("webp", by_pil("WEBP", quality=98), "webp", tolerance=LOSSY),
    Odd("webp lossless", by_pil("WEBP", lossless=True), "webp"),
    Odd("webp alpha", by_pil("WEBP", "RGBA", lossless=True, exact=True), "webp", alphas=ALPHAS),
    Odd("webp animated", animated("WEBP", lossless=True), "webp"),
    Odd("webp orientation 5", turned("WEBP", 5, lossless=True), "webp"),
    Odd("avif", by_pil("AVIF", quality=95), "avif", tolerance=LOSSY),
    Odd("avif alpha", by_pil("AVIF", "RGBA", quality=95), "avif", alphas=ALPHAS, tolerance=LOSSY),
    Odd("avif orientation 6", turned("AVIF", 6, quality=95), "avif", tolerance=LOSSY),
    Odd("avif 10 bits, white", avif_white(10), "avif", depth=16, colours=WHITES, tolerance=0),
    Odd("avif 12 bits, white", avif_white(12), "avif", depth=16, colours=WHITES, tolerance=0),
    Odd("bmp", by_pil("BMP"), "png"),
    Odd("bmp palette", by_pil("BMP", PALETTE), "png"),
    Odd("bmp 1 bit", by_pil("BMP", BILEVEL), "png", colours=BITS),
    Odd("bmp grey", by_pil("BMP", "L"), "png", colours=GREYS),
    Odd("bmp 32 bits", by_pil("BMP", "RGBA"), "png"),
    Odd("bmp upside down", upside_down_bmp, "png"),
    Odd("heic", by_pil("HEIF", quality=95), "jpeg", tolerance=LOSSY),
    Odd("heic alpha", by_pil("HEIF", "RGBA", quality=95), "png", alphas=ALPHAS, tolerance=LOSSY),
    Odd("heic P3", by_pil("HEIF", icc_profile=P3), "jpeg", colours=(), icc=P3),
    Odd("heic orientation 6", turned("HEIF", 6, quality=95), "jpeg", tolerance=LOSSY),
    Odd("jxl", by_pil("JXL", quality=98), "png", tolerance=LOSSY),
    Odd("jxl lossless alpha", by_pil("JXL", "RGBA", lossless=True), "png", alphas=ALPHAS),
    Odd("gif", by_pil("GIF", PALETTE), "gif"),
    Odd("gif transparent", by_pil("GIF", PALETTE, transparency=FIRST_INDEX), "gif", (), FIRST_CLEAR),
    Odd("gif animated", animated("GIF"), "gif", alphas=(1, 1, 1, 1)),
]


def quadrants(array: np.ndarray) -> list[np.ndarray]:
    height, width = array.shape[:2]
    return [array[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]


@pytest.mark.parametrize("odd", ODD_FILES, ids=lambda odd: odd.name)
def test_reads(odd: Odd, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lying = tmp_path / "picture.bmp"  # the name must not matter
    lying.write_bytes(odd.make())
    picture = read_picture(lying)
    assert (picture.width, picture.height) == odd.size
    assert picture.pixels.dtype == np.float32
    assert (picture.format, picture.bit_depth, picture.icc) == (odd.form, odd.depth, odd.icc)
    assert picture.metadata == {}
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
    for found, expected in zip(quadrants(picture.pixels), odd.colours, strict=False):
        np.testing.assert_allclose(found, expected, atol=odd.tolerance)
    if odd.alphas is None:
        assert picture.alpha is None
    else:
        assert picture.alpha is not None
        np.testing.assert_allclose(quadrants(picture.alpha), odd.alphas, atol=odd.tolerance)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("levels", [SCENE, SCENE16])
def test_display_p3_becomes_srgb(levels: np.ndarray) -> None:
    # The published matrix between the linear primaries; both spaces share white point and curve.
    matrix = [[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09827]]
    light = (linear_light(SCENE.astype(np.float64)) @ np.transpose(matrix)).clip(0, 1)
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    image = vips(levels, "srgb" if levels is SCENE else "rgb16", P3)
    picture = read_picture(image.pngsave_buffer())
    np.testing.assert_allclose(picture.pixels, expected, atol=1.5 / 255)  # profiles round their primaries
    assert picture.pixels[0, 0, 0] > SCENE[0, 0, 0] / 255 + 0.05


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for level in (0, 255):
        path.write_bytes(pil(Image.new("RGB", (40, 30), (level,) * 3), "PNG"))
        assert read_picture(path).pixels.mean() == level / 255
