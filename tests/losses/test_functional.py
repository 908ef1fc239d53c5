"""The mathematics of the losses, on tensors whose answer is known on paper."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from impasto.losses.functional import (
    Normalization,
    _Gram,
    blotches,
    content_loss,
    gram_loss,
    gram_matrix,
    grid_share,
    mean_std_loss,
    total_variation,
)
from impasto.networks.blocks import mean_and_std

NORMALIZATIONS: list[Normalization] = ["paper", "relative"]
LOSSES = [
    pytest.param(lambda x: x, content_loss, id="content"),
    pytest.param(gram_matrix, gram_loss, id="gram"),
    pytest.param(mean_and_std, mean_std_loss, id="mean-std"),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def checkerboard(height: int, width: int) -> Tensor:
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width)
    return ((rows + columns) % 2).float().expand(1, 3, height, width)


# total variation


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (5, 12)])
def test_total_variation_of_a_checkerboard_is_two_at_any_size(size: tuple[int, int]) -> None:
    assert total_variation(checkerboard(*size)).item() == 2


def test_total_variation_of_one_colour_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 4, 5), 0.3)).item() == 0


def test_total_variation_of_a_ramp_is_the_square_of_its_slope() -> None:
    ramp = torch.arange(6.0).mul(0.1).expand(1, 3, 4, 6)
    assert total_variation(ramp).item() == pytest.approx(0.01)
    assert total_variation(ramp.transpose(2, 3)).item() == pytest.approx(0.01)


# statistics


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # 2 channels at 2 positions
    assert gram_matrix(features).tolist() == [[[2.5, 5.5], [5.5, 12.5]]]


def test_gram_matrix_keeps_the_images_of_a_batch_apart() -> None:
    batch = random(3, 4, 5, 6)
    torch.testing.assert_close(gram_matrix(batch), torch.cat([gram_matrix(image[None]) for image in batch]))


def test_gram_matrix_does_not_depend_on_how_often_a_texture_repeats() -> None:
    features = random(1, 4, 5, 6)
    torch.testing.assert_close(gram_matrix(features.repeat(1, 1, 3, 2)), gram_matrix(features))


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradient_of_the_gram_matrix_is_the_derivative(channels_last: bool) -> None:
    # gradcheck moves each entry of the matrix alone, so it sees that both D and its transpose are there.
    flat = random(2, 5, 3).transpose(1, 2) if channels_last else random(2, 3, 5)
    flat = flat.double().requires_grad_()
    assert torch.autograd.gradcheck(_Gram.apply, (flat,))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradient_of_the_gram_matrix_keeps_the_memory_format(memory_format: torch.memory_format) -> None:
    features = random(1, 4, 5, 6).contiguous(memory_format=memory_format).requires_grad_()
    (gradient,) = torch.autograd.grad(gram_matrix(features).sum(), features)
    assert gradient.is_contiguous(memory_format=memory_format)


def test_mean_and_std_by_hand() -> None:
    features = torch.tensor([[[[0.0, 2.0], [0.0, 2.0]], [[7.0, 1.0], [3.0, 5.0]]]])
    expected = torch.tensor([[[1.0, 4.0], [1.0, 5.0**0.5]]])
    torch.testing.assert_close(mean_and_std(features), expected, rtol=0, atol=1e-6)


def test_gradient_of_the_standard_deviation_of_a_flat_channel_is_finite() -> None:
    flat = torch.full((1, 2, 4, 4), 0.5, requires_grad=True)
    mean_and_std(flat).sum().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("statistics", [gram_matrix, mean_and_std])
def test_statistics_forget_where_things_are(statistics: object) -> None:
    features = random(1, 4, 5, 6)
    shuffled = features.flatten(2)[:, :, torch.randperm(30, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(statistics(shuffled.view(1, 4, 6, 5)), statistics(features))  # type: ignore[operator]


# as printed in Gatys et al. (2016), written out number by number


def entries(features: Tensor) -> list[list[float]]:
    """F_ik: channel i at position k."""
    return [channel.flatten().tolist() for channel in features[0].double()]


def gram_of_the_paper(f: list[list[float]]) -> list[list[float]]:
    """Equation 3."""
    return [[sum(a * b for a, b in zip(f_i, f_j, strict=True)) for f_j in f] for f_i in f]


def test_paper_content_loss_is_equation_1_as_a_mean() -> None:
    features, target = random(1, 3, 4, 5), random(1, 3, 4, 5, seed=1)
    expected = 0.0
    for f_i, p_i in zip(entries(features), entries(target), strict=True):
        for f_ik, p_ik in zip(f_i, p_i, strict=True):
            expected += 0.5 * (f_ik - p_ik) ** 2
    assert content_loss(features, target, "paper").item() == pytest.approx(expected / (3 * 4 * 5))


def test_paper_gram_loss_is_equation_4() -> None:
    features, target = random(1, 3, 4, 5), random(1, 3, 4, 5, seed=1)
    g, a = gram_of_the_paper(entries(features)), gram_of_the_paper(entries(target))
    channels, positions = 3, 20
    expected = 0.0
    for i, j in itertools.product(range(channels), repeat=2):
        expected += (g[i][j] - a[i][j]) ** 2 / (4 * channels**2 * positions**2)
    assert gram_loss(gram_matrix(features), gram_matrix(target), "paper").item() == pytest.approx(expected, rel=1e-4)


def test_paper_mean_std_loss_adds_both_squared_distances() -> None:
    mean_and_deviation = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    target = torch.tensor([[[1.0, 0.0], [3.0, 1.0]]])
    assert mean_std_loss(mean_and_deviation, target, "paper").item() == 4 + 9


# relative


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("statistics", "loss"), LOSSES)
def test_loss_is_zero_at_the_target(statistics, loss, normalization) -> None:
    target = statistics(random(1, 4, 5, 6))
    assert loss(target, target, normalization).item() == 0


@pytest.mark.parametrize(("statistics", "loss"), LOSSES)
def test_relative_loss_of_no_activation_is_one(statistics, loss) -> None:
    target = statistics(random(1, 4, 5, 6))
    nothing = statistics(torch.zeros(1, 4, 5, 6))
    # The constant under the root gives silent channels a deviation of 0.001.
    assert loss(nothing, target, "relative").item() == pytest.approx(1, abs=5e-3 if loss is mean_std_loss else 1e-6)


@pytest.mark.parametrize("scale", [0.125, 50.0])
@pytest.mark.parametrize(("statistics", "loss"), LOSSES)
def test_relative_loss_does_not_change_with_the_scale_of_the_descriptor(statistics, loss, scale) -> None:
    features, target = random(1, 4, 5, 6), random(1, 4, 5, 6, seed=1)
    before = loss(statistics(features), statistics(target), "relative").item()
    after = loss(statistics(features * scale), statistics(target * scale), "relative").item()
    assert before > 1e-3
    assert after == pytest.approx(before, rel=2e-3)


@pytest.mark.parametrize(("statistics", "loss"), LOSSES)
def test_relative_loss_of_a_silent_target_is_finite(statistics, loss) -> None:
    features = random(1, 4, 5, 6).requires_grad_()
    value = loss(statistics(features), statistics(torch.zeros(1, 4, 5, 6)), "relative")
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(features.grad).all()


# batches and precision


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("statistics", "loss"), LOSSES)
def test_loss_of_a_batch_is_the_mean_over_its_images(statistics, loss, normalization) -> None:
    batch, target = statistics(random(3, 4, 5, 6)), statistics(random(1, 4, 5, 6, seed=1))
    each = [loss(image[None], target, normalization).item() for image in batch]
    assert len(set(each)) == 3
    assert loss(batch, target, normalization).item() == pytest.approx(sum(each) / 3)


@pytest.mark.parametrize(("statistics", "loss"), LOSSES)
def test_bfloat16_features_are_summed_in_float32(statistics, loss) -> None:
    # bfloat16 cannot count beyond 256: a sum in it would stand still at a fraction of the 10,000 positions.
    features = torch.ones(1, 4, 100, 100, dtype=torch.bfloat16)
    value = loss(statistics(features), torch.zeros_like(statistics(features).float()), "paper")
    assert value.dtype == torch.float32
    expected = {content_loss: 0.5, gram_loss: 16 / (4 * 16), mean_std_loss: 4.0}[loss]
    # The Gram matrix itself is rounded to bfloat16 once, when it is complete.
    assert value.item() == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_repeats_itself_and_noise_does_not(period):
    random = torch.Generator().manual_seed(0)
    cell = torch.rand(1, 3, period, period, generator=random)
    grid = cell.repeat(1, 1, 160 // period, 160 // period)
    noise = torch.rand(1, 3, 160, 160, generator=random)
    both = torch.cat([grid, noise, torch.full_like(noise, 0.5)])
    shares = grid_share(both, period)
    assert shares[0] > 0.9
    assert abs(shares[1] - 0.01) < 0.005  # what is left of noise in a mean of a hundred cells
    assert shares[2] == 0


def test_a_grid_of_another_period_is_none():
    cell = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert grid_share(cell.repeat(1, 1, 32, 32), 4) < 0.1


def test_a_grid_in_a_few_rows_and_in_faint_detail() -> None:
    cell = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert grid_share(cell.repeat(1, 1, 3, 20), 4) > 0.9 and grid_share(cell.repeat(1, 1, 20, 3), 4) > 0.9
    faint, noise = 0.5 + 0.1 * cell.repeat(1, 1, 10, 10), random(1, 3, 40, 40)
    assert grid_share(torch.cat([faint, noise], dim=3), 4) > 0.3, "it counts as much as what is loud beside it"


def test_blotches_along_either_axis_and_of_each_picture_alone() -> None:
    even = torch.full((2, 3, 64, 64), 0.5)
    striped, content = even.clone(), even.clone()
    striped[0, :, 16:32] = 0.8
    content[0, :, 48:] = content[1, :, 16:32] = 0.9  # elsewhere: it excuses nothing
    expected = pytest.approx([2 / 3 * 0.25, 0], rel=1e-3)
    assert blotches(striped, content).tolist() == expected
    assert blotches(striped.transpose(2, 3), content.transpose(2, 3)).tolist() == expected


def test_blotches_are_what_is_uneven_where_the_content_is_even() -> None:
    even, uneven = torch.full((1, 3, 64, 64), 0.5), torch.full((1, 3, 64, 64), 0.5)
    uneven[:, 1, 16:32, 16:32] = 0.8
    assert blotches(even, uneven) == 0
    # 4 of 12 steps along each axis in one of three colours, beyond what strokes may do
    assert blotches(uneven, even).item() == pytest.approx(2 * 2 / 12 / 3 * 0.25, rel=1e-3)
    assert blotches(uneven, (uneven - 0.5) / 3 + 0.5) == 0
    strokes = 0.5 + 0.4 * torch.sin(torch.arange(64.0) * math.pi / 2).expand(1, 3, 64, 64)
    assert blotches(strokes, even) == 0
