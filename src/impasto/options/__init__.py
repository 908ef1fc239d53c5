"""One frozen model of options per engine or training: the only place of a default, a limit or an explanation.

The command line's flags and help, the HTTP schema and the reference in the docs are derived from these models. Those
of trainings are in `impasto.options.training`, which painting does not import.
"""

from impasto.options.base import Options, layer_names, layer_weights, shares_of_layers, usage_error
from impasto.options.engines import (
    DEFAULT_ENGINE,
    FILES_OF_A_RUN,
    FILM_ENGINE,
    PLAIN_NAME,
    UNRECORDED,
    AnyStyleOptions,
    DescentOptions,
    EngineOptions,
    FastOptions,
    FeedForwardOptions,
    GatysOptions,
    LearnOptions,
    NetworkOptions,
    NnstOptions,
    ReconstructOptions,
    RuntimeOptions,
    StepwiseOptions,
    StyleImageOptions,
    TextureNetOptions,
    TextureNetSynthesisOptions,
    TextureOptions,
)
from impasto.options.presets import ALL_STYLE_LAYERS, PRESETS

__all__ = [
    "ALL_STYLE_LAYERS",
    "DEFAULT_ENGINE",
    "FILES_OF_A_RUN",
    "FILM_ENGINE",
    "PLAIN_NAME",
    "PRESETS",
    "UNRECORDED",
    "AnyStyleOptions",
    "DescentOptions",
    "EngineOptions",
    "FastOptions",
    "FeedForwardOptions",
    "GatysOptions",
    "LearnOptions",
    "NetworkOptions",
    "NnstOptions",
    "Options",
    "ReconstructOptions",
    "RuntimeOptions",
    "StepwiseOptions",
    "StyleImageOptions",
    "TextureNetOptions",
    "TextureNetSynthesisOptions",
    "TextureOptions",
    "layer_names",
    "layer_weights",
    "shares_of_layers",
    "usage_error",
]
