"""The flags of all engines together, as the command line needs them: which engine is chosen is itself a flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import create_model

from impasto.engines.create import OPTIONS
from impasto.errors import UnknownNameError, UsageError
from impasto.options import EngineOptions

if TYPE_CHECKING:
    from impasto.options import GatysOptions

    EngineFlags: TypeAlias = GatysOptions
else:
    _FIELDS: dict[str, Any] = {}
    for _model in OPTIONS.values():
        for _name, _field in _model.model_fields.items():
            _FIELDS.setdefault(_name, (_field.annotation, _field))
    EngineFlags = create_model("EngineFlags", __base__=EngineOptions, **_FIELDS)


def engine_options(engine: str, flags: EngineFlags | None) -> EngineOptions:
    """Make the options of ``engine`` of the ``flags`` that were given.

    Raises:
        UnknownNameError: there is no such engine.
        UsageError: a flag belongs to another engine, or its value is wrong.
    """
    if engine not in OPTIONS:
        raise UnknownNameError("engine", engine, OPTIONS)
    given = flags.model_dump(exclude_unset=True) if flags else {}
    for name in given:
        if name not in OPTIONS[engine].model_fields:
            others = " or ".join(other for other, model in OPTIONS.items() if name in model.model_fields)
            raise UsageError(f"engine {engine!r} has no option --{name.replace('_', '-')}; {others} has it")
    return OPTIONS[engine].parse(given)
