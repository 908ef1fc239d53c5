"""``impasto stylize``: paint pictures in the style of others."""

from __future__ import annotations

import glob
import json
import os
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import SOME_FAILED, RunDisplay, fail
from impasto.cli.engine_flags import EngineFlags, check_run_flags, engine_options
from impasto.cli.film import STEADY, is_film
from impasto.cli.named_styles import split_weight
from impasto.cli.provenance import Painted, Provenance, Source, named
from impasto.cli.stylize_run import StylizeRun
from impasto.errors import FileWriteError, ImpastoError, Interrupted, UnknownNameError, UsageError
from impasto.images import PICTURE_SUFFIXES
from impasto.options import DEFAULT_ENGINE, FILM_ENGINE
from impasto.painting import arrange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

app = App(name="stylize")


@app.default
def stylize(
    *content: Annotated[str, Parameter(allow_leading_hyphen=True)],
    output: Annotated[str, Parameter(name=("--output", "-o"), allow_leading_hyphen=True)],
    style: Annotated[tuple[str, ...], Parameter(name=("--style", "-s"), negative="")] = (),
    engine: str | None = None,
    mask: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    painted: Annotated[Path | None, Parameter(name="--from")] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    animation: Path | None = None,
    losses: Path | None = None,
    steady: float | None = None,
    keep_profile: bool | None = None,
    quality: int | None = None,
    plan: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[EngineFlags | None, Parameter(name="*")] = None,
) -> int:
    """Paint pictures in the style of others.

    Parameters
    ----------
    content
        Pictures to paint: files, folders, patterns such as '*.jpg', or '-' for stdin; or films,
        such as .mp4, .mov, .mkv or .webm.
    output
        The result: a file, in whose name {stem} and {style} stand for those of the content and the style; a folder if
        there are several pictures, which is made if its name ends in '/'; or '-' for stdout.
    style
        A picture to take the style from, or a style of the gallery ('impasto styles list'), as STYLE or STYLE:WEIGHT;
        several are mixed by their weights. Networks that were trained for one style need none.
    engine
        How to paint: nnst, the default (optimisation by nearest neighbours, in seconds), fast (a draft, at once, and
        the default for films: one pass through a network that knows all styles), gatys (optimisation of Gram matrices:
        the classic), or a network of the literature, bundled or trained by yourself: adain, sanet (any style),
        transformer, texture-net (one style).
    mask
        Where the style applies, white, and where the content stays, black or transparent: a picture of any size, or
        'alpha', what is not transparent in the content. With several styles, one for each, in their order.
    painted
        A result of this command, to be painted again: its pictures, engine and options are taken from it, except those
        that are given here. On the same processor, the file will be the same, to the byte.
    resume
        Continue a run that was killed, from the checkpoint beside its output.
    animation
        Also write how the picture came about, as FILE.gif or FILE.webp.
    losses
        Also write the losses of every step as FILE.csv, and plot them as FILE-curves.png.
    steady
        Of films, how much of a frame is the one before, moved as the film moves: from 0, which flickers, to below 1.
        Default 0.7.
    keep_profile
        Give the result the colour profile of the content image, as is the default; otherwise it is sRGB.
    quality
        Of JPEG, WebP and AVIF results and of films, 1 to 100.
    plan
        Paint nothing; say how much memory, disk and time it would take here, after a trial of seconds.
    json_output
        Write one JSON object per picture to stdout, for machines.
    quiet
        No progress and no notes.
    options
        Options of the engine.
    """
    if json_output and output == "-":
        raise UsageError("--json and -o - both write to stdout; choose one")
    again = Painted(painted) if painted else None
    if again and engine not in (None, again.engine):
        raise UsageError(f"{painted} was painted by engine {again.engine!r}; leave --engine, or --from")
    contents = [again.content()] if again and not content else [named(each) for each in _expand(content)]
    films = any(is_film(source.path) for source in contents)
    engine = engine or (again.engine if again else FILM_ENGINE if films else DEFAULT_ENGINE)
    chosen = engine_options(engine, options, again.options if again else {})
    check_run_flags(
        engine,
        chosen,
        films,
        {
            "--steady": steady is not None,
            "--plan": plan,
            "--resume": resume,
            "--animation": animation is not None,
            "--losses": losses is not None,
        },
    )
    chosen_styles = again.styles() if again and not style else tuple(named(*split_weight(text)) for text in style)
    chosen_masks = again.masks() if again and not mask else tuple(named(text) for text in mask)
    if resume and len(chosen_masks) > 1:
        raise UsageError("a run with several masks is several runs, which cannot be continued; leave --resume")
    pairs = _pair_outputs(contents, output, chosen_styles)
    for flag, file in (("--animation", animation), ("--losses", losses)):
        if file is not None and len(pairs) > 1:
            raise UsageError(f"{flag} names one file and {len(pairs)} pictures are given; paint them one by one")
    weighted = [(each.where, each.weight) for each in chosen_styles]
    painting, sources = arrange(engine, chosen, weighted, [each.where for each in chosen_masks])
    run = StylizeRun(
        painting,
        sources,
        painting.read_styles(sources),
        partial(
            Provenance,
            styles=chosen_styles,
            masks=chosen_masks,
            keep_profile=keep_profile if keep_profile is not None else again is None or again.keep_profile,
            quality=again.quality if again and quality is None else quality,
        ),
        again,
        resume=resume,
        animation=animation,
        losses=losses,
        steady=STEADY if steady is None else steady,
        plan=plan,
        prints_plan=not json_output,
    )
    failed: list[str] = []
    for source, target in pairs:
        name = target.name if target else "stdout"
        with RunDisplay(name, quiet=quiet) as display, ExitStack() as after:
            try:
                if target and _ends_as_folder(output):
                    after.enter_context(_made(target.parent, stays=not plan))
                report = run.paint(source, target, display)
            except ImpastoError as error:
                if len(pairs) == 1 or isinstance(error, (Interrupted, UsageError)):
                    raise
                failed.append(source.where)
                fail(f"{source.where}: {error}", 1)
                continue
        if json_output:
            print(json.dumps({"content": source.where, **report}), flush=True)
    if failed:
        code = SOME_FAILED if len(failed) < len(pairs) else 1
        return fail(f"{len(failed)} of {len(pairs)} pictures failed: {', '.join(failed)}", code)
    return 0


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


def _pair_outputs(sources: list[Source], output: str, styles: Sequence[Source]) -> Sequence[tuple[Source, Path | None]]:
    """Say for each content image where its result goes; None is stdout."""
    if output == "-":
        if len(sources) > 1:
            raise UsageError(f"stdout takes one picture and {len(sources)} are given; name a folder with -o")
        return [(sources[0], None)]
    style = "+".join(Path(each.name).stem for each in styles) or "styled"
    pairs: list[tuple[Source, Path]] = []
    for source in sources:
        place = output.replace("{stem}", _stem(source)).replace("{style}", style)
        folder = _ends_as_folder(place) or Path(place).is_dir()
        if folder and source.path is None:
            raise UsageError("a picture from stdin has no name; give its result one with -o FILE")
        if not folder and place == output and len(sources) > 1:
            raise UsageError(
                f"{len(sources)} pictures need a folder for their results, such as painted/, or {{stem}} in their "
                f"name; {output!r} is neither"
            )
        pairs.append((source, Path(place, Path(source.name).name) if folder else Path(place)))
    results = [path for _, path in pairs]
    for source, path in pairs:
        if results.count(path) > 1:
            raise UsageError(
                f"two results would be called {path.name!r}; put {{stem}} into -o, or use different folders"
            )
        if path.exists() and source.path and source.path.exists() and path.samefile(source.path):
            raise UsageError(f"the result of {source.where!r} would replace it; name another folder with -o")
    return pairs


def _ends_as_folder(output: str) -> bool:
    return output.endswith(("/", os.sep))


@contextmanager
def _made(folder: Path, *, stays: bool) -> Iterator[None]:
    """Make ``folder`` if it is not there; if it is not to stay, for this time only."""
    goes = not stays and not folder.exists()
    try:
        folder.mkdir(exist_ok=True)  # another run may be making it, too
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileWriteError(f"cannot make the folder {folder}: {reason}") from error
    try:
        yield
    finally:
        if goes:
            with suppress(OSError):  # another run has put something into it
                folder.rmdir()


def _stem(source: Source) -> str:
    return Path(source.name).stem if source.path else "stdin"
