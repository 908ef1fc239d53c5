"""The compact descriptor: a narrow VGG19 that learns to predict the activations of the full VGG19.

Every wanted layer of VGG19 is predicted by an affine map (a head) of the student's layer of the same name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor, nn

from impasto.descriptors.compact import COMPACT_LAYERS, COMPACT_WIDTHS, WIDE_WIDTHS
from impasto.descriptors.devices import device_of
from impasto.descriptors.vgg import layer_names
from impasto.errors import WeightsFormatError
from impasto.images import Cell, sheet
from impasto.losses.gradients import HYPER_LAYERS, OWN_LAYERS, hypercolumns
from impasto.training.data import OTHER_STEPS, fingerprint
from impasto.training.regression import by_channel, fit_convolution
from impasto.training.targets import COLUMNS, TargetStore
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from impasto.descriptors.vgg import VGG
    from impasto.training.data import Batch, Crops

_PICTURES_TO_PRUNE_ON = 64
_RANKED_POSITIONS = 4000
_HEAD_RIDGE = 1e-6
_SHORT = 0.1
"""Length, as a share of the mean, below which a vector counts less than half."""
_TINY = 1e-8
_INNER_LAYERS = ("relu1_2", "relu2_2", "relu3_3")
"""Layers that the engine 'nnst' looks at beside `COMPACT_LAYERS`. Their heads are needed in the training alone."""


def new_student(teacher: VGG, width: Literal["compact", "wide"]) -> Student:
    """Make a student of `COMPACT_WIDTHS` or `WIDE_WIDTHS` with heads for all layers that an engine looks at."""
    return Student(teacher, COMPACT_WIDTHS if width == "compact" else WIDE_WIDTHS, (*COMPACT_LAYERS, *_INNER_LAYERS))


class Student(nn.Module):
    """VGG19 up to conv5_1 with fewer channels, and one head per wanted layer that maps to VGG19's own channels."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, teacher: VGG, widths: Mapping[str, int] = COMPACT_WIDTHS, layers: Sequence[str] = COMPACT_LAYERS
    ) -> None:
        """Take preprocessing and the heads' widths from ``teacher``; the weights are random.

        ``widths`` are the channels of each convolution, down to conv5_1. ``layers`` get a head each.
        """
        super().__init__()
        self.widths = dict(widths)
        self.layers = tuple(layers)
        self.register_buffer("mean", teacher.mean)
        self.register_buffer("std", teacher.std)
        self.convolutions = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        channels = 3
        for layer, width in widths.items():
            edges: Literal["replicate", "zeros"] = "replicate" if layer == "conv1_1" else "zeros"
            self.convolutions[layer] = nn.Conv2d(channels, width, 3, padding=1, padding_mode=edges)
            channels = width
        for layer in layers:
            wide = teacher.get_buffer(f"convolutions.{layer.replace('relu', 'conv')}.weight").shape[0]
            self.heads[layer] = nn.Conv2d(widths[layer.replace("relu", "conv")], wide, 1)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the student's own activations for ``image`` (N, 3, H, W) in [0, 1].

        Returns those of the layers with heads and of the layers of `hypercolumns`.
        """
        x = (image - self.mean) / self.std
        found: dict[str, Tensor] = {}
        for layer in layer_names("vgg19"):
            if layer.startswith("conv"):
                x = self.convolutions[layer](x)
            elif layer.startswith("relu"):
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, 2)
            if layer in self.layers or layer in HYPER_LAYERS:
                found[layer] = x
            if layer == COMPACT_LAYERS[-1]:
                break
        return found

    def predicted(self, layer: str, features: Tensor) -> Tensor:
        """Predict the teacher's activations from the student's ``features`` of ``layer``, (N, C, ...)."""
        head = cast("nn.Conv2d", self.heads[layer])
        flat = F.conv1d(features.flatten(2), head.weight[:, :, 0], head.bias)
        return flat.view(*flat.shape[:2], *features.shape[2:])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict the teacher's activations of the wanted layers."""
        features = self.features(image)
        return {layer: self.predicted(layer, features[layer]) for layer in self.layers}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights, as `compact_tensors` names them; heads that are missing there stay as they are.

        Raises:
            WeightsFormatError: they have other widths.
        """
        own = {_own_name(name): value.float() for name, value in tensors.items()}
        shapes = {name: value.shape for name, value in self.state_dict().items()}
        wrong = [name for name, value in own.items() if shapes.get(name) != value.shape]
        if wrong or not all(f"convolutions.{layer}.weight" in own for layer in self.widths):
            raise WeightsFormatError("the weights to begin with have other widths; choose another width or file")
        self.load_state_dict({**self.state_dict(), **own})


class Distillation:
    """Trains a student on crops.

    The loss of a layer is the unexplained share of the teacher's variance. The engine 'nnst' compares positions by
    cosines of the student's own activations, so these have losses, too, named 'cosines LAYER': the mean squared
    difference of all cosines within a crop, as a share of their variance in the teacher.
    """

    def __init__(
        self,
        student: Student,
        teacher: VGG,
        crops: Crops,
        *,
        kept: int = 0,
        painted: float = 0.0,
        folder: Path = Path(),
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Set up the training of ``student`` by ``teacher`` on ``crops``.

        Args:
            student: in training.
            teacher: with all channels.
            crops: the pictures.
            kept: number of batches whose targets are kept in ``folder`` and used again by later steps; 0 keeps none.
            painted: share of each batch that is painted through the student.
            folder: for the kept targets.
            start: weights of an earlier training of this width to begin with, in place of the pruned teacher, as
                `compact_tensors` names them.
        """
        self.network: Student = student
        self.crop = crops.size
        self._teacher = teacher
        self._crops = crops
        self._start, self._settings = start, [kept, *([painted] if painted else [])]
        self._targets = TargetStore(student, teacher, crops, folder, kept=kept, painted=painted)

    def begin(self) -> None:
        """Take the weights of the earlier training, or prune the teacher to the student's widths.

        Raises:
            WeightsFormatError: the weights of the earlier training are those of another width.
        """
        if self._start is not None:
            self.network.load(self._start)
            return
        batches = -(-_PICTURES_TO_PRUNE_ON // self._crops.batch)
        images = torch.cat([self._crops.at(OTHER_STEPS + index) for index in range(batches)])
        prune_teacher(self.network, self._teacher, images.to(device_of(self.network)))

    @property
    def fingerprint(self) -> str:
        """Digest of the teacher, the data, the widths and the weights to begin with."""
        settings = [self._teacher.identity, self.network.widths, self.network.layers, self._crops.settings]
        return fingerprint([*settings, *self._settings], (self._start or {}).values())

    def batch(self, step: int) -> Batch:
        """Return this process's part of the crops of ``step``, and what is kept of its targets."""
        return self._targets.batch(step)

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute 1 - R^2 of each layer and the differences of cosines, and their sum as 'total'."""
        targets = self._targets.at(step, batch)
        features = self.network.features(targets.images)
        losses = {}
        for layer in self.network.layers:
            predicted = self.network.predicted(layer, targets.sampled(features[layer]))
            wanted = targets.activations[layer]
            losses[layer] = residual(predicted, wanted) / total_variance(wanted)
        for name in (*OWN_LAYERS, COLUMNS):
            mine = targets.sampled(hypercolumns(features) if name == COLUMNS else features[name])
            losses[f"cosines {name}"] = disagreement(mine, targets.activations[name])
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def samples(self, network: Student) -> Picture:
        """Draw the first principal component of each layer for four crops, from the teacher and from the student."""
        images = self._crops.at(OTHER_STEPS)[:4]
        seen = images.to(device_of(network))
        with torch.no_grad():
            targets, predictions = self._teacher.forward(seen, COMPACT_LAYERS), network(seen)
        targets, predictions = ({layer: x.cpu() for layer, x in each.items()} for each in (targets, predictions))
        rows = []
        for index, image in enumerate(images):
            row = [Cell(Picture(image.permute(1, 2, 0).numpy()), "crop")]
            for layer in COMPACT_LAYERS:
                target, predicted = targets[layer][index].flatten(1), predictions[layer][index].flatten(1)
                axis = torch.linalg.svd(target - target.mean(1, keepdim=True), full_matrices=False).U[:, 0]
                maps = torch.stack([axis @ target, axis @ predicted]).view(2, *targets[layer].shape[2:])
                maps = ((maps - maps[0].min()) / (maps[0].max() - maps[0].min()).clamp_min(1e-6)).clamp(0, 1)
                for who, shown in zip(("VGG19", "compact"), maps, strict=True):
                    row.append(Cell(Picture(shown[:, :, None].expand(-1, -1, 3).numpy().copy()), f"{layer} {who}"))
            rows.append(row)
        return sheet(rows, title="What VGG19 and the compact descriptor see", cell_side=128)


def residual(prediction: Tensor, target: Tensor) -> Tensor:
    """Sum the squared differences of two (N, C, ...)."""
    return (prediction - target).square().sum()


def total_variance(target: Tensor) -> Tensor:
    """Sum the squared differences of ``target`` (N, C, P) from its channels' means."""
    return (target - target.mean((0, 2), keepdim=True)).square().sum()


def disagreement(mine: Tensor, wanted: Tensor) -> Tensor:
    """Compare the `cosines` between the positions of (N, C, P) and (N, D, P): 0 for equal ones, 1 for their mean."""
    expected = cosines(wanted)
    return F.mse_loss(cosines(mine), expected) / expected.var()


def cosines(features: Tensor) -> Tensor:
    """Return the cosines between positions of (N, C, P), less their mean: (N, P, P).

    Even areas have short vectors, whose directions are noise. They count less.
    """
    centered = features - features.mean(2, keepdim=True)
    lengths = centered.square().sum(1, keepdim=True).add(_TINY).sqrt()
    directions = centered / (lengths + _SHORT * lengths.detach().mean())
    return directions.transpose(1, 2) @ directions


def explained(student: Student, teacher: VGG, batches: Sequence[Tensor]) -> dict[str, float]:
    """Return R^2 of each layer over ``batches``: the explained share of the teacher's variance over all channels."""
    errors: dict[str, float] = dict.fromkeys(student.layers, 0.0)
    squares, counts = dict(errors), dict(errors)
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        for images in batches:
            seen = images.to(device_of(student))
            targets, predictions = teacher.forward(seen, student.layers), student(seen)
            for layer, target in targets.items():
                errors[layer] += float(residual(predictions[layer], target))
                exact = target.cpu().double()  # not every GPU has float64
                squares[layer] += float(exact.square().sum())
                sums[layer] = sums.get(layer, 0) + exact.sum((0, 2, 3))
                counts[layer] += target.numel() / target.shape[1]
    return {
        layer: 1 - errors[layer] / (squares[layer] - float(sums[layer].square().sum()) / counts[layer])
        for layer in student.layers
    }


def prune_teacher(student: Student, teacher: VGG, images: Tensor) -> None:
    """Initialise the student from the teacher: select channels that span its activations, and refit their filters.

    Works layer by layer, after He, Zhang and Sun (2017), "Channel Pruning for Accelerating Very Deep Neural Networks",
    section 3.2. The student's channels are those of the teacher that a pivoted QR decomposition of its activations
    selects first. Their filters are the least-squares fit from the student's channels of the layer below to the
    teacher's activations before the rectification. The head of a layer is fitted after its filters. Differs from the
    paper in the selection of channels.

    Args:
        student: changed in place.
        teacher: with all channels.
        images: (N, 3, H, W) in [0, 1]; a few dozen suffice.
    """
    from scipy.linalg import qr

    generator = torch.Generator().manual_seed(0)
    x = (images - student.mean) / student.std
    names = layer_names("vgg19")
    with torch.no_grad():
        for layer in names[: names.index(COMPACT_LAYERS[-1]) + 1]:
            if layer.startswith("pool"):
                x = F.max_pool2d(x, 2)
            elif layer.startswith("conv"):
                before = by_channel(teacher.forward(images, [layer])[layer])
                positions = torch.randperm(before.shape[1], generator=generator)[:_RANKED_POSITIONS]
                rectified = before[:, positions].relu()
                order = qr((rectified - rectified.mean(1, keepdim=True)).T.cpu().numpy(), mode="r", pivoting=True)[1]
                chosen = torch.from_numpy(order[: student.widths[layer]].copy()).long()
                mode = "replicate" if layer == "conv1_1" else "constant"
                patches = by_channel(F.unfold(F.pad(x, (1, 1, 1, 1), mode=mode), 3).view(len(x), -1, *x.shape[2:]))
                convolution = cast("nn.Conv2d", student.convolutions[layer])
                fit_convolution(convolution, patches, before[chosen], generator)
                x = convolution(x)
            else:
                x = x.relu()
                if layer in student.layers:
                    fit_convolution(
                        cast("nn.Conv2d", student.heads[layer]),
                        by_channel(x),
                        by_channel(teacher.forward(images, [layer])[layer]),
                        generator,
                    )


def refit_heads(student: Student, teacher: VGG, batches: Iterable[Tensor]) -> None:
    """Set the heads to the least-squares fit over ``batches``, the optimum for the student's activations."""
    squares: dict[str, Tensor] = {}
    products: dict[str, Tensor] = {}
    with torch.no_grad():
        for images in batches:
            seen = images.to(device_of(student))
            targets, features = teacher.forward(seen, student.layers), student.features(seen)
            for layer in student.layers:
                x = F.pad(by_channel(features[layer]), (0, 0, 0, 1), value=1.0)
                y = by_channel(targets[layer])
                squares[layer] = squares.get(layer, 0) + (x @ x.T).cpu().double()
                products[layer] = products.get(layer, 0) + (x @ y.T).cpu().double()
        for layer, square in squares.items():
            ridge = torch.eye(len(square)) * _HEAD_RIDGE * square.trace() / len(square)
            solution = torch.linalg.solve(square + ridge, products[layer]).T
            student.get_parameter(f"heads.{layer}.weight").copy_(solution[:, :-1, None, None])
            student.get_parameter(f"heads.{layer}.bias").copy_(solution[:, -1])


def _own_name(name: str) -> str:
    """Return the student's name of a tensor that `compact_tensors` names ``name``."""
    return f"heads.{name.removeprefix('head.')}" if name.startswith("head.") else f"convolutions.{name}"


def compact_tensors(student: Student) -> dict[str, Tensor]:
    """Return all tensors of the compact descriptor in float16, under the names that it reads."""
    tensors = {}
    for name, value in student.state_dict().items():
        kind, _, rest = name.partition(".")
        if kind in ("convolutions", "heads"):
            halved = value.detach().to(torch.float16).cpu().contiguous()
            tensors[rest if kind == "convolutions" else f"head.{rest}"] = halved
    return tensors
