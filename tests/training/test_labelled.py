from __future__ import annotations

import json
import shutil

import numpy as np
import PIL.Image
import pytest

from impasto.errors import UsageError
from impasto.images import write_picture
from impasto.training.labelled import PARTS, split, survey, write_split
from impasto.training.packing import Augmentation, LabelledBatches, PackedPictures, middles
from impasto.types import Picture


def picture(seed, height=40, width=56):
    return Picture(np.random.default_rng(seed).random((height, width, 3), dtype=np.float32))


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of each of two classes."""
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            write_picture(picture(10 * label + number), tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


def test_a_clean_folder(folder):
    found = survey(folder)
    assert found.classes == ("cats", "dogs")
    assert [example.label for example in found.examples] == [0] * 10 + [1] * 10
    assert found.report() == ["20 pictures in 2 classes", "  cats: 10", "  dogs: 10"]


def test_everything_that_is_wrong_is_reported_and_nothing_dies(folder):
    (folder / "cats" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "cats" / "empty.png").touch()
    (folder / "cats" / "notes.txt").write_text("these are cats")
    shutil.copy(folder / "cats" / "3.png", folder / "cats" / "copy.png")
    shutil.copy(folder / "dogs" / "4.png", folder / "cats" / "also-a-dog.png")
    PIL.Image.fromarray(np.full((40, 40), 99, np.uint8)).save(folder / "dogs" / "grey.png")
    PIL.Image.fromarray(np.full((40, 40, 4), 99, np.uint8), "CMYK").save(folder / "dogs" / "cmyk.jpg")
    found = survey(folder)
    assert [path.name for path, _ in found.unreadable] == ["broken.jpg", "empty.png"]
    assert [sorted(path.name for path in group) for group in found.duplicates] == [["3.png", "copy.png"]]
    assert [sorted(path.name for path in group) for group in found.contradictions] == [["4.png", "also-a-dog.png"]]
    names = {example.path.name for example in found.examples}
    assert {"grey.png", "cmyk.jpg", "copy.png"} <= names and "also-a-dog.png" not in names
    report = "\n".join(found.report())
    for words in (
        "unreadable, left out: cats/broken.jpg",
        "the same file twice: cats/3.png, cats/copy.png",
        "the same file in several classes, left out: cats/also-a-dog.png, dogs/4.png",
        "1 files ignored: their names do not end like those of pictures",
    ):
        assert words in report
    packed = PackedPictures(folder.parent, found.examples, 32)
    assert all(packed[number].shape[2] == 3 for number in range(len(found.examples)))


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("dogs", "holds 1 folders; a classifier needs one per class"),
        ("dogs/*", "class 'dogs' has 0 different pictures that can be read; 3 are needed"),
        ("dogs/[2-9].png", "class 'dogs' has 2 different pictures"),
    ],
)
def test_too_little_to_learn_from_is_refused(folder, remove, message):
    for path in folder.glob(remove):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UsageError, match=message):
        survey(folder)
    with pytest.raises(UsageError, match="is not a folder"):
        survey(folder / "nothing")


def test_the_split_is_stratified_and_seeded_and_keeps_copies_together(folder):
    for number in range(10):
        shutil.copy(folder / "cats" / f"{number}.png", folder / "cats" / f"copy-{number}.png")
    examples = survey(folder).examples
    parts = split(examples, validation=0.2, test=0.1, seed=3)
    assert sum(len(parts[part]) for part in PARTS) == len(examples) == 30
    assert [sum(each.label == 1 for each in parts[part]) for part in PARTS] == [7, 2, 1]
    assert [sum(each.label == 0 for each in parts[part]) for part in PARTS] == [14, 4, 2]
    digests = [{each.digest for each in parts[part]} for part in PARTS]
    assert not digests[0] & digests[1] and not digests[0] & digests[2] and not digests[1] & digests[2]
    assert split(examples, validation=0.2, test=0.1, seed=3) == parts
    assert split(examples, validation=0.2, test=0.1, seed=4) != parts
    write_split(parts, ("cats", "dogs"), folder, folder.parent / "split.json")
    written = json.loads((folder.parent / "split.json").read_text())
    assert len(written["train"]) == 21 and written["classes"] == ["cats", "dogs"]


def test_packed_pictures_are_the_pictures(folder, tmp_path):
    examples = survey(folder).examples
    packed = PackedPictures(tmp_path, examples, 40)
    assert packed[0].shape == (40, 56, 3)
    assert np.abs(packed[3] / 255 - picture(3).pixels).max() < 1 / 255
    built = (tmp_path / "packed.bin").stat().st_mtime_ns
    PackedPictures(tmp_path, examples, 40)
    assert (tmp_path / "packed.bin").stat().st_mtime_ns == built
    assert PackedPictures(tmp_path, examples, 20)[0].shape == (20, 28, 3)


def test_batches(folder, tmp_path):
    examples = survey(folder).examples
    labels = [example.label for example in examples]
    batches = LabelledBatches(PackedPictures(tmp_path, examples, 40), labels, range(15), 32, 6, seed=1)
    images, classes = batches.at(4)
    assert images.shape == (6, 3, 32, 32) and 0 <= images.min() <= images.max() <= 1
    assert (batches.at(4)[0] == images).all() and not (batches.at(5)[0] == images).all()
    halves = [batches.at(4, part=part, parts=2) for part in (0, 1)]
    assert (halves[0][0] == images[::2]).all() and (halves[1][1] == classes[1::2]).all()
    seen = [int(batches._member(place)) for place in range(15)]
    assert sorted(seen) == list(range(15))
    assert sorted(int(batches._member(place)) for place in range(15, 30)) == list(range(15))


def test_without_augmentation_a_batch_is_the_pictures(folder, tmp_path):
    examples = survey(folder).examples
    packed = PackedPictures(tmp_path, examples, 40)
    plain = Augmentation(smallest_share=1.0, flip=False, jitter=0.0)
    image = LabelledBatches(packed, [0] * 20, [7], 40, 1, 0, plain).at(0)[0][0]
    columns = packed[7].transpose(2, 0, 1) / 255
    assert min(np.abs(columns[:, :, left : left + 40] - image.numpy()).max() for left in range(17)) < 1e-5
    middle = middles(packed, [7], 40)[0]
    assert np.abs(columns[:, :, 8:48] - middle.numpy()).max() < 1e-5


@pytest.mark.parametrize(("validation", "test"), [(0.4, 0.4), (0.49, 0.49), (0.01, 0.01)])
def test_every_part_has_every_class(folder, validation, test):
    for number in range(4, 10):
        (folder / "cats" / f"{number}.png").unlink()
    for number in range(30):
        shutil.copy(folder / "dogs" / "0.png", folder / "dogs" / f"copy-{number}.png")
    for number in range(3, 10):
        (folder / "dogs" / f"{number}.png").unlink()
    parts = split(survey(folder).examples, validation=validation, test=test, seed=0)
    for part in PARTS:
        assert {example.label for example in parts[part]} == {0, 1}


def test_a_kill_while_packing_leaves_no_wrong_pixels(folder, tmp_path, monkeypatch):
    examples = survey(folder).examples
    PackedPictures(tmp_path, examples, 40)
    with monkeypatch.context() as patch:
        patch.setattr("impasto.training.packing.write_whole", lambda path, data: None)  # killed before the index
        PackedPictures(tmp_path, examples, 20)
    assert PackedPictures(tmp_path, examples, 40)[0].shape == (40, 56, 3)
