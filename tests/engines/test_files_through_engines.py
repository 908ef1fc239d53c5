"""Every odd file through every engine: what comes out is the same kind of file, as it would be seen."""

from __future__ import annotations

from dataclasses import replace

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


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    """An engine with its bundled network; those without one are tested with random ones elsewhere."""
    if request.param == "texture-net":
        pytest.skip("no bundled network stylizes")
    given = GATYS if request.param == "gatys" else {}
    return request.param, create_engine(request.param, OPTIONS[request.param].parse(given))


@pytest.fixture(scope="module")
def style(request):
    return (Style(resize_picture(read_picture(request.getfixturevalue("painting")), 96, 64)),)


def paint(engine, style, content):
    name, painter = engine
    styles = () if name in OWN_STYLE else style
    return painter.stylize(StylizeInputs(content, styles), on_step=lambda step: None)


@pytest.mark.parametrize("odd", ODD_FILES, ids=lambda odd: odd.name)
def test_a_file_keeps_what_it_is(engine, style, odd, tmp_path):
    if engine[0] == "gatys" and min(odd.size) < 16:
        pytest.skip("too small for the layers, which an error says")
    source = tmp_path / f"picture.{odd.form}"
    source.write_bytes(odd.make())
    given, painted = read_picture(source), paint(engine, style, open_picture(source))
    again = read_picture(encode_picture(painted, odd.form))
    assert (again.width, again.height) == odd.size
    assert (again.format, again.bit_depth, again.icc) == (odd.form, odd.depth, odd.icc)
    kept, asked = (np.ones((1, 1)) if each.alpha is None else each.alpha for each in (again, given))
    np.testing.assert_allclose(*np.broadcast_arrays(kept, asked), atol=2 / 255)
    assert np.isfinite(again.pixels).all()


def test_nothing_makes_bands(engine, style):
    ramp = np.linspace(0.3, 0.5, 512, dtype=np.float32)
    sky = Picture(np.repeat(np.repeat(ramp[None, :, None], 64, 0), 3, 2), bit_depth=16)
    painted = paint(engine, style, LazyPicture.of(sky))
    stored = read_picture(encode_picture(replace(painted, format="png"), "png"))
    assert stored.bit_depth == 16
    levels = [len(np.unique(stored.pixels[..., channel])) for channel in range(3)]
    assert min(levels) > 300, "an 8-bit file could not hold so many"
    steps = np.unique(np.round(np.abs(np.diff(stored.pixels[32, :, 0])) * 65535))
    assert (steps[steps > 0] < 65535 * DEEP).any()
