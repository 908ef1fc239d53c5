"""``impasto stylize``: paint pictures in the style of others."""

from __future__ import annotations

import glob
import json
import math
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import SOME_FAILED, RunDisplay, fail
from impasto.cli.engine_flags import EngineFlags, check_run_flags, engine_options
from impasto.cli.film import STEADY, Film, is_film
from impasto.cli.named_styles import split_weight
from impasto.cli.plan import Plan
from impasto.cli.provenance import Painted, Provenance, Source, named
from impasto.cli.run_files import RunFiles
from impasto.engines.base import StreamingEngine
from impasto.errors import FileWriteError, ImpastoError, Interrupted, UnknownNameError, UsageError
from impasto.images import PICTURE_SUFFIXES, PictureWriter, fit_size, output_format
from impasto.options import DEFAULT_ENGINE, FILM_ENGINE
from impasto.painting import CONTENT, arrange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from impasto.engines.base import Engine, StylizeInputs
    from impasto.types import Picture, Step

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
    keep = keep_profile if keep_profile is not None else again is None or again.keep_profile
    chosen_quality = again.quality if again and quality is None else quality
    pairs = _pair_outputs(contents, output, chosen_styles)
    for flag, file in (("--animation", animation), ("--losses", losses)):
        if file is not None and len(pairs) > 1:
            raise UsageError(f"{flag} names one file and {len(pairs)} pictures are given; paint them one by one")
    weighted = [(each.where, each.weight) for each in chosen_styles]
    painting, sources = arrange(engine, chosen, "", weighted, [each.where for each in chosen_masks])
    styles = painting.read_styles(sources)
    failed: list[str] = []
    painter: Engine | None = None
    for source, target in pairs:
        name = target.name if target else "stdout"
        with RunDisplay(name, quiet=quiet) as display, ExitStack() as after:
            try:
                if target and _ends_as_folder(output):
                    after.enter_context(_made(target.parent, stays=not plan))
                started = time.monotonic()
                provenance = Provenance(source, chosen_styles, chosen_masks, keep, chosen_quality)
                if is_film(source.path):
                    film = Film(provenance, target, styles, STEADY if steady is None else steady, resume)
                    checked = film.check()
                    painter = painter or painting.create_engine(on_download=display.download)
                    report = film.paint(checked, engine, painter, chosen, display)
                else:
                    files = RunFiles(
                        target,
                        save_every=chosen.saved_every,
                        animation=animation,
                        losses=losses,
                        resume=resume,
                    )
                    inputs = painting.read({**sources, CONTENT: source.path or sys.stdin.buffer.read()}, styles)
                    size = fit_size(inputs.content.width, inputs.content.height, chosen.size)
                    result = _Result(inputs.content.outline, target, size, provenance)
                    painter = painter or painting.create_engine(on_download=display.download)
                    run = _Run(inputs, files, result, display, resume)
                    started = time.monotonic()
                    if plan:
                        run.plan(painter, show=not json_output)
                    elif isinstance(painter, StreamingEngine):
                        run.stream(painter)
                    else:
                        run.paint(painter)
                    report = {**result.report, **run.report}
                    if again and not plan:
                        for part in again.changes(result.metadata):
                            display.note(f"the {part} is another than then; the result may differ")
            except ImpastoError as error:
                if len(pairs) == 1 or isinstance(error, (Interrupted, UsageError)):
                    raise
                failed.append(source.where)
                fail(f"{source.where}: {error}", 1)
                continue
        if json_output:
            seconds = round(time.monotonic() - started, 3)
            print(json.dumps({"content": source.where, **report, "seconds": seconds}), flush=True)
    if failed:
        code = SOME_FAILED if len(failed) < len(pairs) else 1
        return fail(f"{len(failed)} of {len(pairs)} pictures failed: {', '.join(failed)}", code)
    return 0


class _Result:
    """The destination of one result, which is checked before anything is painted."""

    def __init__(self, outline: Picture, target: Path | None, size: tuple[int, int], provenance: Provenance) -> None:
        self.target = target
        self._form = output_format(target) if target else outline.format or "png"
        self._provenance = provenance
        self._made_of = provenance.metadata  # now: the pictures may be gone when this one is done
        self.size = size
        self.metadata: Mapping[str, str] = {}
        with self.writer(outline, *size) as writer:
            self.encoding = writer.memory
        with self.writer(outline, 1, 1) as trial:
            trial.write(outline)
            trial.encode({})

    def writer(self, outline: Picture, width: int, height: int) -> PictureWriter:
        provenance = self._provenance
        return PictureWriter(
            outline, width, height, self._form, keep_profile=provenance.keep_profile, quality=provenance.quality
        )

    def finish(self, writer: PictureWriter, metadata: Mapping[str, str]) -> None:
        self.metadata = {**metadata, **self._made_of}
        if self.target is None:
            sys.stdout.buffer.write(writer.encode(self.metadata))
            sys.stdout.buffer.flush()
        else:
            writer.save(self.target, self.metadata)

    @property
    def report(self) -> dict[str, object]:
        """The fields for ``--json``."""
        width, height = self.size
        return {"output": str(self.target) if self.target else "-", "width": width, "height": height}


class _Run:
    """Painting one picture and writing everything that belongs to it."""

    def __init__(
        self, inputs: StylizeInputs, files: RunFiles, result: _Result, display: RunDisplay, resume: bool
    ) -> None:
        self._inputs = inputs
        self._files = files
        self._result = result
        self._display = display
        self._resume = resume
        self._last: Step | None = None
        self._plan: Plan | None = None

    @property
    def report(self) -> dict[str, object]:
        """The fields for ``--json``."""
        if self._plan:
            return self._plan.report
        last = self._last
        # JSON has no number that is not finite.
        losses = {name: loss if math.isfinite(loss) else None for name, loss in last.losses.items()} if last else {}
        return {"steps": last.done if last else 0, "losses": losses}

    def plan(self, engine: Engine, *, show: bool) -> None:
        """Paint nothing, but find out what it would take."""
        target = self._result.target
        folder = target.parent if target else Path(tempfile.gettempdir())
        self._plan = Plan(engine.forecast(self._inputs, folder), self._result.encoding)
        if show:
            print(f"{self._display.name}: {self._plan}")

    def stream(self, engine: StreamingEngine) -> None:
        """Paint and encode strip by strip."""
        content = self._inputs.content
        metadata: Mapping[str, str] = {}
        with self._result.writer(content.outline, *self._result.size) as writer:
            for strip in engine.strips(self._inputs, on_step=self._step):
                writer.write(strip)
                metadata = strip.metadata
                del strip  # or it would stay in memory beside the next one
            self._result.finish(writer, metadata)

    def paint(self, engine: Engine) -> None:
        """Paint in many steps, of which a checkpoint is kept."""
        checkpoint, target = None, self._result.target
        if target:
            from impasto.optimization.checkpoint import Checkpoint

            checkpoint = Checkpoint(target.with_name(f"{target.name}.checkpoint"), self._resume)
            if self._resume and not checkpoint.path.exists():
                self._display.note(f"there is no {checkpoint.path.name}; starting from the beginning")
        try:
            self._write(engine.stylize(self._inputs, on_step=self._step, checkpoint=checkpoint))
        except Interrupted as stop:
            self._write(stop.picture)
            self._display.note("interrupted; the best picture so far is written")
            raise

    def _step(self, step: Step) -> None:
        self._last = step
        self._display.step(step)
        self._files.step(step)

    def _write(self, picture: Picture) -> None:
        with self._result.writer(picture, picture.width, picture.height) as writer:
            writer.write(picture)
            self._result.finish(writer, picture.metadata)
        self._files.close(picture)


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
