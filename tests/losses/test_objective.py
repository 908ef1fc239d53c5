"""The weighted sum: its weights, its gradient against a plain implementation, and what a step computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor

from impasto.images import read_picture
from impasto.images.scale import resize_pixels
from impasto.losses.objective import ContentLoss, GramLoss, LayerLosses, Objective, content_losses, style_losses
from impasto.optimization.descent import Descent
from impasto.optimization.tensors import TorchObjective
from random_networks import narrow_vgg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from impasto.descriptors.vgg import VGG
    from impasto.losses.functional import Normalization
    from impasto.types import Features

CONTENT = {"relu2_2": 1.0, "conv3_1": 2.0}
STYLE = {"relu1_1": 1.0, "relu2_1": 3.0, "pool2": 0.5}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute in one thread: on a busy machine, more of them wait for each other at every one of these small layers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network() -> VGG:
    return narrow_vgg()


def noise(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def build(
    network: object,
    content: Tensor,
    style: Tensor,
    normalization: Normalization = "relative",
    *,
    content_layers: dict[str, float] = CONTENT,
    style_layers: dict[str, float] = STYLE,
    content_weight: float = 1.0,
    style_weight: float = 10.0,
    tv_weight: float = 0.0,
) -> Objective:
    with torch.no_grad():
        contents = content_losses(network.forward(content, content_layers), normalization)
        styles = style_losses(GramLoss, [network.forward(style, style_layers)], [1.0], normalization)
    parts = {
        "content": LayerLosses(contents, content_layers, content_weight),
        "style": LayerLosses(styles, style_layers, style_weight),
    }
    return Objective(network, parts, tv_weight)


# the weights of layers


def by_hand(a: float, b: float) -> dict[str, Tensor]:
    """Activations whose relative distance from ones is the square of ``a - 1`` and of ``b - 1``."""
    return {"a": torch.full((1, 2, 3, 3), a), "my.layer": torch.full((1, 4, 2, 2), b)}


@pytest.mark.parametrize(
    ("layer_weights", "expected"),
    [
        ({"a": 1.0, "my.layer": 1.0}, (1 + 4) / 2),
        ({"a": 1.0, "my.layer": 3.0}, (1 + 3 * 4) / 4),
        ({"a": 100.0, "my.layer": 300.0}, (1 + 3 * 4) / 4),
        ({"my.layer": 0.2}, 4),
    ],
)
def test_layers_are_averaged_by_their_weights(layer_weights: dict[str, float], expected: float) -> None:
    losses = {layer: ContentLoss(ones, "relative") for layer, ones in by_hand(1, 1).items()}
    weighted = LayerLosses(losses, layer_weights, weight=5)
    assert weighted.layers == tuple(layer_weights)
    assert weighted(by_hand(2, 3)).item() == pytest.approx(5 * expected)


def test_a_layer_weight_belongs_to_its_layer_in_any_order() -> None:
    losses = {layer: ContentLoss(ones, "relative") for layer, ones in by_hand(1, 1).items()}
    backwards = LayerLosses(losses, {"my.layer": 3.0, "a": 1.0}, weight=1)
    assert backwards(by_hand(2, 3)).item() == pytest.approx((1 + 3 * 4) / 4)


# the whole against the paper, number by number


def features_as_lists(features: Tensor) -> list[list[float]]:
    return [channel.flatten().tolist() for channel in features[0].detach().double()]


def test_paper_objective_is_equation_7(network: VGG) -> None:
    image, content, style = (noise(1, 3, 8, 8, seed=seed) for seed in (1, 2, 3))
    alpha, beta = 2.0, 30.0
    style_layers = {"relu1_1": 1.0, "relu2_1": 3.0}
    objective = build(
        network,
        content,
        style,
        "paper",
        content_layers={"relu2_2": 7.0},
        style_layers=style_layers,
        content_weight=alpha,
        style_weight=beta,
    )

    f, p = (features_as_lists(network.forward(x, ["relu2_2"])["relu2_2"]) for x in (image, content))
    squares = [(a - b) ** 2 for f_i, p_i in zip(f, p, strict=True) for a, b in zip(f_i, p_i, strict=True)]
    content_loss = sum(squares) / (2 * len(squares))  # the paper prints the sum

    style_loss = 0.0
    for layer, w_l in {"relu1_1": 0.25, "relu2_1": 0.75}.items():
        f, s = (features_as_lists(network.forward(x, [layer])[layer]) for x in (image, style))
        n, m = len(f), len(f[0])
        e_l = 0.0
        for i in range(n):
            for j in range(n):
                g_ij = sum(f[i][k] * f[j][k] for k in range(m))
                a_ij = sum(s[i][k] * s[j][k] for k in range(m))
                e_l += (g_ij - a_ij) ** 2 / (4 * n**2 * m**2)
        style_loss += w_l * e_l

    losses = {name: loss.item() for name, loss in objective(image).items()}
    assert losses == pytest.approx(
        {
            "content": alpha * content_loss,
            "style": beta * style_loss,
            "total": alpha * content_loss + beta * style_loss,
        },
        rel=1e-4,
    )


def plain_total(network: VGG, image: Tensor, content: Tensor, style: Tensor, tv_weight: float) -> Tensor:
    """The relative objective in float64 with nothing but PyTorch's own operations."""

    def forward(x: Tensor) -> dict[str, Tensor]:
        x = (x.double() - network.mean.double()) / network.std.double()
        features = {}
        for layer in network.layers[: network.layers.index("conv3_1") + 1]:
            if layer.startswith("conv"):
                convolution = network.convolutions[layer]
                x = F.pad(x, (1, 1, 1, 1), mode="replicate" if layer == "conv1_1" else "constant")
                x = F.conv2d(x, convolution.weight.double(), convolution.bias.double())
            else:
                x = x.clamp_min(0) if layer.startswith("relu") else F.max_pool2d(x, 2)
            features[layer] = x
        return features

    def gram(features: Tensor) -> Tensor:
        return torch.einsum("nchw,ndhw->ncd", features, features) / (features.shape[2] * features.shape[3])

    def relative(x: Tensor, target: Tensor) -> Tensor:
        return (x - target).square().sum() / target.square().sum()

    painted, contents, styles = forward(image), forward(content), forward(style)
    total = sum(w / 3.0 * relative(painted[layer], contents[layer]) for layer, w in CONTENT.items())
    total += sum(10 * w / 4.5 * relative(gram(painted[layer]), gram(styles[layer])) for layer, w in STYLE.items())
    variation = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
    return total + tv_weight * variation


def test_losses_and_gradient_are_those_of_a_plain_implementation(network: VGG) -> None:
    # 80 x 84: the second block is large enough for the Winograd kernels.
    image, content, style = noise(1, 3, 80, 84, seed=1), noise(1, 3, 80, 84, seed=2), noise(1, 3, 70, 66, seed=3) ** 3
    total = build(network, content, style, tv_weight=0.5)(image.requires_grad_())["total"]
    (gradient,) = torch.autograd.grad(total, image)
    expected = plain_total(network, image, content, style, tv_weight=0.5)
    (expected_gradient,) = torch.autograd.grad(expected, image)
    assert total.item() == pytest.approx(expected.item(), rel=1e-4)
    assert (gradient - expected_gradient).norm() < 1e-3 * expected_gradient.norm()


# the parts


def test_total_is_the_sum_of_the_parts(network: VGG) -> None:
    image, content, style = (noise(1, 3, 16, 16, seed=seed) for seed in (1, 2, 3))
    losses = build(network, content, style, tv_weight=3.0)(image)
    assert list(losses) == ["content", "style", "tv", "total"]
    assert losses["total"].item() == pytest.approx(sum(losses[part].item() for part in ("content", "style", "tv")))


def test_each_weight_multiplies_its_own_part(network: VGG) -> None:
    image, content, style = (noise(1, 3, 16, 16, seed=seed) for seed in (1, 2, 3))
    once = build(network, content, style, content_weight=1, style_weight=1, tv_weight=1)(image)
    weighted = build(network, content, style, content_weight=2, style_weight=3, tv_weight=5)(image)
    ratios = {part: (weighted[part] / once[part]).item() for part in ("content", "style", "tv")}
    assert ratios == pytest.approx({"content": 2, "style": 3, "tv": 5})


def test_variation_of_a_checkerboard_in_the_objective(network: VGG) -> None:
    board = ((torch.arange(16).view(-1, 1) + torch.arange(16)) % 2).float().expand(1, 3, 16, 16)
    losses = Objective(network, {"content": content_part(network, board)}, tv_weight=4)(board)
    assert losses["content"].item() == 0
    assert losses["tv"].item() == losses["total"].item() == 4 * 2


def content_part(network: VGG, image: Tensor) -> LayerLosses:
    return LayerLosses(content_losses(network.forward(image, ["relu1_1"]), "relative"), {"relu1_1": 1.0}, 1.0)


def test_what_has_no_weight_is_not_there(network: VGG) -> None:
    image = noise(1, 3, 16, 16, seed=1)
    losses = Objective(network, {"content": content_part(network, image)}, tv_weight=0)(1 - image)
    assert list(losses) == ["content", "total"]
    assert losses["total"].item() == losses["content"].item() > 0


# what a step computes


class Counting:
    """A descriptor that writes down what it is asked for."""

    def __init__(self, network: VGG) -> None:
        self.network = network
        self.asked: list[list[str]] = []

    def forward(self, image: Tensor, layers: Iterable[str]) -> Features:
        self.asked.append(sorted(layers))
        return self.network.forward(image, layers)


def test_one_pass_per_evaluation_for_all_layers_and_losses(network: VGG) -> None:
    counting = Counting(network)
    objective = build(counting, noise(1, 3, 16, 16, seed=1), noise(1, 3, 16, 16, seed=2), tv_weight=1)
    assert len(counting.asked) == 2  # the targets
    image = noise(1, 3, 16, 16, seed=3).requires_grad_()
    for _ in range(3):
        objective(image)["total"].backward()
    assert counting.asked[2:] == 3 * [sorted({*CONTENT, *STYLE})]


def test_gradients_reach_the_image_and_nothing_else(network: VGG) -> None:
    objective = build(network, noise(1, 3, 16, 16, seed=1), noise(1, 3, 16, 16, seed=2), tv_weight=1)
    image = noise(1, 3, 16, 16, seed=3).requires_grad_()
    objective(image)["total"].backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    constants = list(objective.state_dict(keep_vars=True).values()) + list(network.state_dict(keep_vars=True).values())
    assert len(constants) > 32
    assert not any(constant.requires_grad or constant.grad is not None for constant in constants)


# bfloat16 on pictures


def tensor_of(path: Path, height: int, width: int) -> Tensor:
    return torch.from_numpy(resize_pixels(read_picture(path).pixels, height, width)).permute(2, 0, 1)[None].contiguous()


def test_bfloat16_gradient_points_where_float32_does(photo: Path, painting: Path) -> None:
    content, style = tensor_of(photo, 32, 40), tensor_of(painting, 36, 32)
    gradients = []
    for precision in ("float32", "bfloat16"):
        image = (0.5 * content + 0.5 * noise(1, 3, 32, 40, seed=1)).requires_grad_()
        objective = build(
            narrow_vgg(precision=precision),
            content,
            style,
            content_layers={"relu3_2": 1.0},
            style_layers=dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1"), 1.0),
        )
        gradients.append(torch.autograd.grad(objective(image)["total"], image)[0].flatten())
    assert gradients[1].dtype == torch.float32
    assert not torch.equal(*gradients)
    assert F.cosine_similarity(*gradients, dim=0).item() > 0.99


@pytest.mark.slow
def test_bfloat16_optimisation_ends_at_the_float32_loss(photo: Path, painting: Path) -> None:
    # One descent amplifies roundings to a few percent of its loss, up or down; several together tell a bias from that.
    content, style = tensor_of(photo, 32, 32), tensor_of(painting, 32, 32)
    starts = [0.8 * content + 0.2 * noise(1, 3, 32, 32, seed=seed) for seed in (1, 2, 3)]
    objectives = {
        precision: build(
            narrow_vgg(precision=precision),
            content,
            style,
            content_layers={"relu3_2": 1.0},
            style_layers={"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0},
            style_weight=1.0,
        )
        for precision in ("float32", "bfloat16")
    }
    losses = {"start": sum(loss_in_float32(objectives, start) for start in starts)}
    for precision, objective in objectives.items():
        losses[precision] = 0.0
        for start in starts:
            descent = Descent(start.numpy(), TorchObjective(objective, torch.device("cpu")))
            for _ in range(15):
                descent.step()
            losses[precision] += loss_in_float32(objectives, torch.from_numpy(descent.best))
    assert losses["float32"] < 0.5 * losses["start"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def loss_in_float32(objectives: dict[str, Objective], image: Tensor) -> float:
    with torch.no_grad():
        return objectives["float32"](image)["total"].item()
