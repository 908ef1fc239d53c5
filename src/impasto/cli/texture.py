"""``impasto texture``: textures of any size."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.cli.engine_flags import chosen_options, joined_flags
from impasto.cli.named_styles import read_style, split_weight
from impasto.errors import UnknownNameError, UsageError, needs_extra
from impasto.files import check_outputs, folder_made
from impasto.images import Limits, PictureWriter
from impasto.images.encoding import picture_format
from impasto.options import Options, TextureNetSynthesisOptions, TextureOptions
from impasto.runtimes.network_folder import bundled_networks
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

app = App(name="texture")

_ENGINES: dict[str, type[Options]] = {"gatys": TextureOptions, "texture-net": TextureNetSynthesisOptions}
_LARGEST_SIDE = 100_000

if TYPE_CHECKING:
    TextureFlags = TextureOptions
else:
    TextureFlags = joined_flags("TextureFlags", _ENGINES)


@app.default
def texture(
    *style: str,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    size: str = "512x512",
    engine: Literal["gatys", "texture-net"] | None = None,
    tileable: Annotated[bool, Parameter(negative="")] = False,
    quality: int | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[TextureFlags | None, Parameter(name="*")] = None,
) -> None:
    """Make a texture of any size.

    Parameters
    ----------
    style
        Pictures of the texture, each as STYLE or STYLE:WEIGHT; several are mixed. Or one texture network: the name of a
        bundled network, or the path of one that you trained.
    output
        The picture to write.
    size
        WIDTHxHEIGHT in pixels.
    engine
        Engine: gatys (optimisation, for pictures) or texture-net (one pass, for texture networks). The default follows
        from STYLE.
    tileable
        Make opposite edges match, so that copies tile seamlessly.
    quality
        Quality of JPEG, WebP and AVIF results, 1 to 100.
    json_output
        Write a JSON object to stdout, for machines.
    quiet
        No progress and no notes.
    options
        Options of the engine.
    """
    if not style:
        raise UsageError("no style is given; name a picture of a texture, or a texture network")
    width, height = _sides(size)
    form = picture_format(output)
    blank = Picture(np.zeros((1, 1, 3), np.float32))
    # raises an error for an unsupported format, quality or size before any work is done
    PictureWriter(blank, width, height, form, keep_profile=False, quality=quality).close()
    check_outputs([output], [Path(split_weight(text)[0]) for text in style])
    network = _network(style[0])
    engine = engine or ("texture-net" if network else "gatys")
    chosen = chosen_options(engine, options, _ENGINES)
    with RunDisplay(output.name, quiet=quiet) as display, folder_made(output.parent):
        started = time.monotonic()
        if isinstance(chosen, TextureOptions):
            strips = _optimized(style, width, height, chosen, tileable, display)
        else:
            strips = _synthesized(style, width, height, chosen, tileable, display)
        first = next(strips)
        with PictureWriter(first, width, height, form, keep_profile=False, quality=quality) as writer:
            writer.write(first)
            for strip in strips:
                writer.write(strip)
            writer.save(output, first.metadata)
    if json_output:
        seconds = round(time.monotonic() - started, 3)
        print(json.dumps({"output": str(output), "width": width, "height": height, "seconds": seconds}))


def _optimized(
    texts: tuple[str, ...], width: int, height: int, options: TextureOptions, tileable: bool, display: RunDisplay
) -> Iterator[Picture]:
    try:
        styles = [read_style(text) for text in texts]
    except UnknownNameError as error:
        raise UnknownNameError("picture or texture network", error.name, bundled_networks("texture")) from error
    with needs_extra("engine 'gatys'", "torch"):
        from impasto.engines.base import mixture
        from impasto.engines.synthesis import synthesize
    yield synthesize(
        styles,
        mixture(styles),
        width,
        height,
        options,
        tileable=tileable,
        on_step=display.step,
        on_download=display.download,
    )


def _synthesized(
    texts: tuple[str, ...], width: int, height: int, options: Options, tileable: bool, display: RunDisplay
) -> Iterator[Picture]:
    from impasto.engines.texture_net import TextureNetSynthesizer

    if len(texts) > 1:
        raise UsageError("a texture network has one texture; mix pictures with --engine gatys")
    named = TextureNetSynthesisOptions.parse({"network": texts[0], **options.model_dump(exclude_unset=True)})
    return TextureNetSynthesizer(named).synthesize(width, height, tileable=tileable, on_step=display.step)


def _sides(size: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)[xX](\d+)", size)
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise UsageError(f"size is {size!r}; write WIDTHxHEIGHT in pixels, like 1024x512")
    if width * height > (most := Limits().max_pixels):
        raise UsageError(f"size {size} is {width * height:,} pixels, and the limit is {most:,}; choose a smaller size")
    return width, height


def _network(text: str) -> bool:
    """Return whether ``text`` names a texture network."""
    path = Path(text)
    return (not path.exists() and text in bundled_networks("texture")) or path.is_dir() or path.suffix == ".safetensors"
