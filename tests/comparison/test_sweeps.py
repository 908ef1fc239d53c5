"""What a comparison varies, as text, as recipe, and as combinations."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.comparison.sweeps import Sweep, combine, engine_sweep, parse_sweep, read_recipe
from impasto.errors import UnknownNameError, UsageError
from impasto.options import GatysOptions, layer_weights

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("text", "names", "choices"),
    [
        ("style-weight=1,10,100", ["style_weight"], [["1"], ["10"], ["100"]]),
        ("style_weight=1", ["style_weight"], [["1"]]),
        ("--steps = 10, 20", ["steps"], [["10"], ["20"]]),
        ("style-layers=relu1_1,relu2_1;relu4_1", ["style_layers"], [["relu1_1,relu2_1"], ["relu4_1"]]),
        ("style-layers=relu1_1:0.5,relu2_1;relu4_1", ["style_layers"], [["relu1_1:0.5,relu2_1"], ["relu4_1"]]),
        ("style-weight:content-weight=100:1,1:100", ["style_weight", "content_weight"], [["100", "1"], ["1", "100"]]),
        ("size:steps=64:10;32:20", ["size", "steps"], [["64", "10"], ["32", "20"]]),
        ("descriptor=C:/vgg.pth,vgg19", ["descriptor"], [["C:/vgg.pth"], ["vgg19"]]),
    ],
)
def test_sweeps_as_text(text: str, names: list[str], choices: list[list[str]]) -> None:
    assert parse_sweep(text) == Sweep(tuple(names), tuple(map(tuple, choices)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", r"sweep 'steps' lacks a value; write OPTION=VALUE,VALUE, or OPTION:OPTION=VALUE:VALUE,"),
        ("steps=", r"sweep 'steps=' lacks a value; write OPTION="),
        ("steps=1,,2", r"sweep 'steps=1,,2' lacks a value"),
        ("=1,2", r"sweep '=1,2' lacks an option; write OPTION="),
        ("steps:=1:2", r"sweep 'steps:=1:2' lacks an option"),
        ("steps:size=1:32,2", r"changes 2 options together, but '2' holds 1 values; .*write a recipe file"),
    ],
)
def test_wrong_sweeps(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_sweep(text)


def test_one_sweep_is_one_row() -> None:
    (row,) = combine([parse_sweep("steps=10,20,30")], {"size": 64})
    assert [variant.options.steps for variant in row] == [10, 20, 30]
    assert [variant.column for variant in row] == ["steps 10", "steps 20", "steps 30"]
    assert all(variant.options.size == 64 and variant.row == "" and variant.label == variant.column for variant in row)


def test_the_first_sweep_makes_columns_and_the_others_rows() -> None:
    sweeps = [parse_sweep(text) for text in ("steps=1,2", "pooling=max,average", "style-weight:tv-weight=1:2,3:4")]
    rows = combine(sweeps, {"steps": 99})
    assert [[variant.options.steps for variant in row] for row in rows] == [[1, 2]] * 4
    assert [row[0].row for row in rows] == [
        "pooling max, style-weight 1, tv-weight 2",
        "pooling max, style-weight 3, tv-weight 4",
        "pooling average, style-weight 1, tv-weight 2",
        "pooling average, style-weight 3, tv-weight 4",
    ]
    last = rows[3][1]
    assert (last.options.pooling, last.options.style_weight, last.options.tv_weight) == ("average", 3, 4)
    assert last.label == "steps 2, pooling average, style-weight 3, tv-weight 4"


def test_presets_can_be_swept_and_options_beside_them_win() -> None:
    (row,) = combine([parse_sweep("preset=gatys2016,thesis")], {"steps": 7})
    assert [variant.options.init for variant in row] == ["noise", "content+noise"]
    assert [variant.options.steps for variant in row] == [7, 7]


def test_engines_make_columns_and_get_the_options_they_have() -> None:
    (row,) = combine([engine_sweep("nnst,gatys")], {"size": 64})  # none of them has the option 'network'
    assert [(variant.engine, variant.options.size) for variant in row] == [("nnst", 64), ("gatys", 64)]
    (row,) = combine([engine_sweep("fast,gatys,transformer:mosaic")], {"size": 64, "steps": 7})
    assert [variant.engine for variant in row] == ["fast", "gatys", "transformer"]
    assert [variant.column for variant in row] == ["engine fast", "engine gatys", "engine transformer, network mosaic"]
    assert all(variant.options.size == 64 for variant in row)
    assert row[1].options.steps == 7 and row[2].options.network == "mosaic" and row[0].options.network is None
    (row,) = combine([parse_sweep("strength=0.5,1")], {"engine": "fast"})
    assert [variant.options.strength for variant in row] == [0.5, 1]
    with pytest.raises(UnknownNameError, match="unknown option 'steps'"):
        combine([parse_sweep("strength=0.5,1")], {"engine": "fast", "steps": 7})
    with pytest.raises(UnknownNameError, match="unknown engine 'quick'"):
        combine([engine_sweep("quick,gatys")], {})
    with pytest.raises(UsageError, match="engine 'fast,' lacks a name; write ENGINE"):
        engine_sweep("fast,")


@pytest.mark.parametrize(
    ("sweeps", "base", "kind", "message"),
    [
        ([], {}, UsageError, "there is nothing to compare; give a recipe, or a sweep: write OPTION="),
        (["style-wight=1,2"], {}, UnknownNameError, "unknown option 'style-wight'; did you mean 'style-weight'"),
        (["steps=1"], {"pool": "max"}, UnknownNameError, "unknown option 'pool'; did you mean 'pooling'"),
        (["steps=1,0"], {}, UsageError, "steps is '0'; it should be greater than or equal to 1"),
        (["steps=few"], {}, UsageError, "steps is 'few'; it should be a valid integer"),
        (["pooling=min"], {}, UsageError, "pooling is 'min'; choose 'max' or 'average'"),
        (["style-layers=relu1_1:x;relu2_1"], {}, UsageError, "'relu1_1:x' is not LAYER or LAYER:WEIGHT"),
        (["steps=1,2", "size:steps=32:3"], {}, UsageError, "option 'steps' is swept twice; give all its values in one"),
    ],
)
def test_what_cannot_be_combined(
    sweeps: list[str], base: dict[str, object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        combine([parse_sweep(text) for text in sweeps], base)


def test_recipes_as_text(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'title = "T"\nnote = "N"\n[options]\nkeep-colors = "coral"\n'
        "[[sweep]]\nstyle-weight = [100, 1]\ncontent_weight = [1, 100]\n[[sweep]]\nrescale-activations = [true]\n"
    )
    recipe = read_recipe(path)
    assert recipe.title == "T" and recipe.note == "N" and recipe.options == {"keep_colors": "coral"}
    assert recipe.sweeps == (
        Sweep(("style_weight", "content_weight"), ((100, 1), (1, 100))),
        Sweep(("rescale_activations",), ((True,),)),
    )
    (row,) = combine(recipe.sweeps, recipe.options)
    assert all(variant.options.rescale_activations and variant.options.keep_colors == "coral" for variant in row)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[[sweep]", UsageError, "recipe .*recipe.toml is not a TOML file: "),
        ("sweeps = 1", UnknownNameError, "unknown key in recipe .*recipe.toml 'sweeps'; did you mean 'sweep'"),
        ("title = 1", UsageError, "title and note are texts"),
        ("[[sweep]]", UsageError, r"each \[\[sweep\]\] needs options with lists of values, like steps = \[100, 300\]"),
        ("[[sweep]]\nsteps = 3", UsageError, "needs options with lists of values"),
        ("[[sweep]]\nsteps = []", UsageError, "needs options with lists of values"),
        (
            "[[sweep]]\nsteps = [1, 2]\nsize = [32]",
            UsageError,
            "change together, but have 2 and 1 values; give them eq",
        ),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, kind: type[Exception], message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(kind, match=message):
        read_recipe(path)


def test_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml cannot be read \(No such file or directory\); check the path"):
        read_recipe(tmp_path / "none.toml")


def shipped(name: str) -> list[GatysOptions]:
    recipe = read_recipe(RECIPES / f"{name}.toml")
    assert recipe.title and "look for" in recipe.note
    (row,) = combine(recipe.sweeps, recipe.options)
    return [variant.options for variant in row]


def test_the_experiments_of_the_theses_are_shipped() -> None:
    assert len(list(RECIPES.glob("thesis-*.toml"))) == 3
    weights = [(options.style_weight, options.content_weight) for options in shipped("thesis-style-content-weight")]
    assert weights == [(100, 1), (1, 100)]
    five, two = (layer_weights(options.style_layers) for options in shipped("thesis-style-layers"))
    assert list(five) == [f"relu{block}_1" for block in range(1, 6)]
    assert list(two) == ["relu4_1", "relu5_1"]
    deep, shallow = (layer_weights(options.style_layers) for options in shipped("thesis-layer-weights"))
    assert list(deep) == list(shallow) == list(five)
    assert list(deep.values()) == [0.1, 0.1, 0.2, 0.3, 0.3]
    assert list(shallow.values()) == [0.3, 0.3, 0.2, 0.1, 0.1]
