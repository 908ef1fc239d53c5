"""One frozen model of options per engine or training: the only place of a default, a limit or an explanation.

The command line's flags and help, the HTTP schema and the reference in the docs are derived from these models.
"""

from impasto.options.base import Options, layer_names, layer_weights, usage_error
from impasto.options.engines import (
    ALL_STYLE_LAYERS,
    FILES_OF_A_RUN,
    PRESETS,
    DescentOptions,
    EngineOptions,
    FastOptions,
    FeedForwardOptions,
    GatysOptions,
    LearnOptions,
    NetworkOptions,
    ReconstructOptions,
    StyleImageOptions,
    TextureOptions,
)
from impasto.options.training import (
    CLASSIFIER_PRESETS,
    ClassifierTrainingOptions,
    CompactTrainingOptions,
    ConditionalTrainingOptions,
    CycleGANTrainingOptions,
    EncodedTrainingOptions,
    OneStyleTrainingOptions,
    SANetTrainingOptions,
    TextureTrainingOptions,
    TrainingOptions,
    TransformerTrainingOptions,
)

__all__ = [
    "ALL_STYLE_LAYERS",
    "CLASSIFIER_PRESETS",
    "FILES_OF_A_RUN",
    "PRESETS",
    "ClassifierTrainingOptions",
    "CompactTrainingOptions",
    "ConditionalTrainingOptions",
    "CycleGANTrainingOptions",
    "DescentOptions",
    "EncodedTrainingOptions",
    "EngineOptions",
    "FastOptions",
    "FeedForwardOptions",
    "GatysOptions",
    "LearnOptions",
    "NetworkOptions",
    "OneStyleTrainingOptions",
    "Options",
    "ReconstructOptions",
    "SANetTrainingOptions",
    "StyleImageOptions",
    "TextureOptions",
    "TextureTrainingOptions",
    "TrainingOptions",
    "TransformerTrainingOptions",
    "layer_names",
    "layer_weights",
    "usage_error",
]
