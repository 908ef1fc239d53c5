"""VGG networks (Simonyan and Zisserman 2014) as classifiers of one's own pictures, which become descriptors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.descriptors.devices import device_of
from impasto.errors import UsageError
from impasto.images import Cell, sheet
from impasto.training.data import fingerprint
from impasto.training.packing import middles
from impasto.training.processes import rank, world_size
from impasto.types import Picture
from impasto.weights.canonical import CONVOLUTIONS_PER_BLOCK, convolution_names, tensor_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from impasto.training.data import Batch
    from impasto.training.packing import LabelledBatches, PackedPictures

_MISTAKES = 24
_EVALUATED_LARGER = 1.125
"""Evaluation size, relative to the crop size. Objects appear larger in random crops than in whole pictures, so whole
pictures are evaluated at a larger size (Touvron et al. 2019, "Fixing the train-test resolution discrepancy"). On
flowers with crops of 128, the accuracy rose from 91.2 % to 92.3 %."""

Head = Literal["average", "dense"]
Initialization = Literal["he", "gaussian"]

_DENSE_POSITIONS = 7
_DENSE_WIDTH = 4096
_GAUSSIAN = 0.01
"""Standard deviation of the initial weights. Simonyan and Zisserman (2014), section 3.1, give 0.01 as the variance."""


class Classification:
    """Trains a classifier with softmax cross-entropy."""

    def __init__(
        self,
        network: VGGClassifier,
        batches: LabelledBatches,
        classes: Sequence[str],
        validation: Sequence[int],
        *,
        label_smoothing: float = 0.0,
        recipe: str = "",
    ) -> None:
        """Set up the training of ``network``.

        Args:
            network: changed in place.
            batches: the training batches.
            classes: names of the classes.
            validation: indices of the packed pictures to validate with.
            label_smoothing: share of the probability that is spread over all classes (Szegedy et al. 2016).
            recipe: all other settings that determine the training. To resume it, they must be the same.
        """
        self.network: VGGClassifier = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.crop = batches.size
        self._batches = batches
        self._classes = classes
        self._validation = validation
        self._label_smoothing = label_smoothing
        self._recipe = recipe

    @property
    def fingerprint(self) -> str:
        """Digest of the pictures, the shape of the network and the recipe."""
        shapes = {name: list(parameter.shape) for name, parameter in self.network.named_parameters()}
        batches = self._batches
        settings = [shapes, list(batches.members), list(batches.labels), batches.size, batches.batch, self._recipe]
        return fingerprint(settings)

    def begin(self) -> None:
        """Keep the weights that the network has."""

    def batch(self, step: int) -> Batch:
        """Return this process's part of the pictures and classes of ``step``."""
        return self._batches.at(step, part=rank(), parts=world_size())

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute 'total', the cross-entropy, and 'accuracy' of the ``batch`` of ``step``."""
        images, labels = batch
        self.network.train()
        with torch.random.fork_rng([images.device] if images.device.type == "cuda" else []):
            # The dropout mask depends only on the step, so that a resumed training continues exactly.
            torch.manual_seed(self._batches.seed + (step * world_size() + rank()) * 1_000_003)
            logits = self._logits(self.network, images)
        total = functional.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        return {"accuracy": (logits.argmax(1) == labels).float().mean(), "total": total}

    def validate(self, network: VGGClassifier) -> dict[str, float]:
        """Return the accuracy (also as 'score') and the cross-entropy of ``network`` on the validation pictures."""
        found = self.evaluate(network, self._validation)
        return {"score": found.accuracy, "accuracy": found.accuracy, "loss": found.loss}

    def evaluate(self, network: VGGClassifier, members: Sequence[int]) -> Evaluation:
        """Classify the centre crops of the packed pictures ``members`` with ``network``."""
        probabilities = torch.cat(list(self._predicted(network, members)))
        labels = torch.tensor([self._batches.labels[number] for number in members])
        loss = -probabilities.gather(1, labels[:, None]).clamp_min(1e-12).log().mean()
        return Evaluation(list(members), labels.numpy(), probabilities.numpy(), float(loss))

    def samples(self, network: VGGClassifier) -> Picture:
        """Draw the validation pictures on which ``network`` makes its worst mistakes."""
        return self.mistakes(self.evaluate(network, self._validation))

    def mistakes(self, evaluation: Evaluation) -> Picture:
        """Draw the misclassified pictures whose true class got the least probability, with the predicted class."""
        wrong = [
            place for place in evaluation.least_likely() if evaluation.predicted[place] != evaluation.labels[place]
        ]
        cells = []
        for place in wrong[:_MISTAKES]:
            taken, own = evaluation.predicted[place], evaluation.labels[place]
            caption = (
                f"{self._classes[own]}, taken for {self._classes[taken]} ({evaluation.probabilities[place, taken]:.0%})"
            )
            image = middles(self._pictures, [evaluation.members[place]], self.crop)[0]
            cells.append(Cell(Picture(image.permute(1, 2, 0).contiguous().numpy()), caption))
        rows = [cells[first : first + 6] for first in range(0, len(cells), 6)] or [[Cell(None)]]
        title = f"The worst of {len(wrong)} mistakes in {len(evaluation.members)} pictures"
        return sheet(rows, title=title, cell_side=160)

    @property
    def _pictures(self) -> PackedPictures:
        return self._batches.pictures

    def _predicted(self, network: VGGClassifier, members: Sequence[int]) -> Iterator[Tensor]:
        network.eval()
        cropped = self._batches.augmentation.smallest_share < 1
        size = round((_EVALUATED_LARGER if cropped else 1.0) * self.crop)
        with torch.no_grad():
            for first in range(0, len(members), self._batches.batch):
                images = middles(self._pictures, members[first : first + self._batches.batch], size)
                yield self._logits(network, images.to(device_of(network))).softmax(1).cpu()

    def _logits(self, network: VGGClassifier, images: Tensor) -> Tensor:
        logits: Tensor = network(images.to(memory_format=torch.channels_last))
        return logits.float()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A classifier's predictions for labelled pictures."""

    members: list[int]
    """Indices of the pictures."""
    labels: npt.NDArray[np.int64]
    """(N): true classes."""
    probabilities: npt.NDArray[np.float32]
    """(N, classes): predicted probabilities."""
    loss: float

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N): most likely class of each picture."""
        found: npt.NDArray[np.int64] = self.probabilities.argmax(1)
        return found

    @property
    def accuracy(self) -> float:
        """Share of the pictures that are classified correctly."""
        return float((self.predicted == self.labels).mean())

    def least_likely(self) -> list[int]:
        """Positions of the pictures, sorted by the probability of their true class, lowest first."""
        own = self.probabilities[np.arange(len(self.labels)), self.labels]
        return [int(place) for place in np.argsort(own, kind="stable")]

    def confusion(self) -> npt.NDArray[np.int64]:
        """Count pictures by true class (rows) and predicted class (columns)."""
        classes = self.probabilities.shape[1]
        counts = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return counts.reshape(classes, classes)

    def table(self, classes: Sequence[str]) -> list[dict[str, object]]:
        """Return a row for each class: pictures, precision, recall and their harmonic mean."""
        confusion = self.confusion()
        rows: list[dict[str, object]] = []
        for label, name in enumerate(classes):
            right, actual, taken = confusion[label, label], confusion[label].sum(), confusion[:, label].sum()
            precision, recall = float(right / max(1, taken)), float(right / max(1, actual))
            f1 = 2 * precision * recall / max(1e-12, precision + recall)
            rows.append(
                {
                    "class": name,
                    "pictures": int(actual),
                    "precision": round(precision, 4),
                    "recall": round(recall, 4),
                    "f1": round(f1, 4),
                }
            )
        return rows


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
            initialization: 'he' (He et al. 2015), or 'gaussian' with a standard deviation of 0.01 (in the paper, a
                variance of 0.01). With 'gaussian', plain deep networks hardly learn without batch normalisation.
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
