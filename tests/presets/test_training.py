from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from styleforge.core.errors import UsageError
from styleforge.core.resources import resource
from styleforge.core.settings import validate
from styleforge.networks.model_file import build
from styleforge.presets.networks import TextureSettings, TransformerSettings
from styleforge.presets.training import (
    DEFAULT_TRAINING_PRESET,
    FOLDER,
    TrainingPreset,
    load_training_preset,
    training_presets,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> str:
    Path("mine.yaml").write_text(text, encoding="utf-8")
    return "mine.yaml"


SHIPPED = ["johnson", "multi", "neighbors", "quick", "texture", "thorough", "ulyanov"]


def test_the_training_presets_that_ship() -> None:
    assert training_presets() == SHIPPED
    assert DEFAULT_TRAINING_PRESET in training_presets()


@pytest.mark.parametrize("name", training_presets())
def test_a_shipped_preset_loads_and_says_what_it_does(name: str) -> None:
    preset = load_training_preset(name)
    assert preset.description
    assert "\n" not in preset.description
    assert preset.network.weights in ("auto", "original"), "what every machine has"
    assert sum(p.numel() for p in build(preset.generator, 1).parameters()) > 1000


def test_each_preset_has_the_generator_of_its_paper() -> None:
    kinds = {name: load_training_preset(name).generator for name in training_presets()}
    assert isinstance(kinds["johnson"], TransformerSettings)
    assert isinstance(kinds["multi"], TransformerSettings)
    assert kinds["texture"] == TextureSettings(content=False, normalization="batch")
    assert kinds["ulyanov"] == TextureSettings(scales=6, content=True, normalization="instance")


@pytest.mark.parametrize("name", training_presets())
def test_yaml_round_trip(name: str) -> None:
    preset = load_training_preset(name)
    settings = yaml.safe_load(preset.to_yaml())
    assert set(settings) == set(TrainingPreset.model_fields)
    assert validate(TrainingPreset, settings, "text") == preset


@pytest.mark.usefixtures("here")
def test_an_empty_file_is_all_defaults() -> None:
    preset = load_training_preset(write(""))
    assert preset == TrainingPreset()
    assert preset.generator == TransformerSettings()
    assert (preset.style.size, preset.training.batch) == (256, 4)


@pytest.mark.usefixtures("here")
def test_overrides_replace_single_settings() -> None:
    name = write("training: {steps: 7, batch: 3}\nstyle: {beta: 5}")
    preset = load_training_preset(name, {"training.steps": 9, "style.size": 64, "seed": 2})
    assert (preset.training.steps, preset.training.batch) == (9, 3)
    assert (preset.style.size, preset.style.beta, preset.seed) == (64, 5, 2)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainign: {}", "trainign: unknown key (did you mean training?)"),
        ("training: {step: 5}", "training.step: unknown key (did you mean steps?)"),
        ("style: {scale: 2}", "style.scale: unknown key"),
        (
            "style: {statistic: neighbours}",
            "style.statistic: input should be 'gram', 'mean-std', 'covariance', "
            "'sliced-wasserstein' or 'neighbors' (not 'neighbours')",
        ),
        (
            "generator: {kind: transformer, widht: 4}",
            "generator.widht: unknown key (did you mean width?)",
        ),
        (
            "generator: {kind: texture, scale: 4}",
            "generator.scale: unknown key (did you mean scales?)",
        ),
        ("generator: {kind: texture, blocks: 4}", "generator.blocks: unknown key"),
        ("generator: {kind: texture, texture: {}}", "generator.texture: unknown key"),
        ("generator: {kind: texture, transformer: {}}", "generator.transformer: unknown key"),
        (
            "generator: {kind: transfromer}",
            "generator.kind: input should be 'transformer' or 'texture' (not 'transfromer')",
        ),
        (
            "generator: {kind: null}",
            "generator.kind: input should be 'transformer' or 'texture' (not None)",
        ),
        ("generator: {width: 4}", "generator: needs a kind"),
        ("generator: 5", "generator: should map names to settings (not 5)"),
        ("generator: texture", "generator: should map names to settings (not 'texture')"),
        (
            "generator: {kind: transformer, width: 8, filters: [4, 4, 4, 4, 4]}",
            "generator: width 8 is not the first of filters (4); leave one of them out",
        ),
        (
            "generator: {kind: transformer, kernel: 4}",
            "generator.kernel: input should be 3, 5, 7 or 9 (not 4)",
        ),
        (
            "generator: {kind: texture, content: perhaps}",
            "generator.content: input should be a valid boolean, unable to interpret input "
            "(not 'perhaps')",
        ),
        (
            "generator: {kind: transformer, width: 0}\ntraining: {batch: 0, average: 1}",
            "generator.width: input should be greater than or equal to 1 (not 0); "
            "training.batch: input should be greater than or equal to 1 (not 0); "
            "training.average: input should be less than 1 (not 1)",
        ),
        (
            "training: {crop: 16}",
            "training.crop: input should be greater than or equal to 32 (not 16)",
        ),
        (
            "generator: {kind: texture, scales: 6}\ntraining: {crop: 63}",
            "training.crop: 6 scales need at least 64 pixels (not 63)",
        ),
        (
            "training: {steps: 100, identity: 100}",
            "training.steps: the first 100 only learn to give photos back, so that 100 would "
            "paint nothing; take more, or less of training.identity",
        ),
        (
            "base: gallery\ngenerator: {kind: transformer, width: 8}",
            "base: gallery has a generator of its own; leave one of them out",
        ),
        (
            "underpainting: true\ngenerator: {kind: texture}",
            "underpainting: is of transformer networks; leave it out",
        ),
        (
            "generator: {kind: transformer, underpainting: true}",
            "generator.underpainting: say it outside of generator",
        ),
        (
            "underpainting: true\ntraining: {steps: 100, identity: 10}",
            "training.identity: 0 with underpainting, which gives no photo back",
        ),
        (
            "training: {learning_rate: 0}",
            "training.learning_rate: input should be greater than 0 (not 0)",
        ),
        (
            "style: {layers: {conv1_3: 1}}",
            "style.layers.conv1_3: unknown layer (did you mean conv5_3?)",
        ),
        (
            "content: {alpha: 0}\nstyle: {beta: 0}",
            "content.alpha and style.beta are both 0: nothing to optimize for",
        ),
    ],
)
def test_mistakes_are_named_by_their_key(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_training_preset(write(text))
    assert str(caught.value) == f"mine.yaml: {message}"


def test_an_unknown_preset_has_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        load_training_preset("jonson")
    assert str(caught.value) == (
        "unknown preset 'jonson' (did you mean johnson?); there are "
        f"{', '.join(SHIPPED)}, or give the path of a .yaml file"
    )


def test_a_preset_of_a_transfer_is_none_of_a_training() -> None:
    with pytest.raises(UsageError, match="painterly is a preset of styleforge transfer"):
        load_training_preset("painterly")
    with pytest.raises(UsageError, match=r"^painterly\.yaml: "):
        load_training_preset(str(resource("presets") / "painterly.yaml"))
    assert resource(FOLDER).is_dir()
