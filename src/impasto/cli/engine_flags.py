"""The flags of several engines together, as the command line needs them: which engine is chosen is itself a flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pydantic import create_model

from impasto.engines.create import OPTIONS, parse_options
from impasto.errors import UsageError
from impasto.options import EngineOptions, GatysOptions, Options

if TYPE_CHECKING:
    from collections.abc import Mapping


OptionsT = TypeVar("OptionsT", bound=Options)


def joined_flags(name: str, models: Mapping[str, type[Options]]) -> type[Options]:
    """Make a model called ``name`` with the fields of all ``models``."""
    fields: dict[str, Any] = {}
    for model in models.values():
        for field, info in model.model_fields.items():
            fields.setdefault(field, (info.annotation, info))
    return create_model(name, __base__=Options, **fields)


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
    saves = isinstance(options, GatysOptions) and options.save_every > 0
    for flag, is_given in {**given, "--save-every": saves}.items():
        if films and is_given and flag in _OF_PICTURES:
            raise UsageError(f"{flag} is for pictures; leave it")
    if films:
        return
    for flag in ("--resume", "--animation", "--losses"):
        if given[flag] and not isinstance(options, GatysOptions):
            raise UsageError(f"{flag} is for runs of many steps; engine {engine!r} paints in one")


def _as_flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
