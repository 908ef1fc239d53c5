"""What every network that paints promises: its file rebuilds it, and measuring and rendering is painting."""

from __future__ import annotations

import pytest
import torch

from impasto.descriptors.catalog import load_encoder
from impasto.errors import WeightsFormatError
from impasto.networks.adain import AdaINNetwork
from impasto.networks.checkpoint import NETWORKS, describe_network, load_any_network, load_network
from impasto.networks.sanet import SANetwork
from impasto.networks.texture import NOISE_CHANNELS, StylizingTextureNetwork, TextureNetwork
from impasto.networks.transformer import TransformerNetwork
from impasto.training.finish import save_network, save_weights

MAKERS = {
    "transformer": lambda: TransformerNetwork(width=4, blocks=1),
    "transformer-batch": lambda: TransformerNetwork(width=4, blocks=1, norm="batch"),
    "transformer-additive": lambda: TransformerNetwork(width=4, blocks=1, additive=True),
    "texture": lambda: TextureNetwork(width=2),
    "texture-stylizer": lambda: StylizingTextureNetwork(width=2),
    "adain": lambda: AdaINNetwork(load_encoder("compact")),
    "sanet": lambda: SANetwork(load_encoder("compact")),
}


@pytest.fixture(params=MAKERS)
def network(request):
    made = MAKERS[request.param]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(parameter.half())  # as trained weights are kept
    return made.eval()


def test_its_file_rebuilds_it(network, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(path, network, card={"title": "random"})
    rebuilt = load_network(path, type(network))
    assert rebuilt.arguments == network.arguments
    again = rebuilt.tensors()
    for name, tensor in network.tensors().items():
        torch.testing.assert_close(again[name], tensor.half().float())
    for graph, other in zip(network.graphs(), rebuilt.graphs(), strict=True):
        assert graph.name == other.name
        found = graph.function(**graph.example), other.function(**graph.example)
        torch.testing.assert_close(*found, atol=2e-3, rtol=2e-3)


def test_the_same_weights_are_the_same_bytes(tmp_path):
    # The library writes metadata in an order that changes by chance.
    network, path, written = TransformerNetwork(width=4, blocks=1), tmp_path / "some.safetensors", set()
    for _ in range(12):
        save_network(path, network, card={})
        written.add(path.read_bytes())
    assert len(written) == 1
    assert load_network(path, type(network)).arguments == network.arguments


def test_every_architecture_is_tried():
    assert {*MAKERS, "conditional"} - {"transformer-batch", "transformer-additive"} == set(NETWORKS.names)


def test_a_checkpoint_of_another_kind_or_version_is_refused(tmp_path):
    network, path = TransformerNetwork(width=4, blocks=1), tmp_path / "some.safetensors"
    save_network(path, network, card={})
    with pytest.raises(WeightsFormatError, match=r"is a network of 'impasto train transformer', not of"):
        load_network(path, TextureNetwork)
    metadata = describe_network(network)
    save_weights(path, network.state_dict(), metadata={**metadata, "format": "0"}, card={})
    with pytest.raises(WeightsFormatError, match=r"was written by another version of impasto \(format 0, not 1\)"):
        load_any_network(path)
    for changed in ({"arguments": "{}"}, {"arguments": "{"}, {"architecture": "sanet"}):
        save_weights(path, network.state_dict(), metadata={**metadata, **changed}, card={})
        with pytest.raises(WeightsFormatError, match=r"some\.safetensors does not hold the weights of its network"):
            load_any_network(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsFormatError, match=r"some\.safetensors is not a complete safetensors file"):
        load_any_network(path)


def test_batch_normalisation_remembers_what_it_saw():
    network = TransformerNetwork(width=4, blocks=1, norm="batch").train()
    images = torch.rand(4, 3, 32, 32)
    for _ in range(150):
        painted = network(images)
    with torch.no_grad():
        assert (network.eval()(images) - painted).abs().max() < 0.05
        alone = network(images[:1])
        torch.testing.assert_close(alone, network(images)[:1], atol=1e-5, rtol=0)


def test_a_part_of_a_texture_is_made_of_its_part_of_the_noise():
    network = TextureNetwork(width=2)
    noise = torch.rand(1, NOISE_CHANNELS, 448, 320)
    with torch.no_grad():
        affine, whole = network.measure(noise)
        part = network.render(noise[:, :, 64:], affine)
    torch.testing.assert_close(part[:, :, 144:], whole[:, :, 208:], atol=1e-5, rtol=0)


def test_adain_gives_the_activations_the_style_s_statistics():
    network = AdaINNetwork(load_encoder("compact"))
    content, style = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 96, 64).square()
    with torch.no_grad():
        code = network.predict(style)
        target = network.target(content, code)
        responds = network.measure(content, code)[:, : code.shape[1] // 2] < 29
    found, wanted = (target.mean((2, 3)), target.std((2, 3), correction=0)), code.chunk(2, dim=1)
    assert responds.float().mean() > 0.9
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one[responds], other[responds], atol=2e-3, rtol=1e-2)


def test_attention_does_not_depend_on_where_the_style_is():
    network = SANetwork(load_encoder("compact"))
    content, style = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        memories = network.memories(style)
        shuffled = [memory.flip(2) for memory in memories]
        affine = network.measure(content)
        one, other = (network.attend(content, affine, *each) for each in (memories, shuffled))
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)
