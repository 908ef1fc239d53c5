"""The compact descriptor: a narrow VGG19 that learns to predict the activations of the full VGG19.

Every wanted layer of VGG19 is predicted by an affine map (a head) of the student's layer of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor, nn

from impasto.descriptors.compact import COMPACT_LAYERS, COMPACT_WIDTHS
from impasto.descriptors.vgg import layer_names
from impasto.images import Cell, sheet
from impasto.training.data import OTHER_STEPS, fingerprint
from impasto.training.processes import rank, world_size
from impasto.training.regression import by_channel, fit_convolution
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from impasto.descriptors.vgg import VGG
    from impasto.training.data import Crops

_PICTURES_TO_PRUNE_ON = 64
_RANKED_POSITIONS = 4000
_HEAD_RIDGE = 1e-6


class Student(nn.Module):
    """VGG19 up to conv5_1 with fewer channels, and one head per wanted layer that maps to VGG19's own channels."""

    mean: Tensor
    std: Tensor

    def __init__(self, teacher: VGG, widths: Mapping[str, int] = COMPACT_WIDTHS) -> None:
        """Take preprocessing and the heads' widths from ``teacher``; the weights are random.

        ``widths`` are the channels of each convolution, down to conv5_1.
        """
        super().__init__()
        self.widths = dict(widths)
        self.register_buffer("mean", teacher.mean)
        self.register_buffer("std", teacher.std)
        self.convolutions = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        channels = 3
        for layer, width in widths.items():
            edges: Literal["replicate", "zeros"] = "replicate" if layer == "conv1_1" else "zeros"
            self.convolutions[layer] = nn.Conv2d(channels, width, 3, padding=1, padding_mode=edges)
            channels = width
        for layer in COMPACT_LAYERS:
            wide = teacher.get_buffer(f"convolutions.{layer.replace('relu', 'conv')}.weight").shape[0]
            self.heads[layer] = nn.Conv2d(widths[layer.replace("relu", "conv")], wide, 1)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the student's own activations of the wanted layers for ``image`` (N, 3, H, W) in [0, 1]."""
        x = (image - self.mean) / self.std
        found: dict[str, Tensor] = {}
        for layer in layer_names("vgg19"):
            if layer.startswith("conv"):
                x = self.convolutions[layer](x)
            elif layer.startswith("relu"):
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, 2)
            if layer in COMPACT_LAYERS:
                found[layer] = x
            if layer == COMPACT_LAYERS[-1]:
                break
        return found

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict the teacher's activations of the wanted layers."""
        return {layer: self.heads[layer](x) for layer, x in self.features(image).items()}


class Distillation:
    """Trains a student on crops; the loss of a layer is the unexplained share of the teacher's variance."""

    def __init__(self, student: Student, teacher: VGG, crops: Crops) -> None:
        """Set up the training of ``student`` by ``teacher`` on ``crops``."""
        self.network: Student = student
        self.crop = crops.size
        self._teacher = teacher
        self._crops = crops

    def begin(self) -> None:
        """Prune the teacher to the student's widths."""
        batches = -(-_PICTURES_TO_PRUNE_ON // self._crops.batch)
        images = torch.cat([self._crops.at(OTHER_STEPS + index) for index in range(batches)])
        prune_teacher(self.network, self._teacher, images)

    @property
    def fingerprint(self) -> str:
        """Digest of the teacher, the data and the widths."""
        settings = [self._teacher.identity, dict(COMPACT_WIDTHS), self._crops.settings]
        return fingerprint(settings)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Compute 1 - R^2 of each layer on the batch of ``step``, and their sum as 'total'."""
        images = self._crops.at(step, part=rank(), parts=world_size())
        with torch.no_grad():
            targets = self._teacher.forward(images, COMPACT_LAYERS)
        losses = {
            layer: residual(prediction, targets[layer]) / total_variance(targets[layer])
            for layer, prediction in self.network(images).items()
        }
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def samples(self, network: Student) -> Picture:
        """Draw the first principal component of each layer for four crops, from the teacher and from the student."""
        images = self._crops.at(OTHER_STEPS)[:4]
        with torch.no_grad():
            targets, predictions = self._teacher.forward(images, COMPACT_LAYERS), network(images)
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
    """Sum the squared differences of two (N, C, H, W)."""
    return (prediction - target).square().sum()


def total_variance(target: Tensor) -> Tensor:
    """Sum the squared differences of ``target`` (N, C, H, W) from its channels' means."""
    return (target - target.mean((0, 2, 3), keepdim=True)).square().sum()


def explained(student: Student, teacher: VGG, batches: Sequence[Tensor]) -> dict[str, float]:
    """Return R^2 of each layer over ``batches``: the explained share of the teacher's variance over all channels."""
    errors: dict[str, float] = dict.fromkeys(COMPACT_LAYERS, 0.0)
    squares, counts = dict(errors), dict(errors)
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        for images in batches:
            targets, predictions = teacher.forward(images, COMPACT_LAYERS), student(images)
            for layer, target in targets.items():
                errors[layer] += float(residual(predictions[layer], target))
                squares[layer] += float(target.double().square().sum())
                sums[layer] = sums.get(layer, torch.zeros(())) + target.double().sum((0, 2, 3))
                counts[layer] += target.numel() / target.shape[1]
    return {
        layer: 1 - errors[layer] / (squares[layer] - float(sums[layer].square().sum()) / counts[layer])
        for layer in COMPACT_LAYERS
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
                order = qr((rectified - rectified.mean(1, keepdim=True)).T.numpy(), mode="r", pivoting=True)[1]
                chosen = torch.from_numpy(order[: student.widths[layer]].copy()).long()
                mode = "replicate" if layer == "conv1_1" else "constant"
                patches = by_channel(F.unfold(F.pad(x, (1, 1, 1, 1), mode=mode), 3).view(len(x), -1, *x.shape[2:]))
                convolution = cast("nn.Conv2d", student.convolutions[layer])
                fit_convolution(convolution, patches, before[chosen], generator)
                x = convolution(x)
            else:
                x = x.relu()
                if layer in COMPACT_LAYERS:
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
            targets, features = teacher.forward(images, COMPACT_LAYERS), student.features(images)
            for layer in COMPACT_LAYERS:
                x = F.pad(by_channel(features[layer]), (0, 0, 0, 1), value=1.0)
                y = by_channel(targets[layer])
                squares[layer] = squares.get(layer, 0) + (x @ x.T).double()
                products[layer] = products.get(layer, 0) + (x @ y.T).double()
        for layer, square in squares.items():
            ridge = torch.eye(len(square)) * _HEAD_RIDGE * square.trace() / len(square)
            solution = torch.linalg.solve(square + ridge, products[layer]).T
            student.get_parameter(f"heads.{layer}.weight").copy_(solution[:, :-1, None, None])
            student.get_parameter(f"heads.{layer}.bias").copy_(solution[:, -1])


def compact_tensors(student: Student) -> dict[str, Tensor]:
    """Return all tensors of the compact descriptor in float16, under the names that it reads."""
    tensors = {}
    for name, value in student.state_dict().items():
        kind, _, rest = name.partition(".")
        if kind in ("convolutions", "heads"):
            tensors[rest if kind == "convolutions" else f"head.{rest}"] = value.detach().to(torch.float16).contiguous()
    return tensors
