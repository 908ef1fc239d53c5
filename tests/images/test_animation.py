from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageSequence

from impasto.errors import FileWriteError, UsageError
from impasto.images import read_picture, write_animation
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = (0.0, 0.4, 0.7, 1.0)
FRAMES = [Picture(np.full((24, 32, 3), level, dtype=np.float32)) for level in LEVELS]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_frames_times_and_loop(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_animation(FRAMES, path, frame_seconds=0.25)
    with Image.open(path) as image:
        frames = [
            (np.asarray(frame.convert("RGB")).mean(), frame.info["duration"]) for frame in ImageSequence.Iterator(image)
        ]
        assert image.size == (32, 24)
        assert image.info["loop"] == 0
    np.testing.assert_allclose([level for level, _ in frames], [255 * level for level in LEVELS], atol=3)
    assert [duration for _, duration in frames] == [250] * 4
    assert read_picture(path).pixels.max() < 3 / 255  # the first frame
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_equal_frames_keep_their_time(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_animation([FRAMES[0], FRAMES[1], FRAMES[1], FRAMES[2]], path, frame_seconds=0.25)
    with Image.open(path) as image:
        seconds = [frame.convert("RGB").info["duration"] for frame in ImageSequence.Iterator(image)]
    assert sum(seconds) == 1000


def test_one_frame_and_alpha(tmp_path: Path) -> None:
    see_through = Picture(np.zeros((24, 32, 3), dtype=np.float32), alpha=np.zeros((24, 32), dtype=np.float32))
    write_animation([see_through], tmp_path / "a.gif", frame_seconds=1)
    assert read_picture(tmp_path / "a.gif").pixels.min() == 1


def test_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")
    other = Picture(np.zeros((20, 32, 3), dtype=np.float32))
    wide = Picture(np.zeros((1, 70_000, 3), dtype=np.float32))
    for frames, name, seconds, kind, words in (
        (FRAMES, "a.mp4", 1, FileWriteError, "as an animation; name it .gif or .webp"),
        ([], "a.gif", 1, UsageError, "an animation of 0 frames of 1 s; give at least one, above 0 s"),
        (FRAMES, "a.gif", 0, UsageError, "an animation of 4 frames of 0 s"),
        ([*FRAMES, other], "a.gif", 1, FileWriteError, "frames have sizes 32x20, 32x24; resize them to one"),
        ([wide], "a.gif", 1, FileWriteError, "70000x1 is too large for gif; resize the frames"),
        (FRAMES, "none/a.gif", 1, FileWriteError, "does not exist; create it first"),
    ):
        with pytest.raises(kind) as caught:
            write_animation(frames, tmp_path / name, frame_seconds=seconds)
        assert words in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.gif"]
