"""The flags of several engines together, as the command line needs them: which engine is chosen is itself a flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

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
        if any(repr(other) != repr(first) for other in others):
            # Each engine checks the value by its own model; here is one help for all of them.
            first = FieldInfo(default=None, description=_each_described(owners))
            fields[field] = (_joined_type(list(owners.values())) | None, first)
        else:
            fields[field] = (first.annotation, first)
    return create_model(name, __base__=Options, **fields)


def _joined_type(infos: Sequence[FieldInfo]) -> Any:
    joined: Any = infos[0].annotation
    for info in infos[1:]:
        joined = joined | info.annotation
    return joined


def _each_described(owners: Mapping[str, FieldInfo]) -> str:
    """Describe an option that means something else in each engine, with its defaults."""
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
    """Make the options of ``engine``, which paints pictures, of the ``flags`` that were given and of ``others``.

    Raises:
        UnknownNameError: there is no such engine.
        UsageError: a flag belongs to another engine, or its value is wrong.
    """
    return chosen_options(engine, flags, OPTIONS, others)


def chosen_options(
    engine: str, flags: Options | None, models: Mapping[str, type[OptionsT]], others: Mapping[str, Any] | None = None
) -> OptionsT:
    """Make the options of ``engine``, one of ``models``, of the ``flags`` that were given, or else of ``others``.

    Raises:
        UnknownNameError: there is no such engine.
        UsageError: a flag belongs to another engine, or its value is wrong.
    """
    given = flags.model_dump(exclude_unset=True) if flags else {}
    return parse_options(engine, {**(others or {}), **given}, models, written=_as_flag)


_OF_PICTURES = ("--animation", "--losses", "--save-every")


def check_run_flags(engine: str, options: EngineOptions, films: bool, given: Mapping[str, bool]) -> None:
    """Refuse flags of a run that would do nothing, by whether they are ``given``.

    Raises:
        UsageError: there is one.
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
