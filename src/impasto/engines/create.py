"""The engines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from impasto.errors import UnknownNameError, UsageError
from impasto.options import (
    AnyStyleOptions,
    EngineOptions,
    FastOptions,
    FeedForwardOptions,
    GatysOptions,
    NetworkOptions,
    NnstOptions,
    Options,
    TextureNetOptions,
)
from impasto.registry import Registry
from impasto.runtimes.network_folder import bundled_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.engines.base import Engine

OptionsT = TypeVar("OptionsT", bound=Options)

ENGINES = Registry(
    "engine",
    [
        ("nnst", "impasto.engines.nnst:NnstEngine"),
        ("gatys", "impasto.engines.gatys:gatys_engine"),
        ("fast", "impasto.engines.fast:FastEngine"),
        ("adain", "impasto.engines.adain:AdaINEngine"),
        ("sanet", "impasto.engines.sanet:SANetEngine"),
        ("transformer", "impasto.engines.transformer:TransformerEngine"),
        ("texture-net", "impasto.engines.texture_net:TextureNetEngine"),
    ],
)

OPTIONS: dict[str, type[EngineOptions]] = {
    "nnst": NnstOptions,
    "gatys": GatysOptions,
    "fast": FastOptions,
    "adain": AnyStyleOptions,
    "sanet": AnyStyleOptions,
    "transformer": FeedForwardOptions,
    "texture-net": TextureNetOptions,
}


def parse_options(
    engine: str,
    values: Mapping[str, Any],
    models: Mapping[str, type[OptionsT]],
    *,
    written: Callable[[str], str] = str,
) -> OptionsT:
    """Make the options of ``engine``, one of ``models``, of ``values`` by name.

    ``written`` says how the names of options are written where they came from.

    Raises:
        UnknownNameError: there is no such engine, or no such option.
        UsageError: an option belongs to other engines, or its value is wrong.
    """
    if engine not in models:
        raise UnknownNameError("engine", engine, models)
    for name in values:
        owners = [other for other, model in models.items() if name in model.model_fields]
        if owners and engine not in owners:
            raise UsageError(f"engine {engine!r} has no option {written(name)}; {' or '.join(owners)} has it")
    return models[engine].parse(values)


def create_engine(
    name: str,
    options: EngineOptions,
    *,
    on_download: Callable[[int, int | None], None] | None = None,
    network: Any = None,
) -> Engine:
    """Make the engine ``name`` with ``options`` of its own model.

    Args:
        name: of a row above.
        options: an instance of ``OPTIONS[name]``.
        on_download: called with bytes done and in all if weights have to be fetched.
        network: that of another engine of this name whose options have the same `network_key`; it is not loaded again.

    Raises:
        UnknownNameError: no such engine.
        MissingDependencyError: the engine needs an extra that is not installed.
    """
    engine: Engine = ENGINES.load(name)(options, on_download=on_download, network=network)
    return engine


def is_available(name: str) -> bool:
    """Return whether the engine ``name`` can paint as impasto is installed: by a descriptor, or a bundled network."""
    if issubclass(OPTIONS[name], NetworkOptions):
        return bool(bundled_networks(ENGINES.load(name).architecture))
    return True
