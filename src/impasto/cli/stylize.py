"""``impasto stylize``: paint pictures in the style of others."""

from __future__ import annotations

import glob
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay, fail
from impasto.cli.engine_flags import EngineFlags, engine_options
from impasto.cli.run_files import RunFiles
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.create import create_engine
from impasto.errors import ImpastoError, Interrupted, UnknownNameError, UsageError
from impasto.images import PICTURE_SUFFIXES, encode_picture, output_format, read_picture, resize_picture, write_picture
from impasto.options import GatysOptions

if TYPE_CHECKING:
    from impasto.engines.base import Engine
    from impasto.types import Picture, Step

app = App(name="stylize", help="Paint pictures in the style of others.")

_SOME_FAILED = 3


@app.default
def stylize(
    *content: Annotated[str, Parameter(allow_leading_hyphen=True)],
    style: Annotated[list[str], Parameter(name=("--style", "-s"), negative="")],
    output: Annotated[str, Parameter(name=("--output", "-o"), allow_leading_hyphen=True)],
    engine: str = "gatys",
    resume: Annotated[bool, Parameter(negative="")] = False,
    animation: Path | None = None,
    losses: Path | None = None,
    keep_profile: bool = True,
    quality: int | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[EngineFlags | None, Parameter(name="*")] = None,
) -> int:
    """Paint pictures in the style of others.

    Parameters
    ----------
    content
        Pictures to paint: files, folders, patterns such as '*.jpg', or '-' for stdin.
    style
        A picture to take the style from, as FILE or FILE:WEIGHT; several are mixed by their weights.
    output
        The result: a file; a folder if there are several pictures; or '-' for stdout.
    engine
        How to paint: gatys (optimisation), or fast (one pass through a trained network).
    resume
        Continue a run that was killed, from the checkpoint beside its output.
    animation
        Also write how the picture came about, as FILE.gif or FILE.webp.
    losses
        Also write the losses of every step as FILE.csv, and plot them as FILE-curves.png.
    keep_profile
        Give the result the colour profile of the content image; otherwise it is sRGB.
    quality
        Of JPEG, WebP and AVIF results, 1 to 100.
    json_output
        Write one JSON object per picture to stdout, for machines.
    quiet
        No progress and no notes.
    options
        Options of the engine.
    """
    if json_output and output == "-":
        raise UsageError("--json and -o - both write to stdout; choose one")
    chosen = engine_options(engine, options)
    resumable = isinstance(chosen, GatysOptions)
    if resume and not resumable:
        raise UsageError(f"--resume is for runs that take long; engine {engine!r} has nothing to resume")
    pairs = _pair_outputs(_expand(content), output)
    for flag, file in (("--animation", animation), ("--losses", losses)):
        if file is not None and len(pairs) > 1:
            raise UsageError(f"{flag} names one file and {len(pairs)} pictures are given; paint them one by one")
    styles = tuple(read_style(text) for text in style)
    failures = 0
    painter: Engine | None = None
    for source, target in pairs:
        name = target.name if target else "stdout"
        with RunDisplay(name, quiet=quiet) as display:
            try:
                files = RunFiles(
                    target,
                    save_every=chosen.save_every if isinstance(chosen, GatysOptions) else 0,
                    animation=animation,
                    losses=losses,
                    resume=resume,
                )
                inputs = StylizeInputs(_read_content(source), styles)
                # What cannot be written is refused now, not after the work.
                form = output_format(target) if target else inputs.content.format or "png"
                encode_picture(resize_picture(inputs.content, 1, 1), form, quality=quality)
                painter = painter or create_engine(engine, chosen, on_download=display.download)
                report = _paint(painter, inputs, target, files, display, resumable, resume, keep_profile, quality)
            except ImpastoError as error:
                if len(pairs) == 1 or isinstance(error, (Interrupted, UsageError)):
                    raise
                failures += 1
                fail(f"{source}: {error}", 1)
                continue
        if json_output:
            print(json.dumps({"content": source, **report}), flush=True)
    if failures:
        return _SOME_FAILED if failures < len(pairs) else 1
    return 0


def _paint(
    engine: Engine,
    inputs: StylizeInputs,
    target: Path | None,
    files: RunFiles,
    display: RunDisplay,
    resumable: bool,
    resume: bool,
    keep_profile: bool,
    quality: int | None,
) -> dict[str, object]:
    """Paint one picture and write everything that belongs to it; return what ``--json`` says about it."""
    checkpoint = None
    if target and resumable:
        from impasto.engines.checkpoints import Checkpoint

        checkpoint = Checkpoint(target.with_name(f"{target.name}.checkpoint"), resume)
    if checkpoint and resume and not checkpoint.path.exists():
        display.note(f"there is no {checkpoint.path.name}; starting from the beginning")
    started = time.monotonic()
    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)
        files.step(step)

    def write(picture: Picture) -> None:
        if target is None:
            data = encode_picture(picture, picture.format or "png", keep_profile=keep_profile, quality=quality)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            write_picture(picture, target, keep_profile=keep_profile, quality=quality)
        files.close(picture)

    try:
        picture = engine.stylize(inputs, on_step=on_step, checkpoint=checkpoint)
    except Interrupted as stop:
        write(stop.picture)
        display.note("interrupted; the best picture so far is written")
        raise
    write(picture)
    return {
        "output": str(target) if target else "-",
        "width": picture.width,
        "height": picture.height,
        "steps": last.done if last else 0,
        # JSON has no number that is not finite.
        "losses": {name: loss if math.isfinite(loss) else None for name, loss in last.losses.items()} if last else {},
        "seconds": round(time.monotonic() - started, 3),
    }


def _expand(arguments: tuple[str, ...]) -> list[str]:
    """Turn folders and patterns into the picture files they stand for."""
    sources: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if argument.startswith("-") and argument != "-" and not path.exists():
            # That '-' may stand for stdin, the parser leaves everything with a hyphen to us.
            names = [name for known in app.assemble_argument_collection() for name in known.names]
            raise UnknownNameError("option", argument, (name for name in names if name.startswith("-")))
        if path.is_dir():
            found = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
            if not found:
                raise UsageError(f"folder {argument} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
            sources += found
        elif glob.has_magic(argument) and not path.exists():
            found = sorted(glob.glob(argument))  # noqa: PTH207 - the pattern may be absolute
            if not found:
                raise UsageError(f"no file matches {argument!r}")
            sources += found
        else:
            sources.append(argument)
    if not sources:
        raise UsageError("no content image is given; name a file, a folder, a pattern, or '-' for stdin")
    return sources


def _pair_outputs(sources: list[str], output: str) -> list[tuple[str, Path | None]]:
    """Say for each content image where its result goes; None is stdout."""
    if output == "-":
        if len(sources) > 1:
            raise UsageError(f"stdout takes one picture and {len(sources)} are given; name a folder with -o")
        return [(sources[0], None)]
    target = Path(output)
    if len(sources) == 1 and not target.is_dir():
        return [(sources[0], target)]
    if not target.is_dir():
        raise UsageError(f"{len(sources)} pictures need a folder for their results; {output!r} is none")
    if "-" in sources:
        raise UsageError("a picture from stdin has no name; give its result one with -o FILE")
    pairs = [(source, target / Path(source).name) for source in sources]
    names = [path.name for _, path in pairs]
    for source, path in pairs:
        if names.count(path.name) > 1:
            raise UsageError(f"two pictures are called {path.name!r}; paint them into different folders")
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"the result of {source!r} would replace it; name another folder with -o")
    return list(pairs)


def _read_content(source: str) -> Picture:
    return read_picture(sys.stdin.buffer.read() if source == "-" else source)


def read_style(text: str) -> Style:
    """Read ``FILE`` or ``FILE:WEIGHT``."""
    name, colon, number = text.rpartition(":")
    if not colon or Path(text).exists():
        return Style(read_picture(text))
    try:
        weight = float(number)
    except ValueError:
        if Path(name).is_file():
            raise UsageError(f"style weight is {number!r}; it must be a positive number, like {name}:0.5") from None
        return Style(read_picture(text))  # a colon in a file name, or a drive letter
    return Style(read_picture(name), weight)
