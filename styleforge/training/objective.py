"""The objective of a batch: the losses of a transfer, with targets for every image.

A network learns several styles at once, and a style of strong contrasts has losses that are a
hundred times a pale one's. So each image's E_l counts in units of its style's own Gram matrix:

    sum_l w_l mean_b(E_l,b / rms(A_l,b))

Every other statistic has a unit of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from styleforge.images.geometry import resize, size_of
from styleforge.losses.objective import Guidance, Loss, Objective, Statistic
from styleforge.losses.statistics import statistic_named
from styleforge.presets.training import TrainingPreset
from styleforge.transfers.styles import style_size
from styleforge.vgg.network import VGG19


class BatchObjective:
    """Loss of pastiches (B, 3, H, W) of photos, each against its own style's statistics.

    ``sizes`` are the longest sides at which the style images are looked at; 0: the preset's.
    """

    def __init__(
        self,
        network: VGG19,
        styles: Sequence[Tensor],
        preset: TrainingPreset,
        sizes: Sequence[int] = (),
    ) -> None:
        self._network = network
        self._preset = preset
        self._statistic = statistic_named(preset.style.statistic, seed=preset.seed)
        sizes = [size or preset.style.size for size in sizes or [0] * len(styles)]
        sized = [
            resize(image, style_size(size_of(image), size, 1.0))
            for image, size in zip(styles, sizes, strict=True)
        ]
        self._targets = _stacked_targets(network, sized, preset, self._statistic)

    def __call__(self, pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        """``styles`` (B,) says which style is whose; without photos there is no content loss."""
        content = {} if photos is None else self._content(photos)
        targets = {layer: known[styles] for layer, known in self._targets.items()}
        objective = Objective(
            self._network,
            content_targets=content,
            content_weights=self._preset.content_weights if content else {},
            style_targets=targets,
            style_weights=self._preset.style_weights,
            tv_weight=self._preset.tv,
            statistic=self._statistic,
            guidance={layer: Guidance(None, self._balance(own)) for layer, own in targets.items()},
        )
        return objective(pastiches)

    @torch.no_grad()
    def _content(self, photos: Tensor) -> dict[str, Tensor]:
        targets: dict[str, Tensor] = self._network(photos, self._preset.content_weights)
        return targets

    def _balance(self, targets: Tensor) -> Tensor:
        """What the style loss of each image of a batch counts, by its target (B, R, C): (B,)."""
        return 1 / (len(targets) * self._statistic.unit(targets))


@torch.no_grad()
def _stacked_targets(
    network: VGG19, styles: Sequence[Tensor], preset: TrainingPreset, statistic: Statistic
) -> dict[str, Tensor]:
    """Targets (styles, R, C) of style images (1, 3, H, W), at each style layer."""
    device = network.mean.device
    targets: dict[str, list[Tensor]] = {layer: [] for layer in preset.style_weights}
    for image in styles:
        features = network(image.to(device))
        for layer, found in targets.items():
            found.append(statistic.target(features[layer]))
    return {layer: torch.cat(found) for layer, found in targets.items()}
