"""``impasto compare`` and ``impasto bench``.

The first shows one pair of pictures under many options, on one sheet and one page. The second measures time, memory and
quality of every engine on this machine.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import SOME_FAILED, RunDisplay, fail
from impasto.cli.engine_flags import EngineFlags  # noqa: TC001 - cyclopts reads the annotations
from impasto.cli.named_styles import read_style, split_weight
from impasto.comparison.bench import as_table, measure_engines, write_figures
from impasto.comparison.page import Entry, Page, comparison_page
from impasto.comparison.sweeps import Recipe, combine, engine_sweep, parse_sweep, read_recipe
from impasto.engines.base import StylizeInputs
from impasto.engines.catalog import ENGINES, engine_row
from impasto.errors import ImpastoError, UsageError, needs_extra
from impasto.files import check_folder, check_outputs, folder_made, shown, write_whole
from impasto.images import Cell, open_picture, sheet, write_picture
from impasto.images.encoding import picture_format
from impasto.options import StepwiseOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.comparison.compare import Result
    from impasto.comparison.sweeps import Variant
    from impasto.types import Picture

app = App(name="compare")
bench_app = App(name="bench")

_CELL_SIDE = 360


@app.default
def compare(
    content: str,
    *,
    style: Annotated[list[str], Parameter(name=("--style", "-s"), negative="")],
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    engine: str | None = None,
    sweep: Annotated[list[str] | None, Parameter(negative="")] = None,
    recipe: Path | None = None,
    separate: Path | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[EngineFlags | None, Parameter(name="*")] = None,
) -> int:
    """Compare what options and engines do: paint one picture in every combination of their values.

    Beside the losses, which depend on their weights, every picture gets a content distance and a style distance, which
    are measured in the same way for all.

    Parameters
    ----------
    content
        The content image, a file.
    style
        A picture to take the style from, as FILE or FILE:WEIGHT; several are mixed by their weights.
    output
        The sheet, as PNG or any other format that impasto writes; a page with the same name in .html goes beside it.
        Its folder is made.
    engine
        ENGINE, by default gatys, or ENGINE,ENGINE,... to compare engines: they make the columns. ENGINE:NETWORK names a
        network where none is bundled: fast,gatys,transformer:mosaic. Without a sweep, it paints one picture.
    sweep
        OPTION=VALUE,VALUE: an option of the engine and its values. The first --sweep makes the columns, all others make
        the rows. Values that hold commas are separated by semicolons: style-layers="relu1_1,relu2_1;relu4_1". Options
        that change together are joined by colons, and so are their values: style-weight:content-weight=100:1,1:100.
    recipe
        A TOML file of sweeps and options, such as those in the folder recipes of this project; what is given beside it
        is added to its sweeps and wins over its options.
    separate
        Also write the pictures one by one into this folder, as 01.png, 02.png and so on.
    json_output
        Write losses, distances, times and commands to stdout, for machines.
    quiet
        No progress and no notes.
    options
        Options that all pictures share whose engines have them. --save-every and --checkpoint-every do nothing here.
    """
    plan = read_recipe(recipe) if recipe else Recipe(())
    sweeps = [*plan.sweeps, *map(parse_sweep, sweep or [])]
    shared = {**plan.options, **(options.model_dump(exclude_unset=True) if options else {})}
    if engine is not None and ("," in engine or ":" in engine or not sweeps):
        sweeps.insert(0, engine_sweep(engine))
    elif engine is not None:
        shared["engine"] = engine
    rows = combine(sweeps, shared)
    picture_format(output)  # an unknown format is refused before the work, not after it
    variants = [variant for row in rows for variant in row]
    files = [f"{number:02d}.png" for number in range(1, len(variants) + 1)]
    pictures = [separate / file for file in files] if separate else []
    options_of_all: list[object] = [variant.options for variant in variants]
    starts = [each.init for each in options_of_all if isinstance(each, StepwiseOptions)]
    read = [content, *(split_weight(text)[0] for text in style), *starts]
    check_outputs([output, output.with_suffix(".html"), *pictures], map(Path, read))
    inputs = StylizeInputs(open_picture(content), tuple(read_style(text) for text in style))
    with needs_extra("impasto compare", "torch"):
        from impasto.comparison import compare as comparison
        from impasto.descriptors.catalog import load_descriptor_of

    names = " and ".join(shown(text) for text in style)
    subject = f"{shown(content)} in the style of {names}"
    page = Page(
        title=f"{plan.title}: {subject}" if plan.title else subject,
        note=plan.note,
        inputs=[(f"content: {shown(content)}", inputs.content.read())]
        + [(f"style: {shown(text)}", each.picture) for text, each in zip(style, inputs.styles, strict=True)],
        columns=len(rows[0]),
    )
    with RunDisplay(output.name, quiet=quiet) as display, folder_made(output.parent), folder_made(separate or Path()):
        results = comparison.compare(
            inputs,
            variants,
            on_step=display.step,
            load=lambda wanted: load_descriptor_of(wanted, display.download),
        )
        try:
            for file, result in zip(files, results, strict=True):
                command = stylize_command(content, style, result.variant, file)
                page.entries.append(Entry(file, result, command))
                if result.picture is None:
                    fail(f"{result.variant.label}: {result.error}", 1)
                elif separate is not None:
                    write_picture(result.picture, separate / file)
        except BaseException:  # Ctrl-C, and anything else that stops a run of hours
            if any(entry.result.picture for entry in page.entries):
                _write(page, output)
                display.note("stopped; sheet and page show the pictures that were ready")
            raise
        failures = [entry.result.error for entry in page.entries if entry.result.picture is None]
        if len(failures) == len(page.entries):
            raise ImpastoError(f"none of the {len(failures)} pictures could be made; the first because {failures[0]}")
        _write(page, output)
    if json_output:
        print(json.dumps({"content": content, "styles": style, **_plain(page, output)}))
    return SOME_FAILED if failures else 0


def stylize_command(content: str, styles: Sequence[str], variant: Variant, output: str) -> str:
    """Return the command line that paints one picture of a comparison."""
    options, assumed = variant.options, variant.options.defaults()
    words = ["impasto", "stylize", content, "--engine", variant.engine]
    if ENGINES[variant.engine].styles == "any":
        for style in styles:
            words += ["-s", style]
    words += ["-o", output]
    for name in type(options).model_fields:
        value = getattr(options, name)
        flag = name.replace("_", "-")
        if name == "preset":
            words += ["--preset", value] if value else []
        elif value != getattr(assumed, name):
            words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", _word(value)]
    return shlex.join(words)


def _word(value: object) -> str:
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def draw_sheet(page: Page) -> Picture:
    """Lay out the inputs in the first column, and the results in the columns after it."""
    inputs = [Cell(picture, caption) for caption, picture in page.inputs]
    input_columns = -(-len(inputs) // len(page.rows))
    rows = []
    for index, entries in enumerate(page.rows):
        row = inputs[index * input_columns : (index + 1) * input_columns]
        row += [Cell(None)] * (input_columns - len(row))
        rows.append([*row, *(Cell(entry.result.picture, _caption(entry.result)) for entry in entries)])
    return sheet(
        rows,
        title=page.title,
        column_labels=[""] * input_columns + [entry.result.variant.column for entry in page.rows[0]],
        row_labels=[entries[0].result.variant.row for entries in page.rows],
        cell_side=_CELL_SIDE,
    )


@bench_app.default
def bench(
    content: Path,
    *,
    style: Annotated[str, Parameter(name=("--style", "-s"))],
    engine: str | None = None,
    size: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = (512, 1024),
    runs: int = 3,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
) -> None:
    """Measure every engine on this machine: whole commands, in turn, and print a table in Markdown.

    Parameters
    ----------
    content
        The picture to paint.
    style
        A picture to take the style from; engines with networks for one style leave it.
    engine
        ENGINE,... to measure; all that are installed by default.
    size
        Long sides of the results in pixels.
    runs
        How often each is run; the median counts.
    output
        Also write the figures as FILE.json.
    quiet
        No progress.
    """
    if runs < 1:
        raise UsageError(f"--runs is {runs}; it should be at least 1")
    names = (
        [name.strip() for name in engine.split(",")]
        if engine
        else [row.name for row in ENGINES.values() if row.is_available]
    )
    for name in names:
        engine_row(name)
    if output:
        check_folder(output)
        check_outputs([output], [content, Path(split_weight(style)[0])])
    looked_at = read_style(style)
    _ = looked_at.picture  # raises for a style of the gallery, because gatys and the distances need a picture
    with RunDisplay("bench", quiet=quiet) as display:
        figures = measure_engines(content, style, looked_at, names, size, runs, display.note)
    print(as_table(figures))
    if output:
        write_figures(figures, runs, output)


def _caption(result: Result) -> str:
    if result.picture is None:
        return f"failed: {result.error}"
    losses = ", ".join(f"{name} {loss:.3g}" for name, loss in result.losses.items() if name != "total")
    return (
        f"content distance {result.distances['content']:.3f}\nstyle distance {result.distances['style']:.3f}\n"
        f"{f'weighted losses: {losses}' if losses else ''}\n{result.seconds:.1f} s{_memory(result)}"
    )


def _memory(result: Result) -> str:
    return f", {result.peak_memory / 2**20:.0f} MiB" if result.peak_memory else ""


def _write(page: Page, output: Path) -> None:
    write_picture(draw_sheet(page), output)
    write_whole(output.with_suffix(".html"), comparison_page(page).encode(errors="replace"))


def _plain(page: Page, output: Path) -> dict[str, object]:
    return {
        "sheet": str(output),
        "page": str(output.with_suffix(".html")),
        "results": [
            {
                "file": entry.file,
                "column": entry.result.variant.column,
                "row": entry.result.variant.row,
                "losses": dict(entry.result.losses),
                "distances": dict(entry.result.distances),
                "seconds": round(entry.result.seconds, 3),
                "peak memory": entry.result.peak_memory,
                "error": entry.result.error,
                "command": entry.command,
            }
            for entry in page.entries
        ],
    }
