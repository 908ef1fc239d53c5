"""Convolution with frozen weights: every kernel against PyTorch's own in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor

from impasto.descriptors.devices import native_precision
from impasto.descriptors.vgg import FrozenConvolution

WINOGRAD = "_WinogradConvolutionBackward"
needs_nnpack = pytest.mark.skipif(
    not torch.backends.nnpack.is_available(), reason="this PyTorch has no NNPACK, so there is no Winograd path"
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filters(out_channels: int, in_channels: int) -> tuple[Tensor, Tensor]:
    """Filters of no symmetry, so that a turned or exchanged one is noticed."""
    return random(out_channels, in_channels, 3, 3, seed=1) / (9 * in_channels) ** 0.5, random(out_channels, seed=2)


def padded_reference(x: Tensor, weight: Tensor, bias: Tensor, edges: str) -> Tensor:
    mode = "constant" if edges == "zeros" else "replicate"
    return F.conv2d(F.pad(x.double(), (1, 1, 1, 1), mode=mode), weight.double(), bias.double())


def relative_error(value: Tensor, reference: Tensor) -> float:
    return ((value - reference).abs().max() / reference.abs().max()).item()


def check_against_reference(x: Tensor, weight: Tensor, bias: Tensor, edges: str = "zeros") -> str:
    """Compare values and gradients; return the name of the kernel's backward pass."""
    x = x.requires_grad_()
    convolved = FrozenConvolution(weight, bias, "float32", edges)(x)
    reference = padded_reference(x, weight, bias, edges)
    assert convolved.shape == reference.shape
    assert relative_error(convolved.detach(), reference.detach()) < 1e-4
    upstream = random(*convolved.shape, seed=3)
    (gradient,) = torch.autograd.grad(convolved, x, upstream)
    (expected,) = torch.autograd.grad(reference, x, upstream.double())
    assert relative_error(gradient, expected) < 1e-4
    return type(convolved.grad_fn).__name__


@needs_nnpack
@pytest.mark.parametrize(
    "shape", [(1, 16, 40, 40), (1, 24, 41, 43), (2, 16, 47, 40), (1, 16, 20, 80), (1, 16, 3, 1000)], ids=str
)
def test_winograd_from_forty_by_forty_positions(shape: tuple[int, ...]) -> None:
    assert check_against_reference(random(*shape), *filters(32, shape[1])) == WINOGRAD


@pytest.mark.parametrize("shape", [(1, 16, 39, 41), (2, 16, 8, 9), (1, 24, 2, 3), (1, 16, 1, 1)], ids=str)
def test_other_kernels_below(shape: tuple[int, ...]) -> None:
    assert check_against_reference(random(*shape), *filters(32, shape[1])) != WINOGRAD


@pytest.mark.parametrize(("out_channels", "in_channels"), [(32, 8), (8, 32), (5, 3)])
def test_other_kernels_for_few_channels(out_channels: int, in_channels: int) -> None:
    x = random(1, in_channels, 48, 44)
    assert check_against_reference(x, *filters(out_channels, in_channels)) != WINOGRAD


@pytest.mark.parametrize("shape", [(1, 3, 41, 30), (2, 3, 5, 4), (1, 24, 44, 45)], ids=str)
def test_replicated_edges(shape: tuple[int, ...]) -> None:
    assert check_against_reference(random(*shape), *filters(16, shape[1]), edges="replicate") != WINOGRAD


@needs_nnpack
def test_winograd_takes_any_memory_layout() -> None:
    last = random(2, 16, 44, 46).contiguous(memory_format=torch.channels_last)
    assert check_against_reference(last, *filters(16, 16)) == WINOGRAD
    turned = random(2, 16, 46, 44).transpose(2, 3)
    assert check_against_reference(turned, *filters(16, 16)) == WINOGRAD


@needs_nnpack
def test_winograd_takes_a_gradient_that_is_one_number_in_memory() -> None:
    weight, bias = filters(16, 16)
    x = random(1, 16, 44, 46).requires_grad_()
    (gradient,) = torch.autograd.grad(FrozenConvolution(weight, bias, "float32")(x).sum(), x)
    (expected,) = torch.autograd.grad(padded_reference(x, weight, bias, "zeros").sum(), x)
    assert relative_error(gradient, expected) < 1e-4


@pytest.mark.parametrize("edges", ["zeros", "replicate"])
@pytest.mark.parametrize("shape", [(1, 16, 12, 13), (2, 16, 41, 42)], ids=str)
def test_bfloat16(shape: tuple[int, ...], edges: str) -> None:
    weight, bias = filters(24, 16)
    convolution = FrozenConvolution(weight, bias, "bfloat16", edges)
    x = random(*shape).to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_()
    convolved = convolution(x)
    assert convolved.dtype == torch.bfloat16
    reference = padded_reference(x, weight, bias, edges)
    assert relative_error(convolved.detach(), reference.detach()) < 0.02
    upstream = random(*convolved.shape, seed=3)
    (gradient,) = torch.autograd.grad(convolved, x, upstream.bfloat16())
    (expected,) = torch.autograd.grad(reference, x, upstream.double())
    assert relative_error(gradient, expected) < 0.02


def test_bfloat16_filters_lie_channels_last() -> None:
    convolution = FrozenConvolution(*filters(16, 16), "bfloat16")
    assert convolution.weight.dtype == convolution.bias.dtype == torch.bfloat16
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert convolution.weight_backward is None


def test_a_device_without_bfloat16_gets_float32() -> None:
    assert native_precision(torch.device("mps")) == "float32"
    amx_or_avx512 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert native_precision(torch.device("cpu")) == ("bfloat16" if amx_or_avx512 else "float32")
