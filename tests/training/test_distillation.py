from __future__ import annotations

import copy

import pytest
import torch

from impasto.descriptors.compact import COMPACT_LAYERS, COMPACT_WIDTHS, CompactDescriptor
from impasto.descriptors.vgg import VGG
from impasto.images import read_picture, resize_pixels
from impasto.losses.functional import gram_matrix
from impasto.training.data import Crops
from impasto.training.distillation import (
    Distillation,
    Student,
    compact_tensors,
    explained,
    prune_teacher,
    refit_heads,
)
from impasto.weights.canonical import TORCHVISION
from random_networks import he_tensors

pytestmark = pytest.mark.slow


def teacher_of(widths):
    shapes, channels = {}, 3
    for name, width in widths.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width, channels, 3, 3), (width,)
        channels = width
    return VGG("vgg19", he_tensors(shapes), mean=TORCHVISION.mean, std=TORCHVISION.std)


@pytest.fixture(scope="module")
def images(photo, painting):
    pictures = [torch.from_numpy(resize_pixels(read_picture(path).pixels, 96, 96)) for path in (photo, painting)]
    return torch.stack(pictures).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def wide():
    return teacher_of({name: 2 * width for name, width in COMPACT_WIDTHS.items()})


@pytest.fixture(scope="module")
def pruned(wide, images):
    torch.manual_seed(0)
    student = Student(wide)
    prune_teacher(student, wide, images)
    return student


def test_a_teacher_of_the_students_widths_is_copied(images):
    teacher = teacher_of(COMPACT_WIDTHS)
    student = Student(teacher)
    prune_teacher(student, teacher, torch.cat([images, images.flip(3), images.flip(2), images.roll(31, 3)]))
    scores = explained(student, teacher, [images])
    assert min(scores[layer] for layer in ("relu1_1", "relu2_1", "relu3_1")) > 0.99


def test_pruning_explains_more_than_chance(wide, pruned, images):
    scores = explained(pruned, wide, [images])
    assert list(scores) == list(COMPACT_LAYERS)
    random = explained(Student(wide), wide, [images])
    assert all(scores[layer] > max(0.3, random[layer]) for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1"))


def test_refitted_heads_explain_more(wide, pruned, images):
    student = copy.deepcopy(pruned)
    more = torch.cat([images, images.flip(3)])
    before = explained(student, wide, [more])
    refit_heads(student, wide, [images, images.flip(3)])
    after = explained(student, wide, [more])
    assert all(after[layer] >= before[layer] - 1e-3 for layer in COMPACT_LAYERS)
    assert sum(after.values()) > sum(before.values()) + 0.01


def test_explained_is_one_minus_the_share_of_the_variance(wide, images):
    class Mean:
        def __call__(self, batch):
            targets = wide.forward(images, COMPACT_LAYERS)
            return {name: target.mean((0, 2, 3), keepdim=True).expand_as(target) for name, target in targets.items()}

    assert explained(Mean(), wide, [images]) == pytest.approx(dict.fromkeys(COMPACT_LAYERS, 0.0), abs=1e-4)


def test_a_training_step_lowers_what_is_not_explained(wide, pruned, photo, painting):
    torch.manual_seed(0)
    task = Distillation(Student(wide), wide, Crops([photo, painting], 64, 2, 0))
    task.begin()
    optimizer = torch.optim.Adam(task.network.parameters(), lr=1e-5)
    totals = []
    for _ in range(6):
        losses = task.losses(0)
        assert float(losses["total"].detach()) == pytest.approx(
            sum(float(losses[layer].detach()) for layer in COMPACT_LAYERS), rel=1e-5
        )
        totals.append(float(losses["total"].detach()))
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    assert totals[-1] < totals[0]
    sheet = task.samples(task.network)
    assert sheet.width > 800 and sheet.height > 300


def test_the_compact_descriptor_has_the_distances_of_the_predictions(pruned, wide, images):
    tensors = {name: value.float() for name, value in compact_tensors(pruned).items()}
    compact = CompactDescriptor(tensors, mean=TORCHVISION.mean, std=TORCHVISION.std)
    with torch.no_grad():
        predicted, reduced = pruned(images), compact.forward(images, COMPACT_LAYERS)
        own = CompactDescriptor(tensors, mean=TORCHVISION.mean, std=TORCHVISION.std, full=COMPACT_LAYERS).forward(
            images, COMPACT_LAYERS
        )
    for layer in COMPACT_LAYERS:
        width = COMPACT_WIDTHS[layer.replace("relu", "conv")]
        assert reduced[layer].shape[1] == width + 1 < predicted[layer].shape[1]
        torch.testing.assert_close(own[layer], predicted[layer], rtol=0.02, atol=0.02 * float(predicted[layer].std()))
        for compare in (lambda x: x, gram_matrix):
            a, b = (compare(each[layer]) for each in (predicted, reduced))
            assert (b[0] - b[1]).norm() == pytest.approx(float((a[0] - a[1]).norm()), rel=0.01)
            assert b.norm() == pytest.approx(float(a.norm()), rel=0.01)
