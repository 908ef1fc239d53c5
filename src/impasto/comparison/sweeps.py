"""The options that a comparison varies, their values, and all combinations of these."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from impasto.engines.catalog import OPTIONS, engine_row
from impasto.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from impasto.options import EngineOptions

_SYNTAX = "write OPTION=VALUE,VALUE, or OPTION:OPTION=VALUE:VALUE,VALUE:VALUE for options that change together"
_RECIPE_KEYS = ("title", "note", "options", "sweep")


@dataclass(frozen=True)
class Sweep:
    """Options that change together, and their values."""

    names: tuple[str, ...]
    """Names of the options, as in their model: ``style_weight``."""
    choices: tuple[tuple[Any, ...], ...]
    """Combinations of values; each holds one value per name."""


@dataclass(frozen=True)
class Recipe:
    """A comparison that was read from a file."""

    sweeps: tuple[Sweep, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that all pictures share, by name."""
    title: str = ""
    note: str = ""
    """Advice on what to look for."""


@dataclass(frozen=True)
class Variant:
    """One picture of a comparison."""

    column: str
    """Label of the picture's column, like ``style-weight 10``."""
    row: str
    """Label of the picture's row; '' if there is only one row."""
    engine: str
    options: EngineOptions
    """Options in the engine's own model."""

    @property
    def label(self) -> str:
        """Column and row in words, unique among the variants."""
        return ", ".join(filter(None, [self.column, self.row]))


def parse_sweep(text: str) -> Sweep:
    """Read ``style-weight=1,10``, or ``style-weight:content-weight=100:1,1:100`` for options that change together.

    Values are separated by commas. If the text contains a semicolon, they are separated by semicolons instead, as in
    ``style-layers=relu1_1,relu2_1;relu4_1``.

    Raises:
        UsageError: the text has another form.
    """
    left, _, right = text.partition("=")
    names = tuple(_model_name(name) for name in left.split(":"))
    values = [value.strip() for value in right.split(";" if ";" in right else ",")]
    if not all(names) or not all(values):
        raise UsageError(f"sweep {text!r} lacks {'a value' if all(names) else 'an option'}; {_SYNTAX}")
    if len(names) == 1:
        return Sweep(names, tuple((value,) for value in values))
    choices = [tuple(value.split(":")) for value in values]
    for value, choice in zip(values, choices, strict=True):
        if len(choice) != len(names):
            raise UsageError(
                f"sweep {text!r} changes {len(names)} options together, but {value!r} holds {len(choice)} values; "
                f"{_SYNTAX} (where values hold colons themselves, write a recipe file)"
            )
    return Sweep(names, tuple(choices))


def engine_sweep(text: str) -> Sweep:
    """Read ``fast,gatys,transformer:FOLDER``: engines, with the networks of those that need one.

    Raises:
        UsageError: an engine has no name.
    """
    choices = []
    for part in text.split(","):
        name, _, network = part.strip().partition(":")
        if not name:
            raise UsageError(f"engine {text!r} lacks a name; write ENGINE[:NETWORK],...")
        choices.append((name, network or None))
    if not any(network for _, network in choices):
        return Sweep(("engine",), tuple((name,) for name, _ in choices))
    return Sweep(("engine", "network"), tuple(choices))


def read_recipe(path: Path) -> Recipe:
    """Read a TOML file with ``title``, ``note``, a table ``[options]`` and any number of ``[[sweep]]``.

    Each ``[[sweep]]`` has lists of values by option; the options of one ``[[sweep]]`` change together.

    Raises:
        UsageError: there is no such file, or it has other content.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"recipe {path} cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path} is not a TOML file: {error}") from error
    for key in content:
        if key not in _RECIPE_KEYS:
            raise UnknownNameError(f"key in recipe {path}", key, _RECIPE_KEYS)
    title, note = content.get("title", ""), content.get("note", "")
    options, sweeps = content.get("options", {}), content.get("sweep", [])
    if not (
        isinstance(title, str) and isinstance(note, str) and isinstance(options, dict) and isinstance(sweeps, list)
    ):
        raise UsageError(f"recipe {path}: title and note are texts, [options] is a table, and [[sweep]] repeats")
    return Recipe(
        tuple(_sweep_of_table(table, path) for table in sweeps),
        {_model_name(name): value for name, value in options.items()},
        title,
        note.strip(),
    )


def combine(sweeps: Sequence[Sweep], base: Mapping[str, Any]) -> list[list[Variant]]:
    """Combine the choices of all sweeps: the first sweep gives the columns, all others together give the rows.

    Args:
        sweeps: at least one; 'engine' counts as an option, whose default is 'gatys'.
        base: values that all pictures share, by option; engines that lack an option ignore it. A sweep of the same
            option takes precedence.

    Returns:
        Rows of variants, all as long as the first sweep.

    Raises:
        UnknownNameError: there is no such option.
        UsageError: there is no sweep, an option is in two sweeps, or an option does not take a value.
    """
    if not sweeps:
        raise UsageError(f"there is nothing to compare; give a recipe, or a sweep: {_SYNTAX}")
    names = [name for sweep in sweeps for name in sweep.names]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"option {_flag(name)!r} is swept twice; give all its values in one sweep")
    columns, *rows = [[dict(zip(sweep.names, choice, strict=True)) for choice in sweep.choices] for sweep in sweeps]
    swept = [[(column, row) for column in columns] for row in itertools.product(*rows)]
    engines = {_engine({**base, **_joined(*part)}) for line in swept for part in line}
    fields = {name for engine in engines for name in OPTIONS[engine].model_fields}
    for name in [*base, *names]:
        if name not in fields and name != "engine":
            raise UnknownNameError("option", _flag(name), map(_flag, fields))
    return [
        [
            Variant(_describe(column), ", ".join(map(_describe, row)), *_parsed(base, _joined(column, row)))
            for column, row in line
        ]
        for line in swept
    ]


def _joined(column: Mapping[str, Any], row: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the choices of one picture; None stands for the default."""
    return {name: value for part in (column, *row) for name, value in part.items() if value is not None}


def _engine(values: Mapping[str, Any]) -> str:
    engine = str(values.get("engine", "gatys"))
    return engine_row(engine).name


def _parsed(base: Mapping[str, Any], swept: Mapping[str, Any]) -> tuple[str, EngineOptions]:
    """Return engine and options; shared options that this engine lacks are ignored."""
    engine = _engine({**base, **swept})
    model = OPTIONS[engine]
    shared = {name: value for name, value in base.items() if name in model.model_fields}
    own = {name: value for name, value in swept.items() if name != "engine"}
    return engine, model.parse({**shared, **own})


def _sweep_of_table(table: Any, path: Path) -> Sweep:
    lists = list(table.values()) if isinstance(table, dict) else []
    if not lists or not all(isinstance(values, list) and values for values in lists):
        raise UsageError(f"recipe {path}: each [[sweep]] needs options with lists of values, like steps = [100, 300]")
    if len({len(values) for values in lists}) > 1:
        raise UsageError(
            f"recipe {path}: the options of one [[sweep]] change together, but have "
            f"{' and '.join(str(len(values)) for values in lists)} values; give them equally many"
        )
    return Sweep(tuple(map(_model_name, table)), tuple(zip(*lists, strict=True)))


def _model_name(flag: str) -> str:
    return flag.strip().removeprefix("--").replace("-", "_")


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _describe(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{_flag(name)} {value}" for name, value in settings.items() if value is not None)
