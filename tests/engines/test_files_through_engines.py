"""Odd files through the engines: what comes out is the same kind of file, as it would be seen."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from engines.test_every_engine import ENGINES, OWN_STYLE
from images.test_odd_files import ODD_FILES
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import OPTIONS, create_engine
from impasto.images import LazyPicture, encode_picture, open_picture, read_picture, resize_picture
from impasto.types import Picture

pytestmark = pytest.mark.slow

GATYS = {"descriptor": "compact", "steps": 1, "scales": 1, "style_layers": "relu3_1:1", "content_layers": "relu3_1:1"}
DEEP = 1 / 1024
PAINTERS = [name for name in ENGINES if name != "texture-net"]  # no network of which is bundled
TELLING = {"jpeg P3", "png grey alpha", "png 16 alpha", "png 1x1", "tiff CMYK", "tiff float alpha", "gif transparent"}
"""Files that engines see differently. The others differ for the decoder and the encoder only."""
CASES = [("fast", odd) for odd in ODD_FILES]
CASES += [
    (name, odd)
    for name, odd in product(PAINTERS, ODD_FILES)
    if name != "fast" and odd.name in TELLING and not (name == "gatys" and min(odd.size) < 16)  # which an error says
]


@pytest.fixture(scope="module")
def made():
    """Makes an engine, once."""

    @functools.cache
    def engine(name):
        return create_engine(name, OPTIONS[name].parse(GATYS if name == "gatys" else {}))

    return engine


@pytest.fixture(scope="module")
def style(request):
    return (Style(resize_picture(read_picture(request.getfixturevalue("painting")), 96, 64)),)


def paint(made, engine, style, content):
    styles = () if engine in OWN_STYLE else style
    return made(engine).stylize(StylizeInputs(content, styles), on_step=lambda step: None)


@pytest.mark.parametrize(("engine", "odd"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_file_keeps_what_it_is(made, engine, style, odd, tmp_path):
    source = tmp_path / f"picture.{odd.form}"
    source.write_bytes(odd.make())
    given, painted = read_picture(source), paint(made, engine, style, open_picture(source))
    again = read_picture(encode_picture(painted, odd.form))
    assert (again.width, again.height) == odd.size
    assert (again.format, again.bit_depth, again.icc) == (odd.form, odd.depth, odd.icc)
    kept, asked = (np.ones((1, 1)) if each.alpha is None else each.alpha for each in (again, given))
    np.testing.assert_allclose(*np.broadcast_arrays(kept, asked), atol=2 / 255)
    assert np.isfinite(again.pixels).all()


@pytest.mark.parametrize("engine", PAINTERS)
def test_nothing_makes_bands(made, engine, style):
    ramp = np.linspace(0.3, 0.5, 512, dtype=np.float32)
    sky = Picture(np.repeat(np.repeat(ramp[None, :, None], 64, 0), 3, 2), bit_depth=16)
    painted = paint(made, engine, style, LazyPicture.of(sky))
    stored = read_picture(encode_picture(replace(painted, format="png"), "png"))
    assert stored.bit_depth == 16
    levels = [len(np.unique(stored.pixels[..., channel])) for channel in range(3)]
    assert min(levels) > 300, "an 8-bit file could not hold so many"
    steps = np.unique(np.round(np.abs(np.diff(stored.pixels[32, :, 0])) * 65535))
    assert (steps[steps > 0] < 65535 * DEEP).any()
