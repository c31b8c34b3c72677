"""Trained networks as files: one .safetensors that says what it is, read without pickle.

The header's metadata holds one JSON object: the format's version, the generator's settings, its
styles with names and thumbnails, the recipe of its training, and its licence.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from styleforge.core.errors import ModelError, UsageError
from styleforge.core.files import check_place, check_regular, file_sha256, write_atomically
from styleforge.core.json_text import parse_json
from styleforge.core.settings import Section, suggestion
from styleforge.core.text import printable
from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import Picture
from styleforge.images.save import to_levels
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import TransformerNetwork, style_parameters
from styleforge.presets.networks import GeneratorSettings, TextureSettings, TransformerSettings

FORMAT = 1
"""Raised when a model file's meaning changes, so that an old tool does not misread a new one."""

SUFFIX = ".safetensors"
LONGEST_STYLE_NAME = 100
"""Characters; results are named after styles."""

_KEY = "styleforge"
_THUMBNAIL_SIDE = 128


class ModelStyle(Section):
    """A style that a network carries: its name, the image's SHA-256 and a JPEG thumbnail."""

    name: str
    sha256: str = ""
    thumbnail: str = Field(default="", repr=False)
    """base64 of a small JPEG."""

    @classmethod
    def of(cls, name: str, picture: Picture) -> ModelStyle:
        image = resize(picture.pixels, fit_size(picture.size, _THUMBNAIL_SIDE))
        buffer = io.BytesIO()
        Image.fromarray(to_levels(image)).save(buffer, "JPEG", quality=85)
        thumbnail = base64.b64encode(buffer.getvalue()).decode()
        return cls(name=name, sha256=picture.sha256, thumbnail=thumbnail)


class ModelInfo(Section):
    """What a model file says of itself."""

    format: int = FORMAT
    generator: GeneratorSettings = TransformerSettings()
    styles: list[ModelStyle] = Field(min_length=1)
    recipe: dict[str, Any] = Field(default_factory=dict)
    licence: str = ""


@dataclass(frozen=True)
class Model:
    """A generator with its description; ``path`` and ``sha256`` are of its file, if it has one."""

    info: ModelInfo
    network: TransformerNetwork | TextureNetwork
    path: Path = field(default_factory=Path)
    sha256: str = ""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def style_names(self) -> list[str]:
        return [style.name for style in self.info.styles]

    def mixture(self, weights: Mapping[str, float]) -> Tensor:
        """Weights by style name, scaled to sum to 1, as (1, styles).

        Raises :class:`UsageError` for a style that the model does not carry.
        """
        names = self.style_names
        row = torch.zeros(1, len(names), dtype=torch.float64)
        for name, weight in weights.items():
            if name not in names:
                raise UsageError(
                    f"{self.name} has no style {name!r}{suggestion(name, names)}; "
                    f"it has {', '.join(names)}"
                )
            row[0, names.index(name)] += weight
        return (row / row.sum()).float()


def build(
    settings: TransformerSettings | TextureSettings, styles: int
) -> TransformerNetwork | TextureNetwork:
    """A generator with random weights."""
    if isinstance(settings, TextureSettings):
        return TextureNetwork(settings)
    return TransformerNetwork(settings, styles)


def check_model_output(path: Path, *, inputs: Iterable[Path], force: bool, needed: int = 0) -> None:
    """Raise :class:`UsageError` if a model of so many bytes could not be written to ``path``."""
    if path.suffix != SUFFIX:
        raise UsageError(f"{path}: a model's name must end in {SUFFIX}")
    check_place(path, inputs=inputs, force=force, needed=needed)


def save_model(path: Path, info: ModelInfo, network: nn.Module) -> None:
    """Write a model file, whole or not at all. Raises OSError."""
    tensors = {name: x.detach().cpu().contiguous() for name, x in network.state_dict().items()}
    metadata = {_KEY: json.dumps(info.model_dump(), separators=(",", ":"))}
    write_atomically(path, save(tensors, metadata))


def load_info(path: Path) -> ModelInfo:
    """What a model file says of itself. Raises :class:`ModelError`, :class:`UsageError`."""
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise ModelError(f"no such model file: {path}") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole .safetensors file ({error})") from None
    if _KEY not in metadata:
        raise ModelError(f"{path} is a .safetensors file, but not a styleforge model")
    try:
        fields = parse_json(metadata[_KEY])
        if fields["format"] > FORMAT:
            raise ModelError(f"{path} was made by a newer styleforge; upgrade to use it")
        info = TypeAdapter(ModelInfo).validate_python(fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} does not describe a network that can be read") from error
    for style in info.styles:
        if not _is_safe(style.name):
            raise ModelError(f"{path} has a style named {style.name!r}, which may not name a file")
    return info


def _is_safe(name: str) -> bool:
    """Whether files and lines of text can hold the name, and stay where they should be."""
    if not name or len(name) > LONGEST_STYLE_NAME or name.startswith("."):
        return False
    return printable(name) == name and "/" not in name and "\\" not in name


def check_finite(path: Path, tensors: Iterable[Tensor]) -> None:
    """Raise :class:`ModelError` where a file's weights would make nothing but black."""
    if not all(x.isfinite().all() for x in tensors):
        raise ModelError(f"{path} holds weights that are no finite numbers")


def load_model(path: Path) -> Model:
    """A model file, on the CPU, ready to be applied. Raises as :func:`load_info` does."""
    info = load_info(path)
    with torch.device("meta"):  # no memory for what may not be there, and no random numbers
        network = build(info.generator, len(info.styles))
    expected = {name: (tuple(x.shape), _kind(x)) for name, x in network.state_dict().items()}
    with safe_open(path, "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        same = shapes == {name: shape for name, (shape, _) in expected.items()}
        tensors = {name: file.get_tensor(name) for name in shapes if same}
    if {name: (tuple(x.shape), _kind(x)) for name, x in tensors.items()} != expected:
        raise ModelError(f"{path} does not hold the weights of the network it describes")
    read = {name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}
    network.load_state_dict(read, assign=True)  # to_empty would import sympy, for a second
    check_finite(path, read.values())
    network.requires_grad_(False).eval()
    network = network.to(memory_format=torch.channels_last)
    return Model(info, network, path, file_sha256(path))


def _kind(x: Tensor) -> str:
    """Fractions of any precision are read as float32; counts are not."""
    return "fractions" if x.is_floating_point() else str(x.dtype)


def widened(model: Model, styles: Sequence[ModelStyle], *, underpainting: bool = False) -> Model:
    """The same network with room for more styles, each of which starts as the mean of the old.

    ``underpainting``: with room for one, which the old styles have not if they had none.
    """
    styles = [*model.info.styles, *styles]
    return _with_styles(model, styles, len(model.info.styles), underpainting=underpainting)


def based_on(model: Model, styles: Sequence[ModelStyle], *, underpainting: bool = False) -> Model:
    """The same network for other styles, each of which starts as the mean of the old."""
    return _with_styles(model, styles, 0, underpainting=underpainting)


def _with_styles(
    model: Model, styles: Sequence[ModelStyle], kept: int, *, underpainting: bool
) -> Model:
    """A copy for these styles, of which the first are ``kept`` and the others start as the mean."""
    if not isinstance(model.network, TransformerNetwork):
        raise UsageError(f"{model.name} is a texture network, which has one style")
    settings = model.network.settings
    if underpainting:
        settings = settings.model_copy(update={"underpainting": True})
    network = TransformerNetwork(settings, len(styles))
    norms = {id(parameter) for parameter in style_parameters(network)}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            old = model.network.get_parameter(name).detach()
            if id(parameter) in norms:
                new = old.mean(0, keepdim=True).expand(len(styles) - kept, -1)
                old = torch.cat([old[:kept], new])
            parameter.copy_(old)
        if model.network.underpainting is not None:
            for name, old in model.network.underpainting.named_buffers():
                network.get_buffer(f"underpainting.{name}")[:kept] = old[:kept]
    info = model.info.model_copy(update={"styles": list(styles), "generator": settings})
    return replace(model, info=info, network=network)
