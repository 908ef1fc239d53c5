"""Memory: none is lost over the steps, and the C library is left as it was found."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.errors import OutOfMemoryError, shortage_explained
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.optimization.memory import freed_blocks_kept
from impasto.options import GatysOptions

MIB = 2**20
BLOCK = 64 * MIB  # above every threshold at which glibc may take blocks from its heap


class _Mallinfo(ctypes.Structure):
    """<malloc.h>"""

    # fmt: off
    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    # fmt: on
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


@pytest.fixture
def libc():
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallinfo2"):
        pytest.skip("needs mallinfo2 of glibc 2.33")
    library.mallinfo2.restype = _Mallinfo
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    return library


def taken(libc):
    """A large block, and whether it comes from the kernel rather than from the heap."""
    before = libc.mallinfo2().hblkhd
    block = libc.malloc(BLOCK)
    return block, libc.mallinfo2().hblkhd - before >= BLOCK


def is_mapped_anew(libc):
    block, mapped = taken(libc)
    libc.free(block)
    return mapped


@pytest.fixture
def full_heap(libc):
    """Fill the holes that earlier tests have left in the heap: there, a large block would be put in any case."""
    blocks = []
    for _ in range(100):
        block, mapped = taken(libc)
        blocks.append(block)
        if mapped:
            break
    yield
    for block in blocks:
        libc.free(block)


@pytest.mark.usefixtures("full_heap")
def test_large_blocks_come_from_the_heap_inside_and_from_the_kernel_outside(libc):
    assert is_mapped_anew(libc)
    with freed_blocks_kept():
        assert not is_mapped_anew(libc)
    assert is_mapped_anew(libc)


@pytest.mark.usefixtures("full_heap")
def test_freed_blocks_are_kept_inside_and_given_back_at_the_end(libc):
    with freed_blocks_kept():
        before = libc.mallinfo2().fordblks
        libc.free(libc.malloc(BLOCK))
        assert libc.mallinfo2().fordblks - before >= BLOCK
    assert libc.mallinfo2().keepcost < BLOCK


@pytest.mark.usefixtures("full_heap")
def test_an_exception_restores_too(libc):
    with pytest.raises(KeyError), freed_blocks_kept():
        raise KeyError
    assert is_mapped_anew(libc)


@pytest.mark.usefixtures("full_heap")
def test_a_run_within_a_run_restores_in_the_end(libc):
    with freed_blocks_kept():
        with freed_blocks_kept():
            assert not is_mapped_anew(libc)
        libc.free(libc.malloc(BLOCK))
    assert is_mapped_anew(libc)


def resident():
    """Bytes of physical memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def in_use(libc):
    """Bytes that are allocated and not freed."""
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_memory_does_not_grow_over_the_steps(libc, stored_weights, photo, painting, optimizer):
    content, style = (resize_picture(read_picture(path), 80, 64) for path in (photo, painting))
    held, allocated = [], []

    def on_step(step):
        held.append(resident())
        allocated.append(in_use(libc))

    engine = OptimizationEngine(GatysOptions(steps=44, scales=1, optimizer=optimizer))
    engine.stylize(StylizeInputs(LazyPicture.of(content), (Style(style),)), on_step=on_step)
    # The history of L-BFGS is full after 12 steps. A graph of activations weighs about 8 MiB here and a picture 60 KiB:
    # if each step lost one, the last 20 steps would hold 160 MiB more, or 1.2 MiB.
    assert max(held[24:]) - max(held[12:24]) < 16 * MIB
    assert abs(max(allocated[24:]) - max(allocated[12:24])) < MIB / 2


@pytest.mark.parametrize("allocate", [lambda: torch.empty(2**56), lambda: bytearray(2**60)])
def test_a_shortage_is_explained(allocate):
    with pytest.raises(OutOfMemoryError) as caught, shortage_explained("8000x6000 pixels"):
        allocate()
    assert str(caught.value) == "the memory does not suffice for 8000x6000 pixels; choose a smaller size"


def test_other_errors_are_no_shortage():
    with pytest.raises(RuntimeError, match="size of tensor"), shortage_explained(8, 6):
        torch.zeros(2) + torch.zeros(3)
