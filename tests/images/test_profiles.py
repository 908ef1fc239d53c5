"""A file that is not painted is written with its own colours, and no profile carries anything but colours."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pyvips
from PIL import Image

from impasto.images import encode_picture, open_picture, read_picture, resize_picture
from impasto.images.profiles import ADOBE_RGB, SRGB, MatrixProfile
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

P3 = pyvips.Image.profile_load("p3")
BT2020 = [(0.67346, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79678)]
LEVELS = np.arange(0, 256, 15, dtype=np.uint8)
CUBE = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS), -1).reshape(18, -1, 3)
CUBE16 = CUBE.astype(np.uint16) * 257 + 1


def with_curve(curve: bytes, profile: bytes = P3) -> bytes:
    """Return a profile with the primaries of another, and one ``curve``."""
    found = MatrixProfile.of(profile)
    assert found is not None
    return MatrixProfile((curve, curve, curve), found.primaries).encode()


def para(kind: int, *numbers: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))


def table(levels: Sequence[int]) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(levels)}H", len(levels), *levels)


SQUARES = [round(65535 * (n / 255) ** 2) for n in range(256)]
PROFILES = {
    "P3": P3,
    "Adobe RGB": ADOBE_RGB,
    "BT.2020": MatrixProfile.of_gamma(2.4, BT2020).encode(),
    "straight": with_curve(table([])),
    "table": with_curve(table(SQUARES)),
    "para 0": with_curve(para(0, 1.8)),
    "para 1": with_curve(para(1, 2.0, 1.1, -0.1)),
    "para 2": with_curve(para(2, 2.0, 1.0, 0.0, 0.0)),
    "para 3": with_curve(para(3, 2.4, 0.948, 0.052, 0.0774, 0.0405)),
    "para 4": with_curve(para(4, 2.2, 0.9, 0.0, 0.05, 0.05, 0.1, 0.0)),
}
NAMES = {profile: name for name, profile in PROFILES.items()}


def tagged(levels: np.ndarray, profile: bytes, suffix: str = ".png") -> bytes:
    image = pyvips.Image.new_from_array(levels).copy(interpretation="srgb" if levels.dtype == np.uint8 else "rgb16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image.write_to_buffer(suffix)


def stored(data: bytes) -> np.ndarray:
    return pyvips.Image.new_from_buffer(data, "").numpy().astype(int)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_is_read_and_written_keeps_its_numbers(profile: bytes) -> None:
    picture = read_picture(tagged(CUBE, profile))
    assert picture.beyond is not None
    assert picture.icc == profile
    # Levels that are all black cannot be told apart.
    darkest = {"para 1": 24}.get(NAMES[profile], 0)
    again = stored(encode_picture(picture, "png"))
    assert np.array_equal(np.maximum(again, darkest), np.maximum(CUBE, darkest))


def test_16_bits_keep_their_numbers() -> None:
    again = stored(encode_picture(read_picture(tagged(CUBE16, P3)), "png"))
    assert np.abs(again - CUBE16).max() <= 1


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_curves_and_primaries_mean_the_same_as_in_a_colour_engine(profile: bytes) -> None:
    opened = open_picture(tagged(CUBE, profile))
    by_lcms = opened.read().pixels
    np.testing.assert_allclose(opened.read(exact=True).pixels, by_lcms, atol=2 / 255)


def test_a_small_picture_keeps_colours_beyond_srgb() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :, 0] = 255
    small = resize_picture(read_picture(tagged(red, P3)), 16, 16)
    assert np.abs(stored(encode_picture(small, "png")) - [255, 0, 0]).max() <= 1
    assert np.abs(stored(encode_picture(small, "png", keep_profile=False)) - [255, 0, 0]).max() == 0


def test_colours_beyond_srgb_survive_transparency_over_white() -> None:
    red = np.zeros((8, 8, 4), np.uint8)
    red[:, :4], red[:, 4:] = (255, 0, 0, 255), (255, 0, 0, 0)
    picture = read_picture(tagged(red, P3))
    assert np.array_equal(stored(encode_picture(picture, "png")), red)
    flat = stored(encode_picture(picture, "jpeg", quality=100))
    assert np.abs(flat[4, 1] - [255, 0, 0]).max() <= 3 and np.abs(flat[4, 6] - 255).max() <= 3


def test_a_float_tiff_keeps_values_beyond_white() -> None:
    values = np.linspace(-0.5, 4, 8 * 8 * 3, dtype=np.float32).reshape(8, 8, 3)
    image = pyvips.Image.new_from_array(values).copy(interpretation="scrgb")
    picture = read_picture(image.tiffsave_buffer())
    assert picture.pixels.min() == 0 and picture.pixels.max() == 1
    again = pyvips.Image.new_from_buffer(encode_picture(picture, "tiff"), "").numpy()
    np.testing.assert_allclose(again, values, atol=1e-6)
    assert np.abs(stored(encode_picture(picture, "png")) - np.rint(values.clip(0, 1) * 65535)).max() == 0


@pytest.mark.parametrize("told", [{0xA001: 65535, "index": "R03"}, {0xA001: 2}])
def test_adobe_rgb_is_told_by_exif(told: dict[int | str, object]) -> None:
    exif = Image.Exif()
    exif[0x9003] = "2020:01:01 00:00:00"
    inner = exif.get_ifd(0x8769)
    inner[0xA001] = told[0xA001]
    if "index" in told:
        inner[0xA005] = {1: told["index"]}
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (40, 200, 40)).save(buffer, "JPEG", exif=exif, quality=100, subsampling=0)
    green = read_picture(buffer.getvalue())
    assert green.icc == ADOBE_RGB
    assert green.pixels[0, 0, 0] == 0 and green.pixels[0, 0, 1] == pytest.approx(201 / 255, abs=2 / 255)
    again = encode_picture(green, "png")
    assert np.abs(stored(again)[0, 0] - [40, 200, 40]).max() <= 1
    assert pyvips.Image.new_from_buffer(again, "").get("icc-profile-data") == ADOBE_RGB


def test_srgb_told_by_exif_is_srgb() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 1
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (40, 200, 40)).save(buffer, "JPEG", exif=exif)
    assert read_picture(buffer.getvalue()).icc is None


def with_tag(profile: bytes, name: bytes, data: bytes) -> bytes:
    """Return ``profile`` with another tag, as a monitor's calibration adds it."""
    (count,) = struct.unpack_from(">I", profile, 128)
    rows, body = profile[132 : 132 + 12 * count], profile[132 + 12 * count :]
    moved = b"".join(
        rows[at : at + 4]
        + struct.pack(">II", struct.unpack_from(">I", rows, at + 4)[0] + 12, *struct.unpack_from(">I", rows, at + 8))
        for at in range(0, len(rows), 12)
    )
    data += bytes(-len(data) % 4)
    row = name + struct.pack(">II", len(profile) + 12, len(data))
    made = profile[:128] + struct.pack(">I", count + 1) + moved + row + body + data
    return struct.pack(">I", len(made)) + made[4:]


@pytest.mark.parametrize("form", ["jpeg", "png", "tiff", "webp", "avif"])
def test_nothing_private_of_a_profile_is_carried(form: str) -> None:
    secret = with_tag(PROFILES["BT.2020"], b"mmod", b"mmod\0\0\0\0SECRET-SERIAL-4711")
    secret = secret[:48] + b"SECR" + secret[52:]
    data = tagged(CUBE, secret)
    assert b"SECRET" in pyvips.Image.new_from_buffer(data, "").get("icc-profile-data")
    written = encode_picture(read_picture(data), form)
    found = pyvips.Image.new_from_buffer(written, "").get("icc-profile-data")
    assert b"SECR" not in found
    assert found == PROFILES["BT.2020"]


def test_a_curve_is_no_place_for_secrets() -> None:
    noise = np.random.default_rng(0).integers(0, 65536, 20_000)
    (curve, *_) = MatrixProfile.of(with_curve(table([]))).curves
    assert curve == table([])
    broken = with_curve(table(list(noise)))
    rebuilt = MatrixProfile.of(broken)
    levels = np.frombuffer(rebuilt.curves[0], ">u2", offset=12)
    assert len(levels) == 4096
    assert (np.diff(levels.astype(int)) >= 0).all()


@pytest.mark.parametrize(
    "profile",
    [
        P3[:200],
        P3[:128] + b"\xff\xff\xff\xff" + P3[132:],
        b"RGB " * 64,
        SRGB[:132],
        with_curve(para(0, 0.0)),
        MatrixProfile.of_gamma(2, [(0, 0, 0)] * 3).encode(),
    ],
    ids=["cut", "many tags", "words", "no tags", "flat curve", "no primaries"],
)
def test_a_profile_without_curves_and_primaries_gives_srgb(profile: bytes) -> None:
    picture = read_picture(tagged(CUBE, profile))
    data = encode_picture(Picture(picture.pixels, icc=profile), "png")
    found = read_picture(data)
    assert found.icc is None or profile == with_curve(para(0, 0.0))


@pytest.mark.parametrize("numbers", [(32000.0, 32000.0, 0.0, 0.0, 0.0), (-2.0, 1.0, 0.0, 0.0, 0.0)])
def test_a_curve_that_leaves_the_range_of_numbers_ends_at_the_brightest_light(numbers: tuple[float, ...]) -> None:
    light = MatrixProfile.of(with_curve(para(3, *numbers))).light(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(light).all() and light.min() >= 0 and light.max() == 1
