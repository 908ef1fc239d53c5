"""The flags of several engines together. The command line needs them all, because the engine itself is a flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from cyclopts import Group, Parameter
from pydantic import create_model
from pydantic.fields import FieldInfo

from impasto.engines.catalog import ENGINES, OPTIONS, parse_options
from impasto.errors import UsageError
from impasto.options import EngineOptions, GatysOptions, Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


OptionsT = TypeVar("OptionsT", bound=Options)


def joined_flags(name: str, models: Mapping[str, type[Options]]) -> type[Options]:
    """Make a model called ``name`` with the fields of all ``models``."""
    fields: dict[str, Any] = {}
    for field in dict.fromkeys(field for model in models.values() for field in model.model_fields):
        owners = {engine: model.model_fields[field] for engine, model in models.items() if field in model.model_fields}
        first, *others = owners.values()
        shown = Parameter(group=_group(list(owners), models))
        if any(repr(other) != repr(first) for other in others):
            # Each engine checks the value with its own model. Here, one help text describes all of them.
            first = FieldInfo(default=None, description=_each_described(owners))
            fields[field] = (Annotated[_joined_type(list(owners.values())) | None, shown], first)
        else:
            fields[field] = (Annotated[first.annotation, shown], first)
    return create_model(name, __base__=Options, **fields)


def _group(owners: Sequence[str], models: Mapping[str, type[Options]]) -> Group:
    """Return the group under which ``--help`` lists the options of ``owners``."""
    name = "every engine" if len(owners) == len(models) else ", ".join(owners)
    return Group(f"Options of {name}", sort_key=(-len(owners), name))


def _joined_type(infos: Sequence[FieldInfo]) -> Any:
    joined: Any = infos[0].annotation
    for info in infos[1:]:
        joined = joined | info.annotation
    return joined


def _each_described(owners: Mapping[str, FieldInfo]) -> str:
    """Describe an option that differs between engines, with the default of each."""
    texts: dict[str, list[str]] = {}
    for engine, info in owners.items():
        default = "" if info.default is None else f" (default {info.default})"
        texts.setdefault(f"{(info.description or '').rstrip('.')}{default}", []).append(engine)
    return " ".join(f"{', '.join(engines)}: {text}." for text, engines in texts.items())


if TYPE_CHECKING:
    EngineFlags: TypeAlias = GatysOptions
else:
    EngineFlags = joined_flags("EngineFlags", OPTIONS)


def engine_options(engine: str, flags: EngineFlags | None, others: Mapping[str, Any] | None = None) -> EngineOptions:
    """Return the options of ``engine``, which paints pictures: the ``flags`` that were given, or else ``others``.

    Raises:
        UnknownNameError: there is no such engine.
        UsageError: a flag belongs to another engine, or its value is wrong.
    """
    return chosen_options(engine, flags, OPTIONS, others)


def chosen_options(
    engine: str, flags: Options | None, models: Mapping[str, type[OptionsT]], others: Mapping[str, Any] | None = None
) -> OptionsT:
    """Return the options of ``engine``, a key of ``models``: the ``flags`` that were given, or else ``others``.

    Raises:
        UnknownNameError: there is no such engine.
        UsageError: a flag belongs to another engine, or its value is wrong.
    """
    given = flags.model_dump(exclude_unset=True) if flags else {}
    return parse_options(engine, {**(others or {}), **given}, models, written=_as_flag)


_OF_PICTURES = ("--animation", "--losses", "--save-every")


def check_run_flags(engine: str, options: EngineOptions, films: bool, given: Mapping[str, bool]) -> None:
    """Refuse flags that do nothing in this run. ``given`` maps flags to whether they were given.

    Raises:
        UsageError: such a flag was given.
    """
    if films and given["--plan"]:
        raise UsageError("--plan is for pictures; a film takes as much memory as one frame, and its bar shows the time")
    if given["--plan"] and given["--resume"]:
        raise UsageError("--plan is for a whole run; leave --resume")
    if given["--steady"] and not films:
        raise UsageError("--steady is for films; leave it")
    for flag, is_given in {**given, "--save-every": options.saved_every > 0}.items():
        if films and is_given and flag in _OF_PICTURES:
            raise UsageError(f"{flag} is for pictures; leave it")
    if films:
        return
    for flag in ("--resume", "--animation", "--losses"):
        if given[flag] and not ENGINES[engine].steps:
            raise UsageError(f"{flag} is for runs of many steps; engine {engine!r} paints in one")


def _as_flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
