"""The request that everybody makes: what it refuses, and that it can be stored."""

from __future__ import annotations

import json

import numpy as np
import pytest

import impasto
from impasto.engines.catalog import ENGINES
from impasto.errors import UnknownNameError, UsageError
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.options import FastOptions, FeedForwardOptions, NnstOptions
from impasto.painting import ALPHA, Painting, StyleChoice, arrange, paint

WAVE = StyleChoice(name="great-wave")


def test_it_is_the_same_after_storage():
    painting, sources = arrange("fast", FastOptions(strength=0.5), [WAVE, (b"style", 2.0)], [ALPHA, b"mask"], "png")
    assert sources == {"style1": b"style", "mask1": b"mask"}
    assert Painting.of_json(json.loads(json.dumps(painting.as_json()))) == painting


def test_a_job_that_0_1_0_accepted_is_painted(photo):
    content = encode_picture(resize_picture(read_picture(photo), 64, 48), "png")
    row = {
        "engine": "fast",
        "options": {"strength": 0.5, "size": 48},
        "styles": [{"name": "great-wave", "weight": 2.0}, {"input": "style1", "weight": 1.0}],
        "masks": [],
        "format": "png",
    }
    sources = {"content": content, "style1": photo.read_bytes()}
    painted = paint(Painting.of_json(row), sources, on_step=lambda step: None)
    styles = [("great-wave", 2.0), (photo, 1.0)]
    expected = impasto.stylize(content, styles, engine="fast", strength=0.5, size=48)
    np.testing.assert_array_equal(painted.pixels, expected.pixels)


def test_every_engine_s_options_survive():
    for row in ENGINES.values():
        styles = (WAVE,) if row.styles == "any" else ()
        painting = Painting(row.name, row.options(size=64, strength=0.25), styles)
        assert Painting.of_json(painting.as_json()) == painting


@pytest.mark.parametrize(
    ("engine", "options", "given", "error", "message"),
    [
        ("fast", FastOptions(), {}, UsageError, "no style is given; name one of the gallery, or give a picture"),
        ("transformer", FeedForwardOptions(), {"styles": (WAVE,)}, UsageError, "one style, which it was trained for"),
        ("fast", FastOptions(), {"styles": (WAVE,), "masks": (ALPHA, ALPHA)}, UsageError, "2 masks are given for 1"),
        ("fast", FastOptions(), {"styles": (WAVE,), "format": "bmp"}, UnknownNameError, "unknown format 'bmp'"),
        ("fest", FastOptions(), {}, UnknownNameError, "unknown engine 'fest'; did you mean 'fast'"),
    ],
)
def test_what_cannot_be_painted_is_refused_at_once(engine, options, given, error, message):
    with pytest.raises(error, match=message):
        Painting(engine, options, **given)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_has_to_be_positive(weight):
    with pytest.raises(UsageError, match="it must be positive"):
        StyleChoice(name="great-wave", weight=weight)


def test_names_are_looked_up_before_anything_is_painted():
    painting = Painting("nnst", NnstOptions(), (StyleChoice(name="grate-wave"), StyleChoice(source="style1")))
    with pytest.raises(UnknownNameError, match="did you mean 'great-wave'"):
        painting.check_gallery()
