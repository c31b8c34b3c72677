from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from styleforge.core.errors import UsageError
from styleforge.core.resources import resource
from styleforge.core.settings import validate
from styleforge.presets.transfer import (
    DEFAULT_PRESET,
    Preset,
    find_preset,
    load_preset,
    shipped_presets,
)

SCHEMA = """
network: {weights: auto, normalized: true, pooling: avg}
content: {alpha: 1.0, layers: {conv4_2: 1.0}}
style:
  beta: 1000.0
  layers: {conv1_1: 0.2, conv2_1: 0.2, conv3_1: 0.2, conv4_1: 0.2, conv5_1: 0.2}
  scale: 1.0
  statistic: gram
neighbors:
  weight: 0.0
  layers: {conv1_2: 0.1, conv2_2: 0.1, conv3_1: 0.1, conv3_3: 0.1, conv4_1: 0.1}
  hypercolumns: 256
  rounds: 3
  mix: 0.25
  sketch: 0.0
  rotations: true
strength: 0.5
tv: 0.0
optimizer: {name: lbfgs, steps: 60}
scales: {start: 128, factor: 2.0, steps: 60}
init: content
colors: style
size: 512
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> str:
    Path("mine.yaml").write_text(text, encoding="utf-8")
    return "mine.yaml"


def assert_includes(settings: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if isinstance(value, dict) and key != "layers":
            assert_includes(settings[key], value)
        else:
            assert settings[key] == value, key


def test_the_defaults_are_the_documented_schema() -> None:
    assert_includes(Preset().model_dump(), yaml.safe_load(SCHEMA))
    assert Preset().description == ""
    assert Preset().seed == 0


def test_the_documented_presets_ship_with_the_default_first() -> None:
    names = shipped_presets()
    assert names[0] == DEFAULT_PRESET == "painterly"
    assert {"painterly", "gram", "gatys2016", "bold", "photo", "preview"} <= set(names)
    assert {path.stem for path in resource("presets").glob("*.yaml")} == set(names)


@pytest.mark.parametrize("name", shipped_presets())
def test_a_shipped_preset_loads_and_says_what_it_does(name: str) -> None:
    preset = load_preset(name)
    assert preset.description
    assert "\n" not in preset.description
    assert preset.network.weights in ("auto", "original"), "what every machine has"


def test_gatys2016_is_the_paper() -> None:
    preset = load_preset("gatys2016")
    assert preset.init == "noise"
    assert preset.network.pooling == "avg"
    assert preset.network.normalized
    assert preset.content.alpha / preset.style.beta == pytest.approx(1e-3)
    assert preset.scales is None


@pytest.mark.parametrize("preset", [*map(load_preset, shipped_presets()), Preset(scales=None)])
def test_yaml_round_trip(preset: Preset) -> None:
    settings = yaml.safe_load(preset.to_yaml())
    assert list(settings) == list(Preset.model_fields), "every setting, in the schema's order"
    assert validate(Preset, settings, "text") == preset


def test_a_preset_by_path(here: Path) -> None:
    write("size: 256")
    assert load_preset("mine.yaml").size == 256
    assert load_preset(str(here / "mine.yaml")).size == 256
    (here / "other.yml").write_text("")
    assert load_preset("other.yml") == Preset(), "an empty file is all defaults"


@pytest.mark.usefixtures("here")
def test_an_exponent_without_a_dot_is_a_number() -> None:
    preset = load_preset(write("style: {beta: 1e3}\ntv: 1e-4\ncontent: {layers: {conv4_2: 2E0}}"))
    assert preset.style.beta == 1000.0
    assert preset.tv == 1e-4
    assert preset.content.layers == {"conv4_2": 2.0}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tvv: 0", "tvv: unknown key (did you mean tv?)"),
        ("zzz: 0", "zzz: unknown key"),
        ("scales: {strat: 64}", "scales.strat: unknown key (did you mean start?)"),
        ("optimizer: {step: 5}", "optimizer.step: unknown key (did you mean steps?)"),
        ("network: {pool: max}", "network.pool: unknown key (did you mean pooling?)"),
        (
            "content: {layers: {Conv4_2: 1}}",
            "content.layers.Conv4_2: unknown layer (did you mean conv4_2?)",
        ),
        (
            "style: {layers: {conv1_3: 1}}",
            "style.layers.conv1_3: unknown layer (did you mean conv5_3?)",
        ),
        ("style: {layers: {middle: 1}}", "style.layers.middle: unknown layer"),
        ("style: {layers: {}}", "style.layers: needs at least one layer"),
        ("content: {layers: [conv4_2]}", "content.layers: should map layers to weights"),
        (
            "content: {layers: conv4_2}",
            "content.layers: should map layers to weights (not 'conv4_2')",
        ),
        (
            "content: {layers: {conv4_2: -1}}",
            "content.layers.conv4_2: input should be greater than or equal to 0 (not -1)",
        ),
        (
            "content: {layers: {conv4_2: heavy}}",
            "content.layers.conv4_2: input should be a valid number, "
            "unable to parse string as a number (not 'heavy')",
        ),
        ("style: {beta: -5}", "style.beta: input should be greater than or equal to 0 (not -5)"),
        ("style: {beta: .inf}", "style.beta: input should be a finite number (not inf)"),
        ("style: {scale: 0}", "style.scale: input should be greater than 0 (not 0)"),
        (
            "style: {statistic: median}",
            "style.statistic: input should be 'gram', 'mean-std', 'covariance' or "
            "'sliced-wasserstein' (not 'median')",
        ),
        (
            "colors: both",
            "colors: input should be 'style', 'content', 'luminance' or 'keep' (not 'both')",
        ),
        (
            "neighbors: {wieght: 1}",
            "neighbors.wieght: unknown key (did you mean weight?)",
        ),
        (
            "neighbors: {weight: -1}",
            "neighbors.weight: input should be greater than or equal to 0 (not -1)",
        ),
        ("neighbors: {layers: {}}", "neighbors.layers: needs at least one layer"),
        (
            "neighbors: {layers: {conv9_1: 1}}",
            "neighbors.layers.conv9_1: unknown layer (did you mean conv5_1?)",
        ),
        (
            "neighbors: {layers: {conv1_2: 1, relu1_2: 1}}",
            "conv1_2 is there twice: conv and relu name the same features",
        ),
        (
            "neighbors: {hypercolumns: 16}",
            "neighbors.hypercolumns: input should be greater than or equal to 32 (not 16)",
        ),
        (
            "neighbors: {rounds: 0}",
            "neighbors.rounds: input should be greater than or equal to 1 (not 0)",
        ),
        (
            "neighbors: {mix: 1.5, sketch: -1}",
            "neighbors.mix: input should be less than or equal to 1 (not 1.5); "
            "neighbors.sketch: input should be greater than or equal to 0 (not -1)",
        ),
        (
            "neighbors: {rotations: often}",
            "neighbors.rotations: input should be a valid boolean, "
            "unable to interpret input (not 'often')",
        ),
        ("neighbors: 5", "neighbors: should map names to settings (not 5)"),
        (
            "neighbors: {weight: 1, sketch: 1}\nstyle: {beta: 0}",
            "neighbors.sketch needs a style.beta above 0, or should be 0",
        ),
        ("strength: 1.1", "strength: input should be less than or equal to 1 (not 1.1)"),
        ("strength: -0.1", "strength: input should be greater than or equal to 0 (not -0.1)"),
        ("tv: yes", "tv: input should be a number (not True)"),
        ("size: true", "size: input should be a number (not True)"),
        (
            "size: 512.5",
            "size: input should be a valid integer, "
            "got a number with a fractional part (not 512.5)",
        ),
        ("size: -1", "size: input should be greater than or equal to 0 (not -1)"),
        ("size: 40000", "size: input should be less than or equal to 32768 (not 40000)"),
        ("seed: -1", "seed: input should be greater than or equal to 0 (not -1)"),
        ("description: 5", "description: input should be a valid string (not 5)"),
        (
            "network: {pooling: median}",
            "network.pooling: input should be 'avg' or 'max' (not 'median')",
        ),
        ("optimizer: adam", "optimizer: should map names to settings (not 'adam')"),
        ("optimizer: {name: sgd}", "optimizer.name: input should be 'lbfgs' or 'adam' (not 'sgd')"),
        ("scales: 128", "scales: should map names to settings (not 128)"),
        ("network: null", "network: should map names to settings"),
        ("1: 2", "1: should be a name (not 1)"),
        (
            "content: {alpha: 0}\nstyle: {beta: 0}",
            "content.alpha and style.beta are both 0: nothing to optimize for",
        ),
        (
            "content: {layers: {conv4_2: 1, relu4_2: 1}}",
            "conv4_2 is there twice: conv and relu name the same features",
        ),
        (
            "sise: 5\ncontent: {layers: {conv4_9: -1, relu4_2: -2}}\nstyle: {beta: much}\ntv: -1",
            "content.layers.conv4_9: unknown layer (did you mean conv4_4?); "
            "content.layers.conv4_9: input should be greater than or equal to 0 (not -1); "
            "content.layers.relu4_2: input should be greater than or equal to 0 (not -2); "
            "style.beta: input should be a valid number, "
            "unable to parse string as a number (not 'much'); "
            "tv: input should be greater than or equal to 0 (not -1); "
            "sise: unknown key (did you mean size?)",
        ),
    ],
)
def test_mistakes_are_reported_all_at_once(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_preset(write(text))
    assert str(caught.value) == f"mine.yaml: {message}"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("text", ["- 1", "5", "just text"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_preset(write(text))
    assert str(caught.value) == "mine.yaml is not a preset: it should map names to settings"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "content",
    [b"a: [1", b"\tx: 1", b"a: b: c", b"\xff\xfe\x00", b"a: !!python/object:os.system x"],
)
def test_a_file_that_is_no_yaml(content: bytes) -> None:
    Path("mine.yaml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_preset("mine.yaml")
    assert str(caught.value).startswith("mine.yaml is not a readable preset: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("here")
def test_overrides_replace_single_settings() -> None:
    name = write("content: {alpha: 2}\nstyle: {beta: 7}\noptimizer: {name: adam}")
    preset = load_preset(name, {"style.beta": 50, "optimizer.steps": 3, "size": 99, "seed": 4})
    assert preset.style.beta == 50
    assert preset.content.alpha == 2
    assert (preset.optimizer.name, preset.optimizer.steps) == ("adam", 3)
    assert (preset.size, preset.seed) == (99, 4)


@pytest.mark.usefixtures("here")
def test_a_layer_table_among_the_overrides_replaces_the_presets() -> None:
    name = write("style: {layers: {conv1_1: 1, conv2_1: 1}}")
    preset = load_preset(name, {"style.layers": {"relu3_1": 0.5}})
    assert preset.style.layers == {"relu3_1": 0.5}


@pytest.mark.usefixtures("here")
def test_an_override_does_not_hide_a_section_of_the_wrong_type() -> None:
    with pytest.raises(UsageError) as caught:
        load_preset(write("optimizer: adam"), {"optimizer.steps": 5})
    assert str(caught.value) == "mine.yaml: optimizer: should map names to settings (not 'adam')"


@pytest.mark.usefixtures("here")
def test_an_override_creates_the_section_that_is_missing() -> None:
    assert load_preset(write("size: 64"), {"network.pooling": "max"}).network.pooling == "max"


@pytest.mark.usefixtures("here")
def test_scales_null_is_one_scale() -> None:
    assert load_preset(write("scales: null")).scales is None
    assert load_preset(write("size: 512")).scales is not None


def test_an_unknown_preset_has_a_suggestion() -> None:
    names = ", ".join(shipped_presets())
    with pytest.raises(UsageError) as caught:
        load_preset("painterley")
    assert str(caught.value) == (
        f"unknown preset 'painterley' (did you mean painterly?); there are {names}, "
        "or give the path of a .yaml file"
    )


@pytest.mark.usefixtures("here")
def test_a_preset_file_that_is_missing() -> None:
    Path("folder.yaml").mkdir()
    for name in ("none.yaml", "folder.yaml"):
        with pytest.raises(UsageError) as caught:
            find_preset(name)
        assert str(caught.value) == f"no such preset file: {name}"


def test_a_preset_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Preset().size = 5


WEIGHED: dict[str, Any] = {
    "content": {"alpha": 3, "layers": {"conv4_2": 1}},
    "style": {"beta": 5, "layers": {"conv1_1": 0.5, "conv2_1": 0}},
    "neighbors": {"weight": 7, "layers": {"conv1_2": 2}, "sketch": 0.5},
}


@pytest.mark.parametrize(
    ("strength", "alpha", "style", "neighbors", "sketch"),
    [
        (0, 6, {}, {}, 0),
        (0.25, 4.5, {"relu1_1": 1.25}, {"relu1_2": 7}, 0),
        (0.5, 3, {"relu1_1": 2.5}, {"relu1_2": 14}, 0),
        (0.75, 1.5, {"relu1_1": 3.75}, {"relu1_2": 21}, 0.25),
        (1, 0, {"relu1_1": 5}, {"relu1_2": 28}, 0.5),
    ],
)
def test_convention_strength_weighs_photo_and_painting(
    strength: float,
    alpha: float,
    style: dict[str, float],
    neighbors: dict[str, float],
    sketch: float,
) -> None:
    """Alpha 2 (1 - s), beta and nu 2 s, a sketch 2 s - 1; a half changes nothing."""
    preset = validate(Preset, {**WEIGHED, "strength": strength}, "test")
    assert preset.content_weights.get("relu4_2", 0) == pytest.approx(alpha)
    assert preset.style_weights == pytest.approx(style)
    assert preset.neighbor_weights == pytest.approx(neighbors)
    assert preset.sketch == pytest.approx(sketch)
    assert set(preset.read_layers) == {*preset.content_weights, *style, *neighbors}


def test_neighbors_alone_are_something_to_match() -> None:
    nothing = {"content": {"alpha": 0}, "style": {"beta": 0}}
    preset = validate(Preset, {**nothing, "neighbors": {"weight": 1}}, "test")
    assert preset.read_layers == ["relu1_2", "relu2_2", "relu3_1", "relu3_3", "relu4_1"]


def test_neighbors_layers_are_read_as_all_others() -> None:
    settings = {"network": {"rectified": False}, "neighbors": {"weight": 1}}
    assert list(validate(Preset, settings, "test").neighbor_weights)[:1] == ["conv1_2"]


def test_the_default_has_neighbors_and_gram_has_none() -> None:
    assert load_preset(DEFAULT_PRESET).neighbor_weights
    assert not load_preset("gram").neighbor_weights
    assert load_preset(DEFAULT_PRESET).strength == 0.5


def test_convention_below_a_half_the_photos_own_features_count() -> None:
    """Nu (1 - 2 s)^2 / 2 at the neighbors' layers, beside alpha."""
    preset = load_preset("painterly", {"strength": 0.25})
    held = 100 * 0.2 * 0.5**2 / 2
    expected = {"relu4_2": 4.5}
    expected |= dict.fromkeys(["relu1_2", "relu2_2", "relu3_1", "relu3_3", "relu4_1"], held)
    assert preset.content_weights == pytest.approx(expected)
    assert load_preset("painterly").content_weights == {"relu4_2": 3.0}


@pytest.mark.parametrize(("strength", "tv"), [(0, 0), (0.25, 10), (0.5, 20), (1, 20)])
def test_convention_tv_leaves_a_photo_alone_that_stays(strength: float, tv: float) -> None:
    assert load_preset("painterly", {"strength": strength}).tv_weight == tv
