"""What the tests of all feed-forward engines paint."""

from __future__ import annotations

import pytest

from impasto.images import read_picture, resize_picture


@pytest.fixture(scope="session")
def content(photo):
    """A photograph whose sides no network's stride divides."""
    return resize_picture(read_picture(photo), 301, 219)


@pytest.fixture(scope="session")
def styles(painting, photo):
    """Two style images."""
    return [resize_picture(read_picture(path), 160, 120) for path in (painting, photo)]
