"""Recognises the preprocessing with which a VGG network was trained, from its weights alone.

torchvision's files and the converted Caffe files of Simonyan and Zisserman have the same keys and shapes, but
the first expect RGB of unit variance and the second BGR from 0 to 255. With the wrong preprocessing, a file loads
without an error but paints badly.

The size (root mean square) of the deep filters distinguishes the two trainings. Most of it is what the training left of
the initial noise:

* torchvision (2017) had to start at He et al.'s ``sqrt(2 / (9 C_out))``, because inputs of unit variance would
  otherwise fade away over 16 layers. In blocks 4 and 5 that is 0.021. The published weights have 0.014 to 0.022:
  ratio 0.76 (VGG19) and 0.83 (VGG16).
* Simonyan and Zisserman's (2014) network does not need that size, because its inputs are sixty times larger. A
  weight decay of 5e-4 over 370,000 steps reduced the filters. The published weights have 0.006 to 0.0085: ratio 0.37
  (VGG19) and 0.41 (VGG16, by conv5_3).

The ratio does not depend on channel order, on biases, or on half precision. Fine-tuning hardly changes it. The
activations give no evidence: Caffe's network has activations of a credible size even for inputs of the wrong range.

The size of the first layer shows whether 0-to-255 preprocessing has been folded into it. Training leaves conv1_1 at
0.19 to 0.25 in all four networks, and folding multiplies it by ``255 * std``, that is by 58.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from impasto.weights.canonical import CAFFE, TORCHVISION, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_OXFORD_AT_MOST = 0.48
_TORCHVISION_AT_LEAST = 0.62  # between the two bounds the ratio is inconclusive
_TRAINED_FIRST_LAYER = (0.04, 1.2)
_FOLDED_FIRST_LAYER = (4.0, 30.0)


def recognise_preprocessing(tensors: Mapping[str, Tensor]) -> Preprocessing | None:
    """Return the preprocessing of a complete VGG16 or VGG19, judged by ``tensors``; None if these are inconclusive."""
    ratio = deep_filter_ratio(tensors)
    first = _rms(tensors["conv1_1.weight"])
    trained = _TRAINED_FIRST_LAYER[0] <= first <= _TRAINED_FIRST_LAYER[1]
    folded = _FOLDED_FIRST_LAYER[0] <= first <= _FOLDED_FIRST_LAYER[1]
    if ratio >= _TORCHVISION_AT_LEAST and trained:
        return TORCHVISION
    if ratio <= _OXFORD_AT_MOST and trained:
        return CAFFE
    if ratio <= _OXFORD_AT_MOST and folded:
        return TORCHVISION
    return None


def deep_filter_ratio(tensors: Mapping[str, Tensor]) -> float:
    """Return the size of filters relative to He et al.'s initial size, as a geometric mean over blocks 4 and 5."""
    logs = [
        math.log(max(_rms(tensor), 1e-12) / math.sqrt(2 / (9 * tensor.shape[0])))
        for name, tensor in tensors.items()
        if name.startswith(("conv4", "conv5")) and name.endswith(".weight")
    ]
    return math.exp(sum(logs) / len(logs))


def _rms(tensor: Tensor) -> float:
    return float(tensor.float().square().mean().sqrt())
