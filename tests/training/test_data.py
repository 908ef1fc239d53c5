from __future__ import annotations

import numpy as np
import pytest
import torch

from impasto.errors import UsageError
from impasto.images import write_picture
from impasto.training.data import Crops, is_held_out, picture_files
from impasto.types import Picture


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for index, (height, width) in enumerate([(40, 60), (90, 50), (64, 64), (20, 30)]):
        write_picture(Picture(random.random((height, width, 3)).astype(np.float32)), tmp_path / f"{index}.png")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "0.png").rename(tmp_path / "deeper" / "0.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_lists_pictures_in_all_folders(folder):
    assert [path.name for path in picture_files([folder])] == ["1.png", "2.png", "3.png", "0.png"]


def test_a_folder_without_pictures_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="nothing is not a folder with pictures"):
        picture_files([folder, tmp_path / "nothing"])


def test_batches_depend_on_seed_and_step_alone(folder):
    files = picture_files([folder])
    crops = Crops(files, 32, 6, seed=1)
    batch = crops.at(7)
    assert batch.shape == (6, 3, 32, 32) and batch.dtype == torch.float32
    assert batch.min() >= 0 and batch.max() <= 1
    assert torch.equal(batch, Crops(files, 32, 6, seed=1).at(7))
    assert not torch.equal(batch, crops.at(8))
    assert not torch.equal(batch, Crops(files, 32, 6, seed=2).at(7))
    assert len({tuple(crop.flatten()[:5].tolist()) for crop in batch}) > 3


def test_crops_show_half_of_the_short_side_at_least(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 1, 200, dtype=np.float32)[None, :, None], (200, 200, 3))
    write_picture(Picture(np.ascontiguousarray(ramp)), tmp_path / "ramp.png")
    spans = [float(abs(crop[0, 0, -1] - crop[0, 0, 0])) for crop in Crops([tmp_path / "ramp.png"], 40, 30, 0).at(0)]
    assert 0.45 < min(spans) < 0.65
    assert 0.85 < max(spans) <= 1


def test_one_picture_in_twenty_is_held_out_by_its_name(tmp_path):
    held_out = [number for number in range(4000) if is_held_out(tmp_path / f"{number}.jpg")]
    assert 150 < len(held_out) < 250
    assert held_out == [number for number in range(4000) if is_held_out(tmp_path / "other" / f"{number}.jpg")]
    assert held_out[:3] == [4, 48, 49]  # the published split must not move
