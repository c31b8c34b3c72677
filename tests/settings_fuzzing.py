"""Presets, models, checkpoints and recipes with random damage, read through the real code."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from styleforge.core.errors import StyleforgeError
from styleforge.core.resources import resource
from styleforge.images.load import load_image
from styleforge.jobs import rerun
from styleforge.jobs.recipe import (
    Input,
    StylizeRecipe,
    SynthesisRecipe,
    TransferRecipe,
    essence,
    parse_recipe,
)
from styleforge.networks.apply import sample_texture, stylize
from styleforge.networks.model_file import Model, ModelInfo, ModelStyle, build, load_model
from styleforge.networks.texture_network import TextureNetwork
from styleforge.presets.networks import TextureSettings, TransformerSettings
from styleforge.presets.training import TrainingPreset, load_training_preset, training_presets
from styleforge.presets.transfer import Preset, load_preset, shipped_presets
from styleforge.training.folder import FORMAT, TrainingFolder
from styleforge.training.job import go_on
from styleforge.training.photographs import Photographs
from styleforge.training.training import Training
from styleforge.vgg.weights import load_weights
from tests.images.fuzzing import Read, mutated_bytes
from tests.networks.small_models import described, saved
from tests.pictures import noise

KINDS = ("presets", "models", "checkpoints", "recipes")
TEXTURE = TextureSettings(scales=2, width=2)
TINY = {"kind": "transformer", "width": 2, "blocks": 1, "kernel": 3}

MEMORY = 2**30
"""Bytes that reading one may take: VGG-19 and a training are among what is loaded."""

_BYTES = 0.3
"""How many of the files are damaged in their bytes, not in their values."""

_WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 7, 10**23, -(10**400), 0.5, 1e308, float("nan"), float("inf")),
    *("", "a", "../../" + "a" * 300, "9" * 5000, "a\0b\ud800", "/dev/zero"),
    *([], [1, "a"], {}, {"a": 1}),
)


class Workplace:
    """Whole files of every kind in a folder, and what reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "photos").mkdir()
        for number in range(4):
            noise(48, 40, seed=number).save(folder / "photos" / f"{number}.png")
        self._photo = folder / "photos" / "0.png"
        saved(folder / "whole.safetensors")

    def damaged(self, kind: str, count: int, *, seed: int) -> Iterator[tuple[str, bytes]]:
        """So many damaged files of a kind; each follows from the seed and its number."""
        wholes = _SEEDS[kind](self._folder)
        for number in range(count):
            chance = random.Random(f"{seed} {kind} {number}")
            name, whole = wholes[number % len(wholes)]
            if chance.random() < _BYTES:
                yield name, mutated_bytes(_ENCODERS[kind](whole), chance)
            else:
                yield name, _ENCODERS[kind](_damaged(whole, chance))

    def reader(self, kind: str) -> Read:
        """Reads as the commands do."""
        work = {
            "presets": _read_preset,
            "models": _read_model,
            "checkpoints": partial(_read_checkpoint, self._folder),
            "recipes": partial(_read_recipe, self._folder),
        }[kind]
        return partial(_verdict, work)


def suffix(kind: str) -> str:
    """Of such a file."""
    return {"presets": ".yaml", "models": ".safetensors", "checkpoints": ".pt"}.get(kind, ".json")


def _verdict(work: Callable[[Path], None], path: Path) -> tuple[str, str]:
    try:
        work(path)
    except StyleforgeError as error:
        lines = str(error).splitlines()
        return ("refused", lines[0]) if len(lines) == 1 else ("lines", str(error))
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300]
    return "read", ""


def _read_preset(path: Path) -> None:
    kind = load_training_preset if b"generator" in path.read_bytes() else load_preset
    kind(str(path)).to_yaml()


def _read_model(path: Path) -> None:
    model = load_model(path)
    yaml.safe_dump(model.info.model_dump())
    json.dumps(model.info.model_dump(mode="json"))
    if isinstance(model.network, TextureNetwork) and not model.network.settings.content:
        sample_texture(model.network, (16, 16), seed=0)
    else:
        mixture = model.mixture({model.style_names[0]: 1.0})
        stylize(model.network, torch.rand(1, 3, 20, 24), mixture, memory=2**30)


def _read_checkpoint(photographs: Path, path: Path) -> None:
    folder, training = TrainingFolder(path), _small_training(photographs)
    folder.checkpoint = path
    go_on(folder, training)
    next(iter(training), None)


def _read_recipe(folder: Path, path: Path) -> None:
    recipe = parse_recipe(path.read_bytes().decode("utf-8", "surrogateescape"), path)
    essence(recipe.to_dict())
    recipe.to_json()
    rerun.inputs_of(recipe)
    again = rerun.Again(path, str(folder / "again.png"), device="cpu")
    if isinstance(recipe, TransferRecipe):
        rerun.transfer_again(recipe, again)
    elif isinstance(recipe, StylizeRecipe):
        rerun.stylize_again(recipe, again)
    else:
        rerun.synthesis_again(recipe, again)


Seeds = list[tuple[str, Any]]


def _presets(_: Path) -> Seeds:
    transfers = [(name, resource("presets") / f"{name}.yaml") for name in shipped_presets()]
    trainings = [(n, resource("presets/training") / f"{n}.yaml") for n in training_presets()]
    read = [(name, yaml.safe_load(path.read_text())) for name, path in transfers + trainings]
    whole = load_preset("painterly").model_dump()
    return [*read, ("all", whole), ("all-training", load_training_preset("johnson").model_dump())]


def _models(_: Path) -> Seeds:
    found = []
    for settings in (TransformerSettings(width=2, blocks=1, kernel=3), TEXTURE):
        info = described("night", generator=settings)
        tensors = build(settings, 1).state_dict()
        found.append((settings.kind, {"info": info.model_dump(), "tensors": tensors}))
    return found


def _checkpoints(folder: Path) -> Seeds:
    training = _small_training(folder)
    next(iter(training))
    return [("checkpoint", {"format": FORMAT, **training.state()})]


def _recipes(folder: Path) -> Seeds:
    photo = folder / "photos" / "0.png"
    content = Input.of(load_image(photo))
    model = Input(
        str(folder / "whole.safetensors"), load_model(folder / "whole.safetensors").sha256
    )
    common: dict[str, Any] = {"device": "cpu", "versions": {"torch": "2"}}
    preset = Preset.model_validate(
        {"network": {"normalized": False}, "style": {"layers": {"conv1_1": 1}}, "size": 48}
    )
    weights = load_weights().origin
    recipes = {
        "transfer": TransferRecipe(
            preset="p",
            settings=preset.model_dump(),
            content=content,
            styles=[content],
            init=None,
            weights=weights,
            depth=8,
            **common,
        ),
        "stylize": StylizeRecipe(
            model=model,
            styles={"night": 1.0},
            content=content,
            size=0,
            strength=1.0,
            colors="style",
            seed=0,
            depth=8,
            **common,
        ),
        "texture": SynthesisRecipe(
            command="texture",
            inputs={"style": content},
            weights=weights,
            options={"size": "48x48", "tile": False, "seed": 0, "depth": 8, "steps": 1},
            **common,
        ),
        "dream": SynthesisRecipe(
            command="dream",
            inputs={"image": content},
            weights=weights,
            options={"layer": "conv2_1", "size": "48x48", "steps": 1, "seed": 0},
            **common,
        ),
        "reconstruct": SynthesisRecipe(
            command="reconstruct content",
            inputs={"picture": content},
            weights=weights,
            options={"layer": "conv1_1", "size": 48, "steps": 1, "seed": 0},
            **common,
        ),
    }
    return [(name, json.loads(recipe.to_json())) for name, recipe in recipes.items()]


_SEEDS: dict[str, Callable[[Path], Seeds]] = {
    "presets": _presets,
    "models": _models,
    "checkpoints": _checkpoints,
    "recipes": _recipes,
}


def _model_bytes(whole: Any) -> bytes:
    tensors = whole.get("tensors")
    kept = tensors.items() if isinstance(tensors, dict) else ()
    contiguous = {name: x.contiguous() for name, x in kept if isinstance(x, torch.Tensor)}
    return save(contiguous, {"styleforge": json.dumps(whole.get("info"))})


def _checkpoint_bytes(whole: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(whole, buffer)
    return buffer.getvalue()


def _yaml_bytes(whole: Any) -> bytes:
    return yaml.safe_dump(whole).encode()


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "presets": _yaml_bytes,
    "models": _model_bytes,
    "checkpoints": _checkpoint_bytes,
    "recipes": lambda whole: json.dumps(whole).encode(),
}


def _damaged(value: Any, chance: random.Random) -> Any:
    """A copy in which one part, or several, are of another kind, or are not there."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        where = list(_places(value))
        if where:
            value = _changed(value, chance.choice(where), chance)
    return value


def _places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a part could be another one."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield (*here, key)
        if isinstance(value[key], dict | list):
            yield from _places(value[key], (*here, key))


def _changed(value: Any, place: tuple[Any, ...], chance: random.Random) -> Any:
    key, *rest = place
    copied = value.copy()
    if rest:
        copied[key] = _changed(value[key], tuple(rest), chance)
    elif chance.random() < 0.15:
        del copied[key]
    else:
        copied[key] = _other(value[key], chance)
    return copied


def _other(old: Any, chance: random.Random) -> Any:
    if isinstance(old, torch.Tensor) and chance.random() < 0.7:
        others = [old[None], old.flatten()[:1], old.double(), old.int(), old.float() * torch.nan]
        return chance.choice(others)
    if chance.random() < 0.1:
        nested: list[Any] = []
        for _ in range(120):
            nested = [nested]
        return nested
    return chance.choice(_WRONG)


@cache
def _small_training(folder: Path) -> Training:
    preset = TrainingPreset.model_validate(
        {
            "generator": TINY,
            "network": {"normalized": False},
            "content": {"layers": {"conv1_1": 1.0}},
            "style": {"beta": 10.0, "size": 32, "layers": {"conv1_1": 1.0}},
            "training": {"steps": 5, "batch": 2, "crop": 32, "validate_every": 2},
        }
    )
    torch.manual_seed(0)
    info = ModelInfo(generator=preset.generator, styles=[ModelStyle(name="night")])
    return Training(
        Model(info, build(preset.generator, 1)),
        [load_image(folder / "photos" / "1.png").pixels],
        Photographs.find(folder / "photos"),
        preset,
        weights=load_weights(),
        device=torch.device("cpu"),
    )
