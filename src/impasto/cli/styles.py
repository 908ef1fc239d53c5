"""``impasto styles``: the gallery."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay, fail
from impasto.errors import StyleError, UsageError, needs_extra
from impasto.files import check_folder, check_outputs
from impasto.gallery import GalleryStyle, StyleCatalog, read_style_file, write_style_file
from impasto.gallery.catalog import check_name, name_from
from impasto.gallery.style_file import SUFFIX
from impasto.images import read_picture, write_picture
from impasto.options import LearnOptions

app = App(name="styles", help="List, show, learn and share styles of the gallery.")

_FACTS = ("name", "title", "artist", "year", "license", "look", "network")


@app.command(name="list")
def list_styles(*, json_output: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """List the styles of the gallery with their looks: bold, drawn, soft, pale or dark.

    Parameters
    ----------
    json_output
        Write JSON, for machines.
    """
    catalog, styles, damaged = StyleCatalog(), [], 0
    for name in catalog.paths():
        try:
            styles.append(catalog.get(name))
        except StyleError as error:  # the other styles are still listed
            damaged = fail(error, 1)
    styles.sort(key=lambda style: style.place)
    if json_output:
        print(json.dumps([_facts(style) for style in styles], indent=2))
        return damaged
    width = max((len(style.name) for style in styles), default=0)
    for style in styles:
        print(f"{style.name:<{width}}  {style.look:<5}  {_described(style)}".rstrip())
    return damaged


@app.command
def show(
    name: str,
    *,
    swatch: Annotated[Path | None, Parameter(name=("--swatch", "-o"))] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say what is known of a style, and write its swatch.

    Parameters
    ----------
    name
        Of a style of the gallery, or a .style file.
    swatch
        Write the small picture that shows the style to this file.
    json_output
        Write JSON, for machines.
    """
    style = read_style_file(Path(name)) if name.endswith(SUFFIX) else StyleCatalog().get(name)
    if swatch is not None:
        check_outputs([swatch], [Path(name)])
        write_picture(read_picture(style.swatch), swatch)
    if json_output:
        print(json.dumps(_facts(style), indent=2))
        return
    for fact, value in _facts(style).items():
        print(f"{fact:<8} {value}".rstrip())


@app.command
def learn(
    picture: Path,
    *,
    name: str | None = None,
    title: str = "",
    artist: str = "",
    year: str = "",
    license: str = "",
    content: Annotated[list[Path] | None, Parameter(negative="")] = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[LearnOptions | None, Parameter(name="*")] = None,
) -> None:
    """Learn the style of a picture, better than engine 'fast' sees it at once, and keep it by a name.

    Parameters
    ----------
    picture
        A painting.
    name
        What to call the style; by default, what the file is called.
    title
        Of the painting.
    artist
        Who painted it.
    year
        When.
    license
        Of the picture.
    content
        A picture to learn on, as those that will be painted; repeat it for several; a few drawn ones by default.
    output
        Write the style to this file, for others to use; by default it joins the gallery on this machine.
    quiet
        No progress.
    options
        Options of the learning.
    """
    chosen = options or LearnOptions()
    if output is not None and output.suffix != SUFFIX:
        raise UsageError(f"output is {str(output)!r}; the name of a style ends in {SUFFIX}")
    if output is not None:
        check_folder(output)
        check_outputs([output], [picture, *(content or [])])
    called = check_name(name) if name else name_from(picture)
    with needs_extra("impasto styles learn", "torch"):
        from impasto.training.style_code import learn_style

    with RunDisplay(called, quiet=quiet) as display:
        learned = learn_style(
            read_picture(picture),
            called,
            chosen,
            [read_picture(path) for path in content or _drawn()],
            on_step=display.step,
            on_download=display.download,
        )
    style = replace(learned, title=title, artist=artist, year=year, license=license)
    if output is None:
        output = StyleCatalog().add(style)
    else:
        write_style_file(style, output)
    print(output)


@app.command
def remove(name: str) -> None:
    """Delete one of your own styles.

    Parameters
    ----------
    name
        Of the style.
    """
    StyleCatalog().remove(name)


@app.command
def export(name: str, *, output: Annotated[Path, Parameter(name=("--output", "-o"))]) -> None:
    """Write a style to a file, which paints on any machine with the same version of the network.

    Parameters
    ----------
    name
        Of the style.
    output
        The file; 'impasto stylize -s FILE.style' takes it.
    """
    if output.suffix != SUFFIX:
        raise UsageError(f"output is {str(output)!r}; the name of a style ends in {SUFFIX}")
    write_style_file(StyleCatalog().get(name), output)


def _facts(style: GalleryStyle) -> dict[str, str]:
    return {fact: getattr(style, fact) for fact in _FACTS}


def _described(style: GalleryStyle) -> str:
    return ", ".join(filter(None, (style.title, style.artist, style.year)))


def _drawn() -> list[Path]:
    return sorted(Path(str(files("impasto.bundled") / "contents")).glob("*.jpg"))
