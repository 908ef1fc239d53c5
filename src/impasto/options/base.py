"""The base class of options, and the notation of lists of layers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from impasto.errors import UnknownNameError, UsageError


def layer_weights(text: str) -> dict[str, float]:
    """Read ``"relu1_1:0.5,relu2_1"`` as ``{"relu1_1": 0.5, "relu2_1": 1.0}``.

    Raises:
        ValueError: a weight is not a positive number, or a layer is empty or named twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = map(str.strip, part.partition(":"))
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            weight = math.nan
        if not name or not (0 < weight < math.inf):
            raise ValueError(f"{part.strip()!r} is not LAYER or LAYER:WEIGHT with a positive weight, like relu4_2:0.5")
        if name in weights:
            raise ValueError(f"layer {name!r} is named twice")
        weights[name] = weight
    return weights


def shares_of_layers(layer_weights: Mapping[str, float], weight: float) -> dict[str, float]:
    """Divide the ``weight`` of a kind of loss among its layers, in proportion to their weights."""
    total = sum(layer_weights.values())
    return {layer: weight * value / total for layer, value in layer_weights.items()}


def _canonical_layer_weights(value: object) -> str:
    if isinstance(value, Mapping):
        value = ",".join(f"{layer}:{weight}" for layer, weight in value.items())
    elif isinstance(value, Iterable) and not isinstance(value, str):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise ValueError("it should be LAYER:WEIGHT,... or a mapping or sequence of layers")
    weights = layer_weights(value)
    return ",".join(f"{layer}:{weight:g}" for layer, weight in weights.items())


LayerWeights = Annotated[str, BeforeValidator(_canonical_layer_weights)]
"""``LAYER[:WEIGHT],...``; from Python also a mapping or a sequence of names. `layer_weights` parses it."""


def layer_names(text: str) -> list[str]:
    """Read ``"relu1_1,relu2_1"`` as ``["relu1_1", "relu2_1"]``, and ``"none"`` as no names at all.

    Raises:
        ValueError: a layer is empty or named twice.
    """
    if text == "none":
        return []
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not name:
            raise ValueError("a layer has no name; write LAYER,LAYER,... or none")
        if names.count(name) > 1:
            raise ValueError(f"layer {name!r} is named twice")
    return names


def _canonical_layer_names(value: object) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = ",".join(map(str, value)) or "none"
    return ",".join(layer_names(str(value))) or "none"


LayerNames = Annotated[str, BeforeValidator(_canonical_layer_names)]
"""``LAYER,...`` or ``none``; from Python also a sequence of names. `layer_names` parses it."""


def _device_name(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
        raise ValueError("choose 'auto', 'cpu', 'cuda', 'mps', or one of several GPUs such as 'cuda:1'")
    return value


Device = Annotated[
    str,
    AfterValidator(_device_name),
    Field(description="Where to compute: cpu, cuda, cuda:1 (the second GPU), mps; auto is a GPU if there is one."),
]
"""The device of a training: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""


class Options(BaseModel):
    """Options of every run."""

    # defer_build: a command uses one of two dozen models, and each takes milliseconds to build.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check ``values`` by option name.

        Raises:
            UnknownNameError: there is no such option.
            UsageError: a value is wrong; the message is a sentence about the first wrong value.
        """
        for name in values:
            if name not in cls.model_fields:
                raise UnknownNameError("option", name, cls.model_fields)
        try:
            return cls(**values)
        except ValidationError as error:
            raise usage_error(error) from None


class SeedOptions(Options):
    """Options of every run in which something is random."""

    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same processor: same picture, to the byte.")


def usage_error(error: ValidationError) -> UsageError:
    """Turn the first problem of ``error`` into one sentence with the option, the value and the limit."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "literal_error" and (choices := first.get("ctx", {}).get("expected")):
        return UsageError(f"{name} is {first['input']!r}; choose {choices}")
    message = first["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "it should be", 1)
    return UsageError(f"{name} is {first['input']!r}; {message}" if name else message)
