"""The memory footprint of a descriptor in PyTorch, measured with a small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from impasto.optimization.memory import Footprint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from impasto.descriptors.base import Descriptor

_TRANSIENT = 4.4
"""Memory of the backward pass in addition to the stored activations, as a multiple of the largest of them. Measured."""
_PROBE = 128


def descriptor_footprint(
    network: Descriptor, content: Iterable[str], style: Iterable[str], device: torch.device
) -> Footprint:
    """Measure the footprint of ``network`` on the content and style layers with a small picture."""
    content = list(content)
    layers = sorted({*content, *style})
    side = max(_PROBE, *(2 * network.minimum_size(layer) for layer in layers))
    weights = {tensor.untyped_storage().data_ptr() for tensor in _constants(network)}
    sizes: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a tensor that is stored in its own autograd graph would never be freed

    image = torch.zeros(1, 3, side, side, device=device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        features = network.forward(image, layers)
    area = side * side
    kept = sum(sizes.values()) + _TRANSIENT * max(sizes.values())
    compared = sum(4 * features[layer].numel() for layer in content)
    return Footprint(kept / area, compared / area, max(network.reach(layer) for layer in layers))


def _constants(network: Descriptor) -> Iterable[Tensor]:
    module: nn.Module = network  # type: ignore[assignment]  # every descriptor is a module
    return [*module.parameters(), *module.buffers()]
