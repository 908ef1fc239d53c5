"""3x3 convolution with frozen weights, by the fastest kernel available on this processor.

An optimisation spends nearly all its time in these convolutions and needs no gradient for the weights. The gradient for
the input is a convolution with the filters turned by 180 degrees and the channels exchanged, so both passes can use
kernels for inference.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
Edges = Literal["zeros", "replicate"]

# The Winograd kernels transform the filters at each call. Below these sizes, that costs more than it saves.
# Measured: benchmarks/RESULTS.md, "Convolution kernels".
_WINOGRAD_MIN_CHANNELS = 16
_WINOGRAD_MIN_POSITIONS = 40 * 40


def native_precision(device: torch.device) -> Precision:
    """Return 'bfloat16' if ``device`` computes with bfloat16 natively, else 'float32'."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return "bfloat16"
    return "float32"


class _WinogradConvolution(torch.autograd.Function):
    """Zero-padded 3x3 convolution that uses NNPACK's Winograd kernels in the forward and the backward pass.

    PyTorch uses NNPACK for the forward pass only. Its backward pass is a direct convolution, which takes more than
    twice as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, weight_backward: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight_backward)
        return torch._nnpack_spatial_convolution(x, weight, bias, (1, 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (weight_backward,) = ctx.saved_tensors
        grad = torch._nnpack_spatial_convolution(grads[0].contiguous(), weight_backward, None, (1, 1))
        return grad, None, None, None


class FrozenConvolution(nn.Module):
    """3x3 convolution, stride 1, padding 1, whose weights are constants.

    ``weight`` (C_out, C_in, 3, 3) and ``bias`` (C_out) are kept in the memory layout and type of ``precision``:
    bfloat16 in channels_last for oneDNN and cuDNN, float32 in NCHW for Winograd.
    """

    weight: Tensor
    bias: Tensor
    weight_backward: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor, precision: Precision, edges: Edges = "zeros") -> None:
        super().__init__()
        self._edges = edges
        weight, bias = weight.detach(), bias.detach()
        if precision == "bfloat16":
            weight, bias = weight.to(torch.bfloat16), bias.to(torch.bfloat16)
            weight = weight.contiguous(memory_format=torch.channels_last)
        winograd = (
            precision == "float32"
            and edges == "zeros"
            and weight.device.type == "cpu"
            and min(weight.shape[:2]) >= _WINOGRAD_MIN_CHANNELS
            and torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]
        )
        weight_backward = weight.flip(2, 3).transpose(0, 1).contiguous() if winograd else None
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("weight_backward", weight_backward)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_in, H, W); returns (N, C_out, H, W)."""
        if self._edges == "replicate":
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.weight, self.bias)
        positions = x.shape[2] * x.shape[3]
        # NNPACK computes on the CPU only. Exported networks are run by other runtimes, which have their own kernels.
        winograd = self.weight_backward is not None and x.device.type == "cpu" and not torch.compiler.is_exporting()
        winograd = winograd and not torch.is_autocast_enabled(x.device.type)
        if winograd and positions >= _WINOGRAD_MIN_POSITIONS:
            convolved: Tensor = _WinogradConvolution.apply(  # type: ignore[no-untyped-call]  # apply is not annotated
                x, self.weight, self.weight_backward, self.bias
            )
            return convolved
        return F.conv2d(x, self.weight, self.bias, padding=1)
