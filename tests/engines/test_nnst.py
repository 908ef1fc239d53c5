"""The engine 'nnst': what it promises beyond what every engine does (test_every_engine.py)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

import impasto
from impasto.descriptors.compact import BUNDLED
from impasto.engines import feature_distance, neighbor_method, nnst
from impasto.engines.base import MovedFrame, Style, StylizeInputs
from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.feature_distance import LAYER_STEPS, Features, Look, add_total_variation
from impasto.engines.neighbor_method import continued
from impasto.engines.neighbor_stages import plan_stages
from impasto.engines.nnst import NnstEngine
from impasto.errors import CheckpointError, Interrupted, OutOfMemoryError, UsageError
from impasto.images import LazyPicture, fit_size, read_picture, resize_picture
from impasto.images.color import luminance
from impasto.optimization.arrays import Memory, OnDisk
from impasto.optimization.checkpoint import Checkpoint
from impasto.options import NnstOptions
from impasto.types import Picture
from lanes import slow


def paint(content, *styles, on_step=lambda step: None, checkpoint=None, dividing=MappingProxyType({}), **options):
    """Paint; ``dividing`` are arguments of the engine."""
    chosen = NnstOptions(**{"steps": 20, "precision": "float32", **options})
    given = tuple(style if isinstance(style, Style) else Style(style) for style in styles)
    inputs = StylizeInputs(LazyPicture.of(content), given)
    return NnstEngine(chosen, **dividing).stylize(inputs, on_step=on_step, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def small(content):
    return resize_picture(content, 101, 73)


def plain(color, height=40, width=50):
    return Picture(np.full((height, width, 3), color, np.float32))


# --- stages -----------------------------------------------------------------------------------------------------------


def test_sizes_double_up_to_the_result():
    stages = plan_stages(512, 384, None)
    assert [(stage.width, stage.height) for stage in stages if not stage.by_layer] == [
        (64, 48),
        (128, 96),
        (256, 192),
        (512, 384),
    ]
    assert sum(stage.steps for stage in stages) == NnstOptions().expected_steps
    assert [stage.by_layer for stage in stages] == [False, False, False, True, False, True, True]


@pytest.mark.parametrize(
    ("size", "long_sides"),
    [((1024, 600), [1024]), ((1100, 700), [1024, 1100]), ((1536, 2048), [1024, 2048]), ((3000, 9), [1024, 1753, 3000])],
)
def test_what_is_large_is_enlarged_and_painted_over(size, long_sides):
    stages = [stage for stage in plan_stages(*size, None) if max(stage.width, stage.height) >= 1024]
    assert sorted({max(stage.width, stage.height) for stage in stages}) == long_sides
    assert [stage.optimizer for stage in stages if stage.is_large] == ["damped-adam"] * (len(long_sides) - 1)
    assert not any(stage.keeps_best for stage in stages if stage.is_large)
    assert not any(stage.is_large and not stage.by_layer for stage in stages)
    assert plan_stages(*size, None)[: -len(long_sides) + 1 or None] == plan_stages(*fit_size(*size, 1024), None)


@pytest.mark.parametrize("steps", [1, 7, 20, 500])
@pytest.mark.parametrize("size", [(1, 1), (40, 1), (301, 219), (1024, 768), (4096, 3072)])
def test_steps_are_divided_among_all_stages(size, steps):
    stages = plan_stages(*size, steps)
    assert sum(stage.steps for stage in stages) == steps
    assert (stages[-1].width, stages[-1].height) == size


def test_every_step_is_reported(small, styles):
    steps = []
    paint(small, styles[0], on_step=steps.append)
    assert [step.done for step in steps] == list(range(1, 21)) and {step.total for step in steps} == {20}
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == 1
    assert all(set(step.losses) == {"style", "tv", "total"} for step in steps)
    preview = steps[5].preview()
    assert (preview.width, preview.height) == steps[5].scale


def test_the_losses_fall_within_a_stage(small, styles):
    losses = []
    paint(small, styles[0], steps=None, on_step=lambda step: losses.append((step.scale, step.losses["total"])))
    first = [loss for scale, loss in losses if scale == losses[0][0]]
    assert min(first) < 0.8 * first[0]


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_the_result_has_the_colours_of_the_style(small, painting):
    style = read_picture(painting)
    result = paint(small, style, steps=None)
    for statistic in (np.mean, np.std):
        own, other, before = (statistic(each.pixels, axis=(0, 1)) for each in (result, style, small))
        assert np.abs(own - other).max() < 0.5 * np.abs(before - other).max() + 0.02


@pytest.mark.slow
def test_content_weight_keeps_the_drawing(small, painting):
    style = read_picture(painting)
    loose, tight = (paint(small, style, content_weight=weight, steps=60) for weight in (0.0, 1.0))
    assert np.abs(loose.pixels - tight.pixels).mean() > 1e-3


@pytest.mark.slow
def test_two_styles_get_their_shares(small):
    red, blue = plain((0.8, 0.1, 0.1)), plain((0.1, 0.1, 0.8))
    content = Picture(np.random.default_rng(0).random((96, 128, 3), dtype=np.float32))
    for share in (0.3, 0.7):
        result = paint(content, Style(red, share), Style(blue, 1 - share), steps=None).pixels
        reddish = (result[:, :, 0] > result[:, :, 2]).mean()
        assert reddish == pytest.approx(share, abs=0.15)


@pytest.mark.parametrize(
    "color",
    [(0.9, 0.85, 0.7), *slow(*(((grey,) * 3,) for grey in (0.0, 0.5, 1.0)))],
)
def test_a_plain_style_gives_a_calm_picture(small, color):
    pixels = paint(small, plain(color), steps=None).pixels
    assert np.abs(pixels.mean((0, 1)) - color).max() < 0.1
    roughness = np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean()
    given = np.abs(np.diff(small.pixels, axis=0)).mean() + np.abs(np.diff(small.pixels, axis=1)).mean()
    assert roughness <= given


@pytest.mark.slow
def test_nearly_plain_and_two_coloured_styles_are_calm(small):
    random = np.random.default_rng(0)
    paper = Picture((0.9 + 0.01 * random.standard_normal((60, 80, 3))).clip(0, 1).astype(np.float32))
    halves = plain((0.2, 0.3, 0.6))
    halves.pixels[:, 25:] = (0.9, 0.8, 0.3)
    for style in (paper, halves):
        pixels = paint(small, style, steps=None).pixels
        low, high = style.pixels.min(), style.pixels.max()
        outside = (pixels < low - 0.25) | (pixels > high + 0.25)
        assert outside.mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 1), (7, 9), (17, 8)])
def test_tiny_pictures_are_painted(content, styles, size):
    result = paint(resize_picture(content, *size), resize_picture(styles[0], 5, 4))
    assert (result.width, result.height) == size
    assert np.isfinite(result.pixels).all()


def test_colours_hidden_by_transparency_are_no_style(small, styles):
    alpha = np.zeros(styles[0].pixels.shape[:2], np.float32)
    alpha[20:90, 30:120] = 1
    hidden = [
        replace(styles[0], alpha=alpha, pixels=np.where(alpha[:, :, None] > 0, styles[0].pixels, value))
        for value in (0, 1)
    ]
    one, other = (paint(small, replace(each, pixels=each.pixels.astype(np.float32))).pixels for each in hidden)
    np.testing.assert_array_equal(one, other)


def test_a_style_of_the_gallery_is_painted_from_its_picture(small):
    result = impasto.stylize(small, "great-wave", steps=20)
    assert result.metadata["engine"] == "nnst" and "compact sha256:" in result.metadata["descriptor"]


# --- runs -------------------------------------------------------------------------------------------------------------


class KilledError(Exception):
    pass


def stop_after(count, error):
    def on_step(step):
        if step.done == count:
            raise error

    return on_step


@pytest.mark.parametrize("stop", [9, *slow(3, 14, 19)])
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, small, styles, stop):
    path = tmp_path / "out.png.checkpoint"
    options = {"checkpoint_every": 1, "size": 200}
    whole = paint(small, styles[0], **options)
    with pytest.raises(KilledError):
        paint(small, styles[0], on_step=stop_after(stop, KilledError()), checkpoint=Checkpoint(path), **options)
    steps = []
    resumed = paint(small, styles[0], on_step=steps.append, checkpoint=Checkpoint(path, resume=True), **options)
    assert steps[0].done == stop, "the step that was not saved is repeated"
    assert resumed.pixels.tobytes() == whole.pixels.tobytes()


def test_a_run_with_other_options_is_not_resumed(tmp_path, small, styles):
    checkpoint = Checkpoint(tmp_path / "out.png.checkpoint", resume=True)
    with pytest.raises(KilledError):
        paint(small, styles[0], on_step=stop_after(5, KilledError()), checkpoint=checkpoint, checkpoint_every=1)
    with pytest.raises(CheckpointError, match="belongs to a run with other pictures or options"):
        paint(small, styles[0], checkpoint=checkpoint, checkpoint_every=1, content_weight=0.5)


def test_an_interrupted_run_gives_the_best_picture(small, styles):
    with pytest.raises(Interrupted) as stop:
        paint(small, styles[0], on_step=stop_after(8, KeyboardInterrupt()))
    picture = stop.value.picture
    assert (picture.width, picture.height) == (small.width, small.height)
    assert np.abs(picture.pixels - small.pixels).mean() > 0.01


def test_the_same_run_gives_the_same_bytes(small, styles):
    one, other = (paint(small, styles[0], seed=3).pixels.tobytes() for _ in range(2))
    assert one == other


@pytest.mark.slow
def test_a_large_content_is_painted_at_1024_unless_asked(small, styles):
    sizes = []
    large = resize_picture(small, 1500, 100)
    result = paint(large, styles[0], steps=60, on_step=lambda step: sizes.append(step.scale))
    assert (result.width, result.height) == (1500, 100) and sizes[-1][0] == 1024
    paint(large, styles[0], steps=60, size=1200, on_step=lambda step: sizes.append(step.scale))
    assert sizes[-1][0] == 1200


def test_a_compact_descriptor_by_file(small, styles, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = shutil.copy(BUNDLED, tmp_path / "own.safetensors")
    result, bundled = (paint(small, styles[0], steps=5, descriptor=name) for name in (str(own), "compact"))
    assert np.array_equal(result.pixels, bundled.pixels)


@pytest.mark.parametrize("name", ["compakt", "", "..", "compact/.."])
def test_unknown_descriptors_are_refused(name):
    with pytest.raises(UsageError):
        NnstEngine(NnstOptions(descriptor=name))


# --- films ------------------------------------------------------------------------------------------------------------


def test_a_frame_that_follows_another_needs_its_later_stages_only():
    stages, all_stages = plan_stages(512, 384, None, follows=True), plan_stages(512, 384, None)
    assert [(stage.width, stage.by_layer) for stage in stages] == [
        (stage.width, stage.by_layer) for stage in all_stages if stage.width >= 256
    ]
    assert [stage.steps for stage in stages] == [12, 6, 5, 3, 3]


@pytest.mark.parametrize("steps", [None, 1, 2, 30])
@pytest.mark.parametrize("width", [1, 40, 405, 512, 641, 853, 1024, 2048])
def test_a_frame_that_follows_another_has_two_sizes_and_a_step(width, steps):
    stages = plan_stages(width, width // 2 + 1, steps, follows=True)
    whole = plan_stages(width, width // 2 + 1, steps)
    sizes = [*dict.fromkeys(stage.width for stage in whole if not stage.is_large)][-2:]
    assert [*dict.fromkeys(stage.width for stage in stages if not stage.is_large)] == sizes
    assert 1 <= sum(stage.steps for stage in stages) <= sum(stage.steps for stage in whole)


def test_a_frame_continues_the_one_before_where_the_motion_is_sure(small, painting):
    """Here the motion is sure on the left, and something new is on the right."""
    inputs = StylizeInputs(LazyPicture.of(small), (Style(read_picture(painting)),))
    shot = NnstEngine(NnstOptions(steps=40, precision="float32")).shot(inputs, print)

    def frame(pixels, before=None):
        return next(shot(LazyPicture.of(Picture(pixels)), before)).pixels

    first, middle = frame(small.pixels), small.width // 2
    noise = np.random.default_rng(0).normal(0, 0.02, small.pixels.shape)
    seen = np.clip(small.pixels + noise, 0, 1).astype(np.float32)
    seen[:, middle:] = 1 - seen[:, middle:]
    trust = np.ones(first.shape[:2], np.float32)
    trust[:, middle:] = 0
    alone, continued = frame(seen), frame(seen, MovedFrame(first, trust))
    left, right = np.s_[:, : middle - 8], np.s_[:, middle + 8 :]
    assert np.abs(continued - first)[left].mean() < 0.5 * np.abs(alone - first)[left].mean()
    assert np.abs(continued - alone)[right].mean() < 0.5 * np.abs(continued - first)[right].mean()


def test_the_previous_frame_counts_as_it_was_painted_if_colours_are_kept(small, painting):
    inputs = StylizeInputs(LazyPicture.of(small), (Style(read_picture(painting)),))
    shot = NnstEngine(NnstOptions(steps=10, precision="float32", keep_colors="luminance")).shot(inputs, print)
    trust = np.ones(small.pixels.shape[:2], np.float32)
    grey = np.repeat(luminance(small.pixels)[:, :, None], 3, axis=2)
    of_colours, of_grey = (next(shot(inputs.content, MovedFrame(each, trust))).pixels for each in (small.pixels, grey))
    assert np.abs(of_colours - of_grey).max() < 1e-3


def test_new_content_of_a_film_has_the_colours_of_what_is_near():
    plain_frame = np.full((96, 192, 3), 0.3, np.float32)
    before = plain_frame + np.array([0.2, 0, -0.1], np.float32)
    trust = np.ones((96, 192), np.float32)
    trust[:, -12:] = 0
    assert np.abs(continued(plain_frame, before, trust) - before).max() < 0.02


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_tiles_see_what_the_whole_sees(content, styles):
    graphs = DescriptorGraphs("compact", NnstOptions(precision="float32"))
    whole, tiled = Look(graphs), Look(graphs, 20_000)
    pixels, other = content.pixels, resize_picture(styles[1], content.width, content.height).pixels
    pairs = [(whole.hypercolumns(pixels), tiled.hypercolumns(pixels))]
    pairs += zip(whole.layers(pixels).values(), tiled.layers(pixels).values(), strict=True)
    for one, two in pairs:
        np.testing.assert_allclose(one, two, atol=1e-5 * np.abs(one).max())
    target, targets = whole.hypercolumns(other), whole.layers(other)
    by_layer = {name: Features.of(target, LAYER_STEPS[name]) for name, target in targets.items()}
    for one, two in (
        (whole.distance(target, 0.3), tiled.distance(target, 0.3)),
        (whole.distance_by_layer(by_layer, 0.3), tiled.distance_by_layer(by_layer, 0.3)),
    ):
        first, second = one.evaluate(Memory().image(pixels)), two.evaluate(Memory().image(pixels))
        assert first.losses == pytest.approx(second.losses, rel=1e-5)
        np.testing.assert_allclose(first.gradient, second.gradient, atol=1e-5 * np.abs(first.gradient).max())


def test_features_do_not_tell_of_the_edges():
    pixels = np.full((64, 80, 3), (0.2, 0.35, 0.4), np.float32)
    seen = Look(DescriptorGraphs("compact", NnstOptions(precision="float32"))).layers(pixels)
    for layer, most in {"relu1_1": 1e-5, "relu2_1": 1e-5, "relu3_1": 1e-5, "relu4_1": 0.5}.items():
        features = seen[layer][0]
        middle = features[:, features.shape[1] // 2, features.shape[2] // 2, None, None]
        assert np.linalg.norm(features - middle, axis=0).max() <= most * np.linalg.norm(middle)


IN_TILES = {"tile_pixels": 20_000}


@pytest.mark.slow
def test_tiles_leave_no_trace(content, styles):
    """As long as the neighbours are the same. Rounding, which on some processors depends on the size of a tile, decides
    between those that are almost equally similar. From then on, single pixels differ.
    """
    for steps, share in ((8, 0.0), (20, 0.01)):
        whole, tiled = (paint(content, styles[0], steps=steps, dividing=each).pixels for each in ({}, IN_TILES))
        assert (np.abs(whole - tiled).max(2) > 2 / 255).mean() <= share
        assert np.abs(whole - tiled).mean() < 0.2 / 255


# --- large pictures, which begin at 64 pixels here --------------------------------------------------------------------


LARGE_FROM_64 = {"whole": 64}


@pytest.mark.slow
def test_large_pictures_are_painted_alike_in_tiles(content, styles):
    whole, tiled = (
        paint(content, styles[0], steps=None, size=301, dividing=dividing)
        for dividing in (LARGE_FROM_64, LARGE_FROM_64 | IN_TILES)
    )
    difference = np.abs(whole.pixels - tiled.pixels)
    assert (difference.max(2) > 1 / 255).mean() < 0.005
    assert difference.mean() < 0.1 / 255


@pytest.mark.slow
def test_painting_over_is_near_to_painting_the_whole(content, painting):
    """And nearer than the small picture, enlarged, in how much the pixels vary at the finest scale."""
    style = read_picture(painting)
    whole = paint(content, style, steps=None).pixels
    half = fit_size(content.width, content.height, max(content.width, content.height) // 2)
    small = resize_picture(paint(content, style, steps=None, size=max(half)), content.width, content.height).pixels
    over = paint(content, style, steps=None, size=301, dividing={"whole": max(half)}).pixels
    assert np.abs(over - whole).mean() < np.abs(content.pixels - whole).mean()
    fine = [np.abs(np.diff(pixels, axis=1)).mean() for pixels in (whole, small, over)]
    assert abs(fine[2] - fine[0]) < abs(fine[1] - fine[0])


@pytest.mark.slow
@pytest.mark.parametrize("stop", [12, 17])
def test_a_large_picture_is_resumed_to_the_same_bytes(tmp_path, content, styles, stop):
    options = {"checkpoint_every": 1, "steps": 20, "size": 301, "dividing": LARGE_FROM_64}
    whole, path = paint(content, styles[0], **options), tmp_path / "checkpoint"
    with pytest.raises(KilledError):
        paint(content, styles[0], on_step=stop_after(stop, KilledError()), checkpoint=Checkpoint(path), **options)
    resumed = paint(content, styles[0], checkpoint=Checkpoint(path, resume=True), **options)
    assert resumed.pixels.tobytes() == whole.pixels.tobytes()


@pytest.mark.slow
def test_state_on_disk_makes_the_same_picture_and_is_announced_once(tmp_path, content, styles, monkeypatch):
    options = {"checkpoint_every": 1, "steps": 20, "size": 301, "dividing": LARGE_FROM_64}
    whole, path, steps = paint(content, styles[0], **options), tmp_path / "checkpoint", []
    monkeypatch.setattr(nnst, "_ON_DISK", 10_000)
    kept, real_kept = [], OnDisk.kept
    monkeypatch.setattr(OnDisk, "kept", lambda self, array: kept.append(array) or real_kept(self, array))
    with pytest.raises(KilledError):
        paint(content, styles[0], on_step=stop_after(17, KilledError()), checkpoint=Checkpoint(path), **options)
    resumed = paint(content, styles[0], on_step=steps.append, checkpoint=Checkpoint(path, resume=True), **options)
    assert resumed.pixels.tobytes() == whole.pixels.tobytes()
    assert np.array_equal(kept[0], content.pixels)
    assert [step.note for step in steps if step.note] == ["up to 0.0 GB of state are kept on disk"]
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]
    inputs = StylizeInputs(LazyPicture.of(content), (Style(styles[0]),))
    engine = NnstEngine(NnstOptions(size=301))
    assert engine.forecast(inputs, tmp_path).disk == 72 * 301 * 219


def test_a_full_disk_is_told_before_anything_is_painted(tmp_path, content, styles, monkeypatch):
    monkeypatch.setattr(nnst, "_ON_DISK", 0)
    monkeypatch.setattr(nnst, "_DISK_BYTES", 1 << 50)
    steps = []
    with pytest.raises(OutOfMemoryError, match=r"GB of state need room on the disk of .*; free space, or choose a sm"):
        paint(content, styles[0], on_step=steps.append, checkpoint=Checkpoint(tmp_path / "checkpoint"))
    assert not steps


@pytest.mark.slow
def test_strips_are_not_visible_in_a_large_picture(content, styles, monkeypatch):
    options = {"size": 301, "dividing": LARGE_FROM_64}
    whole = paint(content, styles[0], **options)
    for module in (feature_distance, neighbor_method):
        monkeypatch.setattr(module, "STRIP_ROWS", 37)
    assert np.array_equal(paint(content, styles[0], **options).pixels, whole.pixels)


@pytest.mark.slow
def test_strength_keeps_the_details_of_a_large_picture(content, styles):
    options = {"steps": None, "size": 301, "dividing": LARGE_FROM_64}
    pictures = [paint(content, styles[0], strength=strength, **options).pixels for strength in (0, 0.05, 0.4, 0.7, 1)]
    distances = [float(np.abs(pixels - content.pixels).mean()) for pixels in pictures]
    assert distances == sorted(distances) and distances[0] == 0
    assert distances[1] < 0.25 * distances[-1]


def test_two_styles_get_their_shares_of_a_large_picture():
    red, blue = plain((0.8, 0.1, 0.1)), plain((0.1, 0.1, 0.8))
    content = Picture(np.random.default_rng(0).random((96, 128, 3), dtype=np.float32))
    styles = Style(red, 0.3), Style(blue, 0.7)
    result = paint(content, *styles, steps=None, size=128, dividing=LARGE_FROM_64).pixels
    assert (result[:, :, 0] > result[:, :, 2]).mean() == pytest.approx(0.3, abs=0.15)


def test_total_variation_has_its_gradient(small):
    image = Memory().image(small.pixels).astype(np.float64)
    gradient = np.zeros_like(image)
    add_total_variation(image, gradient, 0.3)
    direction = np.random.default_rng(0).standard_normal(image.shape)
    values = [add_total_variation(image + sign * 1e-4 * direction, np.zeros_like(image), 1.0) for sign in (1, -1)]
    assert 0.3 * (values[0] - values[1]) / 2e-4 == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


def test_what_does_not_fit_into_memory_is_refused(small, styles, monkeypatch):
    monkeypatch.setattr(nnst, "free_memory", lambda: 5 * 10**8)
    with pytest.raises(OutOfMemoryError, match=r"4096x2960 pixels need \d+\.\d GB of memory and 0\.5 GB are free"):
        paint(small, styles[0], size=4096)
