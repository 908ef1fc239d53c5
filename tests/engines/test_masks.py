"""Masks in every kind of engine: where each style applies, and where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

import impasto
from impasto.cli.main import run
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.fast import FastEngine
from impasto.engines.tiling import Tiling
from impasto.errors import UsageError
from impasto.images import LazyPicture, read_picture, resize_picture, write_picture
from impasto.options import FastOptions
from impasto.types import Picture

ENGINES = {
    "fast": {},
    "gatys": {"descriptor": "compact", "steps": 3, "scales": 1},
}
WIDTH, HEIGHT = 96, 64


@pytest.fixture(scope="module")
def content(request):
    return resize_picture(read_picture(request.getfixturevalue("photo")), WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def style(request):
    return resize_picture(read_picture(request.getfixturevalue("painting")), 80, 80)


def grey(values, **more):
    return Picture(np.repeat(np.asarray(values, np.float32)[:, :, None], 3, axis=2), **more)


LEFT = grey(np.repeat([[1.0] * 8 + [0.0] * 8], 12, axis=0))
"""A picture of another size than the content: the left half is white."""


@pytest.mark.parametrize("engine", ENGINES)
def test_outside_the_mask_the_picture_is_the_content(engine, content, style):
    options = ENGINES[engine]
    whole = impasto.stylize(content, style, engine=engine, **options)
    masked = impasto.stylize(content, style, engine=engine, mask=LEFT, **options)
    inside, outside = np.s_[:, : WIDTH // 2 - 12], np.s_[:, WIDTH // 2 + 12 :]
    assert np.abs(masked.pixels[outside] - content.pixels[outside]).max() <= 1 / 255
    np.testing.assert_allclose(masked.pixels[inside], whole.pixels[inside], atol=1e-5)
    assert np.abs(whole.pixels[outside] - content.pixels[outside]).max() > 0.05, "the mask has done something"


@pytest.mark.parametrize("engine", ["gatys", "nnst"])
def test_what_is_being_painted_is_shown_through_its_mask(engine, content, style):
    right, shown = grey(1 - LEFT.pixels[:, :, 0]), []
    impasto.stylize(
        content,
        [style, style],
        engine=engine,
        mask=[LEFT, right],
        on_step=lambda step: shown.append(step.preview()),
        steps=4,
        descriptor="compact",
    )
    first = shown[len(shown) // 2 - 1]
    small = resize_picture(content, first.width, first.height)
    places = np.s_[:, : first.width // 2 - 12], np.s_[:, first.width // 2 + 12 :]
    inside, outside = (np.abs(first.pixels[place] - small.pixels[place]) for place in places)
    assert inside.mean() > 0.02 and outside.max() <= 1 / 255
    assert np.abs(shown[-1].pixels[places[1]] - content.pixels[places[1]]).mean() > 0.02


@pytest.mark.parametrize("engine", ENGINES)
def test_each_style_has_its_place(engine, content, style):
    options = ENGINES[engine]
    other = Picture(style.pixels[::-1, :, ::-1].copy())
    right = grey(1 - LEFT.pixels[:, :, 0])
    both = impasto.stylize(content, [style, other], engine=engine, mask=[LEFT, right], **options)
    for chosen, part in ((style, np.s_[:, : WIDTH // 2 - 12]), (other, np.s_[:, WIDTH // 2 + 12 :])):
        alone = impasto.stylize(content, chosen, engine=engine, **options)
        np.testing.assert_allclose(both.pixels[part], alone.pixels[part], atol=1e-5)


@pytest.mark.slow
def test_grey_is_in_between_and_weights_count_where_masks_overlap(content, style):
    whole = impasto.stylize(content, style, engine="fast")
    half = impasto.stylize(content, style, mask=grey(np.full((4, 4), 0.5)), engine="fast")
    np.testing.assert_allclose(half.pixels, (whole.pixels + content.pixels) / 2, atol=1e-5)
    white = grey(np.ones((4, 4)))
    other = impasto.stylize(content, "great-wave", engine="fast")
    mixed = impasto.stylize(content, [(style, 3), ("great-wave", 1)], mask=[white, white], engine="fast")
    np.testing.assert_allclose(mixed.pixels, 0.75 * whole.pixels + 0.25 * other.pixels, atol=1e-5)


def test_what_is_transparent(content, style):
    clear = np.ones((HEIGHT, WIDTH), np.float32)
    clear[:, WIDTH // 2 :] = 0
    whole = impasto.stylize(content, style, engine="fast")
    by_mask = impasto.stylize(content, style, mask=grey(np.ones((HEIGHT, WIDTH)), alpha=clear), engine="fast")
    given = Picture(content.pixels, alpha=clear)
    by_content = impasto.stylize(given, style, mask="alpha", engine="fast")
    inside, outside = np.s_[:, : WIDTH // 2 - 1], np.s_[:, WIDTH // 2 + 1 :]
    for found in (by_mask, by_content):
        np.testing.assert_array_equal(found.pixels[outside], content.pixels[outside])
    np.testing.assert_allclose(by_mask.pixels[inside], whole.pixels[inside], atol=1e-5)
    np.testing.assert_array_equal(by_content.alpha, clear)
    with pytest.raises(UsageError, match="no transparency"):
        impasto.stylize(content, style, mask="alpha", engine="fast")


def test_strip_by_strip(content, style):
    whole = impasto.stylize(content, style, mask=LEFT, engine="fast")
    steps = []
    other = Picture(style.pixels[::-1].copy())
    given, left, black = (LazyPicture.of(picture) for picture in (content, LEFT, grey(np.zeros((4, 4)))))
    engine = FastEngine(FastOptions(), tiling=Tiling(((16, 32),), undivided=0))
    inputs = StylizeInputs(given, (Style(style), Style(other)), (left, black))
    tiled = engine.stylize(inputs, on_step=steps.append)
    assert np.abs(tiled.pixels - whole.pixels).max() < 1 / 255
    fractions = [step.fraction for step in steps]
    assert len(steps) == 2 * 4 * 3 and fractions == sorted(fractions) and fractions[-1] == 1
    assert {step.total for step in steps} == {len(steps)} and steps[-1].done == len(steps)


def test_ctrl_c_keeps_what_there_is(content, style):
    def interrupt(step):
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(impasto.errors.Interrupted) as stopped:
        impasto.stylize(content, style, engine="gatys", mask=LEFT, on_step=interrupt, **ENGINES["gatys"])
    outside = np.s_[:, WIDTH // 2 + 12 :]
    np.testing.assert_allclose(stopped.value.picture.pixels[outside], content.pixels[outside], atol=1 / 255)


@pytest.mark.slow
def test_on_the_command_line(content, style, tmp_path):
    write_picture(content, tmp_path / "content.png")
    write_picture(style, tmp_path / "style.png")
    write_picture(LEFT, tmp_path / "left.png")
    paint = ["stylize", str(tmp_path / "content.png"), "-s", str(tmp_path / "style.png"), "-o", str(tmp_path / "o.png")]
    assert run([*paint, "--mask", str(tmp_path / "left.png"), "--quiet"]) == 0
    found, given = read_picture(tmp_path / "o.png"), read_picture(tmp_path / "content.png")
    outside = np.s_[:, WIDTH // 2 + 12 :]
    assert np.abs(found.pixels[outside] - given.pixels[outside]).max() <= 1 / 255
