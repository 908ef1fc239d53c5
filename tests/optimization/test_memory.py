"""What an optimisation takes, and what it does where there is less."""

from __future__ import annotations

import gc
import resource
import tempfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from impasto.descriptors.compact import load_compact
from impasto.engines.optimization import descriptor_footprint
from impasto.errors import OutOfMemoryError
from impasto.optimization import memory
from impasto.optimization.memory import TILES, free_memory, plan

CPU = torch.device("cpu")
GB = 10**9


@pytest.fixture(scope="module")
def descriptor():
    return descriptor_footprint(load_compact(), ["relu4_2"], ["relu1_1", "relu5_1"], CPU)


@pytest.fixture
def free(monkeypatch):
    def have(size):
        monkeypatch.setattr(memory, "free_memory", lambda: size)

    return have


def planned(descriptor, side, **options):
    given = {"optimizer": "lbfgs", "tile": None, "device": CPU, "folder": Path(tempfile.gettempdir()), **options}
    return plan(side, side, [(256, 256)], descriptor, **given)


def test_the_less_memory_the_smaller_the_pieces(descriptor, free):
    found = []
    for size in (64 * GB, 9 * GB, 5 * GB, 3 * GB, GB):
        free(size)
        need = planned(descriptor, 2048 + 1024)
        assert need.memory <= size
        found.append((need.tile, need.disk > 0))
    assert found[0] == (0, False)
    assert found[-1][1] and found[-1][0] in TILES
    sides = [tile or 10**6 for tile, on_disk in found if not on_disk]
    assert sides == sorted(sides, reverse=True) and len(set(found)) >= 4


def test_a_tile_that_was_asked_for_is_kept(descriptor, free):
    free(2 * GB)
    assert planned(descriptor, 2048, tile=384).tile == 384
    with pytest.raises(OutOfMemoryError, match=r"or leave the tile to impasto"):
        planned(descriptor, 4096, tile=0)


def test_what_fits_nowhere_is_refused_with_the_numbers(descriptor, free):
    free(GB // 10)
    with pytest.raises(OutOfMemoryError, match=r"1000x1000 pixels need 0\.\d GB of memory, and 0\.1 GB are free"):
        planned(descriptor, 1000)


def test_a_disk_that_is_full_is_said(descriptor, free, monkeypatch):
    free(3 * GB // 2)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=GB))
    with pytest.raises(OutOfMemoryError, match=r"pixels need \d+\.\d GB on the disk of .*, and 1\.0 GB are free"):
        planned(descriptor, 4096)


@pytest.mark.slow
@pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="no NNPACK, whose operations are counted here")
def test_what_was_tried_is_freed():
    def kept():
        gc.collect()
        return sum(type(each).__name__ == "_WinogradConvolutionBackward" for each in gc.get_objects())

    network, before = load_compact(), kept()
    descriptor_footprint(network, ["relu4_2"], ["relu1_1", "relu5_1"], CPU)
    assert kept() == before


def test_the_limits_of_a_process_count():
    limits, used = resource.getrlimit(resource.RLIMIT_AS), psutil.Process().memory_info().vms
    assert free_memory() > 10**8
    try:
        resource.setrlimit(resource.RLIMIT_AS, (used + 10**8, limits[1]))
        assert 0 < free_memory() <= 10**8
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
