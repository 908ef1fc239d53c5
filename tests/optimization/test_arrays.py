"""Arrays as large as the picture, in memory and on disk."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from impasto.errors import OutOfMemoryError
from impasto.optimization.arrays import Memory, OnDisk, dot, l1_norm

VALUES = np.random.default_rng(0).standard_normal((1, 3, 70, 500)).astype(np.float32)


@pytest.fixture(params=["memory", "disk"])
def memory(request, tmp_path):
    return Memory() if request.param == "memory" else OnDisk(tmp_path)


def test_gives_room_and_keeps_values(memory):
    assert memory.empty((2, 0)).size == 0
    zeros = memory.zeros((4, 5))
    assert zeros.dtype == np.float32 and not zeros.any()
    zeros += 2
    memory.release()
    assert (zeros == 2).all()
    np.testing.assert_array_equal(memory.kept(VALUES), VALUES)
    copy = memory.copied(VALUES.transpose(0, 1, 3, 2))
    np.testing.assert_array_equal(copy, VALUES.transpose(0, 1, 3, 2))
    copy[...] = 0
    assert VALUES.any()


def test_pixels_become_an_image(memory):
    pixels = np.ascontiguousarray(VALUES[0].transpose(1, 2, 0))
    image = memory.image(pixels)
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, VALUES)


def test_blocks_are_the_whole(memory):
    flat, seen = memory.kept(VALUES).reshape(-1), np.zeros(VALUES.size)
    for part in memory.blocks(flat.size):
        seen[part] += flat[part]
    np.testing.assert_array_equal(seen, VALUES.reshape(-1))
    assert dot(memory, flat, flat) == pytest.approx(np.square(VALUES, dtype=np.float64).sum())
    assert l1_norm(memory, flat) == pytest.approx(np.abs(VALUES).sum(dtype=np.float64))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_norm_tells_numbers_that_are_none(memory, value):
    array = np.zeros((1, 3, 200, 200), np.float32)
    assert l1_norm(memory, array) == 0
    array[0, 2, 150, 7] = value
    assert not np.isfinite(l1_norm(memory, array))


def test_leaves_no_file(tmp_path):
    array = OnDisk(tmp_path).copied(VALUES)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(array, VALUES)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_is_released_is_not_resident(tmp_path):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    memory = OnDisk(tmp_path)
    array = memory.empty((1 << 24,))
    array[...] = 1
    before = resident()
    memory.release()
    assert before - resident() > 0.9 * array.nbytes
    most = 0
    for part in memory.blocks(array.size):
        array[part] += 1
        most = max(most, resident())
    assert most < before - 0.7 * array.nbytes
    assert (array == 2).all()


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(file, begin, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutOfMemoryError) as caught:
        OnDisk(tmp_path).empty((1000, 1000, 1000))
    assert str(caught.value) == (
        f"4 GB more are needed on the disk of {tmp_path}: no space left on device; free space, or set TMPDIR to a "
        "folder on another disk"
    )


def test_a_full_address_space_is_none_of_the_disk(tmp_path, monkeypatch):
    def full(file, size):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(mmap, "mmap", full)
    with pytest.raises(MemoryError):
        OnDisk(tmp_path).empty((10,))
