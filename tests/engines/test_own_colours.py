"""What is not painted keeps the numbers of its file, and what nobody sees is painted by nobody."""

from __future__ import annotations

import numpy as np
import pytest
import pyvips

import impasto
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.images.profiles import ADOBE_RGB
from impasto.types import Picture
from lanes import slow

ENGINES = {
    "fast": {},
    "gatys": {"descriptor": "compact", "steps": 3, "scales": 1},
    "nnst": {"steps": 6},
    "adain": {},
    "sanet": {},
}
EVERY = ["fast", "gatys", *slow("nnst", "adain", "sanet")]
"""What they do with colours, networks share, and so do descents."""
WIDTH, HEIGHT = 96, 64


@pytest.fixture(scope="module")
def painting_pixels(request):
    return resize_picture(read_picture(request.getfixturevalue("painting")), 80, 80).pixels


def wide_file(profile: bytes) -> tuple[np.ndarray, bytes]:
    """Levels (H, W, 4) that reach the edges of the space, a third of them transparent, and a file of them."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    levels = np.stack([x * 255 // 95, y * 255 // 63, (x + y) % 64 * 4, np.where(x % 3, 255, 0)], -1).astype(np.uint8)
    image = pyvips.Image.new_from_array(levels).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return levels, image.pngsave_buffer()


def stored(picture: Picture) -> np.ndarray:
    return pyvips.Image.new_from_buffer(encode_picture(picture, "png"), "").numpy()


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize("profile", [pyvips.Image.profile_load("p3"), ADOBE_RGB], ids=["P3", "Adobe RGB"])
def test_strength_0_is_the_input(engine, profile, painting_pixels):
    levels, data = wide_file(profile)
    options = {**ENGINES[engine], "strength": 0}
    for source in (data, read_picture(data)):
        assert np.array_equal(
            stored(impasto.stylize(source, Picture(painting_pixels), engine=engine, **options)), levels
        )


@pytest.mark.parametrize("engine", EVERY)
def test_outside_the_mask_is_the_input(engine, painting_pixels):
    levels, data = wide_file(pyvips.Image.profile_load("p3"))
    mask = np.zeros((HEIGHT, WIDTH))
    mask[:, : WIDTH // 2] = 1
    painted = impasto.stylize(data, Picture(painting_pixels), engine=engine, mask=mask, **ENGINES[engine])
    found = stored(painted)
    assert np.array_equal(found[:, WIDTH // 2 :], levels[:, WIDTH // 2 :])
    assert np.abs(found[:, : WIDTH // 2].astype(int) - levels[:, : WIDTH // 2]).mean() > 10, "the rest is painted"
    assert painted.beyond is not None and not painted.beyond[:, : WIDTH // 2].any()


@pytest.mark.parametrize("engine", EVERY)
def test_a_painted_picture_has_nothing_beyond(engine, painting_pixels):
    _, data = wide_file(pyvips.Image.profile_load("p3"))
    assert impasto.stylize(data, Picture(painting_pixels), engine=engine, **ENGINES[engine]).beyond is None


@pytest.mark.parametrize("engine", EVERY)
def test_hidden_colours_are_nobodys_style(engine, painting_pixels, photo):
    content = resize_picture(read_picture(photo), WIDTH, HEIGHT)
    alpha = np.zeros((80, 80), np.float32)
    alpha[20:60, 20:60], alpha[30:50, 30:50] = 0.5, 1
    flat = (1 - (1 - painting_pixels) * alpha[:, :, None]).astype(np.float32)
    hidden = np.where(alpha[:, :, None] > 0, painting_pixels, np.float32([0.9, 0, 0.6]))
    results = [
        impasto.stylize(content, style, engine=engine, **ENGINES[engine]).pixels
        for style in (Picture(flat), Picture(painting_pixels, alpha), Picture(hidden.astype(np.float32), alpha))
    ]
    np.testing.assert_allclose(results[1], results[0], atol=2e-3)
    np.testing.assert_allclose(results[2], results[0], atol=2e-3)


@pytest.mark.parametrize("engine", EVERY)
def test_hidden_colours_of_the_content_change_nothing_that_is_seen(engine, painting_pixels, photo):
    content = resize_picture(read_picture(photo), WIDTH, HEIGHT)
    alpha = np.ones((HEIGHT, WIDTH), np.float32)
    alpha[:, WIDTH // 2 :] = 0
    results = []
    for colour in (0.0, 0.5, 1.0):
        pixels = np.where(alpha[:, :, None] > 0, content.pixels, np.float32(colour))
        picture = Picture(pixels.astype(np.float32), alpha)
        results.append(impasto.stylize(picture, Picture(painting_pixels), engine=engine, **ENGINES[engine]).pixels)
    np.testing.assert_allclose(results[1], results[0], atol=1e-5)
    np.testing.assert_allclose(results[2], results[0], atol=1e-5)
