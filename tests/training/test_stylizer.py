from __future__ import annotations

import pytest
import torch

from impasto.descriptors.compact import load_compact
from impasto.descriptors.devices import placed
from impasto.losses.functional import content_distance, style_distance
from impasto.networks.conditional import ConditionalStylizer
from impasto.training import stylizer
from impasto.training.data import Crops
from impasto.training.stylizer import (
    CONTENT_LAYER,
    ConditionalTraining,
    _with_skies,
)
from pretended_gpu import GPU, PretendedGPU

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def descriptor():
    return load_compact(full=[CONTENT_LAYER])


def training(descriptor, photo, painting, *, batch=3, device=CPU, **weights):
    network = placed(ConditionalStylizer.seeing_with(descriptor), device)
    contents, styles = (Crops([path], 64, batch, seed) for path, seed in ((photo, 0), (painting, 1)))
    chosen = {"content": 1.0, "style": 8.0, "tv": 1.0, "identity": 20.0, "grid": 0.3, "blotch": 100.0, **weights}
    return ConditionalTraining(network, descriptor, descriptor, contents, styles, chosen)


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_reach_every_weight(descriptor, photo, painting):
    task = training(descriptor, photo, painting)
    optimizer = torch.optim.Adam(task.network.parameters(), lr=1e-3)
    totals = []
    for _ in range(8):
        losses = task.losses(0, task.batch(0))
        totals.append(float(losses["total"].detach()))
        assert totals[-1] == pytest.approx(sum(float(losses[name].detach()) for name in losses if name != "total"))
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    assert totals[-1] < 0.9 * totals[0]
    # The bias of a convolution before a normalisation has no effect on anything.
    idle = [name for name, parameter in task.network.named_parameters() if not parameter.grad.abs().max() > 1e-9]
    assert all(name.endswith("bias") for name in idle)


def test_only_the_first_picture_learns_the_identity(descriptor, photo, painting):
    task = training(descriptor, photo, painting, content=0.0, style=0.0, tv=0.0, grid=0.0, blotch=0.0)
    task.losses(0, task.batch(0))["total"].backward()
    assert task.network.identity.grad.abs().max() > 0
    head = task.network.predictor.head[-1].weight.grad
    assert head is None or head.abs().max() == 0


def test_distances_are_zero_for_the_same_and_do_not_see_contrast():
    x = torch.rand(2, 4, 8, 8)
    assert content_distance(x, 3 * x + 1).max() < 1e-3
    assert content_distance(torch.randn(1, 8, 64, 64), torch.randn(1, 8, 64, 64)) == pytest.approx(2, rel=0.1)
    assert style_distance(x, x).max() == 0
    assert style_distance(x, x.flip(2)).max() < 1e-6
    assert style_distance(torch.zeros_like(x), x) == pytest.approx(1)


def test_everything_is_computed_on_the_device_of_the_network(photo, painting):
    with PretendedGPU():
        task = training(placed(load_compact(full=[CONTENT_LAYER]), GPU), photo, painting, device=GPU)
        losses = task.losses(3, tuple(tensor.to(GPU) for tensor in task.batch(3)))
        losses["total"].backward()
        assert {loss.device for loss in losses.values()} == {GPU}
        task.samples(task.network)


def test_samples_show_every_content_in_every_style(descriptor, photo, painting):
    task = training(descriptor, photo, painting)
    sheet = task.samples(task.network)
    assert sheet.width > 6 * 64 and sheet.height > 3 * 64


def test_the_share_of_a_batch_gives_its_share_of_the_gradient(descriptor, photo, painting, monkeypatch):
    task = training(descriptor, photo, painting, batch=4, grid=0.0)

    def gradients():
        for parameter in task.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        task.losses(0, task.batch(0))["total"].backward()
        return torch.cat([parameter.grad.flatten() for parameter in task.network.parameters()])

    whole, parts = gradients(), []
    monkeypatch.setattr(stylizer, "world_size", lambda: 2)
    for number in range(2):
        monkeypatch.setattr(stylizer, "rank", lambda number=number: number)
        parts.append(gradients())
    assert (sum(parts) / 2 - whole).norm() < 0.01 * whole.norm()


def test_skies_are_even_and_the_same_whoever_makes_them(photo):
    contents = Crops([photo], 64, 8, 0).at(3)
    skies = _with_skies(contents, 3, first=0, every=1)
    changed = [index for index in range(8) if not torch.equal(skies[index], contents[index])]
    assert changed == [1, 5]
    for index in changed:
        top = skies[index, :, :8]
        assert top.diff(dim=2).abs().max() < 1e-6 and torch.equal(skies[index, :, -1], contents[index, :, -1])
    assert not torch.equal(skies[1, :, 0], _with_skies(contents, 4, first=0, every=1)[1, :, 0])
    halves = [_with_skies(contents[first::2], 3, first=first, every=2) for first in range(2)]
    assert torch.equal(torch.stack(halves, 1).flatten(0, 1), skies)
