from __future__ import annotations

import copy

import pytest
import torch

from impasto.descriptors.compact import COMPACT_LAYERS, COMPACT_WIDTHS, CompactDescriptor
from impasto.descriptors.devices import placed
from impasto.descriptors.vgg import VGG
from impasto.errors import WeightsFormatError
from impasto.images import read_picture, resize_pixels
from impasto.losses.functional import gram_matrix, style_distance
from impasto.training.data import Crops
from impasto.training.distillation import (
    Distillation,
    Student,
    compact_tensors,
    disagreement,
    explained,
    prune_teacher,
    refit_heads,
)
from impasto.training.targets import TargetStore, paint_through
from impasto.weights.canonical import TORCHVISION
from pretended_gpu import GPU, PretendedGPU
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
    class Mean(torch.nn.Module):
        layers = COMPACT_LAYERS

        def __init__(self):
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch):
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
        losses = task.losses(0, task.batch(0))
        assert float(losses["total"].detach()) == pytest.approx(
            sum(float(loss.detach()) for name, loss in losses.items() if name != "total"), rel=1e-5
        )
        totals.append(float(losses["total"].detach()))
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    assert totals[-1] < totals[0]
    sheet = task.samples(task.network)
    assert sheet.width > 800 and sheet.height > 300


def test_kept_targets_are_those_of_the_teacher(wide, pruned, photo, painting, tmp_path):
    crops = Crops([photo, painting], 64, 2, 0)
    fresh = Distillation(pruned, wide, crops)
    kept = Distillation(pruned, wide, crops, kept=2, folder=tmp_path)
    with torch.no_grad():
        expected = [fresh.losses(step, fresh.batch(step)) for step in (0, 1, 0)]
        first = [kept.losses(step, kept.batch(step)) for step in (0, 1, 2)]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    for mine, theirs in zip(first, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, loss in mine.items():
            assert float(loss) == pytest.approx(float(theirs[name]), rel=0.02, abs=1e-3), name
    assert float(first[0]["total"]) != pytest.approx(float(first[1]["total"]), rel=1e-3)
    # The files are read, not computed again.
    with torch.no_grad():
        again = Distillation(
            pruned, teacher_of({name: 2 * n for name, n in COMPACT_WIDTHS.items()}), crops, kept=2, folder=tmp_path
        )
        assert float(again.losses(1, again.batch(1))["total"]) == float(first[1]["total"])
    # Other crops have targets of their own, also in the same folder.
    other = Crops([photo, painting], 64, 2, 1)
    mine, theirs = (Distillation(pruned, wide, other, kept=count, folder=tmp_path) for count in (2, 0))
    with torch.no_grad():
        totals = [float(each.losses(1, each.batch(1))["total"]) for each in (mine, theirs)]
    assert totals[0] == pytest.approx(totals[1], rel=0.02)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3


@pytest.mark.parametrize("by_neighbors", [True, False])
def test_pictures_are_painted_through_the_student(pruned, images, by_neighbors):
    contents, styles = images[:1], images[1:]
    painted = paint_through(pruned, contents, styles, by_neighbors=by_neighbors)
    assert painted.shape == contents.shape and 0 <= float(painted.min()) < float(painted.max()) <= 1
    with torch.no_grad():
        seen, before, wanted = (pruned.features(each) for each in (painted, contents, styles))
    for layer in ("relu1_1", "relu2_1", "relu3_1"):
        assert float(style_distance(seen[layer], wanted[layer])) < 0.6 * float(
            style_distance(before[layer], wanted[layer])
        )
    # What is painted resembles its own content more than the style.
    assert float((painted - contents).square().mean()) < float((painted - styles).square().mean())


def test_a_share_of_each_batch_is_painted(pruned, wide, photo, painting, tmp_path):
    crops = Crops([photo, painting], 64, 4, 0)
    store = TargetStore(pruned, wide, crops, tmp_path, kept=2, painted=0.25)
    (images,) = store.batch(0)
    targets = store.at(0, (images,))
    changes = (targets.images - images).abs().mean((1, 2, 3))
    assert float(changes[0]) > 0.01 and float(changes[1:].max()) < 0.005
    # The teacher looked at the painted picture, and both are kept.
    seen = wide.forward(targets.images, ["relu2_1"])["relu2_1"]
    assert float((targets.sampled(seen) - targets.activations["relu2_1"]).abs().max()) < 0.02 * float(seen.abs().max())
    torch.testing.assert_close(store.at(2, store.batch(2)).images, targets.images)
    task = Distillation(pruned, wide, crops, painted=0.25)
    assert task.fingerprint != Distillation(pruned, wide, crops).fingerprint


def test_a_student_that_sees_the_same_agrees(images, wide):
    seen = wide.forward(images, ["relu3_1"])["relu3_1"].flatten(2)
    rotation = torch.linalg.qr(torch.randn(seen.shape[1], seen.shape[1], generator=torch.Generator().manual_seed(0))).Q
    assert float(disagreement(3 * torch.einsum("cd,ndp->ncp", rotation, seen) + 1, seen)) < 1e-4
    assert float(disagreement(seen[:, :4], seen)) > 0.05


def test_a_training_begins_with_earlier_weights(pruned, wide, photo, painting):
    earlier, crops = compact_tensors(pruned), Crops([photo, painting], 64, 2, 0)
    student = Student(wide)
    task = Distillation(student, wide, crops, start=earlier)
    assert task.fingerprint != Distillation(student, wide, crops).fingerprint
    task.begin()
    torch.testing.assert_close(student.state_dict(), pruned.state_dict(), rtol=2e-3, atol=2e-3)
    other = Student(wide, {name: 2 * width for name, width in COMPACT_WIDTHS.items()})
    with pytest.raises(WeightsFormatError, match="have other widths"):
        other.load(earlier)


def test_everything_is_computed_on_the_device_of_the_network(wide, photo, painting):
    with PretendedGPU():
        teacher = placed(copy.deepcopy(wide), GPU)
        task = Distillation(placed(Student(teacher), GPU), teacher, Crops([photo, painting], 64, 2, 0))
        losses = task.losses(3, tuple(tensor.to(GPU) for tensor in task.batch(3)))
        losses["total"].backward()
        assert {loss.device for loss in losses.values()} == {GPU}
        task.samples(task.network)
        batches = [*task.batch(0)]
        prune_teacher(task.network, teacher, batches[0].to(GPU))
        refit_heads(task.network, teacher, batches)
        explained(task.network, teacher, batches)
        assert {tensor.device.type for tensor in compact_tensors(task.network).values()} == {"cpu"}


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
