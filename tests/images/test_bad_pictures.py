"""Bad pictures are refused in one sentence, whatever is wrong with them, and nothing is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bad_pictures import BAD, WHOLE, damaged, odd, with_flipped_bits
from impasto.errors import ImageError, ImageLimitError, ImageReadError, ImageSizeError
from impasto.images import Limits, read_picture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, words = BAD[name]
    path = tmp_path / "odd file.jpg"
    path.write_bytes(data)
    for source, named in ((path, str(path)), (data, "image data")):
        with pytest.raises(ImageLimitError if "at most" in words else ImageReadError) as caught:
            read_picture(source)
        check_message(str(caught.value), named, words)
    assert capfd.readouterr() == ("", "")


def test_a_library_that_logs_about_a_broken_file_is_not_heard(tmp_path: Path) -> None:
    """In a process of its own: pytest captures logs, and Python prints those that have no handler."""
    data, _ = BAD["tiff of a billion samples of three bits"]
    path = tmp_path / "odd.tiff"
    path.write_bytes(data)
    read = "import sys, impasto\nfrom impasto.images import read_picture\n"
    read += "try: read_picture(sys.argv[1])\nexcept impasto.ImpastoError: pass"
    done = subprocess.run([sys.executable, "-c", read, path], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def check_message(message: str, name: str, words: str) -> None:
    assert words in message
    assert name in message
    assert "\n" not in message
    assert "vips" not in message.replace(name, "")
    assert len(message.replace(name, "")) < 200


def test_damaged_pictures_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    pictures = damaged()
    assert len(pictures) >= 500
    for name, data in pictures.items():
        try:
            read_picture(data)
        except ImageError as error:
            check_message(str(error), "image data", "")
        else:
            pytest.fail(f"{name} is read")
    assert capfd.readouterr() == ("", "")


def test_odd_pictures_are_read_or_refused(capfd: pytest.CaptureFixture[str]) -> None:
    read = set()
    for name, data in (odd() | with_flipped_bits()).items():
        try:
            picture = read_picture(data)
        except ImageError as error:
            check_message(str(error), "image data", "")
        else:
            assert np.isfinite(picture.pixels).all() and 0 <= picture.pixels.min() <= picture.pixels.max() <= 1, name
            read.add(name)
    assert read >= {"jpeg and archive", "gif and script", "png and page", "a profile that is none"}
    assert capfd.readouterr() == ("", "")


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(WHOLE["png"])
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    missing = tmp_path / "missing.jpg"
    for path, words in (
        (missing, f"{missing} does not exist; check the path"),
        (tmp_path, f"{tmp_path} is a folder; name a picture file in it"),
        (file / "b.png", "not a directory; check the path"),
        (fifo, "is not a regular file; copy it into one"),
        ("a\0b.png", "null"),
    ):
        with pytest.raises(ImageReadError) as caught:
            read_picture(path)
        check_message(str(caught.value), str(path), words)


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = WHOLE["png"]
    path.write_bytes(data)
    fitting = Limits(max_bytes=len(data), max_pixels=96 * 64, min_side=64)
    assert read_picture(path, limits=fitting).width == 96
    bytes_said = f"has {len(data):,} bytes and at most {len(data) - 1:,} are opened; make it smaller"
    for limits, kind, words in (
        (Limits(max_bytes=len(data) - 1), ImageLimitError, bytes_said),
        (Limits(max_pixels=6143), ImageLimitError, "is 96x64, 6,144 pixels, and at most 6,143 are opened"),
        (Limits(min_side=65), ImageSizeError, "is 96x64; it needs at least 65 pixels on each side"),
    ):
        for source, name in ((path, str(path)), (data, "image data")):
            with pytest.raises(kind) as caught:
                read_picture(source, limits=limits)
            check_message(str(caught.value), name, words)
