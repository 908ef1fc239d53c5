"""``impasto stylize``: paint pictures in the style of others."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.batch import Failures, expand, pair_outputs
from impasto.cli.console import SOME_FAILED, BatchDisplay, fail
from impasto.cli.engine_flags import EngineFlags, check_run_flags, engine_options
from impasto.cli.film import STEADY, is_film
from impasto.cli.named_styles import expand_styles
from impasto.cli.provenance import STDIN_FILE, Painted, Provenance, named
from impasto.cli.run_files import written_files
from impasto.cli.side_by_side import SideBySide
from impasto.cli.stylize_run import StylizeRun
from impasto.errors import UnknownNameError, UsageError
from impasto.files import check_outputs
from impasto.images.limits import UNLIMITED, Limits
from impasto.options import DEFAULT_ENGINE, FILM_ENGINE, StepwiseOptions
from impasto.painting import arrange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.cli.provenance import Source

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
    skip_existing: Annotated[bool, Parameter(negative="")] = False,
    trusted: Annotated[bool, Parameter(negative="")] = False,
    plan: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[EngineFlags | None, Parameter(name="*")] = None,
) -> int:
    """Paint pictures in the style of others.

    Parameters
    ----------
    content
        Pictures to paint: files, folders, patterns such as `'*.jpg'` or `'photos/**/*.jpg'`, or '-' for stdin; or
        films, such as .mp4, .mov, .mkv or .webm.
    output
        The result: a file; a folder, whose name ends in '/' unless it is there already; or '-' for stdout. In its name,
        {stem}, {suffix} and {folder} stand for those of the content, {style} for the style. Folders are made.
    style
        A picture to take the style from, or a style of the gallery ('impasto styles list'), as STYLE or STYLE:WEIGHT;
        several are mixed by their weights. A folder stands for all pictures in it, such as those of one painter, which
        share its weight. Networks that were trained for one style need none.
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
        Continue a run that was stopped, from the checkpoint beside its output. Results without one stay as they are.
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
        Quality of JPEG, WebP and AVIF results and of films, 1 to 100.
    skip_existing
        Leave results that are there already as they are.
    trusted
        Read pictures of any number of pixels, however long it takes. Otherwise a file that claims more pixels than it
        can hold, or takes two minutes to decode, is refused.
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
    _check_options(content)
    on_note: Callable[[str], None] = (lambda text: None) if quiet else partial(print, file=sys.stderr)
    contents = [again.content()] if again and not content else [named(each) for each in expand(content, on_note)]
    chosen_styles = (
        again.styles() if again and not style else tuple(named(*each) for each in expand_styles(style, on_note))
    )
    pairs = pair_outputs(contents, output, chosen_styles)
    films = any(is_film(source.path, target) for source, target in pairs)
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
    chosen_masks = again.masks() if again and not mask else tuple(named(text) for text in mask)
    if resume and len(chosen_masks) > 1:
        raise UsageError("a run with several masks is several runs, which cannot be continued; leave --resume")
    for flag, file in (("--animation", animation), ("--losses", losses)):
        if file is not None and len(pairs) > 1:
            raise UsageError(f"{flag} names one file and {len(pairs)} pictures are given; paint them one by one")
    inputs = [each.path or STDIN_FILE for each in (*contents, *chosen_styles, *chosen_masks)]
    if painted:
        inputs.append(painted)
    if isinstance(chosen, StepwiseOptions):
        inputs.append(Path(chosen.init))
    targets = [target for _, target in pairs if target]
    check_outputs(written_files(targets, inputs, chosen.saved_every, animation, losses), inputs)
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
        keeps_finished=skip_existing or resume,
        animation=animation,
        losses=losses,
        limits=UNLIMITED if trusted else Limits(),
        steady=STEADY if steady is None else steady,
        plan=plan,
        prints_plan=not json_output,
    )
    return _paint_all(run, pairs, json_output=json_output, quiet=quiet)


def _paint_all(run: StylizeRun, pairs: Sequence[tuple[Source, Path | None]], *, json_output: bool, quiet: bool) -> int:
    """Paint all pictures; return the exit code."""
    failures, kept, code = Failures(len(pairs)), 0, 0
    good = failures.checked(pairs, run.check)
    with (
        BatchDisplay(len(good), quiet=quiet) as display,
        SideBySide(run, display) as painters,
    ):
        for source, outcome in painters.outcomes(good):
            with failures.of(source):
                report = outcome.result()
                kept += "skipped" in report
                if "missing" in report:
                    name = Path(str(report["output"])).name
                    code = fail(f"{report['missing']}; {name} has what could be read", SOME_FAILED)
                if json_output:
                    print(json.dumps({"content": source.where, **report}), flush=True)
            display.advance()
    if kept and not quiet:
        print(f"{kept} of {len(pairs)} results are there already and were left as they are", file=sys.stderr)
    return failures.exit_code() or code


def _check_options(content: Sequence[str]) -> None:
    """Refuse options that do not exist. The parser takes them for content images, because '-' may stand for stdin."""
    for argument in content:
        if argument.startswith("-") and argument != "-" and not os.path.lexists(argument):
            names = [name for known in app.assemble_argument_collection() for name in known.names]
            raise UnknownNameError("option", argument, (name for name in names if name.startswith("-")))
