"""Parts of blobs are verified without the whole."""

from __future__ import annotations

import hashlib
import random

import pytest

from impasto.errors import BlobDamagedError
from impasto.service.blobs.filesystem import FileBlobs
from impasto.service.integrity import PartVerifier, verified


class CountedBlobs(FileBlobs):
    """Files whose bytes are counted when they are read."""

    bytes_read = 0

    def read(self, key, start, length):
        data = super().read(key, start, length)
        self.bytes_read += len(data)
        return data


@pytest.mark.parametrize("size", [1, 256 << 10, (3 << 20) + 17])
def test_a_part_costs_no_more_than_its_blocks(tmp_path, size):
    blobs, data = CountedBlobs(tmp_path, 1 << 30), random.Random(1).randbytes(size)
    blobs.put("a", data)
    sha256 = hashlib.sha256(data).hexdigest()
    assert verified(blobs, "a", sha256).size == size
    parts = PartVerifier(blobs)
    assert parts.size("a", sha256) == size
    blobs.bytes_read = 0
    for start in range(0, size, size // 7 or 1):
        parts.verify("a", sha256, start, start + 1)
    assert blobs.bytes_read <= 8 * (256 << 10)
    parts.verify("a", sha256, 0, size)

    last = size - 1
    blobs.put("a", data[:last] + bytes([data[last] ^ 1]))
    with pytest.raises(BlobDamagedError):
        parts.verify("a", sha256, last, size)
    if size > 512 << 10:
        parts.verify("a", sha256, 0, 10)
    blobs.put("a", data[:last])
    with pytest.raises(BlobDamagedError):
        parts.size("a", sha256)
