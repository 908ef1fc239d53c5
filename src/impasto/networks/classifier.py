"""VGG networks (Simonyan and Zisserman 2014) that are trained as classifiers and then used as descriptors."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from impasto.errors import UsageError
from impasto.weights.canonical import CONVOLUTIONS_PER_BLOCK, convolution_names, tensor_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Head = Literal["average", "dense"]
Initialization = Literal["he", "gaussian"]

_DENSE_POSITIONS = 7
_DENSE_WIDTH = 4096
_GAUSSIAN = 0.01
"""Standard deviation of the initial weights in Simonyan and Zisserman (2014), section 3.1."""


class VGGClassifier(nn.Module):
    """The convolutions of VGG16 or VGG19, and a classifier on top.

    Attributes:
        architecture: 'vgg16' or 'vgg19'.
        convolutions: the convolutions by name, from ``conv1_1`` on.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: str,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        width: float = 1.0,
        batch_norm: bool = False,
        head: Head = "average",
        dropout: float = 0.5,
        initialization: Initialization = "he",
        seed: int = 0,
    ) -> None:
        """Build the network with random weights.

        Args:
            architecture: 'vgg16' or 'vgg19'.
            classes: number of classes.
            mean: mean of R, G and B, on the scale [0, 1]; it is subtracted from the pictures.
            std: standard deviation of R, G and B, on the same scale.
            width: width of all layers, as a share of VGG's.
            batch_norm: normalise the output of each convolution (Ioffe and Szegedy 2015).
            head: 'average', a mean over positions and one linear layer; or 'dense', the three linear layers of the
                paper on 7x7 positions.
            dropout: share of the inputs of linear layers that is dropped in training.
            initialization: 'he' (He et al. 2015), or 'gaussian' with a standard deviation of 0.01, as in the paper.
                With 'gaussian', plain deep networks hardly learn without batch normalisation.
            seed: seed of the weights.
        """
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1))
        shapes = tensor_shapes(architecture)
        names = convolution_names(architecture)
        widths = [3, *(max(1, round(width * shapes[f"{name}.weight"][0])) for name in names)]
        self.convolutions = nn.ModuleDict(
            {name: nn.Conv2d(a, b, 3, padding=1) for name, (a, b) in zip(names, pairwise(widths), strict=True)}
        )
        self.norms = nn.ModuleDict(
            {name: nn.BatchNorm2d(b) for name, b in zip(names, widths[1:], strict=True)} if batch_norm else {}
        )
        self.classifier = _head(head, widths[-1], max(1, round(width * _DENSE_WIDTH)), classes, dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._initialize(initialization)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (N, classes) of ``image`` (N, 3, H, W), sRGB in [0, 1], with sides of at least 32."""
        x = (image - self.mean) / self.std
        for block, count in enumerate(CONVOLUTIONS_PER_BLOCK[self.architecture], start=1):
            for index in range(1, count + 1):
                name = f"conv{block}_{index}"
                x = self.convolutions[name](x)
                if name in self.norms:
                    x = self.norms[name](x)
                x = x.relu()
            x = torch.max_pool2d(x, 2)
        logits: Tensor = self.classifier(x)
        return logits

    def load_convolutions(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the convolutions of a descriptor of the same widths, and make all classes equally likely.

        Raises:
            UsageError: the descriptor has other widths.
        """
        for name, convolution in self.convolutions.items():
            for part, parameter in convolution.named_parameters():
                given = tensors[f"{name}.{part}"]
                if given.shape != parameter.shape:
                    raise UsageError(
                        f"{name} has {tuple(given.shape)} numbers in the given weights and {tuple(parameter.shape)} "
                        "here; start from weights of 'impasto train classifier' or of a plain VGG16 or VGG19"
                    )
                with torch.no_grad():
                    parameter.copy_(given)
        # The activations may be large. With random weights in the last layer, the first loss would be ten or more.
        last = self.classifier[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def freeze(self, blocks: int) -> None:
        """Exclude the first ``blocks`` blocks of convolutions from training."""
        for modules in (self.convolutions, self.norms):
            for name, module in modules.items():
                module.requires_grad_(int(name[4]) > blocks)

    def descriptor_tensors(self) -> dict[str, Tensor]:
        """Return the weights and biases of the convolutions by name. Batch normalisations are folded into them."""
        tensors = {}
        for name, module in self.convolutions.items():
            convolution = cast("nn.Conv2d", module)
            assert convolution.bias is not None
            weight, bias = convolution.weight.detach(), convolution.bias.detach()
            if name in self.norms:
                norm = cast("nn.BatchNorm2d", self.norms[name])
                assert norm.running_mean is not None and norm.running_var is not None
                scale = norm.weight.detach() * (norm.running_var + norm.eps).rsqrt()
                weight = weight * scale.view(-1, 1, 1, 1)
                bias = (bias - norm.running_mean) * scale + norm.bias.detach()
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight.clone(), bias.clone()
        return tensors

    def _initialize(self, initialization: Initialization) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                fan_in = math.prod(module.weight.shape[1:])
                spread = math.sqrt(2 / fan_in) if initialization == "he" else _GAUSSIAN
                nn.init.normal_(module.weight, std=spread)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _head(head: Head, width: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    if head == "average":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, classes))
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(_DENSE_POSITIONS),
        nn.Flatten(),
        nn.Linear(width * _DENSE_POSITIONS**2, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )
