"""``impasto bench``: time, memory and quality of every engine on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.cli.named_styles import read_style, split_weight
from impasto.comparison.bench import as_table, measure_engines, write_figures
from impasto.engines.catalog import ENGINES, engine_row
from impasto.errors import UsageError
from impasto.files import check_folder, check_outputs

app = App(name="bench")


@app.default
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
