"""The plan of sizes and steps."""

from __future__ import annotations

import itertools

import pytest

from impasto.optimization.stages import Stage, fit_layers, plan_scales


@pytest.mark.parametrize(
    ("width", "height", "scales", "steps"),
    list(itertools.product([512, 97], [384, 64], [0, 1, 2, 5], [10, 300])),
)
def test_all_steps_are_given_out(width, height, scales, steps):
    plan = plan_scales(width, height, scales, steps, 32)
    assert sum(scale.steps for scale in plan) == steps
    assert all(scale.steps >= 1 for scale in plan)


def test_each_scale_gets_a_step_whose_move_counts():
    assert [scale.steps for scale in plan_scales(512, 512, 3, 8, 32)] == [4, 2, 2]
    assert [scale.steps for scale in plan_scales(512, 512, 3, 2, 32)] == [2, 2, 2]
    assert [scale.steps for scale in plan_scales(512, 512, 3, 1, 32)] == [1, 1, 1], "to look at the losses"


@pytest.mark.parametrize("scales", [0, 1, 2, 12])
def test_the_last_scale_is_the_picture(scales):
    last = plan_scales(333, 255, scales, 50, 32)[-1]
    assert (last.width, last.height) == (333, 255)


def test_sizes_halve():
    assert [(scale.width, scale.height) for scale in plan_scales(501, 400, 3, 70, 32)] == [
        (125, 100),
        (250, 200),
        (501, 400),
    ]


def test_a_scale_gets_half_as_many_steps_as_the_one_before():
    assert [scale.steps for scale in plan_scales(512, 512, 3, 700, 32)] == [400, 200, 100]


def test_one_scale_is_no_scales():
    assert plan_scales(512, 512, 1, 100, 32) == [Stage(512, 512, 100)]


@pytest.mark.parametrize(("short", "count"), [(63, 1), (127, 1), (128, 2), (255, 2), (256, 3), (1024, 5)])
def test_zero_leaves_the_coarsest_a_short_side_of_64(short, count):
    plan = plan_scales(2 * short, short, 0, 100, 32)
    assert len(plan) == count
    assert count == 1 or plan[0].height >= 64


@pytest.mark.parametrize(("minimum", "coarsest"), [(32, 32), (33, 64), (64, 64), (65, 128), (500, 256)])
def test_no_scale_is_smaller_than_the_layers_need(minimum, coarsest):
    assert plan_scales(300, 256, 12, 100, minimum)[0].height == coarsest


def test_zero_obeys_the_minimum_too():
    assert plan_scales(512, 512, 0, 100, 300)[0].height == 512


def test_no_side_vanishes():
    assert plan_scales(1000, 1, 3, 30, 1)[0] == Stage(1000, 1, 30)


@pytest.mark.parametrize(
    ("size", "long_side", "fitted"),
    [((200, 100), 200, (200, 100)), ((200, 100), 100, (128, 64)), ((50, 100), 40, (64, 128)), ((90, 90), 16, (64, 64))],
)
def test_no_short_side_is_below_what_the_layers_need(size, long_side, fitted):
    assert fit_layers(*size, long_side, 64) == fitted


def test_work_counts_pixels():
    assert Stage(20, 10, 3).work == 600
