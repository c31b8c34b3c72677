"""Neural style transfer: a photo and paintings in, a pastiche out, coarse to fine.

>>> photo, painting = torch.rand(2, 1, 3, 48, 48).unbind()
>>> studio = Studio([(painting, 1.0)], load_preset("gatys2016", {"size": 48, "optimizer.steps": 2}))
>>> run = StyleTransfer(studio, photo)
>>> losses = [progress.loss.total for progress in run]
>>> run.image().shape
torch.Size([1, 3, 48, 48])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from styleforge.images.colors import grey, keep_colors, match_colors
from styleforge.images.geometry import resize, size_of
from styleforge.losses.masks import check_masks, composite
from styleforge.losses.objective import Loss, NeighborTarget
from styleforge.losses.temporal import Held, holding
from styleforge.optimize.coarse_to_fine import CoarseToFine, Progress, Reached, white_noise
from styleforge.optimize.minimize import Carried, Iterate, minimize
from styleforge.optimize.scales import Scale, Stage
from styleforge.presets.transfer import Preset
from styleforge.transfers.matching import Sources
from styleforge.transfers.patchwork import lost, patchwork
from styleforge.transfers.schedule import plan, rest
from styleforge.transfers.studio import Studio, moved
from styleforge.transfers.styles import sized, style_size


class StyleTransfer:
    """One run: iterate over it to its end, or stop early; ``image()`` is the picture so far.

    To a photo (1, 3, H, W), sRGB in [0, 1]; ``init`` replaces what the preset starts from.
    ``masks`` (1, 1, H, W) in [0, 1], of the photo's shape, say where each style goes. ``after`` is
    a run for the same photo, of another studio, from whose picture this one goes on. ``held`` is
    what a frame of a film is held to. Raises :class:`UsageError` for a photo that is a strip, or
    too small, and for masks that do not fit.
    """

    def __init__(
        self,
        studio: Studio,
        photo: Tensor,
        *,
        init: Tensor | None = None,
        masks: Sequence[Tensor] = (),
        after: StyleTransfer | None = None,
        held: Held | None = None,
    ) -> None:
        check_masks(
            [(f"mask {number}", mask) for number, mask in enumerate(masks, 1)],
            styles=len(studio.styles),
            size=size_of(photo),
            statistic=studio.preset.style.statistic,
        )
        self.studio = studio = studio.alone()
        self._photo = photo
        self._masks = masks
        self._held = held
        in_grey = studio.preset.colors == "luminance"
        self._content = grey(photo) if in_grey else photo
        self._init = grey(init) if in_grey and init is not None else init
        self._from_noise = init is None and studio.preset.init == "noise"
        self._carried = Carried()
        self._sketch: Tensor | None = None
        self.sources: Sources | None = None
        """Where the style images' strokes came from, once neighbors have been matched."""
        self.scales: Sequence[Scale] = plan(size_of(photo), studio.preset)
        reached = None if after is None else self._gone_on(after)
        self._run = CoarseToFine(
            self.scales,
            self._initial,
            self._optimize,
            detail=0.0 if self._from_noise else _detail(studio.preset),
            save_memory=studio.take_smaller_tiles,
            reached=reached,
        )

    def __iter__(self) -> Iterator[Progress]:
        return iter(self._run)

    def image(self) -> Tensor:
        """The pastiche so far, (1, 3, H, W) in [0, 1] on the CPU, always at the final size."""
        return self._finished(self._run.image())

    def so_far(self) -> Tensor:
        """The same at the size of its scale, which costs less."""
        reached = self._run.reached
        return self._finished(self._run.at(reached.scale if reached else self.scales[0]))

    def _finished(self, image: Tensor) -> Tensor:
        """With the photo's colors, where they are kept, and the photo where no style goes."""
        size = size_of(image)
        photo = resize(self._photo, size)
        if self.studio.preset.colors in ("luminance", "keep"):
            image = keep_colors(image, photo)
        if self._masks:
            masks = [resize(mask, size) for mask in self._masks]
            image = composite(image, photo, torch.cat(masks))
        return image

    def _gone_on(self, after: StyleTransfer) -> Reached | None:
        """Where another run stands, as if this one had come there: with its sketch and sources."""
        before = after._run.reached
        if before is None:
            return None
        self.scales = rest(self.scales, after.scales, before.scale)
        self._sketch, self.sources = after._sketch, after.sources
        image = before.iterate.image().detach().cpu()
        if self.studio.preset.colors == "luminance":
            image = grey(image)
        scale = replace(before.scale, stage=self.scales[0].stage)
        iterate = replace(before.iterate, image=lambda: image)
        return Reached(scale, self._initial(scale), iterate)

    def _optimize(self, scale: Scale, start: Tensor) -> Iterator[Iterate]:
        """From the last result, but for what follows a sketch: that is only a query."""
        studio, reached = self.studio, self._run.reached
        if reached is not None and reached.scale.stage is not scale.stage:
            self._carried = Carried()
            if reached.scale.stage is Stage.STATISTICS:
                self._sketch = self._run.at(reached.scale)
                start = self._initial(scale)
        objective, start = self._begun(scale, start.to(studio.device))
        iterates = minimize(
            objective,
            start,
            optimizer=studio.preset.optimizer.name,
            steps=scale.steps,
            replay=studio.device.type == "cuda" and studio.tiling(scale.size) is None,
            carried=self._carried,
        )
        return iterates if self._held is None else _kept(iterates, self._held.like(start))

    def _begun(self, scale: Scale, start: Tensor) -> tuple[Callable[[Tensor], Loss], Tensor]:
        """The objective of a scale, and its start, which is of patches where a frame is new.

        Hypercolumns match the photo and say which patches; layers match the start.
        """
        if self._held is None or scale.stage is Stage.STATISTICS:
            return self._objective(scale, start), start
        if scale.stage is Stage.HYPERCOLUMNS:
            objective = self._objective(scale, start)
            new = self._held.like(start).new
            return objective, torch.lerp(start, self._patches(scale).to(start), new)
        start = self._with_finer_patches(scale, start)
        return self._objective(scale, start), start

    def _with_finer_patches(self, scale: Scale, start: Tensor) -> Tensor:
        """A start with the detail that patches have beside the coarser scale's."""
        reached = self._run.reached
        if self._held is None or self.sources is None or reached is None:
            return start
        detail = lost(self._patches(scale), reached.scale.size).to(start)
        return (start + self._held.like(start).new * detail).clamp(0, 1)

    def _patches(self, scale: Scale) -> Tensor:
        """What the paintings show at the places that were matched last, on the CPU."""
        assert self.sources is not None
        photo = resize(self._content, scale.size)
        paintings = [sized(style, photo, self.studio.preset)[0] for style in self.studio.styles]
        return patchwork(self.sources, paintings, scale.size)

    def _objective(self, scale: Scale, start: Tensor) -> Callable[[Tensor], Loss]:
        """The studio's at a scale, for images that are yet to be moved by its offset."""
        photo = resize(self._content, scale.size).to(self.studio.device)
        neighbors = self._neighbors(scale, photo, moved(start, scale.offset))
        objective: Callable[[Tensor], Loss] = self.studio.objective(
            photo, self._masks, neighbors, scale.offset
        )
        if scale.offset != (0, 0):
            objective = partial(_of_moved, objective, scale.offset)
        return objective if self._held is None else holding(objective, self._held.like(photo))

    def _neighbors(
        self, scale: Scale, photo: Tensor, start: Tensor
    ) -> Mapping[str, NeighborTarget]:
        """What of the styles is most like the picture at the start of a scale."""
        neighbors = self.studio.neighbors
        if scale.stage is Stage.HYPERCOLUMNS:
            query = self._query(scale, photo)
            targets, self.sources = neighbors.of_hypercolumns(query, photo, self._masks)
            return targets
        if scale.stage is Stage.LAYERS:
            if self.sources is None:  # no scale was small enough for hypercolumns
                self.sources = self._sources(photo)
            return neighbors.of_layers(start, photo, self.sources.style)
        return {}

    def _sources(self, photo: Tensor) -> Sources:
        """What hypercolumns find for the photo alone, at the largest size that is theirs.

        A flat photo stays larger: every layer has to see something of it.
        """
        largest = self.studio.preset.neighbors.hypercolumns
        small = resize(photo, style_size(size_of(photo), largest, 1.0))
        return self.studio.neighbors.of_hypercolumns(small, small, self._masks)[1]

    def _query(self, scale: Scale, photo: Tensor) -> Tensor:
        """What is matched: the photo and the sketch, mixed, and some of the picture so far."""
        query = photo
        if self._sketch is not None:
            sketch = resize(self._sketch, scale.size).to(photo)
            query = torch.lerp(photo, sketch, self.studio.preset.sketch)
        reached = self._run.reached
        if reached is None or reached.scale.stage is Stage.STATISTICS:
            return query
        so_far = self._run.at(scale, detail=0.0 if self._from_noise else 1.0).to(photo)
        return torch.lerp(query, so_far, self.studio.preset.neighbors.mix)

    def _initial(self, scale: Scale) -> Tensor:
        """Content, noise, recolored content or the given image at this scale, on the CPU."""
        preset = self.studio.preset
        if self._from_noise:
            return white_noise(scale.size, preset.seed)
        image = resize(self._content if self._init is None else self._init, scale.size)
        if self._init is None and preset.init == "recolored" and preset.colors in ("style", "keep"):
            target = self.studio.colors(max(self.scales[0].size))
            return match_colors(image, target).clamp(0, 1)
        return image


def _of_moved(objective: Callable[[Tensor], Loss], offset: tuple[int, int], image: Tensor) -> Loss:
    return objective(moved(image, offset))


def _kept(iterates: Iterator[Iterate], held: Held) -> Iterator[Iterate]:
    """Those of z, as the pictures that they stand for."""
    for iterate in iterates:
        yield replace(iterate, image=partial(_kept_image, held, iterate.image))


def _kept_image(held: Held, image: Callable[[], Tensor]) -> Tensor:
    return held.kept(image())


def _detail(preset: Preset) -> float:
    """How much of the photo's fine detail a finer scale starts with."""
    if not preset.strength:  # nothing but the photo: nor should its detail get lost
        return 1.0
    return preset.scales.detail if preset.scales else 0.0
