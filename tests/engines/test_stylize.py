"""The Python front: what it accepts, and what it refuses."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

import impasto
from impasto.engines.catalog import create_engine
from impasto.errors import ImageReadError, ImageSizeError, ImpastoError, UnknownNameError, UsageError
from impasto.images import encode_picture, resize_picture

pytestmark = pytest.mark.usefixtures("loaded_once")

QUICK = {"engine": "gatys", "steps": 2, "scales": 1, "content_layers": "relu2_2", "style_layers": "relu1_1,relu2_1"}


@pytest.fixture(scope="module")
def content(photo):
    return resize_picture(impasto.read_picture(photo), 40, 32)


@pytest.fixture(scope="module")
def style(painting):
    return resize_picture(impasto.read_picture(painting), 36, 30)


@pytest.fixture(scope="module")
def expected(content, style, weights_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_WEIGHTS_DIR", str(weights_folder))
        return impasto.stylize(content, style, **QUICK)


def as_bytes(picture):
    return encode_picture(picture, "png")


def as_file(picture, folder):
    impasto.write_picture(picture, folder / f"{picture.width}.png")
    return folder / f"{picture.width}.png"


def as_array(picture):
    return np.rint(picture.pixels * 255).astype(np.uint8)


def test_paints_a_picture(content, expected):
    assert isinstance(expected, impasto.Picture)
    assert expected.pixels.shape == content.pixels.shape
    assert expected.format == content.format
    assert np.abs(expected.pixels - content.pixels).mean() > 1 / 255


@pytest.mark.parametrize("kind", ["path", "name", "bytes", "PIL", "array"])
def test_accepts_what_people_hold_in_their_hands(tmp_path, content, style, kind, expected):
    def source(picture):
        return {
            "path": lambda: as_file(picture, tmp_path),
            "name": lambda: str(as_file(picture, tmp_path)),
            "bytes": lambda: as_bytes(picture),
            "PIL": lambda: PIL.Image.open(io.BytesIO(as_bytes(picture))),
            "array": lambda: as_array(picture),
        }[kind]()

    picture = impasto.stylize(source(content), source(style), **QUICK)
    # 8 bits on the way in make the difference.
    assert np.abs(picture.pixels - expected.pixels).mean() < 0.01


def test_styles_come_alone_weighted_or_in_lists(content, style, expected):
    stripes = np.zeros((30, 36, 3))
    stripes[::4] = 1

    def paint(styles):
        return impasto.stylize(content, styles, **QUICK).pixels.tobytes()

    alone = expected.pixels.tobytes()
    assert paint((style, 3)) == alone
    assert paint([style]) == alone
    assert paint([(style, np.float32(0.5))]) == alone
    mixed = paint([(style, 1.0), (stripes, 2.0)])
    assert mixed != alone
    assert paint(((style, 2), (stripes, 4))) == mixed
    assert paint([style, stripes]) == paint((style, stripes)) != mixed


def test_calls_back_after_every_step(content, style):
    steps = []
    impasto.stylize(content, style, on_step=steps.append, **QUICK)
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]
    assert all(isinstance(step, impasto.Step) for step in steps)


def test_what_was_painted_can_be_painted_again_from_its_metadata(content, style, expected):
    options = impasto.GatysOptions.model_validate_json(expected.metadata["options"])
    again = impasto.stylize(content, style, engine="gatys", **options.model_dump())
    assert again.pixels.tobytes() == expected.pixels.tobytes()


def test_shows_itself_in_a_notebook(expected):
    shown = PIL.Image.open(io.BytesIO(expected._repr_png_()))
    np.testing.assert_array_equal(np.asarray(shown), as_array(expected))


def test_an_exception_of_on_step_stops_it(content, style):
    def on_step(step):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        impasto.stylize(content, style, on_step=on_step, **QUICK)


def test_ctrl_c_keeps_the_best_picture(content, style):
    def on_step(step):
        raise KeyboardInterrupt

    with pytest.raises(impasto.Interrupted) as caught:
        impasto.stylize(content, style, on_step=on_step, size=50, **QUICK)
    assert caught.value.picture.pixels.shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"engine": "gatis"}, UnknownNameError, "unknown engine 'gatis'; did you mean 'gatys'?"),
        ({"style_wieght": 3}, UnknownNameError, "unknown option 'style_wieght'; did you mean 'style_weight'?"),
        ({"steps": 0}, UsageError, "steps is 0; it should be greater than or equal to 1"),
        ({"size": 5}, UsageError, "size is 5; it should be greater than or equal to 16"),
        ({"tv_weight": -1}, UsageError, "tv_weight is -1; it should be greater than or equal to 0"),
        ({"optimizer": "adm"}, UsageError, "optimizer is 'adm'; choose 'lbfgs', 'adam' or 'sgd'"),
        ({"init": "missing.png"}, UsageError, "init is 'missing.png', which is not a file; "),
        (
            {"size": 24, "style_layers": "relu5_1"},
            ImageSizeError,
            "content image is 24x19; relu5_1 needs at least 32x32",
        ),
    ],
)
def test_a_wrong_option_is_named(content, style, options, kind, message):
    with pytest.raises(kind) as caught:
        impasto.stylize(content, style, **{**QUICK, **options})
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, ImpastoError)


@pytest.mark.parametrize("wrong", [None, 7, ["a.jpg", "b.jpg"], ("a.jpg", "3"), np.zeros((4, 4, 7))])
def test_what_is_no_picture_is_refused(content, style, wrong):
    with pytest.raises(ImageReadError):
        impasto.stylize(wrong, style, **QUICK)
    with pytest.raises(ImageReadError):
        impasto.stylize(content, wrong, **QUICK)


@pytest.mark.parametrize("styles", [[], ()])
def test_no_style_is_refused(content, styles):
    with pytest.raises(UsageError, match="no style is given; name one of the gallery, or give a picture"):
        impasto.stylize(content, styles, **QUICK)


def test_a_style_without_weight_is_refused(content, style):
    with pytest.raises(UsageError, match="style weight is 0; it must be positive"):
        impasto.stylize(content, (style, 0), **QUICK)


def test_an_unknown_engine_is_refused():
    with pytest.raises(UnknownNameError, match="unknown engine 'gatsy'; did you mean 'gatys'"):
        create_engine("gatsy", impasto.GatysOptions())
