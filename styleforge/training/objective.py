"""The objective of a batch: the losses of a transfer, with targets for every image.

A network learns several styles at once, and a style of strong contrasts has losses that are a
hundred times a pale one's. So each image's E_l counts in units of its style's own Gram matrix:

    sum_l w_l mean_b(E_l,b / rms(A_l,b))
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from styleforge.images import resize
from styleforge.losses import Guidance, Loss, Objective, gram_matrix
from styleforge.styles import style_size
from styleforge.training.preset import TrainingPreset
from styleforge.vgg import VGG19

_LEAST_RMS = 1e-3
"""An evenly colored style image has hardly any features at some layers."""


class BatchObjective:
    """Loss of pastiches (B, 3, H, W) of photos, each against its own style's Gram matrices."""

    def __init__(self, network: VGG19, styles: Sequence[Tensor], preset: TrainingPreset) -> None:
        self._network = network
        self._preset = preset
        self._grams = _stacked_grams(network, styles, preset)

    def __call__(self, pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        """``styles`` (B,) says which style is whose; without photos there is no content loss."""
        targets = {layer: grams[styles] for layer, grams in self._grams.items()}
        objective = Objective(
            self._network,
            content_targets={} if photos is None else self._content(photos),
            content_weights={} if photos is None else self._preset.content_weights,
            style_targets=targets,
            style_weights=self._preset.style_weights,
            tv_weight=self._preset.tv,
            guidance={layer: Guidance(None, _balance(grams)) for layer, grams in targets.items()},
        )
        return objective(pastiches)

    @torch.no_grad()
    def _content(self, photos: Tensor) -> dict[str, Tensor]:
        targets: dict[str, Tensor] = self._network(photos, self._preset.content_weights)
        return targets


def _balance(grams: Tensor) -> Tensor:
    """What the style loss of each image of a batch counts, by its target (B, N, N): (B,)."""
    return 1 / (len(grams) * grams.square().mean((1, 2)).sqrt().clamp(min=_LEAST_RMS))


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
