"""The state of a run on disk."""

from __future__ import annotations

import resource
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from impasto.errors import CheckpointError, FileWriteError
from impasto.optimization.checkpoint import Checkpoint, RunState, fingerprint_run


def a_state(side=4):
    return RunState(
        stage=1,
        done=70,
        done_at_stage=20,
        course={"optimizer": "lbfgs", "best_loss": 0.1 + 0.2, "milestone": float("inf"), "converged": False},
        arrays={
            "image": np.random.default_rng().random((1, 3, side, side), np.float32),
            "turned": np.random.default_rng().random((side, 2 * side), np.float32).T,
            "products": np.random.default_rng().random((3, 3)),
            "order": np.array([2, 0, 1]),
            "pending": np.array([], np.int64),
            "step": np.array(5.0, np.float32),
        },
        tile=96,
    )


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_comes_back_bit_for_bit(tmp_path):
    path, state = tmp_path / "run.checkpoint", a_state()
    Checkpoint(path).save(state, "print")
    loaded = Checkpoint(path, resume=True).load("print")
    assert loaded is not None
    assert (loaded.stage, loaded.done, loaded.done_at_stage, loaded.tile) == (1, 70, 20, 96)
    assert loaded.course == state.course
    assert loaded.arrays.keys() == state.arrays.keys() == load_file(path).keys()
    for name, array in state.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array, strict=True)
    with pytest.raises(KeyError):
        loaded.arrays["nothing"]


def test_a_run_starts_anew_unless_asked_to_resume(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    checkpoint.save(a_state(), "print")
    assert checkpoint.load("print") is None


def test_a_run_starts_anew_where_there_is_no_file(tmp_path):
    assert Checkpoint(tmp_path / "run.checkpoint", resume=True).load("print") is None


def test_the_last_state_counts_and_nothing_else_is_left(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", resume=True)
    states = [a_state(), a_state()]
    for state in states:
        checkpoint.save(state, "print")
    np.testing.assert_array_equal(checkpoint.load("print").arrays["image"], states[1].arrays["image"])
    assert names(tmp_path) == ["run.checkpoint"]


def test_is_gone_when_the_run_is_complete(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    checkpoint.save(a_state(), "print")
    checkpoint.discard()
    checkpoint.discard()
    assert names(tmp_path) == []


def test_a_full_disk_leaves_the_old_state(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", resume=True)
    old = a_state()
    checkpoint.save(old, "print")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # a disk that takes no more than this
    try:
        with pytest.raises(FileWriteError, match=r"cannot write .*run\.checkpoint: file too large; free space"):
            checkpoint.save(a_state(side=64), "print")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    np.testing.assert_array_equal(checkpoint.load("print").arrays["image"], old.arrays["image"])
    assert names(tmp_path) == ["run.checkpoint"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("hello\n" * 100)


def weights(path):
    save_file({"conv1_1.weight": np.zeros(2)}, path)


def weights_with_metadata(path):
    save_file({"conv1_1.weight": np.zeros(2)}, path, {"architecture": "vgg19"})


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, empty, text, weights, weights_with_metadata, a_folder])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "run.checkpoint"
    Checkpoint(path).save(a_state(), "print")
    damage(path)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(path, resume=True).load("print")
    assert str(caught.value) == f"{path} is not a readable checkpoint; delete it, or start again without resuming"


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    Checkpoint(path).save(a_state(), "print")
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(path, resume=True).load("another print")
    assert str(caught.value) == (
        f"{path} belongs to a run with other pictures or options; "
        "repeat its command exactly, or start again without resuming"
    )


SETTINGS = {"steps": 3, "engine": "gatys"}
PIXELS = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 4, 3)


def test_a_fingerprint_is_of_what_goes_in():
    assert fingerprint_run(SETTINGS, [PIXELS]) == fingerprint_run(dict(reversed(SETTINGS.items())), [PIXELS.copy()])


@pytest.mark.parametrize(
    ("settings", "arrays"),
    [
        ({**SETTINGS, "steps": 4}, [PIXELS]),
        ({"engine": "gatys"}, [PIXELS]),
        (SETTINGS, [PIXELS.reshape(4, 2, 3)]),
        (SETTINGS, [PIXELS.view(np.int32)]),
        (SETTINGS, [np.nextafter(PIXELS, 2)]),
        (SETTINGS, [PIXELS, PIXELS]),
        (SETTINGS, []),
    ],
)
def test_a_fingerprint_changes_with_anything_that_goes_in(settings, arrays):
    assert fingerprint_run(settings, arrays) != fingerprint_run(SETTINGS, [PIXELS])
