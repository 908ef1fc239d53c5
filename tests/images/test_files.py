"""What is written comes back: depth, alpha, profile, metadata, and never half a file."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pyvips
from PIL import Image

import impasto.images.decoding
import impasto.images.encoding
from impasto.errors import FileWriteError, UsageError
from impasto.images import encode_picture, largest_file, output_format, read_picture, result_name, write_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("jpeg", "png", "tiff", "webp", "avif", "gif")
P3 = pyvips.Image.profile_load("p3")
CMYK = pyvips.Image.profile_load("cmyk")


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([x, y, 0.5 + 0.4 * np.sin(5 * x + 3 * y)], axis=-1).astype(np.float32)


def again(picture: Picture, form: str, **options: object) -> Picture:
    return read_picture(encode_picture(picture, form, **options))


def test_every_16_bit_level_survives() -> None:
    levels = np.arange(65536, dtype=np.float32).reshape(256, 256) / 65535
    picture = Picture(np.repeat(levels[:, :, None], 3, axis=2), alpha=levels[::-1].copy(), bit_depth=16)
    for form in ("png", "tiff"):
        back = again(picture, form)
        assert back.bit_depth == 16
        assert np.array_equal(back.pixels, picture.pixels)
        assert np.array_equal(back.alpha, picture.alpha)
        assert len(np.unique(back.pixels)) == 65536


def test_16_bit_ramp_through_a_profile_has_no_bands() -> None:
    ramp = np.linspace(0, 1, 65536, dtype=np.float32).reshape(1, -1, 1) * np.float32([1, 0.8, 0.5])
    back = again(Picture(ramp, bit_depth=16, icc=P3), "png")
    steps = np.diff(back.pixels[0].astype(np.float64), axis=0) * 65535
    assert np.abs(steps).max() <= 12
    assert all(len(np.unique(back.pixels[0, :, channel])) > 15_000 for channel in range(3))
    np.testing.assert_allclose(back.pixels, ramp, atol=2 / 255)


def test_float_tiff_survives_exactly_and_says_that_it_is_srgb() -> None:
    picture = Picture(smooth(), alpha=smooth()[:, :, 2].copy(), bit_depth=32)
    data = encode_picture(picture, "tiff")
    back = read_picture(data)
    assert (back.bit_depth, back.icc) == (32, None)
    assert np.array_equal(back.pixels, picture.pixels)
    assert np.array_equal(back.alpha, picture.alpha)
    assert "icc-profile-data" in pyvips.Image.new_from_buffer(data, "").get_fields()


@pytest.mark.parametrize(
    ("form", "depths"),
    [
        ("jpeg", {8: 8, 16: 8, 32: 8}),
        ("png", {8: 8, 16: 16, 32: 16}),
        ("tiff", {8: 8, 16: 16, 32: 32}),
        ("webp", {8: 8, 16: 8, 32: 8}),
        ("avif", {8: 8, 16: 16, 32: 16}),
        ("gif", {8: 8, 16: 8, 32: 8}),
    ],
)
def test_a_format_holds_the_depth_or_the_nearest(form: str, depths: dict[int, int]) -> None:
    for given, expected in depths.items():
        back = again(Picture(smooth(), bit_depth=given), form)
        assert (back.bit_depth, back.format) == (expected, form)
        assert np.abs(back.pixels - smooth()).mean() < (0.03 if form == "gif" else 0.01)


def test_alpha_is_kept_cut_or_laid_over_white() -> None:
    alpha = np.zeros((48, 64), dtype=np.float32)
    alpha[:, 16:], alpha[:, 40:] = 0.25, 1
    picture = Picture(smooth(), alpha=alpha)
    for form in ("png", "tiff", "webp"):
        back = again(picture, form)
        assert back.alpha is not None
        np.testing.assert_allclose(back.alpha, alpha, atol=0.5 / 255)
    for form in ("png", "tiff"):  # straight, not premultiplied: also colours that nobody sees are kept
        np.testing.assert_allclose(again(picture, form).pixels, picture.pixels, atol=0.5 / 255)
    avif = again(picture, "avif")
    assert avif.alpha is not None
    np.testing.assert_allclose(avif.alpha[:, [8, 30, 55]], alpha[:, [8, 30, 55]], atol=4 / 255)
    gif = again(picture, "gif")
    assert gif.alpha is not None
    assert set(np.unique(gif.alpha)) == {0, 1}
    jpeg = again(picture, "jpeg")
    assert jpeg.alpha is None
    np.testing.assert_allclose(jpeg.pixels[:, :12], 1, atol=4 / 255)
    np.testing.assert_allclose(jpeg.pixels[24, 30], 0.75 + 0.25 * smooth()[24, 30], atol=6 / 255)
    np.testing.assert_allclose(jpeg.pixels[24, 55], smooth()[24, 55], atol=6 / 255)


@pytest.mark.parametrize("form", ["png", "tiff", "jpeg", "webp", "avif"])
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_a_wide_profile_is_restored(form: str, depth: int) -> None:
    # Converted by libvips alone, as the program that made the file would have done.
    source = np.rint((0.15 + 0.7 * smooth()) * 65535).astype(np.uint16)
    original = pyvips.Image.new_from_array(source).copy(interpretation="rgb16")
    wide = original.icc_import(input_profile="srgb").icc_export(output_profile="p3", depth=16)
    picture = read_picture(wide.pngsave_buffer())
    assert picture.icc == P3
    np.testing.assert_allclose(picture.pixels, source / 65535, atol=2e-3)

    data = encode_picture(replace(picture, bit_depth=depth), form)
    stored = pyvips.Image.new_from_buffer(data, "")
    assert stored.get("icc-profile-data") == P3
    if form in ("png", "tiff"):
        white = {"uchar": 255, "ushort": 65535, "float": 1}[stored.format]
        tolerance = 1 / 255 if depth == 8 else 2e-3
        np.testing.assert_allclose(stored.numpy() / white, wide.numpy() / 65535, atol=tolerance)
    back = read_picture(data)
    assert back.icc == P3
    assert np.abs(back.pixels - picture.pixels).mean() < 0.01

    plain = encode_picture(picture, form, keep_profile=False)
    assert read_picture(plain).icc is None
    assert np.abs(read_picture(plain).pixels - picture.pixels).mean() < 0.01


def test_a_profile_that_cannot_hold_rgb_is_left_out() -> None:
    for useless in (CMYK, b"junk" * 50):
        back = again(Picture(smooth(), icc=useless), "png")
        assert back.icc is None
        np.testing.assert_allclose(back.pixels, smooth(), atol=0.5 / 255)


@pytest.mark.parametrize("form", FORMATS)
def test_metadata(form: str) -> None:
    metadata = {
        "engine": "gatys",
        "settings": '{"steps": 500, "style": "<a> & \\"b\\""}',
        "odd key: ü\n\0]]>": "emoji 🎨, control \x01, newline \n, backslash \\, {braces}",
        "empty": "",
        "long": "x" * 40_000,
    }
    data = encode_picture(Picture(smooth(), metadata=metadata), form)
    assert read_picture(data).metadata == ({} if form == "gif" else metadata)
    assert encode_picture(Picture(smooth()), form).find(b"impasto") == -1


def test_metadata_is_xmp_that_other_programs_read() -> None:
    with Image.open(io.BytesIO(encode_picture(Picture(smooth(), metadata={"seed": "7"}), "jpeg"))) as image:
        packet = image.info["xmp"]
    assert b'{"seed": "7"}' in packet
    # A tool that shortens the packet writes properties as attributes.
    short = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:i="urn:impasto:metadata:1#" i:madeBy="{&quot;seed&quot;: &quot;7&quot;}"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG", xmp=short)
    assert read_picture(buffer.getvalue()).metadata == {"seed": "7"}


def test_nothing_private_of_the_original_is_carried() -> None:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif[0x010F] = "Secret Camera"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, xmp=b"<secret>place</secret>", comment=b"secret comment")
    assert b"ecret" in buffer.getvalue()
    picture = read_picture(buffer.getvalue())
    for form in FORMATS:
        assert b"ecret" not in encode_picture(picture, form)


@pytest.mark.parametrize("form", FORMATS)
def test_noise_takes_no_more_than_the_largest_file(form: str) -> None:
    random = np.random.default_rng(0)
    even, extreme = random.random((32, 48, 4), np.float32), random.integers(0, 2, (32, 48, 4)).astype(np.float32)
    for noise, depth, alpha in itertools.product((even, extreme), (8, 16, 32), (False, True)):
        picture = Picture(noise[:, :, :3], alpha=noise[:, :, 3] if alpha else None, bit_depth=depth, icc=P3)
        picture = replace(picture, metadata={"options": "x" * 4000})
        size, largest = (len(encode_picture(picture, form)), largest_file(48, 32, form, bit_depth=depth, alpha=alpha))
        assert size <= largest <= 17 * 48 * 32 + (64 << 10), (form, depth, alpha)


def test_quality_counts_for_lossy_formats_only() -> None:
    noise = Picture(np.random.default_rng(0).random((64, 64, 3), dtype=np.float32))
    for form in ("jpeg", "webp", "avif"):
        sizes = [len(encode_picture(noise, form, quality=quality)) for quality in (10, 60, 100)]
        assert sizes == sorted(sizes) and sizes[0] < sizes[2] / 2
    for form, quality in (("png", 90), ("gif", 90), ("jpeg", 0), ("webp", 101)):
        with pytest.raises(UsageError, match=rf"quality {quality} for {form}: give 1 to 100, and only for JPEG, W"):
            encode_picture(noise, form, quality=quality)


def test_suffix_chooses_the_format(tmp_path: Path) -> None:
    for suffix, form in (
        ("jpg", "jpeg"), ("JPEG", "jpeg"), ("jfif", "jpeg"), ("jpe", "jpeg"), ("png", "png"),
        ("tif", "tiff"), ("tiff", "tiff"),        ("webp", "webp"), ("avif", "avif"), ("gif", "gif"),
    ):  # fmt: skip
        path = tmp_path / f"a.{suffix}"
        assert output_format(path) == form
        write_picture(Picture(smooth()), str(path))
        assert read_picture(path).format == form
    for name, words in (
        (
            "a.bmp",
            "'bmp' is not a format that impasto writes; use one of jpg, jpeg, png, tif, tiff, webp, avif, gif, jpe, jf",
        ),
        ("a", "it has no suffix; use one of jpg"),
        ("none/a.png", f"folder {tmp_path / 'none'} does not exist; create it first"),
    ):
        for function in (output_format, lambda path: write_picture(Picture(smooth()), path)):
            with pytest.raises(FileWriteError) as caught:
                function(tmp_path / name)
            assert str(caught.value).startswith(f"cannot write {tmp_path / name}: ")
            assert words in str(caught.value)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileWriteError, match="it is a folder; add a file name"):
        write_picture(Picture(smooth()), tmp_path / "folder.png")
    with pytest.raises(FileWriteError, match="'psd' is not a format that impasto writes"):
        encode_picture(Picture(smooth()), "psd")


def test_results_of_formats_that_are_only_read_have_another_suffix() -> None:
    for name, result in (
        ("IMG_0001.HEIC", "IMG_0001.jpg"), ("a.b.heif", "a.b.jpg"), ("x.bmp", "x.png"), ("x.jxl", "x.png"),
        ("x.JPG", "x.JPG"), ("x.jfif", "x.jfif"), ("x", "x"), ("x.txt", "x.txt"),
    ):  # fmt: skip
        assert result_name(name) == result


def test_open_files_take_a_picture(tmp_path: Path) -> None:
    picture = Picture(smooth())
    for form in FORMATS:
        buffer = io.BytesIO()
        write_picture(picture, buffer, format=form)
        assert buffer.getvalue() == encode_picture(picture, form)
    with (tmp_path / "a.dat").open("wb") as file:
        write_picture(picture, file, format="png")
    assert read_picture(tmp_path / "a.dat").format == "png"
    write_picture(picture, tmp_path / "b.dat", format="png")
    assert read_picture(tmp_path / "b.dat").format == "png"
    closed = io.BytesIO()
    closed.close()
    with (tmp_path / "a.dat").open("rb") as reading:
        for target, form, words in (
            (io.BytesIO(), None, "an open file has no suffix; give format, such as 'png'"),
            (io.BytesIO(), "psd", "'psd' is not a format that impasto writes"),
            (io.StringIO(), "png", "the file takes no bytes"),
            (closed, "png", "bytes into the file: I/O operation on closed file"),
            (reading, "png", "bytes into the file: write"),
            (7, "png", "cannot write into a int; give a path or an open binary file"),
        ):
            with pytest.raises(FileWriteError) as caught:
                write_picture(picture, target, format=form)
            assert words in str(caught.value)


@pytest.mark.parametrize(("form", "side"), [("jpeg", 65500), ("webp", 16383), ("avif", 16384), ("gif", 65535)])
def test_a_format_that_is_too_small_says_so(form: str, side: int) -> None:
    for height, width in ((1, side + 1), (side + 1, 1)):
        with pytest.raises(FileWriteError) as caught:
            encode_picture(Picture(np.zeros((height, width, 3), dtype=np.float32)), form)
        expected = f"picture is {width}x{height}; {form} holds at most {side} pixels a side; choose png or tiff"
        assert expected in str(caught.value)
    if form != "avif":  # slow
        assert again(Picture(np.zeros((1, side, 3), dtype=np.float32)), form).width == side


def test_writes_the_whole_file_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(Picture(smooth()), path)
    before = path.read_bytes()
    picture = Picture(np.zeros((8, 8, 3), dtype=np.float32))
    with pytest.raises(UsageError):
        write_picture(picture, path, quality=50)
    link = tmp_path / "link.png"
    link.symlink_to(path.name)
    assert path.read_bytes() == before
    write_picture(picture, link)
    assert link.is_symlink()
    assert read_picture(path).width == 8
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "link.png"]


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


WRITE_TOO_MUCH = """
import resource, signal, sys
import numpy as np
import impasto.images.decoding
import impasto.images.encoding
from impasto.errors import FileWriteError
from impasto.images import write_picture
from impasto.types import Picture
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
try:
    write_picture(Picture(noise), sys.argv[1])
except FileWriteError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_refuses_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", WRITE_TOO_MUCH, str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.strip() == f"cannot write {path}: file too large; free space or choose another folder"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


KILLED = """
import os, signal, sys
import numpy as np
from impasto.images import write_picture
from impasto.types import Picture
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # the moment before the rename
write_picture(Picture(np.zeros((64, 64, 3), dtype=np.float32)), sys.argv[1])
"""


def test_kill_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, check=False)
    assert run.returncode == -9
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("form", ["png", "jpeg", "tiff"])
def test_large_pictures_of_one_process_do_not_get_mixed_up(form: str, tmp_path: Path, monkeypatch) -> None:
    for module in (impasto.images.decoding, impasto.images.encoding):
        monkeypatch.setattr(module, "LARGE_PICTURE", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pictures = [Picture(np.full((40, 60, 3), level, np.float32)) for level in (0.2, 0.5, 0.8)]
    for number, picture in enumerate(pictures):
        write_picture(picture, tmp_path / f"{number}.{form}")
    for number, picture in enumerate(pictures):
        found = read_picture(tmp_path / f"{number}.{form}")
        assert np.abs(found.pixels - picture.pixels).max() < 0.01
    assert not list(tmp_path.glob("impasto-*.rows"))
