"""The classical engine on small pictures, with the weights of VGG19 in full."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from impasto.descriptors.vgg import VGG
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.errors import CheckpointError, ImageSizeError, Interrupted, UnknownNameError, UsageError
from impasto.images import LazyPicture, luminance, read_picture, resize_picture, write_picture
from impasto.optimization.checkpoint import Checkpoint
from impasto.options import PRESETS, GatysOptions
from impasto.types import Picture
from lanes import slow

pytestmark = pytest.mark.usefixtures("loaded_once")

WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope="module")
def content(photo):
    return resize_picture(read_picture(photo), WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def style(painting):
    return resize_picture(read_picture(painting), 84, 70)


@pytest.fixture(scope="module")
def other_style():
    """Red and white stripes."""
    pixels = np.ones((40, 56, 3), np.float32)
    pixels[:, (np.arange(56) // 4) % 2 == 0] = (0.8, 0.05, 0.1)
    return Picture(pixels)


def paint(content, *styles, on_step=lambda step: None, checkpoint=None, **options):
    given = GatysOptions.parse({"steps": 3, "scales": 1, **options})
    inputs = StylizeInputs(
        LazyPicture.of(content), tuple(each if isinstance(each, Style) else Style(each) for each in styles)
    )
    return OptimizationEngine(given).stylize(inputs, on_step=on_step, checkpoint=checkpoint)


def assert_sound(picture, width=WIDTH, height=HEIGHT):
    assert (picture.width, picture.height) == (width, height)
    assert picture.pixels.dtype == np.float32
    assert np.isfinite(picture.pixels).all()
    assert picture.pixels.min() >= 0
    assert picture.pixels.max() <= 1


# --- the method -------------------------------------------------------------------------------------------------------


def test_the_losses_fall(content, style):
    steps = []
    picture = paint(content, style, on_step=steps.append, steps=16)
    assert_sound(picture)
    assert set(steps[0].losses) == {"content", "style", "tv", "total"}
    for step in steps:
        parts = sum(loss for name, loss in step.losses.items() if name != "total")
        assert step.losses["total"] == pytest.approx(parts, rel=1e-4)
    # It starts as the content image, whose own losses are exact: no content loss, and the style's is the most.
    assert steps[0].losses["content"] == pytest.approx(0, abs=1e-6)
    assert steps[-1].losses["style"] < steps[0].losses["style"] / 2
    assert steps[-1].losses["total"] < steps[0].losses["total"] / 2
    assert np.abs(picture.pixels - content.pixels).mean() > 0.01


@pytest.mark.parametrize("init", ["noise", *slow("content")])
def test_the_same_seed_gives_the_same_bytes(content, style, init):
    pictures = [paint(content, style, init=init, seed=5) for _ in range(2)]
    assert pictures[0].pixels.tobytes() == pictures[1].pixels.tobytes()
    assert pictures[0].metadata == pictures[1].metadata


@pytest.mark.slow
def test_another_seed_gives_another_picture_from_noise(content, style):
    one, two = (paint(content, style, init="noise", seed=seed) for seed in (1, 2))
    assert np.abs(one.pixels - two.pixels).mean() > 0.005


VARIANTS = [
    {"optimizer": "lbfgs"},
    {"optimizer": "adam"},
    {"optimizer": "sgd"},
    {"init": "content"},
    {"init": "noise"},
    {"init": "content+noise"},
    {"init": "style"},
    {"pooling": "average"},
    {"style_loss": "mean-std"},
    {"normalization": "paper", "init": "noise"},
    {"normalization": "paper", "init": "noise", "style_loss": "mean-std"},
    {"rescale_activations": True},
    {"rescale_activations": True, "pooling": "average"},
    {"precision": "float32"},
    {"precision": "bfloat16", "style_layers": "relu1_1,relu2_1", "content_layers": "relu2_2"},
    {"content_weight": 0},
    {"style_weight": 0, "init": "noise"},
    {"tv_weight": 0},
    {"content_layers": "conv3_1:0.5,relu4_2:1,pool3:2"},
    {"style_layers": "pool1:0.3,pool2:0.2,conv1_1:0.1"},
    {"keep_colors": "luminance"},
    {"keep_colors": "histogram"},
    {"keep_colors": "coral"},
    {"learning_rate": 0.5},
    {"scales": 2, "style_layers": "relu1_1,relu2_1,relu3_1", "content_layers": "relu2_2"},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_option_paints_a_finite_picture_with_less_loss(content, style, options):
    totals = []
    picture = paint(content, style, on_step=lambda step: totals.append(step.losses["total"]), **{"steps": 4, **options})
    assert_sound(picture)
    assert len(totals) == 4
    assert np.isfinite(totals).all()
    if options.get("scales", 1) == 1:
        assert min(totals[1:]) < totals[0]
    assert np.abs(picture.pixels - content.pixels).max() > 1 / 255


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_paints(content, style, preset):
    steps = []
    # pool5 needs 64 pixels at least.
    picture = paint(content, style, preset=preset, steps=3, size=86, on_step=steps.append)
    assert_sound(picture, 86, 64)
    assert steps[-1].losses["total"] < steps[0].losses["total"]
    assert json.loads(picture.metadata["options"])["preset"] == preset


def test_a_part_without_weight_has_no_loss(content, style):
    steps = []
    paint(content, style, style_weight=0, tv_weight=0, init="noise", steps=1, on_step=steps.append)
    assert set(steps[0].losses) == {"content", "total"}


def test_content_alone_from_content_ends_at_once(content, style):
    steps = []
    picture = paint(content, style, style_weight=0, tv_weight=0, steps=20, precision="float32", on_step=steps.append)
    assert [(step.done, step.total, step.fraction) for step in steps] == [(1, 1, 1.0)]
    assert steps[0].note == "the gradient is zero: nothing is left to change"
    np.testing.assert_array_equal(picture.pixels, content.pixels)


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_the_result_keeps_what_the_content_file_was(content, style):
    alpha = np.linspace(0, 1, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    file_like = dataclasses.replace(content, alpha=alpha, bit_depth=16, icc=b"a profile", format="tiff")
    picture = paint(file_like, style)
    assert_sound(picture)
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert (picture.bit_depth, picture.icc, picture.format) == (16, b"a profile", "tiff")


def test_the_style_leaves_no_trace_but_its_style(content, style):
    picture = paint(
        content, dataclasses.replace(style, alpha=np.ones((70, 84), np.float32), bit_depth=16, format="gif")
    )
    assert (picture.alpha, picture.bit_depth, picture.format) == (None, content.bit_depth, content.format)


@pytest.mark.parametrize(("size", "width", "height"), [(48, 48, 36), (80, 80, 60)])
def test_size_is_the_long_side(content, style, size, width, height):
    alpha = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    picture = paint(dataclasses.replace(content, alpha=alpha), style, size=size)
    assert_sound(picture, width, height)
    assert picture.alpha.shape == (height, width)


def test_a_very_large_picture_is_painted_smaller_and_enlarged(style):
    rows, columns = np.mgrid[0:12, 0:1100].astype(np.float32)
    wide = Picture(np.stack([columns / 1100, rows / 12, 0 * rows + 0.5], axis=2).astype(np.float32))
    scales = []
    picture = paint(
        wide,
        style,
        steps=1,
        style_layers="relu1_1",
        content_layers="relu1_2",
        stroke_size=0.1,
        on_step=lambda step: scales.append(step.scale),
    )
    assert scales == [(1024, 11)]
    assert_sound(picture, 1100, 12)


def test_what_made_the_picture_stands_in_its_metadata(content, style):
    picture = paint(content, style, steps=2, seed=9, init="noise", save_every=1, checkpoint_every=1)
    options = json.loads(picture.metadata["options"])
    assert picture.metadata["engine"] == "gatys"
    assert picture.metadata["software"].startswith("impasto ")
    name, _, digest = picture.metadata["descriptor"].partition(" sha256:")
    assert name == "vgg19"
    assert len(digest) == 64
    assert (options["steps"], options["seed"], options["init"]) == (2, 9, "noise")
    assert GatysOptions.parse({"save_every": 1, "checkpoint_every": 1, **options}) == GatysOptions(
        steps=2, scales=1, seed=9, init="noise", tile=0, save_every=1, checkpoint_every=1
    )


# --- colours ----------------------------------------------------------------------------------------------------------


def chroma(pixels):
    return pixels - luminance(pixels)[:, :, None]


def test_luminance_keeps_the_content_s_chroma(content, style):
    # Colours that the new luminance leaves no room for are greyed: compare where there is room.
    pale = dataclasses.replace(content, pixels=0.4 + 0.2 * content.pixels)
    picture = paint(pale, style, keep_colors="luminance", steps=8)
    room = np.minimum(luminance(picture.pixels), 1 - luminance(picture.pixels)) > np.abs(chroma(pale.pixels)).max(
        axis=2
    )
    assert room.mean() > 0.9
    np.testing.assert_allclose(chroma(picture.pixels)[room], chroma(pale.pixels)[room], atol=1e-5)
    assert np.abs(luminance(picture.pixels) - luminance(pale.pixels)).mean() > 1 / 255


@pytest.mark.parametrize("mode", ["histogram", *slow("coral")])
def test_matched_colours_stay_near_the_content_s(content, other_style, mode):
    def mean_color(picture):
        return picture.pixels.mean(axis=(0, 1))

    options = {"init": "style", "content_weight": 0, "steps": 4}
    kept = paint(content, other_style, keep_colors=mode, **options)
    free = paint(content, other_style, **options)
    assert np.abs(mean_color(kept) - mean_color(content)).max() < 0.06
    assert np.abs(mean_color(free) - mean_color(content)).max() > 0.2


# --- styles -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_style_of_hardly_any_weight_hardly_counts(content, style, other_style):
    options = {"precision": "float32", "optimizer": "adam", "steps": 4}
    alone = paint(content, style, **options)
    mixed = paint(content, Style(style, 1.0), Style(other_style, 1e-6), **options)
    even = paint(content, Style(style, 1.0), Style(other_style, 1.0), **options)
    assert np.abs(mixed.pixels - alone.pixels).mean() < 1e-3
    assert np.abs(even.pixels - alone.pixels).mean() > 1e-2


@pytest.mark.slow
def test_only_the_ratio_of_the_weights_counts(content, style, other_style):
    one, two = (
        paint(content, Style(style, 3 * scale), Style(other_style, scale), precision="float32") for scale in (1.0, 4.0)
    )
    assert one.pixels.tobytes() == two.pixels.tobytes()


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_style_needs_a_positive_weight(content, style, weight):
    with pytest.raises(UsageError) as caught:
        paint(content, style, Style(style, weight))
    assert str(caught.value) == f"style weight is {weight:g}; it must be positive"


def test_a_picture_needs_a_style(content):
    with pytest.raises(UsageError) as caught:
        paint(content)
    assert str(caught.value) == "no style is given; name one of the gallery, or give a picture"


def test_the_stroke_size_changes_the_result(content, other_style):
    losses = []

    def note(step):
        losses.append(step.losses["style"])

    pictures = [
        paint(content, other_style, stroke_size=size, steps=4, precision="float32", on_step=note) for size in (1.0, 2.0)
    ]
    assert losses[0] != pytest.approx(losses[4], rel=1e-3)
    assert np.abs(pictures[0].pixels - pictures[1].pixels).mean() > 1 / 255


@pytest.mark.slow
def test_a_frame_around_the_style_is_not_looked_at(content, style):
    pixels = style.pixels.copy()
    height, width = pixels.shape[:2]
    down, across = round(0.02 * height), round(0.02 * width)
    assert down and across
    pixels[:down] = pixels[-down:] = pixels[:, :across] = pixels[:, -across:] = (1, 0, 1)
    framed = Picture(pixels)
    plain, same = (paint(content, each, steps=2).pixels for each in (style, framed))
    np.testing.assert_array_equal(plain, same)
    assert (paint(content, framed, steps=2, style_margin=0).pixels != plain).any()


# --- odd pictures -----------------------------------------------------------------------------------------------------


def even(value):
    return Picture(np.full((HEIGHT, WIDTH, 3), value, np.float32))


def grey(picture):
    return Picture(np.repeat(luminance(picture.pixels)[:, :, None], 3, axis=2))


ODD = {"black": even(0.0), "white": even(1.0), "mid-grey": even(0.5)}


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["relative", "paper"])
@pytest.mark.parametrize("color", ODD)
def test_an_even_content_or_style_gives_no_nan(content, style, color, normalization):
    for pair in ((ODD[color], style), (content, ODD[color]), (ODD[color], ODD[color])):
        steps = []
        assert_sound(paint(*pair, normalization=normalization, on_step=steps.append))
        assert all(np.isfinite(list(step.losses.values())).all() for step in steps)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "luminance", "histogram", "coral"])
@pytest.mark.parametrize("loss", ["gram", "mean-std"])
def test_grey_and_black_pictures_have_colours_enough(content, style, mode, loss):
    for pair in ((grey(content), style), (content, ODD["black"])):
        assert_sound(paint(*pair, keep_colors=mode, style_loss=loss, steps=2))


@pytest.mark.slow
def test_one_color_with_rescaled_activations_gives_no_nan(style):
    assert_sound(paint(ODD["black"], ODD["black"], rescale_activations=True, steps=2))
    assert_sound(paint(ODD["white"], style, rescale_activations=True, normalization="paper", steps=2))


def test_a_narrow_picture_is_painted(style):
    assert_sound(paint(Picture(np.random.default_rng(0).random((33, 97, 3), np.float32)), style, steps=2), 97, 33)


def test_a_content_too_small_is_named(style):
    with pytest.raises(ImageSizeError) as caught:
        paint(Picture(np.zeros((20, 15, 3), np.float32)), style)
    assert str(caught.value) == (
        "content image is 15x20; relu5_1 needs at least 32x32; choose a larger size or shallower layers"
    )


def test_a_style_too_small_is_named(content):
    with pytest.raises(ImageSizeError) as caught:
        paint(content, Picture(np.zeros((20, 15, 3), np.float32)), style_layers="relu1_1,relu4_1")
    assert str(caught.value) == (
        "style image is 15x20; relu4_1 needs at least 16x16; choose a larger size or shallower layers"
    )


def test_a_size_too_small_is_named(content, style):
    with pytest.raises(ImageSizeError, match="content image is 32x24; relu5_1 needs at least 32x32"):
        paint(content, style, size=32)


def test_shallower_layers_take_smaller_pictures(style):
    small = Picture(np.random.default_rng(0).random((20, 15, 3), np.float32))
    picture = paint(small, style, content_layers="relu2_2", style_layers="relu1_1,relu2_1", steps=2)
    assert_sound(picture, 15, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_layers": "relu9_1"}, "unknown layer of vgg19 'relu9_1'; did you mean 'relu5_1'?"),
        ({"content_layers": "relu4_3x"}, "unknown layer of vgg19 'relu4_3x'; did you mean 'relu4_3'?"),
    ],
)
def test_an_unknown_layer_is_named(content, style, options, message):
    with pytest.raises(UnknownNameError) as caught:
        paint(content, style, **options)
    assert str(caught.value) == message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(UsageError) as caught:
        OptimizationEngine(GatysOptions(device="cuda"))
    assert str(caught.value) == "device 'cuda' cannot be used by this PyTorch; choose auto or cpu"


# --- progress, interruption, resumption -------------------------------------------------------------------------------

SHALLOW = {"style_layers": "relu1_1,relu2_1,relu3_1", "content_layers": "relu3_1"}


def test_the_steps_tell_how_far_it_is(content, style):
    steps = []
    paint(content, style, on_step=steps.append, scales=2, steps=9, **SHALLOW)
    assert [step.done for step in steps] == list(range(1, 10))
    assert {step.total for step in steps} == {9}
    assert [step.scale for step in steps] == [(32, 24)] * 6 + [(64, 48)] * 3
    fractions = [step.fraction for step in steps]
    assert all(before < after for before, after in itertools.pairwise(fractions))
    assert fractions[-1] == 1.0


def test_a_preview_looks_like_the_result_at_its_scale(content, style):
    previews = []
    see_through = dataclasses.replace(content, alpha=np.full((HEIGHT, WIDTH), 0.5, np.float32))
    paint(see_through, style, on_step=lambda step: previews.append(step.preview()), scales=2, steps=6, **SHALLOW)
    assert [(preview.width, preview.height) for preview in previews] == [(32, 24)] * 4 + [(64, 48)] * 2
    assert all(preview.alpha.shape == preview.pixels.shape[:2] for preview in previews)
    assert previews[0].metadata["engine"] == "gatys"


class Stopped(Exception):  # noqa: N818 - as a user might name it
    pass


def stop_after(steps, error=Stopped):
    def on_step(step):
        if step.done == steps:
            raise error

    return on_step


def test_an_exception_of_on_step_comes_through(content, style):
    with pytest.raises(Stopped):
        paint(content, style, on_step=stop_after(2))


@pytest.mark.parametrize("mode", ["none", "luminance"])
def test_an_interrupt_carries_a_picture_of_the_full_size(content, style, mode):
    file_like = dataclasses.replace(content, alpha=np.full((HEIGHT, WIDTH), 0.5, np.float32), bit_depth=16)
    with pytest.raises(Interrupted) as caught:
        paint(
            file_like,
            style,
            on_step=stop_after(3, KeyboardInterrupt),
            scales=2,
            steps=12,
            size=70,
            keep_colors=mode,
            **SHALLOW,
        )
    assert str(caught.value) == "interrupted; the best picture so far is kept"
    picture = caught.value.picture
    assert_sound(picture, 70, 52)
    assert picture.alpha.shape == (52, 70)
    assert picture.bit_depth == 16


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("stop", [3, 7])  # at the first scale, and at the second
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, content, style, optimizer, stop):
    options = {**SHALLOW, "optimizer": optimizer, "scales": 2, "steps": 8, "checkpoint_every": 2, "init": "noise"}
    path = tmp_path / "out.png.checkpoint"
    uninterrupted = paint(content, style, **options)
    with pytest.raises(Stopped):
        paint(content, style, on_step=stop_after(stop), checkpoint=Checkpoint(path), **options)
    steps = []
    resumed = paint(
        content, style, on_step=lambda step: steps.append(step.done), checkpoint=Checkpoint(path, True), **options
    )
    assert steps == list(range(stop if stop % 2 else stop - 1, 9))
    assert resumed.pixels.tobytes() == uninterrupted.pixels.tobytes()


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 9}, {"style_weight": 11}, {"keep_colors": "coral"}])
def test_a_run_with_other_options_is_not_resumed(tmp_path, content, style, change):
    checkpoint = Checkpoint(tmp_path / "out.png.checkpoint", True)
    options = {**SHALLOW, "checkpoint_every": 1, "init": "noise"}
    with pytest.raises(Stopped):
        paint(content, style, on_step=stop_after(2), checkpoint=checkpoint, **options)
    with pytest.raises(CheckpointError, match="belongs to a run with other pictures or options"):
        paint(content, style, checkpoint=checkpoint, **{**options, **change})


def test_a_run_with_other_pictures_is_not_resumed(tmp_path, content, style, other_style):
    checkpoint = Checkpoint(tmp_path / "out.png.checkpoint", True)
    options = {**SHALLOW, "checkpoint_every": 1}
    with pytest.raises(Stopped):
        paint(content, style, on_step=stop_after(2), checkpoint=checkpoint, **options)
    for pictures in ((content, other_style), (ODD["white"], style), (content, Style(style, 2), Style(other_style))):
        with pytest.raises(CheckpointError, match="belongs to a run with other pictures or options"):
            paint(*pictures, checkpoint=checkpoint, **options)


def test_what_is_kept_on_the_way_may_change_when_resuming(tmp_path, content, style):
    checkpoint = Checkpoint(tmp_path / "out.png.checkpoint", True)
    with pytest.raises(Stopped):
        paint(content, style, on_step=stop_after(3), checkpoint=checkpoint, checkpoint_every=1, steps=5, **SHALLOW)
    steps = []
    paint(
        content,
        style,
        on_step=steps.append,
        checkpoint=checkpoint,
        checkpoint_every=50,
        save_every=1,
        steps=5,
        **SHALLOW,
    )
    assert [step.done for step in steps] == [3, 4, 5]


def test_a_start_from_a_file_is_part_of_the_run(tmp_path, content, style):
    start, checkpoint = tmp_path / "start.png", Checkpoint(tmp_path / "out.png.checkpoint", True)
    write_picture(content, start)
    options = {**SHALLOW, "checkpoint_every": 1, "init": str(start)}
    with pytest.raises(Stopped):
        paint(content, style, on_step=stop_after(2), checkpoint=checkpoint, **options)
    write_picture(style, start)
    with pytest.raises(CheckpointError, match="belongs to a run with other pictures or options"):
        paint(content, style, checkpoint=checkpoint, **options)


# --- how much is computed ---------------------------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch):
    """The size of each picture that goes through the network, but for the one that shows how much memory it takes."""
    sizes = []
    forward = VGG.forward

    def counted(self, image, layers):
        if image.detach().any():
            sizes.append((image.shape[3], image.shape[2], image.requires_grad))
        return forward(self, image, layers)

    monkeypatch.setattr(VGG, "forward", counted)
    return sizes


def test_targets_are_computed_once_per_scale(content, style, other_style, passes):
    paint(content, style, other_style, scales=2, steps=9, style_margin=0, **SHALLOW)
    targets = [(width, height) for width, height, with_gradient in passes if not with_gradient]
    steps = [(width, height) for width, height, with_gradient in passes if with_gradient]
    assert steps == [(32, 24)] * 6 + [(64, 48)] * 3
    assert targets == [(32, 27), (32, 23), (32, 24), (64, 53), (64, 46), (64, 48)]


def test_nothing_is_computed_for_a_part_without_weight(content, style, passes):
    paint(content, style, steps=2, content_weight=0)
    assert len(passes) == 2 + 1
    passes.clear()
    paint(content, style, steps=2, style_weight=0, init="noise")
    assert len(passes) == 2 + 1


def test_no_gradient_is_computed_for_the_weights(content, style):
    engine = OptimizationEngine(GatysOptions(steps=2, scales=1))
    engine.stylize(StylizeInputs(LazyPicture.of(content), (Style(style),)), on_step=lambda step: None)
    assert list(engine.network.parameters()) == []
    tensors = list(engine.network.buffers())
    assert len(tensors) > 32
    assert not any(tensor.requires_grad for tensor in tensors)
    assert all(tensor.grad is None for tensor in tensors)
