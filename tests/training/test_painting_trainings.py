"""The trainings of the networks of the literature: losses fall, everything learns that should, and processes agree."""

from __future__ import annotations

import pytest
import torch

from impasto.descriptors.catalog import load_encoder
from impasto.descriptors.compact import load_compact
from impasto.descriptors.devices import placed
from impasto.images import read_picture
from impasto.networks.adain import AdaINNetwork
from impasto.networks.sanet import SANetwork
from impasto.networks.texture import StylizingTextureNetwork, TextureNetwork
from impasto.networks.transformer import TransformerNetwork
from impasto.training import cyclegan, encoded, painting
from impasto.training.cyclegan import CycleNetworks, CycleTraining
from impasto.training.data import Crops, at_short_side
from impasto.training.encoded import AdaINTraining, EncodedTraining, SANetTraining
from impasto.training.painting import PaintingTraining, PerceptualLosses, TextureTraining
from lanes import slow
from pretended_gpu import GPU, PretendedGPU

LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}


@pytest.fixture(scope="module")
def crops(photo, painting):
    return Crops([photo], 64, 2, 0), Crops([painting], 64, 2, 1)


@pytest.fixture(scope="module")
def style(painting):
    return at_short_side(read_picture(painting).pixels, 64)


CPU = torch.device("cpu")


def perceptual(device):
    return PerceptualLosses(placed(load_compact(), device), {"relu2_1": 1.0}, LAYERS, 1.0, 10.0, 1.0, 0.3, 16)


def cycle_training(crops, judge, device):
    networks = CycleNetworks(width=4, blocks=1, discriminator=4, crop=64, seed=0, judge=judge)
    judge = judge and placed(judge, device)
    return CycleTraining(placed(networks, device), *crops, {"cycle": 10.0, "identity": 5.0}, judge)


def painting_training(network, crops, style, device):
    return PaintingTraining(placed(network, device), perceptual(device), [style], [1.0], crops[0])


MAKERS = {
    "transformer": lambda crops, style, device=CPU: painting_training(
        TransformerNetwork(width=4, blocks=1), crops, style, device
    ),
    "transformer-batch": lambda crops, style, device=CPU: painting_training(
        TransformerNetwork(width=4, blocks=1, norm="batch"), crops, style, device
    ),
    "texture-stylizer": lambda crops, style, device=CPU: painting_training(
        StylizingTextureNetwork(width=2), crops, style, device
    ),
    "texture": lambda crops, style, device=CPU: TextureTraining(
        placed(TextureNetwork(width=2), device),
        perceptual(device),
        [style, style.flip(1)],
        [0.6, 0.4],
        size=64,
        batch=2,
        seed=0,
    ),
    "adain": lambda crops, style, device=CPU: AdaINTraining(
        placed(AdaINNetwork(load_encoder("compact")), device),
        *crops,
        {"content": 1.0, "style": 10.0, "tv": 0.1, "grid": 0.3},
    ),
    "sanet": lambda crops, style, device=CPU: SANetTraining(
        placed(SANetwork(load_encoder("compact")), device),
        *crops,
        {"content": 1.0, "style": 10.0, "tv": 0.1, "grid": 0.3, "identity": 10.0, "features": 1.0},
    ),
    "cyclegan": lambda crops, style, device=CPU: cycle_training(crops, load_compact(), device),
    "cyclegan-pixels": lambda crops, style, device=CPU: cycle_training(crops, None, device),
}


LONG = ("transformer-batch", "texture-stylizer", "adain", "sanet", "cyclegan", "cyclegan-pixels")
EVERY = [*(name for name in MAKERS if name not in LONG), *slow(*LONG)]


@pytest.fixture(params=EVERY)
def task(request, crops, style):
    return MAKERS[request.param](crops, style)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["adain", "sanet"])
def test_a_decoder_begins_by_undoing_the_encoder(crops, style, network):
    task = MAKERS[network](crops, style)
    task.begin()
    images, encoded = crops[0].at(1), task.network.encoded_layers[0]
    with torch.no_grad():
        found = task.network.decoder(task.network.encoder.forward(images, [encoded])[encoded])
    assert (found - images).square().mean() < 0.5 * images.var((2, 3)).mean()


@pytest.mark.slow
def test_style_attention_begins_with_what_is_alike(crops, style):
    task = MAKERS["sanet"](crops, style)
    task.begin()
    images, styles = crops[0].at(1), crops[1].at(1)
    with torch.no_grad():
        own, painted, other = (task.network(images, each) for each in (images, styles, styles.flip(1)))
    assert (own - images).square().mean() < 0.5 * images.var((2, 3)).mean()

    def apart(one, another):
        return (one.mean((2, 3)) - another.mean((2, 3))).norm()

    assert apart(painted, styles) < apart(own, styles), "colours come from the style"
    assert apart(other, styles.flip(1)) < apart(painted, styles.flip(1))


def test_a_few_steps_lower_the_loss_and_reach_every_weight(task):
    rate = 3e-4 if isinstance(task, EncodedTraining) else 3e-3
    if isinstance(task, CycleTraining):  # whose generators change nothing at first: their losses have to rise
        for generator in (task.network.to_a, task.network.to_b):
            torch.nn.init.normal_(generator.last.weight, std=0.1)
    optimizer = torch.optim.Adam([p for p in task.network.parameters() if p.requires_grad], lr=rate)
    totals, reached = [], set()
    for _ in range(10):
        losses = task.losses(0, task.batch(0))
        totals.append(float(losses["total"].detach()))
        assert totals[-1] == pytest.approx(sum(float(losses[name].detach()) for name in losses if name != "total"))
        optimizer.zero_grad()
        losses["total"].backward()
        reached |= {n for n, p in task.network.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-9}
        optimizer.step()
    assert totals[-1] < 0.95 * totals[0]
    idle = {name for name, parameter in task.network.named_parameters() if parameter.requires_grad} - reached
    # The bias of a convolution before a normalisation, or of keys, has no effect on anything.
    assert all(name.endswith("bias") for name in idle)


def test_the_encoder_stays_as_it_is(crops):
    for task in (MAKERS[name](crops, None) for name in ("adain", "sanet")):
        assert not any(name.startswith("encoder") for name, _ in task.network.named_parameters())


def test_a_step_depends_on_its_number_alone(task, crops, style):
    losses = [float(task.losses(step, task.batch(step))["total"].detach()) for step in (3, 4, 3)]
    if isinstance(task, CycleTraining) or getattr(task.network, "norm", "") == "batch":
        pytest.skip("these remember what they have seen: their memory is in the checkpoint")
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize("name", EVERY)
def test_everything_is_computed_on_the_device_of_the_network(crops, style, name):
    with PretendedGPU():
        task = MAKERS[name](crops, style, GPU)
        losses = task.losses(3, tuple(tensor.to(GPU) for tensor in task.batch(3)))
        losses["total"].backward()
        assert {loss.device for loss in losses.values()} == {GPU}
        task.samples(task.network)


def test_a_digest_is_that_of_the_training_and_not_of_its_device(crops, style):
    for name in ("transformer", "adain", "cyclegan"):
        with PretendedGPU():
            there = MAKERS[name](crops, style, GPU).fingerprint
        assert there == MAKERS[name](crops, style).fingerprint


def test_samples_are_drawn(task):
    sheet = task.samples(task.network)
    assert sheet.width > 2 * 64 and sheet.height > 2 * 64


def test_the_share_of_a_batch_gives_its_share_of_the_gradient(task, monkeypatch):
    if getattr(task.network, "norm", "") == "batch":
        pytest.skip("a batch that is normalised together is not the sum of its parts")

    def gradients():
        for parameter in task.network.parameters():
            parameter.grad = None
        task.losses(0, task.batch(0))["total"].backward()
        return torch.cat([p.grad.flatten() for p in task.network.parameters() if p.grad is not None])

    whole = gradients()
    parts = []
    for module in (cyclegan, encoded, painting):
        monkeypatch.setattr(module, "world_size", lambda: 2)
    for number in range(2):
        for module in (cyclegan, encoded, painting):
            monkeypatch.setattr(module, "rank", lambda number=number: number)
        parts.append(gradients())
    # Not to the last digit: rectifications near zero go either way.
    assert ((parts[0] + parts[1]) / 2 - whole).norm() < 0.01 * whole.norm()


def test_generators_begin_by_changing_nothing(crops):
    task = MAKERS["cyclegan"](crops, None)
    task.begin()
    images = crops[0].at(1)
    assert torch.equal(task.network.to_a(images), images) and torch.equal(task.network.to_b(images), images)


def test_a_discriminator_does_not_learn_from_what_moves_the_generator(crops):
    task = MAKERS["cyclegan"](crops, None)
    losses = task.losses(0, task.batch(0))
    losses["generators"].backward(retain_graph=True)
    assert all(p.grad is None for p in task.network.judge_b.parameters())
    assert any(p.grad is not None for p in task.network.to_b.parameters())
    for parameter in task.network.parameters():
        parameter.grad = None
    losses["discriminators"].backward()
    assert all(p.grad is None for p in task.network.to_b.parameters())
    assert any(p.grad is not None for p in task.network.judge_b.parameters())


def test_a_discriminator_is_shown_the_past(crops):
    task = MAKERS["cyclegan"](crops, None)
    for step in range(40):
        painted = torch.full((2, 3, 64, 64), step / 100)
        shown = task._shown(task.network.pool_a, painted, step)
        task.network.pooled += 1
        if step < 25:
            assert torch.equal(shown, painted)
    values = {round(float(value), 2) for value in task.network.pool_a[:, 0, 0, 0]}
    assert len(values) > 20 and max(values) > 0.25
