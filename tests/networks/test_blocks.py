from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from impasto.networks.blocks import EdgeConvolution, enlarge, instance_norm


def test_instance_norm_and_its_gradient_are_pytorchs():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(instance_norm(x), F.instance_norm(x))
    assert torch.autograd.gradcheck(instance_norm, x)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (5, 1)])
def test_edge_convolution_keeps_a_flat_picture_flat_to_the_edge(kernel, stride):
    convolution = EdgeConvolution(3, 4, kernel, stride)
    result = convolution(torch.full((1, 3, 16, 24), 0.7))
    assert result.shape == (1, 4, 16 // stride, 24 // stride)
    torch.testing.assert_close(result, result[:, :, :1, :1].expand_as(result))


def test_enlarge_doubles_without_a_shift():
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    doubled = enlarge(ramp)
    assert doubled.shape == (1, 1, 8, 16)
    torch.testing.assert_close(doubled[0, 0, 0, 1:-1], torch.arange(14.0) / 2 + 0.25)
