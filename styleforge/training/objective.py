"""The objective of a batch: the same losses as a transfer's, with targets for every image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from styleforge.images import resize
from styleforge.losses import Loss, Objective, gram_matrix
from styleforge.training.preset import TrainingPreset
from styleforge.transfer import style_size
from styleforge.vgg import VGG19


class BatchObjective:
    """Loss of pastiches (B, 3, H, W) of photos, each against its own style's Gram matrices."""

    def __init__(self, network: VGG19, styles: Sequence[Tensor], preset: TrainingPreset) -> None:
        self._network = network
        self._preset = preset
        self._grams = _stacked_grams(network, styles, preset)

    def __call__(self, pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        """``styles`` (B,) says which style is whose; without photos there is no content loss."""
        objective = Objective(
            self._network,
            content_targets={} if photos is None else self._content(photos),
            content_weights={} if photos is None else self._preset.content_weights,
            style_targets={layer: grams[styles] for layer, grams in self._grams.items()},
            style_weights=self._preset.style_weights,
            tv_weight=self._preset.tv,
        )
        return objective(pastiches)

    @torch.no_grad()
    def _content(self, photos: Tensor) -> dict[str, Tensor]:
        return self._network(photos, self._preset.content_weights)


@torch.no_grad()
def _stacked_grams(
    network: VGG19, styles: Sequence[Tensor], preset: TrainingPreset
) -> dict[str, Tensor]:
    """Gram matrices (styles, N, N) of style images (1, 3, H, W), at each style layer."""
    device = network.mean.device
    grams: dict[str, list[Tensor]] = {layer: [] for layer in preset.style_weights}
    for image in styles:
        size = style_size((image.shape[3], image.shape[2]), preset.style.size, 1.0)
        features = network(resize(image, size).to(device))
        for layer, found in grams.items():
            found.append(gram_matrix(features[layer]))
    return {layer: torch.cat(found) for layer, found in grams.items()}
