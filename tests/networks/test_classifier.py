from __future__ import annotations

import pytest
import torch

from impasto.descriptors.vgg import VGG
from impasto.errors import UsageError
from impasto.training.classification import VGGClassifier

PLAIN = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "width": 1 / 16}


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
@pytest.mark.parametrize("head", ["average", "dense"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_classifies_pictures_of_any_size(architecture, head, batch_norm):
    network = VGGClassifier(architecture, 7, head=head, batch_norm=batch_norm, **PLAIN)
    for size in ((32, 32), (70, 101)):
        logits = network(torch.rand(2, 3, *size))
        assert logits.shape == (2, 7) and torch.isfinite(logits).all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_its_convolutions_make_a_descriptor_that_sees_the_same(batch_norm):
    network = VGGClassifier("vgg19", 3, batch_norm=batch_norm, **PLAIN)
    images = torch.rand(4, 3, 64, 64)
    for _ in range(3):
        network(images)  # statistics for the normalisations
    network.eval()
    descriptor = VGG("vgg19", network.descriptor_tensors(), mean=PLAIN["mean"], std=PLAIN["std"])
    seen = []
    last = (network.norms if batch_norm else network.convolutions)["conv3_1"]
    last.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        network(images)
        features = descriptor.forward(images, ["conv3_1"])["conv3_1"]
    # The descriptor repeats the picture's edge in conv1_1, the classifier pads with zeros: only the middle is the same.
    middle = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(features[middle], seen[0][middle], atol=1e-4, rtol=1e-3)
    assert features[middle].std() > 1e-3


def test_given_weights_are_taken_over_and_frozen():
    given = VGGClassifier("vgg16", 3, seed=1, **PLAIN).descriptor_tensors()
    network = VGGClassifier("vgg16", 3, seed=2, **PLAIN)
    network.load_convolutions(given)
    assert torch.equal(network.convolutions["conv3_2"].weight, given["conv3_2.weight"])
    network.freeze(2)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not any("conv2_" in name for name in trained) and any("conv3_1" in name for name in trained)
    wider = VGGClassifier("vgg16", 3, **{**PLAIN, "width": 1 / 8})
    with pytest.raises(UsageError, match=r"conv1_1 has \(4, 3, 3, 3\) numbers in the given weights and \(8, 3, 3, 3\)"):
        wider.load_convolutions(given)


def test_initializations_differ():
    spreads = [
        float(VGGClassifier("vgg16", 3, initialization=kind, **PLAIN).convolutions["conv5_3"].weight.detach().std())
        for kind in ("he", "gaussian")
    ]
    assert abs(spreads[1] - 0.01) < 0.001 < spreads[0] - 0.01
