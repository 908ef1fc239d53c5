"""Reconstructions from layers: noise becomes what a layer, or its statistics, cannot tell from the image."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from impasto.comparison.reconstruct import Reconstruction, reconstruct
from impasto.errors import ImageSizeError, Interrupted, UnknownNameError, UsageError
from impasto.images import read_picture, resize_pixels
from impasto.losses.functional import gram_loss, gram_matrix
from impasto.optimization.tensors import to_tensor
from impasto.options import ReconstructOptions
from random_networks import narrow_vgg

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.types import FloatArray, Picture, Step


@pytest.fixture
def image(painting: Path) -> Picture:
    return read_picture(painting)


def run(image: Picture, **options: Any) -> tuple[list[Reconstruction], list[Step]]:
    steps: list[Step] = []
    chosen = ReconstructOptions.parse({"size": 64, "steps": 40, "device": "cpu", **options})
    made = list(reconstruct(image, chosen, on_step=steps.append, load=lambda wanted: narrow_vgg()))
    return made, steps


def seen(pixels: FloatArray, layer: str) -> torch.Tensor:
    return narrow_vgg().forward(to_tensor(pixels, torch.device("cpu")), [layer])[layer]


def test_the_default_is_figure_1(image: Picture) -> None:
    made, steps = run(image, steps=2)
    style = [f"relu{block}_1" for block in range(1, 6)]
    assert [(each.kind, each.layers) for each in made] == [
        *(("style", tuple(style[:depth])) for depth in range(1, 6)),
        *(("content", (f"relu{block}_2",)) for block in range(1, 6)),
    ]
    assert all((each.picture.width, each.picture.height) == (64, 48) for each in made)
    assert all(each.seconds > 0 for each in made)
    assert [step.done for step in steps] == list(range(1, 21))
    assert {step.total for step in steps} == {20}
    assert [step.fraction for step in steps] == pytest.approx([done / 20 for done in range(1, 21)])


def test_content_loss_falls_from_noise(image: Picture) -> None:
    made, steps = run(image, content="relu2_2,relu4_2", style="none")
    target = resize_pixels(image.pixels, 48, 64)
    noise = np.random.default_rng(0).random((48, 64, 3), dtype=np.float32)
    for index, each in enumerate(made):
        (layer,) = each.layers
        losses = [step.losses["content"] for step in steps[index * 40 : (index + 1) * 40]]
        assert losses[-1] < 0.2 * losses[0]
        assert each.losses["content"] == losses[-1]
        # Also when measured from outside.
        before, after = (
            (seen(pixels, layer) - seen(target, layer)).square().sum() for pixels in (noise, each.picture.pixels)
        )
        assert after < 0.2 * before


@pytest.mark.slow
def test_deeper_layers_keep_less_detail(image: Picture) -> None:
    def detail(pixels: FloatArray) -> FloatArray:
        return (pixels - resize_pixels(resize_pixels(pixels, 12, 16), 48, 64)).ravel()

    made, _ = run(image, content="relu1_1,relu1_2,relu2_2,relu4_2", style="none")
    original = detail(resize_pixels(image.pixels, 48, 64))
    kept = [float(np.corrcoef(detail(each.picture.pixels), original)[0, 1]) for each in made]
    assert kept[0] > 0.9
    for shallow, deep in itertools.pairwise(kept):
        assert deep < 0.9 * shallow, kept


def test_style_has_the_statistics_and_not_the_place(image: Picture) -> None:
    made, _ = run(image, content="relu1_1", style="relu1_1,relu2_1")
    style, content = made[1], made[2]
    target = resize_pixels(image.pixels, 48, 64)
    noise = np.random.default_rng(0).random((48, 64, 3), dtype=np.float32)

    def distance(pixels: FloatArray) -> float:
        return float(gram_loss(gram_matrix(seen(pixels, "relu2_1")), gram_matrix(seen(target, "relu2_1")), "relative"))

    assert distance(style.picture.pixels) < 0.1 * distance(noise)
    misplaced, kept = (np.abs(each.picture.pixels - target).mean() for each in (style, content))
    assert misplaced > 2 * kept


def test_more_total_variation_is_smoother(image: Picture) -> None:
    def roughness(tv_weight: float) -> float:
        (made,), _ = run(image, content="relu4_2", style="none", tv_weight=tv_weight)
        return float(np.square(np.diff(made.picture.pixels, axis=1)).mean())

    assert roughness(10) < 0.7 * roughness(0)


def test_the_seed_decides(image: Picture) -> None:
    def pixels(seed: int) -> FloatArray:
        (made,), _ = run(image, content="relu2_2", style="none", seed=seed, steps=3)
        return made.picture.pixels

    np.testing.assert_array_equal(pixels(1), pixels(1))
    assert np.abs(pixels(1) - pixels(2)).max() > 0.01


def test_interrupt_leaves_what_is_ready(image: Picture) -> None:
    def stop_in_the_second(step: Step) -> None:
        if step.done == 4:
            raise KeyboardInterrupt

    options = ReconstructOptions(size=64, steps=3, style="none", device="cpu")
    runs = reconstruct(image, options, on_step=stop_in_the_second, load=lambda wanted: narrow_vgg())
    assert next(runs).layers == ("relu1_2",)
    with pytest.raises(Interrupted):
        next(runs)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"content": "relu4_9"}, UnknownNameError, "unknown layer of vgg19 'relu4_9'; did you mean 'relu4_"),
        ({"size": 40}, ImageSizeError, "image is 40x30; relu5_2 needs at least 32x32; choose a larger size or"),
        ({"style": "none", "content": "none"}, UsageError, "content and style are both none; nothing is left"),
        ({"style": "relu1_1,,relu2_1"}, UsageError, "a layer has no name; write LAYER,LAYER,... or none"),
        ({"content": ["relu1_1", "relu1_1"]}, UsageError, "layer 'relu1_1' is named twice"),
        ({"steps": 0}, UsageError, "steps is 0; it should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_done(image: Picture, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        run(image, **options)
