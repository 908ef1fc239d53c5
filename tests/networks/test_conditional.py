from __future__ import annotations

import pytest
import torch

from impasto.networks.conditional import (
    NOISE_CHANNELS,
    STRIDE,
    ConditionalStylizer,
    ConditionalTransformer,
    StylePredictor,
)

WIDTHS = {"relu1_1": 5, "relu2_1": 7}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ConditionalTransformer(full=4, half=8, quarter=8, eighth=12, blocks=2).eval()


@pytest.fixture
def code(network):
    torch.manual_seed(1)
    return torch.randn(1, network.code_size) + 0.5


def noise_for(images, seed=0):
    count, _, height, width = images.shape
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, NOISE_CHANNELS, height // STRIDE, width // STRIDE, generator=random)


def test_a_code_has_a_scale_and_a_shift_per_normalised_channel(network):
    assert network.code_size == 2 * sum(network.widths)
    assert len(network.widths) == 3 + 2 * 2 + 3


@pytest.mark.parametrize("size", [(64, 96), (40, 8)])
def test_measuring_and_rendering_is_painting(network, code, size):
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        noise = noise_for(image)
        whole = network(image, code, noise)
        affine, measured = network.measure(image, code, noise)
        rendered = network.render(image, affine, noise)
    assert whole.shape == image.shape and whole.min() >= 0 and whole.max() <= 1
    torch.testing.assert_close(measured, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(rendered, whole, atol=1e-5, rtol=0)


def test_a_part_is_rendered_as_in_the_whole(network, code):
    image = torch.rand(1, 3, 256, 256)
    halo = 13 * STRIDE
    with torch.no_grad():
        noise = noise_for(image)
        affine, whole = network.measure(image, code, noise)
        part = network.render(image[:, :, : 128 + halo], affine, noise[:, :, : (128 + halo) // STRIDE])
    torch.testing.assert_close(part[:, :, :128], whole[:, :, :128], atol=1e-5, rtol=0)


def test_every_picture_of_a_batch_has_its_own_code(network, code):
    images, codes = torch.rand(2, 3, 32, 32), torch.cat([code, -code])
    noise = noise_for(images)
    with torch.no_grad():
        together = network(images, codes, noise)
        alone = [network(images[i : i + 1], codes[i : i + 1], noise[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_noise_breaks_the_grid_of_a_flat_picture(network, code):
    flat = torch.full((1, 3, 128, 128), 0.4)
    with torch.no_grad():
        painted = [network(flat, code, noise)[:, :, 32:96, 32:96] for noise in (0 * noise_for(flat), noise_for(flat))]
    shifted = [(each[:, :, :-STRIDE] - each[:, :, STRIDE:]).abs().max() for each in painted]
    assert shifted[0] < 1e-4 < 1e-2 < shifted[1]


def test_the_predictor_begins_near_the_plain_code_and_sees_the_style():
    torch.manual_seed(0)
    predictor = StylePredictor(WIDTHS, 20, correlated=3, hidden=16, embedding=4)
    features = [{layer: torch.rand(2, width, 6, 6) for layer, width in WIDTHS.items()} for _ in range(2)]
    one, other = (predictor(each) for each in features)
    assert one.shape == (2, 20)
    assert (one[:, :10] - 1).abs().max() < 0.5 and one[:, 10:].abs().max() < 0.5
    assert not torch.allclose(one, other)


def test_the_predictor_does_not_see_where_things_are():
    torch.manual_seed(0)
    predictor = StylePredictor(WIDTHS, 20)
    features = {layer: torch.rand(1, width, 6, 8) for layer, width in WIDTHS.items()}
    turned = {layer: x.flip(2, 3) for layer, x in features.items()}
    torch.testing.assert_close(predictor(features), predictor(turned), atol=1e-5, rtol=1e-4)


def test_the_seed_makes_the_weights():
    state = torch.random.get_rng_state()
    one, same, other = (ConditionalStylizer(WIDTHS, seed=seed).transformer.first.weight for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)
