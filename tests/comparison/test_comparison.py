"""Many variants of one pair: painted as if alone, and judged by one measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from impasto.comparison.compare import DistanceMeasure, Result, compare
from impasto.comparison.sweeps import Variant, combine, parse_sweep
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.errors import Interrupted, UnknownNameError, UsageError
from impasto.images import open_picture, read_picture, resize_picture
from impasto.types import Picture
from random_networks import narrow_vgg

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.descriptors.vgg import VGG
    from impasto.options import DescentOptions
    from impasto.types import Step

CPU = torch.device("cpu")
BASE = {"size": 48, "steps": 4, "scales": 1, "device": "cpu", "precision": "float32"}


@pytest.fixture
def inputs(photo: Path, painting: Path) -> StylizeInputs:
    return StylizeInputs(open_picture(photo), (Style(read_picture(painting)),))


def variants(*sweeps: str, **base: Any) -> list[Variant]:
    rows = combine([parse_sweep(text) for text in sweeps], {**BASE, **base})
    return [variant for row in rows for variant in row]


def load(options: DescentOptions) -> VGG:
    return narrow_vgg(pooling=options.pooling)


def run(inputs: StylizeInputs, *sweeps: str, **base: Any) -> tuple[list[Result], list[Step]]:
    steps: list[Step] = []
    return list(compare(inputs, variants(*sweeps, **base), on_step=steps.append, load=load)), steps


def test_results_are_those_of_the_engine(inputs: StylizeInputs) -> None:
    results, steps = run(inputs, "style-weight=1,1000", "pooling=max,average")
    assert [result.variant.label for result in results] == [
        "style-weight 1, pooling max",
        "style-weight 1000, pooling max",
        "style-weight 1, pooling average",
        "style-weight 1000, pooling average",
    ]
    for index, result in enumerate(results):
        options = result.variant.options
        engine = OptimizationEngine(options, network=load(options))
        alone: list[Step] = []
        picture = engine.stylize(inputs, on_step=alone.append)
        assert result.picture is not None and result.seconds > 0 and not result.error
        np.testing.assert_array_equal(result.picture.pixels, picture.pixels)
        assert result.losses == alone[-1].losses == steps[4 * index + 3].losses
        assert "average" in picture.metadata["options"] or options.pooling == "max"
    assert [step.done for step in steps] == list(range(1, 17))
    assert {step.total for step in steps} == {16}
    assert steps[-1].fraction == pytest.approx(1)


@pytest.mark.slow
def test_more_style_is_nearer_to_the_style_and_farther_from_the_content(inputs: StylizeInputs) -> None:
    (content, style), _ = run(inputs, "style-weight:content-weight=1:100,100:1", steps=20, init="content+noise")
    assert style.distances["style"] < 0.5 * content.distances["style"]
    assert content.distances["content"] < 0.5 * style.distances["content"]


def test_the_measure_knows_both_ends(inputs: StylizeInputs) -> None:
    measure = DistanceMeasure(inputs, narrow_vgg(), CPU)

    def measured(size: int) -> tuple[dict[str, float], dict[str, float]]:
        pictures = inputs.content.read(), inputs.styles[0].picture
        content, style = (measure(resize_picture(each, size, size * 3 // 4)) for each in pictures)
        return content, style

    content, style = measured(48)
    assert content["content"] < 1e-3 < content["style"]
    assert style["style"] < 1e-3 < style["content"]
    content, style = measured(16)  # less than the layers can take: enlarged, and so not the same any more
    assert content["content"] < style["content"]
    assert style["style"] < content["style"]


def test_the_measure_weighs_the_styles(inputs: StylizeInputs) -> None:
    painting = inputs.styles[0].picture
    other = Picture(np.ascontiguousarray(1 - painting.pixels))

    def distance(weight: float) -> float:
        mixed = StylizeInputs(inputs.content, (Style(painting, 1), Style(other, weight)))
        return DistanceMeasure(mixed, narrow_vgg(), CPU)(resize_picture(painting, 64, 48))["style"]

    assert distance(0.01) < distance(1) < distance(100)


def test_the_measure_does_not_depend_on_the_weights(inputs: StylizeInputs) -> None:
    # Without a single step away from the content, all pictures are the same, whatever the losses weigh.
    results, _ = run(inputs, "style-weight=1,1000", "pooling=max,average", steps=1)
    first = results[0].distances
    assert first["content"] < 1e-3
    assert all(result.distances == first for result in results)
    assert results[0].losses["style"] < 0.01 * results[1].losses["style"]


def test_a_network_is_loaded_once(inputs: StylizeInputs) -> None:
    loaded: list[tuple[str, str, str]] = []

    def counting(options: DescentOptions) -> VGG:
        loaded.append((options.descriptor, options.pooling, options.precision))
        return load(options)

    wanted = variants("pooling=average,max", "style-weight=1,2,3", steps=1)
    assert len(list(compare(inputs, wanted, on_step=lambda step: None, load=counting))) == 6
    assert sorted(loaded) == [("auto", "average", "float32"), ("auto", "max", "float32")]


def test_a_variant_that_fails_says_why_and_the_others_go_on(inputs: StylizeInputs) -> None:
    results, _ = run(inputs, "size=48;16;56", steps=1)
    assert [result.picture is None for result in results] == [False, True, False]
    assert results[1].error.startswith("content image is 16x12; ")
    assert not results[1].distances and not results[1].losses


def test_options_that_no_engine_takes_are_refused_before_the_first_picture(inputs: StylizeInputs) -> None:
    steps: list[Step] = []
    results = compare(inputs, variants("style-layers=relu1_1,relu7_1"), on_step=steps.append, load=load)
    with pytest.raises(UsageError, match="style-layers relu7_1: unknown layer of vgg19 'relu7_1'; did you mean"):
        next(results)
    assert not steps


def test_interrupt_keeps_what_is_ready(inputs: StylizeInputs) -> None:
    def stop_in_the_second(step: Step) -> None:
        if step.done == 6:
            raise KeyboardInterrupt

    results = compare(inputs, variants("tv-weight=1,2"), on_step=stop_in_the_second, load=load)
    assert next(results).picture is not None
    with pytest.raises(Interrupted) as stopped:
        next(results)
    assert stopped.value.picture.width == 48


def test_a_network_that_cannot_measure_is_refused_before_the_work(inputs: StylizeInputs) -> None:
    def shallow(options: DescentOptions) -> VGG:
        network = narrow_vgg()
        network.layers = network.layers[: network.layers.index("pool3")]
        return network

    steps: list[Step] = []
    results = compare(inputs, variants("steps=1,2", style_layers="relu1_1"), on_step=steps.append, load=shallow)
    with pytest.raises(UnknownNameError, match="unknown layer of vgg19 'relu4_2'"):
        next(results)
    assert not steps
