"""Colours, on numbers whose answer is known and on pictures that once broke colour transfer."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from impasto.images import ColorPreservation, luminance, prepare_style, restore_colors
from impasto.images.color import ChromaLimit, color_map, match_luminance, with_luminance_of

MODES: tuple[ColorPreservation, ...] = get_args(ColorPreservation)


def match_histogram(source, reference):
    return color_map(source, reference, "histogram")(source)


def match_covariance(source, reference):
    return color_map(source, reference, "coral")(source)


TRANSFERS = [match_histogram, match_covariance]
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def cloud(mean: tuple[float, ...], spread: tuple[float, ...], seed: int, size: int = 64) -> np.ndarray:
    """Return pixels of a slanted cloud of colours that stays inside of the gamut."""
    generator = np.random.default_rng(seed)
    slant = np.linalg.qr(generator.standard_normal((3, 3)))[0]
    values = (generator.random((size * size, 3)) - 0.5) * spread @ slant.T + mean
    assert values.min() > 0 and values.max() < 1
    return values.reshape(size, size, 3).astype(np.float32)


def moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = pixels.reshape(-1, 3).astype(np.float64)
    return values.mean(axis=0), np.cov(values.T, bias=True)


WARM = cloud((0.6, 0.5, 0.4), (0.4, 0.2, 0.1), 1)
COOL = cloud((0.4, 0.5, 0.55), (0.3, 0.3, 0.15), 2)


def test_luminance_of_primaries() -> None:
    primaries = np.eye(3, dtype=np.float32)[None]
    np.testing.assert_allclose(luminance(primaries), [[0.299, 0.587, 0.114]], rtol=1e-6)
    np.testing.assert_allclose(luminance(np.full((2, 3, 3), 0.25, dtype=np.float32)), 0.25, rtol=1e-6)


@pytest.mark.parametrize("rows", [60, 700])
def test_with_luminance_of_swaps_y_and_keeps_i_and_q(rows) -> None:
    warm, cool = (np.resize(pixels, (rows, *pixels.shape[1:])) for pixels in (WARM, COOL))
    result = with_luminance_of(warm, cool)
    found, content, stylized = (pixels @ YIQ.T for pixels in (result, warm, cool))
    np.testing.assert_allclose(found[..., 0], stylized[..., 0], atol=1e-5)
    inside = ((result > 1e-4) & (result < 1 - 1e-4)).all(axis=2)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(found[inside][:, 1:], content[inside][:, 1:], atol=1e-4)
    np.testing.assert_allclose(with_luminance_of(warm, warm), warm, atol=1e-6)


def test_with_luminance_of_keeps_luminance_and_hue_at_the_edge_of_the_gamut() -> None:
    generator = np.random.default_rng(0)
    content = generator.integers(0, 2, (40, 40, 3)).astype(np.float32)  # the corners of the cube
    stylized = generator.random((40, 40, 3)).astype(np.float32)
    stylized[0], stylized[1] = 0, 1
    result = with_luminance_of(content, stylized)
    assert result.min() >= 0 and result.max() <= 1
    np.testing.assert_allclose(luminance(result), luminance(stylized), atol=1e-5)
    before = content - luminance(content)[..., None]
    after = result - luminance(result)[..., None]
    np.testing.assert_allclose(np.cross(before, after), 0, atol=1e-5)  # same direction: same hue
    assert ((before * after).sum(axis=2) >= -1e-6).all()


def test_match_luminance_on_known_numbers() -> None:
    style = np.repeat(np.float32([[0.2, 0.4, 0.6]])[:, :, None], 3, axis=2)
    content = np.repeat(np.float32([[0.45, 0.5, 0.55]])[:, :, None], 3, axis=2)
    np.testing.assert_allclose(match_luminance(style, content), content, atol=1e-6)
    result = luminance(match_luminance(WARM, COOL))
    assert result.mean() == pytest.approx(luminance(COOL).mean(), abs=1e-4)
    assert result.std() == pytest.approx(luminance(COOL).std(), abs=1e-3)


@pytest.mark.parametrize("match", TRANSFERS)
def test_transfers_match_mean_and_covariance(match: type) -> None:
    for source, reference in ((WARM, COOL), (COOL, WARM)):
        mean, covariance = moments(match(source, reference))
        expected_mean, expected_covariance = moments(reference)
        np.testing.assert_allclose(mean, expected_mean, atol=1e-3)
        np.testing.assert_allclose(covariance, expected_covariance, atol=3e-4)
        assert np.abs(moments(source)[1] - expected_covariance).max() > 2e-3
    np.testing.assert_allclose(match(WARM, WARM), WARM, atol=1e-5)


def test_match_histogram_is_the_image_analogies_form() -> None:
    # Independent channels: A is then diagonal, the ratio of the standard deviations.
    source = np.random.default_rng(3).random((200, 200, 3)).astype(np.float32)
    reference = 0.1 + np.float32([0.5, 0.25, 0.4]) * np.random.default_rng(4).random((200, 200, 3)).astype(np.float32)
    expected = source * [0.5, 0.25, 0.4] + 0.1
    np.testing.assert_allclose(match_histogram(source, reference), expected, atol=0.01)


def test_flat_grounds_stay_flat() -> None:
    # A painting of two flat colours with JPEG noise, and a vivid photograph: noise must not become blotches.
    noise = np.random.default_rng(5).normal(0, 0.006, (64, 64, 3))
    painting = np.where(np.arange(64)[:, None, None] < 40, [0.5, 0.5, 0.48], [0.2, 0.2, 0.19]) + noise
    photograph = np.random.default_rng(6).random((64, 64, 3)).astype(np.float32)
    for match in TRANSFERS:
        result = match(painting.astype(np.float32), photograph)
        assert result[:40].std(axis=(0, 1)).max() < 0.2
        assert result[:40].mean() > result[40:].mean() + 0.3


@pytest.mark.parametrize("mode", MODES)
def test_degenerate_pictures_give_no_nan(mode: ColorPreservation) -> None:
    grey = np.repeat(luminance(WARM)[:, :, None], 3, axis=2)
    flats = [np.full((64, 64, 3), level, dtype=np.float32) for level in (0.0, 0.5, 1.0)]
    red = flats[1] * np.float32([1, 0, 0])
    pictures = [WARM, grey, red, *flats]
    for style in pictures:
        for content in pictures:
            for result in (prepare_style(style, content, mode), restore_colors(style, content, mode)):
                assert np.isfinite(result).all()
                assert result.dtype == np.float32 and result.shape == style.shape
                assert result.min() >= 0 and result.max() <= 1
    if mode in ("histogram", "coral"):  # a flat style takes the mean colour; a grey content makes it grey
        np.testing.assert_allclose(prepare_style(flats[0], WARM, mode)[0, 0], moments(WARM)[0], atol=1e-5)
        assert np.ptp(prepare_style(WARM, grey, mode), axis=2).max() < 0.02


def test_modes() -> None:
    assert prepare_style(WARM, COOL, "none") is WARM
    assert np.array_equal(prepare_style(WARM, COOL, "histogram"), match_histogram(WARM, COOL))
    assert np.array_equal(prepare_style(WARM, COOL, "coral"), match_covariance(WARM, COOL))
    grey = prepare_style(WARM, COOL, "luminance")
    assert np.ptp(grey, axis=2).max() == 0
    assert grey.mean() == pytest.approx(luminance(COOL).mean(), abs=1e-4)
    for mode in ("none", "histogram", "coral"):
        assert restore_colors(WARM, COOL, mode) is WARM
    assert np.array_equal(restore_colors(WARM, COOL, "luminance"), with_luminance_of(COOL, WARM))


def test_style_and_content_may_differ_in_size() -> None:
    wide = np.ascontiguousarray(WARM[:20])
    for mode in MODES:
        assert prepare_style(wide, COOL, mode).shape == wide.shape


def test_rare_chroma_is_limited() -> None:
    random = np.random.default_rng(4)
    grey = random.uniform(0.1, 0.4, (40, 50, 1)).astype(np.float32)
    content = grey + random.normal(0, 0.01, (40, 50, 3)).astype(np.float32)
    content[3, 4] = luminance(content[3, 4]) + np.array([0.2, -0.06, 0.06], np.float32)  # lips
    limited, half = (ChromaLimit.of(content, share)(content) for share in (1.0, 0.5))
    np.testing.assert_allclose(luminance(limited), luminance(content), atol=1e-6)
    np.testing.assert_allclose(half, (content + limited) / 2, atol=1e-6)

    def chroma(pixels):
        return np.linalg.norm(pixels - luminance(pixels)[..., None], axis=2)

    assert chroma(content)[3, 4] > 3 * chroma(limited)[3, 4]
    assert chroma(limited)[3, 4] > 0.9 * chroma(limited)[4:].max(), "it is still the most colourful place"
    assert (np.abs(limited - content).max(2) < 1e-6).mean() > 0.8


def test_colors_that_follow_the_luminance_are_usual() -> None:
    shadow, light = (np.array(color, np.float32) for color in ([0.2, 0.1, 0.3], [1, 0.95, 0.8]))
    duotone = shadow + np.linspace(0, 1, 2000, dtype=np.float32).reshape(40, 50, 1) * (light - shadow)
    np.testing.assert_allclose(ChromaLimit.of(duotone)(duotone), duotone, atol=1e-6)


def test_black_white_and_grey_stay_so() -> None:
    orange = np.full((40, 50, 3), [0.8, 0.5, 0.2], np.float32)
    orange += np.random.default_rng(5).normal(0, 0.01, orange.shape).astype(np.float32)
    for row, value in enumerate((0.0, 1.0, 0.5)):
        orange[row, 0] = value
    limited = ChromaLimit.of(orange)(orange)
    np.testing.assert_array_equal(limited[:3, 0], orange[:3, 0])
    assert 0 <= limited.min() <= limited.max() <= 1


def test_a_flat_picture_is_not_limited() -> None:
    for color in (0.0, 0.5, [0.9, 0.1, 0.3]):
        flat = np.full((5, 6, 3), color, np.float32)
        np.testing.assert_allclose(ChromaLimit.of(flat)(flat), flat, atol=1e-6)
