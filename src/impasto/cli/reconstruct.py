"""``impasto reconstruct``: reconstructions of an image from the layers of a descriptor network, on one sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.errors import needs_extra
from impasto.files import check_outputs, folder_made, shown
from impasto.images import Cell, fit_size, read_picture, resize_picture, sheet, write_picture
from impasto.images.encoding import picture_format
from impasto.options import ReconstructOptions, layer_names

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
        The sheet, as PNG or any other format that impasto writes. Its folder is created if it is missing.
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
    picture_format(output)  # an unknown format is refused before the work, not after it
    pictures = {
        (kind, layer): separate / f"{kind}-{layer}.png"
        for kind, layers in (("content", chosen.content), ("style", chosen.style))
        for layer in layer_names(layers)
        if separate
    }
    check_outputs([output, *pictures.values()], [Path(image)])
    source = read_picture(image)
    with needs_extra("impasto reconstruct", "torch"):
        from impasto.comparison import reconstruct as reconstruction
        from impasto.descriptors.catalog import load_descriptor_of
    made: list[Reconstruction] = []
    with RunDisplay(output.name, quiet=quiet) as display, folder_made(output.parent), folder_made(separate or Path()):
        runs = reconstruction.reconstruct(
            source, chosen, on_step=display.step, load=lambda wanted: load_descriptor_of(wanted, display.download)
        )
        try:
            for result in runs:
                made.append(result)
                if separate is not None:
                    write_picture(result.picture, pictures[result.kind, result.layers[-1]])
        except BaseException:  # Ctrl-C, and anything else that stops a long run
            if made:
                write_picture(draw_sheet(shown(image), source, chosen, made), output)
                display.note("stopped; the sheet shows the pictures that were ready")
            raise
        write_picture(draw_sheet(shown(image), source, chosen, made), output)
    if json_output:
        print(json.dumps({"image": image, "output": str(output), "reconstructions": [_plain(each) for each in made]}))


def draw_sheet(name: str, image: Picture, options: ReconstructOptions, made: Sequence[Reconstruction]) -> Picture:
    """Lay out ``image``, called ``name``, its style reconstructions and, below them, its content reconstructions."""
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
    return f"{layers}\nweighted {made.kind} loss {made.losses[made.kind]:.2g}"


def _plain(made: Reconstruction) -> dict[str, object]:
    return {
        "kind": made.kind,
        "layers": made.layers,
        "losses": dict(made.losses),
        "seconds": round(made.seconds, 3),
    }
