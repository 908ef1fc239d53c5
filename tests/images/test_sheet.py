"""Contact sheets: everything is there, in its place, and readable."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from impasto.images import Cell, sheet
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path


def flat(height: int, width: int, colour: tuple[float, ...]) -> Picture:
    return Picture(np.broadcast_to(np.float32(colour), (height, width, 3)).copy())


RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.2, 0.9)


def box(page: Picture, colour: tuple[float, ...]) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of what has this colour."""
    rows, columns = np.nonzero(np.abs(page.pixels - np.float32(colour)).max(axis=2) < 0.02)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def ink(page: Picture, top: int, bottom: int, left: int, right: int) -> int:
    return int((page.pixels[max(top, 0) : bottom, max(left, 0) : right].max(axis=2) < 0.5).sum())


def test_pictures_share_one_cell_size_and_keep_their_aspect() -> None:
    rows = [[Cell(flat(30, 60, RED), "wide"), Cell(flat(500, 250, BLUE), "tall")]]
    page = sheet(rows, title="", cell_side=100)
    top, bottom, left, right = box(page, RED)
    assert (bottom - top, right - left) == (50, 100)
    tall = box(page, BLUE)
    assert (tall[1] - tall[0], tall[3] - tall[2]) == (100, 50)
    assert right < tall[2]
    assert abs((top + bottom) - (tall[0] + tall[1])) <= 2  # centred on one line
    np.testing.assert_array_equal(page.pixels[:4], 1)
    np.testing.assert_array_equal(page.pixels[:, :4], 1)


def test_words_stand_where_they_belong() -> None:
    rows = [[Cell(flat(80, 80, RED), "caption"), Cell(None, "nothing here")], [Cell(flat(80, 80, BLUE))]]
    words = {"title": "A title", "column_labels": ["first", "second"], "row_labels": ["top row", "low row"]}
    page = sheet(rows, cell_side=120, **words)
    top, bottom, left, right = box(page, RED)
    assert ink(page, 0, top - 30, 0, page.width) > 0, "title"
    assert ink(page, top - 30, top, left, right) > 0, "column label"
    assert ink(page, top - 30, top, right, page.width) > 0, "label of the second column"
    assert ink(page, top, bottom, 0, left) > 0, "row label"
    assert ink(page, bottom, bottom + 24, left, right) > 0, "caption"
    assert ink(page, top, bottom, right, page.width) == 0, "the empty cell"
    assert ink(page, bottom, bottom + 40, right, page.width) > 0, "caption of the empty cell"
    low = box(page, BLUE)
    assert low[0] > bottom + 20 and low[2] == left
    assert ink(page, low[0], low[1], 0, left) > 0, "second row label"
    bare = sheet([[Cell(flat(80, 80, RED))]], title="", cell_side=120)
    assert ink(bare, 0, bare.height, 0, bare.width) == 0


def test_long_captions_wrap_and_lines_break() -> None:
    def height(caption: str) -> int:
        page = sheet([[Cell(flat(80, 80, RED), caption)]], title="", cell_side=120)
        assert page.width == sheet([[Cell(flat(80, 80, RED))]], title="", cell_side=120).width
        return page.height

    one = height("one")
    assert height("Agq") == one  # tall and deep letters take no other line
    assert height("one\ntwo") > one
    assert height("many words that do not fit on a single line of this cell") >= height("one\ntwo")
    assert height("w" * 60) >= height("one\ntwo")
    assert height("  ") < one


def test_markup_is_shown_not_obeyed() -> None:
    plain, marked = (sheet([[Cell(None, text)]], title="", cell_side=300) for text in ("b & c", "<b>b & c</b>"))
    assert ink(marked, 0, marked.height, 0, marked.width) > 1.5 * ink(plain, 0, plain.height, 0, plain.width)
    sheet([[Cell(None, "<unclosed &amp; >")]], title="</i>")


def test_alpha_is_laid_over_white() -> None:
    alpha = np.ones((80, 80), dtype=np.float32)
    alpha[:40] = 0
    page = sheet([[Cell(Picture(flat(80, 80, RED).pixels, alpha=alpha))]], title="", cell_side=80)
    top, bottom, _, _ = box(page, RED)
    assert bottom - top in (39, 40)
    assert page.alpha is None


def test_odd_sheets() -> None:
    for rows in ([], [[]], [[], [Cell(None)]]):
        page = sheet(rows, title="nothing")
        assert ink(page, 0, page.height, 0, page.width) >= 0
        assert page.width > 0 and page.height > 0


def test_letters_need_no_fonts_on_the_machine(tmp_path: Path) -> None:
    script = """
from impasto.images import Cell, sheet
print(float((1 - sheet([[Cell(None, "Agq words")]], title="Title").pixels).sum()))
"""
    empty = tmp_path / "fonts.conf"
    empty.write_text("<fontconfig></fontconfig>")
    found = []
    for environment in ({"FONTCONFIG_FILE": str(empty)}, {}):
        run = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "", "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path), **environment},
        )
        found.append(float(run.stdout))
    assert found[0] > 500
    assert abs(found[0] / found[1] - 1) < 0.1  # the same letters, give or take hinting
