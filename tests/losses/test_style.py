"""Style losses: what their targets are, also of several styles, and what they tell apart."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from impasto.losses.functional import gram_matrix
from impasto.losses.objective import STYLE_LOSSES, GramLoss, MeanStdLoss, StyleLoss, content_losses, style_losses
from impasto.networks.blocks import mean_and_std
from impasto.options import GatysOptions

KINDS = [GramLoss, MeanStdLoss]
SHARES = [0.75, 0.25]


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def styles() -> list[Tensor]:
    """Activations of two style images of different sizes."""
    return [random(1, 4, 6, 7, seed=1), 2 * random(1, 4, 5, 3, seed=2)]


def seen(kind: type[StyleLoss], styles: list[Tensor]) -> list[Tensor]:
    return [kind.statistics(style) for style in styles]


def gradient(loss: Tensor, features: Tensor) -> Tensor:
    return torch.autograd.grad(loss, features)[0]


@pytest.mark.parametrize(("kind", "statistics"), [(GramLoss, gram_matrix), (MeanStdLoss, mean_and_std)])
def test_target_is_the_weighted_mean_of_the_statistics(kind: type[StyleLoss], statistics, styles) -> None:
    target = kind(seen(kind, styles), SHARES, "paper").target
    torch.testing.assert_close(target, 0.75 * statistics(styles[0]) + 0.25 * statistics(styles[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_blended_target_has_the_gradient_of_one_loss_per_style(kind: type[StyleLoss], styles) -> None:
    features = random(1, 4, 6, 6, seed=3).requires_grad_()
    blended = gradient(kind(seen(kind, styles), SHARES, "paper")(features), features)
    one_each = sum(w * kind(seen(kind, [s]), [1.0], "paper")(features) for s, w in zip(styles, SHARES, strict=True))
    torch.testing.assert_close(blended, gradient(one_each, features), rtol=1e-4, atol=1e-7)
    alone = gradient(kind(seen(kind, styles[:1]), [1.0], "paper")(features), features)
    assert (blended - alone).norm() > 0.1 * alone.norm()  # the second style matters


@pytest.mark.parametrize("kind", KINDS)
def test_relative_blended_target_pulls_into_the_same_direction(kind: type[StyleLoss], styles) -> None:
    features = random(1, 4, 6, 6, seed=3).requires_grad_()
    loss = kind(seen(kind, styles), SHARES, "relative")
    targets = [kind.statistics(style) for style in styles]
    squares = sum(w * (kind.statistics(features) - t).square().sum() for t, w in zip(targets, SHARES, strict=True))
    expected = gradient(squares / loss.target.square().sum(), features)
    torch.testing.assert_close(gradient(loss(features), features), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_style_with_no_share_does_not_count(kind: type[StyleLoss], styles) -> None:
    targets = [kind(seen(kind, styles[:n]), [1.0, 0.0][:n], "relative").target for n in (2, 1)]
    torch.testing.assert_close(*targets)


def test_gram_loss_sees_what_mean_and_deviation_do_not() -> None:
    together = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]], [[1.0, 0.0, 1.0, 0.0]]]])
    alternating = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0, 1.0]]]])
    assert MeanStdLoss(seen(MeanStdLoss, [together]), [1.0], "relative")(alternating).item() == pytest.approx(
        0, abs=1e-12
    )
    # Gram matrices by hand: all four entries 1/2 against 1/2 on the diagonal alone.
    assert GramLoss(seen(GramLoss, [together]), [1.0], "relative")(alternating).item() == pytest.approx(0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_target_is_a_constant_of_the_module(kind: type[StyleLoss], styles) -> None:
    loss = kind(seen(kind, [style.requires_grad_() for style in styles]), SHARES, "paper")
    assert not loss.target.requires_grad
    assert list(loss.state_dict()) == ["target"]
    assert not list(loss.parameters())


def test_one_loss_for_each_layer(styles) -> None:
    deeper = [random(1, 8, 3, 3, seed=4), random(1, 8, 2, 2, seed=5)]
    by_style = [{"relu1_1": styles[0], "relu2_1": deeper[0]}, {"relu1_1": styles[1], "relu2_1": deeper[1]}]
    losses = style_losses(GramLoss, by_style, SHARES, "relative")
    assert list(losses) == ["relu1_1", "relu2_1"]
    torch.testing.assert_close(losses["relu2_1"].target, GramLoss(seen(GramLoss, deeper), SHARES, "relative").target)


def test_content_losses_keep_the_activations_in_float32() -> None:
    features = random(1, 4, 6, 6, seed=1).bfloat16().requires_grad_()
    loss = content_losses({"relu4_2": features}, "relative")["relu4_2"]
    assert loss.target.dtype == torch.float32
    assert not loss.target.requires_grad
    assert loss(features).item() == 0
    assert loss(2 * features).item() == pytest.approx(1)


def test_style_losses_by_name() -> None:
    options = get_args(GatysOptions.model_fields["style_loss"].annotation)
    assert {"gram": GramLoss, "mean-std": MeanStdLoss} == STYLE_LOSSES
    assert tuple(STYLE_LOSSES) == options


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_of_a_whole_from_the_sums_of_its_parts(kind: type[StyleLoss], styles) -> None:
    whole = random(1, 4, 6, 7, seed=4)
    sums = kind.sums(whole[:, :, :2]) + kind.sums(whole[:, :, 2:]) + kind.sums(whole[:, :, 6:])
    torch.testing.assert_close(kind.statistics_of(sums, 42), kind.statistics(whole))
