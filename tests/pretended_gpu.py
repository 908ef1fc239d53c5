"""A GPU for tests on machines that have none: PyTorch's device 'meta', which computes shapes and no numbers."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

GPU = torch.device("meta")
_ACROSS = ("aten._to_copy", "aten.copy_", "aten.index.", "aten.index_put")
"""Operators that take tensors of several devices on a real GPU, too."""


class PretendedGPU(TorchDispatchMode):
    """Refuses what a GPU refuses: an operator on tensors of several devices. Copies to the CPU have random numbers."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
        there = [each for each in tensors if each.device == GPU]
        name = str(func)
        if there and not name.startswith(_ACROSS):
            here = [tuple(each.shape) for each in tensors if each.device != GPU and each.ndim]
            assert not here, f"{name} takes {here} on the CPU and {[tuple(each.shape) for each in there]} on the GPU"
            assert "nnpack" not in name, "NNPACK computes on the CPU only"
        if name.startswith("aten._to_copy") and there and kwargs.get("device", GPU) != GPU:
            return torch.rand(args[0].shape).to(kwargs.get("dtype") or args[0].dtype)
        if name.startswith("aten.copy_") and there and args[0].device != GPU:
            return args[0]
        if name.startswith("aten._local_scalar_dense") and there:
            return 1
        return func(*args, **kwargs)
