"""The looks of styles."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from impasto.gallery import LOOKS, StyleCatalog
from impasto.gallery.looks import look_of


def plain(red: float, green: float, blue: float) -> np.ndarray:
    return np.broadcast_to(np.float32([red, green, blue]), (64, 96, 3)).copy()


def shaded(red: float, green: float, blue: float) -> np.ndarray:
    return plain(red, green, blue) * np.linspace(0.1, 1, 64, dtype=np.float32)[:, None, None]


def hatched() -> np.ndarray:
    lines = np.where(np.arange(96) % 6 < 2, 0.2, 0.8).astype(np.float32)
    return np.broadcast_to(lines[None, :, None], (64, 96, 3)).copy()


@pytest.mark.parametrize(
    ("image", "look"),
    [
        (plain(0.1, 0.1, 0.1), "dark"),
        (hatched(), "drawn"),
        (shaded(0.9, 0.4, 0.1), "bold"),
        (plain(0.9, 0.85, 0.8), "pale"),
        (plain(0.5, 0.45, 0.5), "soft"),
        (plain(0.5, 0.45, 0.5)[:1, :1], "soft"),
    ],
)
def test_pictures_have_the_look_that_they_were_made_for(image, look):
    assert look_of(image) == look


def test_the_gallery_has_styles_of_every_look():
    styles = StyleCatalog().readable()
    assert all(style.look == look_of(style.picture.pixels) for style in styles)
    counts = Counter(style.look for style in styles)
    assert set(counts) == set(LOOKS) and min(counts.values()) >= 4, counts


@pytest.mark.parametrize(
    ("name", "look"),
    [("great-wave", "drawn"), ("night-watch", "dark"), ("poppies", "pale"), ("water-lilies", "soft")],
)
def test_famous_styles_have_the_look_that_a_person_would_name(name, look):
    assert StyleCatalog().get(name).look == look


def test_the_gallery_is_sorted_by_look_and_then_by_name():
    listed = [(LOOKS.index(style.look), style.name) for style in StyleCatalog().readable()]
    assert listed == sorted(listed)
