"""Options: what may be said, what is made of it, and the sentence about everything else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from impasto.errors import UnknownNameError, UsageError
from impasto.options import PRESETS, GatysOptions, Options, ReconstructOptions, layer_names, layer_weights
from impasto.options.training import CompactTrainingOptions, ConditionalTrainingOptions

MODELS: list[type[Options]] = [GatysOptions, ReconstructOptions, CompactTrainingOptions, ConditionalTrainingOptions]
THESIS_STYLE = "relu1_1:0.1,relu2_1:0.1,relu3_1:0.2,relu4_1:0.3,relu5_1:0.3"


# layers and their weights


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("relu4_2", {"relu4_2": 1.0}),
        ("relu1_1:0.5,relu2_1", {"relu1_1": 0.5, "relu2_1": 1.0}),
        (" pool4 : 2e-3 , conv1_1:7 ", {"pool4": 0.002, "conv1_1": 7.0}),
    ],
)
def test_layer_weights_from_text(text: str, weights: dict[str, float]) -> None:
    assert layer_weights(text) == weights


@pytest.mark.parametrize(
    "value",
    [
        "relu1_1:0.5,relu2_1:1",
        " relu1_1:.5 , relu2_1",
        {"relu1_1": 0.5, "relu2_1": 1},
        ["relu1_1:0.5", "relu2_1"],
        ("relu1_1:0.50", "relu2_1:1.0"),
    ],
)
def test_layer_weights_in_every_form_become_one(value: object) -> None:
    assert GatysOptions.parse({"style_layers": value}).style_layers == "relu1_1:0.5,relu2_1:1"


def test_sequence_of_names_weighs_all_the_same() -> None:
    assert GatysOptions.parse({"content_layers": ["relu3_1", "relu4_2"]}).content_layers == "relu3_1:1,relu4_2:1"


def test_layers_to_reconstruct_from() -> None:
    assert layer_names("relu1_1, relu2_1") == ["relu1_1", "relu2_1"]
    assert layer_names("none") == []
    assert ReconstructOptions.parse({"content": ["relu1_1", "relu2_1"]}).content == "relu1_1,relu2_1"
    assert ReconstructOptions.parse({"content": []}).content == "none"


# presets


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_fills_in_what_is_not_given(preset: str) -> None:
    options = GatysOptions.parse({"preset": preset}).model_dump()
    assert {name: options[name] for name in PRESETS[preset]} == PRESETS[preset]
    untouched = GatysOptions().model_dump().keys() - PRESETS[preset].keys() - {"preset"}
    assert all(options[name] == GatysOptions().model_dump()[name] for name in untouched)


def test_presets_are_those_of_the_publications() -> None:
    gatys = GatysOptions.parse({"preset": "gatys2016"})
    assert (gatys.init, gatys.optimizer, gatys.pooling, gatys.scales) == ("noise", "lbfgs", "average", 1)
    assert gatys.content_layers == "relu4_2:1"
    assert layer_weights(gatys.style_layers) == dict.fromkeys(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 1
    )
    assert gatys.content_weight / gatys.style_weight == 0.1  # see `PRESETS`
    thesis = GatysOptions.parse({"preset": "thesis"})
    assert (thesis.init, thesis.optimizer, thesis.steps, thesis.save_every) == ("content+noise", "adam", 20 * 100, 100)
    assert thesis.style_layers == THESIS_STYLE
    assert GatysOptions.parse({"preset": "thesis-pooling"}).content_layers == "pool4:1"


def test_explicit_values_win_over_the_preset() -> None:
    options = GatysOptions.parse({"steps": 7, "preset": "thesis", "style_layers": ["relu1_1"]})
    assert (options.steps, options.style_layers) == (7, "relu1_1:1")
    assert options.optimizer == "adam"


def test_explicit_value_equal_to_the_default_wins_too() -> None:
    assert GatysOptions().optimizer == "lbfgs"
    assert GatysOptions.parse({"preset": "thesis", "optimizer": "lbfgs"}).optimizer == "lbfgs"


# wrong values

LAYER_RULE = "is not LAYER or LAYER:WEIGHT with a positive weight, like relu4_2:0.5"
WRONG = [
    ({"size": 15}, "size is 15; it should be greater than or equal to 16"),
    ({"size": 100_001}, "size is 100001; it should be less than or equal to 100000"),
    ({"size": 1.5}, "size is 1.5; it should be a valid integer, got a number with a fractional part"),
    ({"size": "big"}, "size is 'big'; it should be a valid integer, unable to parse string as an integer"),
    ({"keep_colors": "all"}, "keep_colors is 'all'; choose 'none', 'luminance', 'histogram' or 'coral'"),
    ({"strength": 1.5}, "strength is 1.5; it should be less than or equal to 1"),
    ({"stroke_size": 0}, "stroke_size is 0; it should be greater than or equal to 0.1"),
    ({"stroke_size": 11}, "stroke_size is 11; it should be less than or equal to 10"),
    ({"style_margin": 0.5}, "style_margin is 0.5; it should be less than or equal to 0.45"),
    ({"seed": -1}, "seed is -1; it should be greater than or equal to 0"),
    ({"seed": 2**63}, f"seed is {2**63}; it should be less than {2**63}"),
    ({"preset": "gatys2015"}, "preset is 'gatys2015'; choose 'gatys2016', 'thesis' or 'thesis-pooling'"),
    ({"preset": ["thesis"]}, "preset is ['thesis']; choose 'gatys2016', 'thesis' or 'thesis-pooling'"),
    ({"content_layers": ""}, f"content_layers is ''; '' {LAYER_RULE}"),
    ({"content_layers": []}, f"content_layers is []; '' {LAYER_RULE}"),
    ({"style_layers": "relu1_1:x"}, f"style_layers is 'relu1_1:x'; 'relu1_1:x' {LAYER_RULE}"),
    ({"style_layers": "relu1_1:0"}, f"style_layers is 'relu1_1:0'; 'relu1_1:0' {LAYER_RULE}"),
    ({"style_layers": "relu1_1:inf"}, f"style_layers is 'relu1_1:inf'; 'relu1_1:inf' {LAYER_RULE}"),
    ({"style_layers": "relu1_1,:2"}, f"style_layers is 'relu1_1,:2'; ':2' {LAYER_RULE}"),
    ({"style_layers": {"relu1_1": -1}}, f"style_layers is {{'relu1_1': -1}}; 'relu1_1:-1' {LAYER_RULE}"),
    ({"style_layers": "a:1,b,a:2"}, "style_layers is 'a:1,b,a:2'; layer 'a' is named twice"),
    (
        {"style_layers": None},
        "style_layers is None; it should be LAYER:WEIGHT,... or a mapping or sequence of layers",
    ),
    ({"content_weight": -1}, "content_weight is -1; it should be greater than or equal to 0"),
    ({"style_weight": -0.5}, "style_weight is -0.5; it should be greater than or equal to 0"),
    ({"style_weight": math.inf}, "style_weight is inf; it should be a finite number"),
    ({"tv_weight": math.nan}, "tv_weight is nan; it should be a finite number"),
    ({"tv_weight": "much"}, "tv_weight is 'much'; it should be a valid number, unable to parse string as a number"),
    (
        {"content_weight": 0, "style_weight": 0},
        "content_weight and style_weight are both 0; nothing is left to optimise",
    ),
    ({"style_loss": "mrf"}, "style_loss is 'mrf'; choose 'gram' or 'mean-std'"),
    ({"normalization": "none"}, "normalization is 'none'; choose 'relative' or 'paper'"),
    ({"descriptor": 19}, "descriptor is 19; it should be a valid string"),
    ({"pooling": "avg"}, "pooling is 'avg'; choose 'max' or 'average'"),
    (
        {"rescale_activations": "maybe"},
        "rescale_activations is 'maybe'; it should be a valid boolean, unable to interpret input",
    ),
    ({"init": 5}, "init is 5; choose 'content', 'noise', 'content+noise' or 'style'"),
    ({"optimizer": "adamw"}, "optimizer is 'adamw'; choose 'lbfgs', 'adam' or 'sgd'"),
    ({"learning_rate": 0}, "learning_rate is 0; it should be greater than 0"),
    ({"learning_rate": math.inf}, "learning_rate is inf; it should be a finite number"),
    ({"steps": 0}, "steps is 0; it should be greater than or equal to 1"),
    ({"steps": 1_000_001}, "steps is 1000001; it should be less than or equal to 1000000"),
    ({"steps": None}, "steps is None; it should be a valid integer"),
    ({"scales": 13}, "scales is 13; it should be less than or equal to 12"),
    ({"tile": -1}, "tile is -1; it should be greater than or equal to 0"),
    ({"precision": "float16"}, "precision is 'float16'; choose 'auto', 'float32' or 'bfloat16'"),
    ({"device": "gpu"}, "device is 'gpu'; choose 'auto', 'cpu', 'cuda' or 'mps'"),
    ({"save_every": -1}, "save_every is -1; it should be greater than or equal to 0"),
    ({"checkpoint_every": -1}, "checkpoint_every is -1; it should be greater than or equal to 0"),
]


@pytest.mark.parametrize(("values", "sentence"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_sentence_about_a_wrong_value(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        GatysOptions.parse(values)
    assert str(caught.value) == sentence


def test_every_option_has_a_wrong_value_above() -> None:
    assert {name for values, _ in WRONG for name in values} == set(GatysOptions.model_fields)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"content": "relu1_1,"}, "content is 'relu1_1,'; a layer has no name; write LAYER,LAYER,... or none"),
        ({"style": "a,a"}, "style is 'a,a'; layer 'a' is named twice"),
        ({"size": 8}, "size is 8; it should be greater than or equal to 16"),
        ({"content": "none", "style": []}, "content and style are both none; nothing is left to reconstruct"),
    ],
)
def test_sentence_about_a_wrong_reconstruction(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        ReconstructOptions.parse(values)
    assert str(caught.value) == sentence


def test_only_the_first_of_several_wrong_values_is_named() -> None:
    with pytest.raises(UsageError, match=r"^size is 1; [^;]*$"):
        GatysOptions.parse({"steps": 0, "size": 1, "pooling": "avg"})


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown option 'style_wieght'; did you mean 'style_weight'\?$"):
        GatysOptions.parse({"style_wieght": 1})
    with pytest.raises(UnknownNameError, match=r"^unknown option 'colour'; known: checkpoint_every, content_layers, "):
        GatysOptions.parse({"colour": "red"})


def test_unknown_option_is_refused_by_the_model_itself() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        GatysOptions(style_wieght=1)  # type: ignore[call-arg]


# models


@pytest.mark.parametrize("model", MODELS)
def test_options_are_frozen(model: type[Options]) -> None:
    options = model()
    with pytest.raises(ValidationError, match="Instance is frozen"):
        options.seed = 1  # type: ignore[misc]
    assert options == model()
    assert options != model(seed=1)


@pytest.mark.parametrize(
    "options",
    [
        GatysOptions(),
        GatysOptions.parse({"preset": "thesis-pooling", "steps": 5, "style_weight": 0.1}),
        GatysOptions.parse(
            {"style_layers": {"relu1_1": 1 / 3}, "init": "my start.png", "learning_rate": 1e-7, "size": 99}
        ),
        ReconstructOptions.parse({"content": [], "style": ["relu1_1"]}),
    ],
    ids=["defaults", "preset", "given", "reconstruct"],
)
def test_options_survive_writing_and_reading(options: Options) -> None:
    model = type(options)
    assert model.parse(options.model_dump()) == options
    assert model.parse(json.loads(options.model_dump_json())) == options
    assert model.parse(options.model_dump(exclude_defaults=True)) == options


@pytest.mark.parametrize("model", MODELS)
def test_json_schema_describes_every_option(model: type[Options]) -> None:
    schema = json.loads(json.dumps(model.model_json_schema(), allow_nan=False))
    assert schema["additionalProperties"] is False
    assert "required" not in schema  # everything has a default
    assert set(schema["properties"]) == set(model.model_fields)
    for name, field in schema["properties"].items():
        assert field["description"].endswith("."), name
        assert field["default"] == model.model_fields[name].default, name


def test_json_schema_carries_types_choices_and_limits() -> None:
    properties = GatysOptions.model_json_schema()["properties"]
    assert properties["style_layers"]["type"] == "string"
    assert properties["keep_colors"]["enum"] == ["none", "luminance", "histogram", "coral"]
    assert (properties["steps"]["minimum"], properties["steps"]["maximum"]) == (1, 1_000_000)
    assert {"type": "integer", "minimum": 16, "maximum": 100_000} in properties["size"]["anyOf"]


@pytest.mark.parametrize("model", MODELS)
def test_defaults_pass_their_own_checks(model: type[Options]) -> None:
    # Pydantic trusts defaults; said out loud they must mean the same.
    defaults = {name: field.default for name, field in model.model_fields.items()}
    assert model.parse(defaults) == model()
