"""The objective of a batch: the losses of a transfer, with targets for every image.

A network learns several styles at once, and a style of strong contrasts has losses that are a
hundred times a pale one's. So each image's E_l counts in units of its style's own Gram matrix:

    sum_l w_l mean_b(E_l,b / rms(A_l,b))

Every other statistic has a unit of its own. A preset's ``coarse`` adds the same of pastiches and
paintings at a quarter of their size (compare Snelgrove 2017, "High-resolution multi-scale neural
texture synthesis"). Without it a network puts the painting's contrasts into outlines and relief;
with it into areas of color, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.images.geometry import resize, size_of
from styleforge.images.load import MIN_SIDE
from styleforge.losses.objective import Features, Guidance, Loss, Objective, Statistic
from styleforge.losses.statistics import statistic_named
from styleforge.presets.training import COARSE, CoarseStyle, TrainingPreset
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
        self._coarse: BatchObjective | None = None
        if preset.coarse.beta:
            sizes = [max(MIN_SIDE, size // COARSE) for size in sizes]
            self._coarse = BatchObjective(network, styles, _of_coarse(preset), sizes)

    def __call__(self, pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
        """``styles`` (B,) says which style is whose; without photos there is no content loss."""
        content = None if photos is None else self._content(photos)
        loss = self._objective(self._network, content, styles)(pastiches)
        if self._coarse is None:
            return loss
        coarse = self._coarse(F.avg_pool2d(pastiches, COARSE), None, styles)
        return loss._replace(total=loss.total + coarse.total, style=loss.style + coarse.style)

    @torch.no_grad()
    def against_each(self, pastiches: Tensor, photos: Tensor, styles: Sequence[int]) -> Tensor:
        """The total loss of all pastiches against each of these styles: (len(styles),)."""
        content, features = self._content(photos), self._network(pastiches)
        numbers = [torch.full((len(photos),), style, device=photos.device) for style in styles]
        losses = [self._objective(lambda _: features, content, own)(pastiches) for own in numbers]
        return torch.stack([loss.total for loss in losses])

    def _objective(
        self, extract: Callable[[Tensor], Features], content: Features | None, styles: Tensor
    ) -> Objective:
        targets = {layer: known[styles] for layer, known in self._targets.items()}
        return Objective(
            extract,
            content_targets=content or {},
            content_weights=self._preset.content_weights if content else {},
            style_targets=targets,
            style_weights=self._preset.style_weights,
            tv_weight=self._preset.tv,
            statistic=self._statistic,
            guidance={layer: Guidance(None, self._balance(own)) for layer, own in targets.items()},
        )

    @torch.no_grad()
    def _content(self, photos: Tensor) -> dict[str, Tensor]:
        targets: dict[str, Tensor] = self._network(photos, self._preset.content_weights)
        return targets

    def _balance(self, targets: Tensor) -> Tensor:
        """What the style loss of each image of a batch counts, by its target (B, R, C): (B,)."""
        return 1 / (len(targets) * self._statistic.unit(targets))


def _of_coarse(preset: TrainingPreset) -> TrainingPreset:
    """The losses of coarse pastiches alone."""
    weights = {"beta": preset.coarse.beta, "layers": preset.coarse.layers}
    style = preset.style.model_copy(update=weights)
    return preset.model_copy(update={"style": style, "coarse": CoarseStyle(), "tv": 0.0})


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
