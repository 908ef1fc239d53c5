"""``impasto reconstruct`` as a user calls it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from impasto.cli.main import run
from impasto.cli.reconstruct import draw_sheet
from impasto.comparison.reconstruct import Reconstruction
from impasto.images import Cell, read_picture, resize_picture, sheet
from impasto.options import ReconstructOptions
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SMALL = ["--size", "48", "--steps", "3", "--precision", "float32", "--device", "cpu"]


def flat(shade: float) -> Picture:
    return Picture(np.full((36, 48, 3), shade, dtype=np.float32))


def test_sheet_and_separate_pictures_and_json(
    stored_weights: Path, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, folder = tmp_path / "sheets" / "sheet.png", tmp_path / "new" / "folder"
    layers = ["--content", "relu1_2,relu4_2", "--style", "relu1_1,relu2_1"]
    assert (
        run(["reconstruct", str(painting), "-o", str(page), *layers, "--separate", str(folder), "--json", *SMALL]) == 0
    )
    out, err = capsys.readouterr()
    assert "step 12/12 at 48x36" in err
    report = json.loads(out)
    assert (report["image"], report["output"]) == (str(painting), str(page))
    made = report["reconstructions"]
    assert [(each["kind"], each["layers"]) for each in made] == [
        ("style", ["relu1_1"]),
        ("style", ["relu1_1", "relu2_1"]),
        ("content", ["relu1_2"]),
        ("content", ["relu4_2"]),
    ]
    assert all(each["seconds"] >= 0 and each["losses"][each["kind"]] > 0 for each in made)
    files = ["content-relu1_2.png", "content-relu4_2.png", "style-relu1_1.png", "style-relu2_1.png"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert all(read_picture(folder / name).pixels.shape == (36, 48, 3) for name in files)
    made_again = [
        Reconstruction(
            each["kind"],
            tuple(each["layers"]),
            read_picture(folder / f"{each['kind']}-{each['layers'][-1]}.png"),
            each["losses"],
        )
        for each in made
    ]
    expected = draw_sheet(painting.name, read_picture(painting), ReconstructOptions(size=48), made_again)
    shown = read_picture(page)
    assert np.abs(shown.pixels - expected.pixels).max() < 0.02  # the separate pictures are rounded to 8 bits


def test_the_sheet_has_two_rows_of_five_beside_the_original(painting: Path) -> None:
    made = [
        *(
            Reconstruction(
                "style", tuple(f"relu{k}_1" for k in range(1, n + 1)), flat(n / 10), {"style": n, "total": 9}
            )
            for n in range(1, 6)
        ),
        *(Reconstruction("content", (f"relu{n}_2",), flat(0.5 + n / 12), {"content": n / 1000}) for n in range(1, 6)),
    ]
    image = read_picture(painting)
    options = ReconstructOptions(size=48)
    original = Cell(resize_picture(image, 48, 36), "the original")
    captions = ["relu1_1", "relu1_1, relu2_1", "relu1_1 to relu3_1", "relu1_1 to relu4_1", "relu1_1 to relu5_1"]
    expected = sheet(
        [
            [original, *(Cell(flat(n / 10), f"{captions[n - 1]}\nweighted style loss {n}") for n in range(1, 6))],
            [Cell(None), *(Cell(flat(0.5 + n / 12), f"relu{n}_2\nweighted content loss 0.00{n}") for n in range(1, 6))],
        ],
        title="swirls.jpg, reconstructed from layers of vgg19",
        row_labels=["Style", "Content"],
        cell_side=224,
    )
    np.testing.assert_array_equal(draw_sheet("swirls.jpg", image, options, made).pixels, expected.pixels)
    # One row less if only one kind is asked for: then the original stands before it.
    one_row = draw_sheet("swirls.jpg", image, options, made[5:])
    assert one_row.height < 0.7 * expected.height
    assert one_row.width == expected.width


def test_quiet_is_silent(
    stored_weights: Path, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["-o", str(tmp_path / "sheet.jpg"), "--quiet", "--content", "none", "--style", "relu1_1"]
    assert run(["reconstruct", str(painting), *target, *SMALL]) == 0
    assert capsys.readouterr() == ("", "")
    assert read_picture(tmp_path / "sheet.jpg").format == "jpeg"
