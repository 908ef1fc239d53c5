"""The catalog of engines: one row per engine, with everything that other modules need to know about it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from impasto.errors import UnknownNameError, UsageError, needs_extra
from impasto.options import (
    AnyStyleOptions,
    EngineOptions,
    FastOptions,
    FeedForwardOptions,
    GatysOptions,
    NnstOptions,
    Options,
    TextureNetOptions,
)
from impasto.runtimes.network_folder import bundled_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.engines.base import Engine
    from impasto.types import StyleKinds

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class EngineRow:
    """A row of the catalog."""

    name: str
    code: str
    """``module:attribute`` of the engine's factory, which is imported on first use."""
    options: type[EngineOptions]
    styles: StyleKinds = "any"
    codes: bool = False
    """True if the engine accepts gallery styles that have only a style code and no picture."""
    steps: bool = False
    """True if the engine works in many steps, so that a run can be resumed, filmed and plotted."""

    def load(self) -> Callable[..., Engine]:
        """Import the engine's factory.

        Raises:
            MissingDependencyError: the engine needs a package that is not installed.
        """
        module, _, attribute = self.code.partition(":")
        with needs_extra(f"engine {self.name!r}", "torch"):
            made: Callable[..., Engine] = getattr(import_module(module), attribute)
        return made

    @property
    def is_available(self) -> bool:
        """True if this installation has all that the engine needs, such as a bundled network."""
        architecture = getattr(self.load(), "architecture", None)
        return architecture is None or bool(bundled_networks(architecture))


ENGINES: dict[str, EngineRow] = {
    row.name: row
    for row in (
        EngineRow("nnst", "impasto.engines.nnst:NnstEngine", NnstOptions, steps=True),
        EngineRow("gatys", "impasto.engines.gatys:gatys_engine", GatysOptions, steps=True),
        EngineRow("fast", "impasto.engines.fast:FastEngine", FastOptions, codes=True),
        EngineRow("adain", "impasto.engines.adain:AdaINEngine", AnyStyleOptions),
        EngineRow("sanet", "impasto.engines.sanet:SANetEngine", AnyStyleOptions),
        EngineRow("transformer", "impasto.engines.transformer:TransformerEngine", FeedForwardOptions, styles="own"),
        EngineRow("texture-net", "impasto.engines.texture_net:TextureNetEngine", TextureNetOptions, styles="own"),
    )
}
OPTIONS: dict[str, type[EngineOptions]] = {row.name: row.options for row in ENGINES.values()}


def engine_row(name: str) -> EngineRow:
    """Return the row of the engine ``name``.

    Raises:
        UnknownNameError: there is no such engine; the message suggests the most similar name.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    return ENGINES[name]


def parse_options(
    engine: str,
    values: Mapping[str, Any],
    models: Mapping[str, type[OptionsT]],
    *,
    written: Callable[[str], str] = str,
) -> OptionsT:
    """Build the options of ``engine`` from ``values`` by name; ``models`` has the options class of each engine.

    ``written`` turns the name of an option into the user's spelling, for messages.

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
    """Make the engine ``name``.

    Args:
        name: name of a row in `ENGINES`.
        options: an instance of the options class of the row.
        on_download: called with bytes received and bytes in total if weights have to be fetched.
        network: the network of an engine of the same name whose options have the same `network_key`, to share it.

    Raises:
        UnknownNameError: there is no such engine.
        MissingDependencyError: the engine needs an extra that is not installed.
        UsageError: there is no such network or descriptor.
        WeightsError: weights cannot be fetched or read.
    """
    return engine_row(name).load()(options, on_download=on_download, network=network)
