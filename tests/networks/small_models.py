"""Model files of tiny networks with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from styleforge.networks.model_file import ModelInfo, ModelStyle, build, save_model
from styleforge.presets.networks import TextureSettings, TransformerSettings

TRANSFORMER = TransformerSettings(width=2, blocks=1, kernel=3)


def described(*names: str, generator: TransformerSettings | TextureSettings = TRANSFORMER) -> Any:
    return ModelInfo(generator=generator, styles=[ModelStyle(name=name) for name in names])


def random_network(info: ModelInfo) -> nn.Module:
    """Weights and buffers as after a training: none of them zero or one."""
    torch.manual_seed(0)
    network = build(info.generator, len(info.styles))
    with torch.no_grad():
        for x in network.state_dict().values():
            x.add_(torch.randint(1, 9, x.shape)) if x.dtype == torch.int64 else x.normal_(0, 0.5)
    return network.eval()


def saved(path: Path, *names: str) -> ModelInfo:
    """A small model of these styles, written to a file."""
    info: ModelInfo = described(*(names or ("night", "day")))
    save_model(path, info, random_network(info))
    return info
