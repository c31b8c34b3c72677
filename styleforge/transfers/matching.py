"""Style images matched to a picture: what the neighbor losses hold it against.

As long as pictures are small, each cell of the picture is matched by its whole hypercolumn, so
that all layers take their features from one place of the painting. Afterwards each layer finds
its own neighbors at its own resolution, which is what makes strokes crisp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.layers import stride
from styleforge.images.geometry import Size, size_of
from styleforge.losses.masks import regions
from styleforge.losses.neighbors import (
    CELL,
    DIMENSIONS,
    Matches,
    grid,
    hypercolumns,
    main_directions,
    nearest,
    on_cells,
    owners,
    rows_of,
    split_columns,
    variance,
)
from styleforge.losses.objective import Features, NeighborTarget, averaged
from styleforge.losses.tiles import Tile, Tiling, tiles
from styleforge.presets.transfer import Preset
from styleforge.transfers.styles import StyleImage, shares, sized
from styleforge.vgg.network import VGG19

SAMPLES = 4096
"""Places of a style image, its rotations included, among which a layer finds its neighbors."""

_KEPT_BYTES = 128 << 20
"""Cells are kept for other pictures up to here: those of a painting of 256 pixels and rotations."""

_LEAST_PREFERENCE = 0.02
"""What is darker in a style's mask, beside its lightest place, is not taken from at all."""

Targets = Mapping[str, NeighborTarget]


class Sources(NamedTuple):
    """Where each cell of a picture comes from, all (H, W): which style image, and where in it.

    ``y`` and ``x`` are in [0, 1] from its top and left; ``turns`` counts the quarter turns to the
    left that it was rotated by.
    """

    style: Tensor
    y: Tensor
    x: Tensor
    turns: Tensor


class _Cells(NamedTuple):
    """Cells of a style image and its rotations, one a row.

    ``columns`` are their hypercolumns; ``places`` (K, 4) are y, x and turns of :class:`Sources`,
    and how light the mask is there, beside its lightest place.
    """

    columns: Tensor
    places: Tensor

    @property
    def preference(self) -> Tensor:
        return self.places[:, 3]

    def at(self, rows: Tensor) -> _Cells:
        return _Cells(self.columns[rows], self.places[rows])


@dataclass(frozen=True)
class StyleNeighbors:
    """A preset's neighbors in style images, for pictures of any size.

    ``tiling`` says how an image of a (width, height) is to be cut. ``keeps_cells``: those of the
    style images are kept for more pictures of one size, such as a film's frames. ``samples`` are
    the places of a style image among which a layer finds its own.
    """

    network: VGG19
    preset: Preset
    styles: Sequence[StyleImage]
    tiling: Callable[[Size], Tiling | None]
    keeps_cells: bool = False
    samples: int = SAMPLES
    _known: dict[int, list[Features]] = field(default_factory=dict)
    _known_cells: dict[int, tuple[list[_Cells], Features]] = field(default_factory=dict)

    @torch.no_grad()
    def of_hypercolumns(
        self, query: Tensor, photo: Tensor, masks: Sequence[Tensor] = ()
    ) -> tuple[Targets, Sources]:
        """For a picture (1, 3, H, W), by the hypercolumns of ``query``, which is of its size.

        ``masks`` (1, 1, H', W') say where each style goes.
        """
        paintings, variances = self._cells_of_styles(photo)
        features = self._features(query)
        columns, size = hypercolumns(features, self._weights, variances), grid(features)
        where = self._where(masks, size).to(columns)
        found, similarity = [], []
        for cells, region in zip(paintings, where, strict=True):
            rows, similar = self._nearest(columns, cells, region)
            found.append(cells.at(rows))
            similarity.append(similar)
        owner = owners(torch.stack(similarity), where)
        chosen = _Cells(*(_by_owner(parts, owner) for parts in zip(*found, strict=True)))
        sources = [x.view(size).cpu() for x in (owner, *chosen.places[:, :3].unbind(1))]
        return self._cell_targets(chosen.columns, size, variances), Sources(*sources)

    @torch.no_grad()
    def of_layers(self, picture: Tensor, photo: Tensor, owner: Tensor) -> Targets:
        """For a picture (1, 3, H, W), each layer by its own features of it.

        ``owner`` (h, w) says which style goes where, at any resolution.
        """
        samples = self._samples(photo)
        looks = self._looks(picture)
        owned = {layer: _resized(owner, picture, layer) for layer in self._weights}
        means = self._means(looks, owned)
        places = {layer: torch.zeros_like(own) for layer, own in owned.items()}
        for tile, features in looks():
            for layer, found in places.items():
                step = stride(layer)
                own = rows_of(tile.own(features[layer], step))
                part = tile.place(step).cut(found)
                styles = tile.place(step).cut(owned[layer]).flatten()
                keys = [rows[layer] for rows in samples]
                part.copy_(_nearest_of_own(own, styles, keys, means[layer]).view(part.shape))
        return {
            layer: _target(torch.cat([rows[layer] for rows in samples]), found)
            for layer, found in places.items()
        }

    @property
    def _weights(self) -> Mapping[str, float]:
        """u_l."""
        total = sum(self.preset.neighbor_weights.values())
        return {layer: weight / total for layer, weight in self.preset.neighbor_weights.items()}

    def _features(self, image: Tensor) -> Features:
        features: Features = self.network(image, self._weights)
        return features

    def _turned(self, image: Tensor) -> list[tuple[int, Tensor]]:
        """An image and, if they are wanted, its rotations, with their numbers of quarter turns."""
        turns = range(4 if self.preset.neighbors.rotations else 1)
        return [(k, torch.rot90(image, k, (2, 3))) for k in turns]

    def _where(self, masks: Sequence[Tensor], size: Size) -> Tensor:
        """How much each cell is each style's, (styles, cells)."""
        weights = [style.weight for style in self.styles]
        if not masks:
            return torch.tensor(shares(weights))[:, None].expand(-1, size[0] * size[1])
        return regions(torch.cat([_on_grid(mask, size) for mask in masks]), weights).flatten(1)

    def _variances(self, paintings: Sequence[Tensor]) -> Features:
        """v_l on cells, the mean of the style images'."""
        features = [self._features(image) for image in paintings]
        return {
            layer: torch.stack(
                [variance(rows_of(on_cells(own[layer], layer, grid(own)))) for own in features]
            ).mean()
            for layer in self._weights
        }

    def _cells_of_styles(self, photo: Tensor) -> tuple[list[_Cells], Features]:
        """Each style's, and the variances; kept for other photos of this size if that is wanted."""
        longest = max(photo.shape[2:])
        if longest in self._known_cells:
            return self._known_cells[longest]
        paintings = [sized(style, photo, self.preset) for style in self.styles]
        variances = self._variances([image for image, _ in paintings])
        found = [self._cells(image, mask, variances) for image, mask in paintings]
        small = sum(cells.columns.nbytes for cells in found) <= _KEPT_BYTES
        if self.keeps_cells and small and self.preset.colors in ("style", "keep"):
            self._known_cells[longest] = found, variances
        return found, variances

    def _cells(self, image: Tensor, mask: Tensor | None, variances: Features) -> _Cells:
        """Those of a style image and its rotations that its mask leaves."""
        columns, places = [], []
        for turns, turned in self._turned(image):
            features = self._features(turned)
            columns.append(hypercolumns(features, self._weights, variances))
            white = None if mask is None else torch.rot90(mask, turns, (2, 3))
            places.append(_places(grid(features), turns, white).to(columns[-1]))
        cells = _Cells(torch.cat(columns), torch.cat(places))
        return cells.at(cells.preference > _LEAST_PREFERENCE)

    def _nearest(self, columns: Tensor, cells: _Cells, region: Tensor) -> Matches:
        """Among all cells, in the main directions of both sides."""
        keys = cells.columns - cells.columns.mean(0)
        mean = region @ columns / region.sum().clamp(min=1e-12)
        basis = main_directions(keys, columns - mean, count=DIMENSIONS, seed=self.preset.seed)
        return nearest(columns @ basis, keys @ basis, mean @ basis, cells.preference)

    def _cell_targets(
        self, columns: Tensor, size: Size, variances: Features
    ) -> dict[str, NeighborTarget]:
        targets = {}
        for layer, own in split_columns(columns, self._weights, variances).items():
            features = own.view(1, *size, -1).permute(0, 3, 1, 2)
            rows = averaged(features, max(1, stride(layer) // CELL))
            places = torch.arange(rows.shape[2:].numel(), device=rows.device).view(rows.shape[2:])
            cell = max(1, CELL // stride(layer))
            targets[layer] = NeighborTarget(rows_of(rows), places, cell, variances[layer])
        return targets

    def _looks(self, picture: Tensor) -> Callable[[], Iterator[tuple[Tile, Features]]]:
        """Goes over a picture tile by tile; one that is looked at as a whole, only once."""
        cut = list(tiles(self.tiling(size_of(picture)), picture))
        kept = lru_cache(maxsize=1 if len(cut) == 1 else 0)
        features = kept(lambda tile: self._features(tile.outer.cut(picture)))
        return lambda: ((tile, features(tile)) for tile in cut)

    def _means(
        self, looks: Callable[[], Iterator[tuple[Tile, Features]]], owned: Features
    ) -> dict[str, Tensor]:
        """Of the features in each style's own part of the picture, (styles, N) at each layer."""
        sums: dict[str, Tensor] = {}
        for tile, features in looks():
            for layer, owner in owned.items():
                own = rows_of(tile.own(features[layer], stride(layer))).float()
                styles = tile.place(stride(layer)).cut(owner).flatten()
                if layer not in sums:
                    sums[layer] = own.new_zeros(len(self.styles), own.shape[1])
                sums[layer].index_add_(0, styles, own)
        counts = {
            layer: own.flatten().bincount(minlength=len(self.styles))
            for layer, own in owned.items()
        }
        return {layer: total / counts[layer].clamp(min=1)[:, None] for layer, total in sums.items()}

    def _samples(self, photo: Tensor) -> list[Features]:
        """Each style's features at random places of its own, by layer (samples, N)."""
        longest = max(photo.shape[2:])
        if longest in self._known:
            return self._known[longest]
        found = [self._sampled(*sized(style, photo, self.preset)) for style in self.styles]
        if self.preset.colors in ("style", "keep"):
            self._known[longest] = found
        return found

    def _sampled(self, image: Tensor, mask: Tensor | None) -> Features:
        views = self._turned(image)
        generator = torch.Generator().manual_seed(self.preset.seed)
        found: dict[str, list[Tensor]] = {layer: [] for layer in self._weights}
        for turns, turned in views:
            white = None if mask is None else torch.rot90(mask, turns, (2, 3))
            drawn = {
                layer: _drawn(turned, layer, white, self.samples // len(views), generator)
                for layer in self._weights
            }
            for tile, features in self._looks(turned)():
                for layer, places in drawn.items():
                    found[layer].append(_rows_at(tile, features[layer], layer, places))
        return {layer: torch.cat(rows) for layer, rows in found.items()}


def _by_owner(parts: Sequence[Tensor], owner: Tensor) -> Tensor:
    """Rows of each style's part (cells, C), where they are its own."""
    result = parts[0]
    for k, part in enumerate(parts[1:], 1):
        result = torch.where((owner == k)[:, None], part, result)
    return result


def _on_grid(mask: Tensor, size: Size) -> Tensor:
    """(1, 1, H, W) averaged to a (height, width), so that no white is lost."""
    return F.adaptive_avg_pool2d(mask, size)


def _places(size: tuple[int, int], turns: int, mask: Tensor | None) -> Tensor:
    """(cells, 4) of a view: y, x and turns of :class:`Sources`, and what the mask says of each."""
    height, width = size
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(size)
    x = ((torch.arange(width) + 0.5) / width)[None].expand(size)
    for _ in range(turns):  # a quarter turn to the left takes (y, x) to (1 - x, y)
        y, x = x, 1 - y
    white = torch.ones(size) if mask is None else _on_grid(mask, size)[0, 0].cpu()
    columns = [y, x, torch.full(size, float(turns)), white / white.max().clamp(min=1e-12)]
    return torch.stack([part.flatten() for part in columns], 1)


def _resized(owner: Tensor, picture: Tensor, layer: str) -> Tensor:
    """Which style goes where at a layer's own resolution, (H_l, W_l)."""
    size = [side // stride(layer) for side in picture.shape[2:]]
    nearest = F.interpolate(owner.float()[None, None], size, mode="nearest")
    return nearest[0, 0].long().to(picture.device)


def _nearest_of_own(
    queries: Tensor, styles: Tensor, keys: Sequence[Tensor], means: Tensor
) -> Tensor:
    """For each query (Q, N) the most similar of its own style's keys, numbered throughout: (Q,)."""
    found = torch.zeros_like(styles)
    first = 0
    for k, own in enumerate(keys):
        mine = styles == k
        if mine.any():
            matches = nearest(queries[mine].float(), own - own.mean(0), means[k])
            found[mine] = first + matches.places
        first += len(own)
    return found


def _target(rows: Tensor, places: Tensor) -> NeighborTarget:
    return NeighborTarget(rows, places, 1, variance(rows))


def _drawn(
    image: Tensor, layer: str, mask: Tensor | None, count: int, generator: torch.Generator
) -> Tensor:
    """Random places (n, 2), row and column, at a layer: more where the mask is light."""
    height, width = (side // stride(layer) for side in image.shape[2:])
    if mask is None:
        numbers = torch.randperm(height * width, generator=generator)[:count]
    else:
        white = _on_grid(mask, (height, width)).flatten().cpu()
        white = white.where(white > _LEAST_PREFERENCE * white.max(), 0)
        count = min(count, int(white.count_nonzero()))
        # as torch.multinomial does it, which refuses images of more than 2^24 pixels
        waits = torch.empty_like(white).exponential_(generator=generator) / white
        numbers = waits.topk(count, largest=False).indices
    return torch.stack([numbers // width, numbers % width], 1).to(image.device)


def _rows_at(tile: Tile, features: Tensor, layer: str, places: Tensor) -> Tensor:
    """A tile's features (n, N) at those of the places that are its own."""
    step = stride(layer)
    box, own = tile.place(step), tile.own(features, step)
    y, x = places[:, 0] - box.top, places[:, 1] - box.left
    inside = (y >= 0) & (y < own.shape[2]) & (x >= 0) & (x < own.shape[3])
    return own[0, :, y[inside], x[inside]].mT.float()
