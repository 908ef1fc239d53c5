"""``impasto reconstruct``: what the layers of a descriptor network know of an image, on one sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.errors import Interrupted, needs_extra
from impasto.images import Cell, fit_size, output_format, read_picture, resize_picture, sheet, write_picture
from impasto.options import ReconstructOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.comparison.reconstruct import Reconstruction
    from impasto.types import Picture

app = App(name="reconstruct")

_SMALLEST_CELL, _LARGEST_CELL = 224, 512


@app.default
def reconstruct(
    image: str,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    separate: Path | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[ReconstructOptions | None, Parameter(name="*")] = None,
) -> None:
    """Show what the layers of a descriptor network know of an image: figure 1 of Gatys et al. (2016).

    From white noise, one picture is made per layer that the layer cannot tell from the image (content), and one per
    set of layers that has the same statistics there (style); all of them come on one sheet.

    Parameters
    ----------
    image
        A picture file.
    output
        The sheet, as PNG or any other format that impasto writes.
    separate
        Also write the pictures one by one into this folder, as content-LAYER.png and style-LAYER.png.
    json_output
        Write losses and times to stdout, for machines.
    quiet
        No progress and no notes.
    options
        Options of the reconstruction.
    """
    chosen = options or ReconstructOptions()
    output_format(output)  # before the work, not after it
    source = read_picture(image)
    if separate is not None:
        separate.mkdir(parents=True, exist_ok=True)
    with needs_extra("impasto reconstruct", "torch"):
        from impasto.comparison import reconstruct as reconstruction
        from impasto.engines.descriptor import load_descriptor_of
    made: list[Reconstruction] = []
    with RunDisplay(output.name, quiet=quiet) as display:
        runs = reconstruction.reconstruct(
            source, chosen, on_step=display.step, load=lambda wanted: load_descriptor_of(wanted, display.download)
        )
        try:
            for result in runs:
                made.append(result)
                if separate is not None:
                    write_picture(result.picture, separate / f"{result.kind}-{result.layers[-1]}.png")
        except (Interrupted, KeyboardInterrupt):
            if made:
                write_picture(draw_sheet(Path(image).name, source, chosen, made), output)
                display.note("interrupted; the sheet shows the pictures that were ready")
            raise
    write_picture(draw_sheet(Path(image).name, source, chosen, made), output)
    if json_output:
        print(json.dumps({"image": image, "output": str(output), "reconstructions": [_plain(each) for each in made]}))


def draw_sheet(name: str, image: Picture, options: ReconstructOptions, made: Sequence[Reconstruction]) -> Picture:
    """Lay out the image ``name``, its style reconstructions, and below them its content reconstructions."""
    original = Cell(resize_picture(image, *fit_size(image.width, image.height, options.size)), "the original")
    rows: list[list[Cell]] = []
    labels: list[str] = []
    for kind in ("style", "content"):
        cells = [Cell(each.picture, _caption(each)) for each in made if each.kind == kind]
        if cells:
            rows.append([Cell(None) if rows else original, *cells])
            labels.append(kind.capitalize())
    return sheet(
        rows,
        title=f"{name}, reconstructed from layers of {Path(options.descriptor).stem}",
        row_labels=labels,
        cell_side=min(max(options.size, _SMALLEST_CELL), _LARGEST_CELL),
    )


def _caption(made: Reconstruction) -> str:
    first, last = made.layers[0], made.layers[-1]
    layers = last if len(made.layers) == 1 else f"{first}{', ' if len(made.layers) == 2 else ' to '}{last}"
    return f"{layers}\n{made.kind} loss {made.losses[made.kind]:.2g}"


def _plain(made: Reconstruction) -> dict[str, object]:
    return {
        "kind": made.kind,
        "layers": made.layers,
        "losses": dict(made.losses),
        "seconds": round(made.seconds, 3),
    }
