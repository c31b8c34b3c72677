"""A contact sheet made ready: which pictures it takes, which of them are there, how long it takes.

``sheet.png`` is the sheet; beside it the folder ``sheet`` holds every picture as it was made, and
``index.html``, which shows them with their recipes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from styleforge.core.devices import pick_device, pick_precision
from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.core.files import check_place
from styleforge.images.contact_sheet import sheet_size
from styleforge.images.folder import SUFFIXES, pictures_in
from styleforge.images.load import Picture, load_image
from styleforge.images.opening import is_whole
from styleforge.images.save import check_output
from styleforge.jobs.naming import shortened
from styleforge.jobs.painters import TransferPainter
from styleforge.jobs.recipe import essence, load_recipe
from styleforge.jobs.styles import Painting
from styleforge.jobs.transfer import TransferJob, TransferRequest, TransferRun
from styleforge.optimize.scales import Scale
from styleforge.presets.grid import Variation, variations, varied_preset, varying
from styleforge.presets.transfer import INITIAL_IMAGES, Preset
from styleforge.transfers.estimate import Estimate, available_memory, estimate, extra_bytes
from styleforge.transfers.loss_network import loss_network
from styleforge.transfers.schedule import plan
from styleforge.vgg.weights import Weights, load_weights

PAGE = "index.html"


@dataclass(frozen=True)
class SheetRequest:
    """What the user asked for. ``styles`` are paintings, and folders of them.

    ``cell`` is pixels of a picture's longest side on the sheet.
    """

    photo: Path | Picture
    styles: Sequence[Path]
    settings: Sequence[str]
    output: Path
    preset: str
    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    cell: int = 256
    force: bool = False

    @property
    def photo_file(self) -> Path:
        """Where it lies; that of one from elsewhere is no file."""
        return self.photo.path if isinstance(self.photo, Picture) else self.photo

    @property
    def folder(self) -> Path:
        """Where the pictures go."""
        return self.output.with_suffix("")


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet: the transfer that makes it, and the sizes that it goes through.

    ``labels`` tell it from the others: the painting's name, and the values that vary.
    """

    request: TransferRequest
    labels: Sequence[str]
    scales: Sequence[Scale]
    there: bool = False
    """Whether the same recipe has made it before."""

    @property
    def path(self) -> Path:
        assert self.request.output is not None
        return Path(self.request.output)

    @property
    def style(self) -> Path:
        (painting,) = self.request.paintings
        assert isinstance(painting.path, Path)
        return painting.path

    @property
    def caption(self) -> str:
        return ", ".join(self.labels)

    @property
    def work(self) -> int:
        """Pixels to evaluate."""
        return evaluated(self.scales)


@dataclass(frozen=True)
class SheetJob:
    """A request whose inputs can be read and whose outputs can be written.

    ``columns`` is how many pictures stand side by side; where settings vary, these are the
    values of the last one. ``weights`` are VGG-19's, by the name that a preset has for them.
    """

    request: SheetRequest
    cells: Sequence[Cell]
    columns: int
    weights: dict[str, Weights]

    @classmethod
    def prepare(cls, request: SheetRequest, *, planning: bool = False) -> SheetJob:
        """Check everything and plan. Raises :class:`UsageError` before any long work.

        Where it is only planned, outputs may exist.
        """
        pick_precision(request.precision, pick_device(request.device))  # or it is a mistake
        styles = paintings(request.styles, apart_from=[request.photo_file, request.output])
        for path in request.styles:
            if not path.is_dir():  # of a folder's, one that is bad leaves its place empty
                load_image(path)
        cells = _cells(request, styles)
        sources = {cell.request.preset.network.weights for cell in cells}
        counts = varying(variations(request.settings))
        columns = [*counts.values()][-1] if counts else math.ceil(len(styles) ** 0.5)
        job = cls(request, cells, columns, {name: load_weights(name) for name in sorted(sources)})
        job = replace(job, cells=[replace(cell, there=job._is_there(cell)) for cell in cells])
        written = replace(job, request=replace(request, force=True)) if planning else job
        written._check_outputs([request.photo_file, *styles])
        return job

    @property
    def page(self) -> Path:
        """Shows the pictures with their recipes."""
        return self.request.folder / PAGE

    @property
    def varies(self) -> bool:
        """Whether settings vary, and not only the paintings."""
        return len(self.cells[0].labels) > 1

    @property
    def rows(self) -> list[Sequence[Cell]]:
        starts = range(0, len(self.cells), self.columns)
        return [self.cells[start : start + self.columns] for start in starts]

    @property
    def missing(self) -> list[Cell]:
        """The pictures that have to be made."""
        return [cell for cell in self.cells if not cell.there]

    @property
    def device(self) -> torch.device:
        return pick_device(self.request.device)

    @property
    def memory(self) -> int:
        """Bytes that the run may take in all."""
        return self.request.memory or available_memory(self.device)

    def start(self, cell: Cell, last: TransferPainter | None) -> TransferRun:
        """A cell's transfer; weights are loaded once for all, and a network shared with the last's.

        Raises :class:`StyleforgeError`.
        """
        job = TransferJob.prepare(cell.request)
        return job.start(last=last, weights=self._weights(cell.request.preset))

    def expected(self) -> Estimate:
        """What the missing pictures take; speed is measured once for each network."""
        scales: dict[object, list[Scale]] = {}
        presets: dict[object, Preset] = {}
        for cell in self.missing:
            preset = cell.request.preset
            layers = frozenset(preset.read_layers)
            presets[preset.network, layers] = preset
            scales.setdefault((preset.network, layers), []).extend(cell.scales)
        estimates = []
        for key, preset in presets.items():
            network = loss_network(self._weights(preset), preset).to(self.device)
            estimates.append(
                estimate(
                    network,
                    scales[key],
                    device=self.device,
                    memory=self.memory,
                    extra=extra_bytes(preset),
                )
            )
        return Estimate(
            evaluations=sum(part.evaluations for part in estimates),
            seconds=sum(part.seconds for part in estimates),
            memory=max((part.memory for part in estimates), default=0),
        )

    def _weights(self, preset: Preset) -> Weights:
        return self.weights[preset.network.weights]

    def _is_there(self, cell: Cell) -> bool:
        if not cell.path.is_file() or not is_whole(cell.path):
            return False
        try:
            job = TransferJob.prepare(replace(cell.request, force=True))
            found = load_recipe(cell.path).to_dict()
        except StyleforgeError:
            return False
        template = job.style.template(self._weights(cell.request.preset), job.device)
        return essence(found) == essence(job.recipe(template).to_dict())

    def _check_outputs(self, inputs: Sequence[Path]) -> None:
        force, folder = self.request.force, self.request.folder
        columns = self.columns + (1 if self.varies else 0)
        size = sheet_size(columns, len(self.rows), self.request.cell)
        check_output(self.request.output, inputs=inputs, force=force, depth=8, size=size)
        pixels = sum(math.prod(cell.scales[-1].size) for cell in self.missing)
        check_place(self.request.output, inputs=inputs, force=force, needed=4 * pixels)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; choose another output")
        if folder.exists():
            check_place(self.page, inputs=inputs, force=force, needed=0)
        for cell in self.missing if folder.exists() else ():
            size = cell.scales[-1].size
            check_output(cell.path, inputs=inputs, force=force, depth=8, size=size)


def evaluated(scales: Sequence[Scale]) -> int:
    """Pixels that all evaluations at these scales look at."""
    return sum(math.prod(scale.size) * (scale.steps + 1) for scale in scales)


def paintings(styles: Sequence[Path], *, apart_from: Sequence[Path]) -> list[Path]:
    """The paintings, those in a folder (not below it) by name. Raises :class:`UsageError`."""
    found: dict[Path, None] = {}
    for style in styles:
        if not style.is_dir():
            found[style] = None
            continue
        inside = pictures_in(style, recursive=False)
        own = [path for path in inside if not any(_same(path, other) for other in apart_from)]
        if not own:
            raise UsageError(f"no paintings in {style}; they end in {', '.join(SUFFIXES)}")
        found.update(dict.fromkeys(own))
    return list(found)


def _same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


def _cells(request: SheetRequest, styles: Sequence[Path]) -> list[Cell]:
    """Every painting with every combination of settings, in this order."""
    photo = load_image(request.photo)
    chosen = variations(request.settings)
    keys = varying(chosen)
    presets = [varied_preset(request.preset, variation) for variation in chosen]
    for preset in presets:
        if preset.init not in INITIAL_IMAGES:
            load_image(preset.init)
    pairs = [(style, n) for style in styles for n in range(len(chosen))]
    names = unique([_name(style, chosen[n]) for style, n in pairs])
    return [
        Cell(
            _request(request, style, presets[n], name),
            [style.stem, *(choice.label for choice in chosen[n] if choice.key in keys)],
            plan(photo.size, presets[n]),
        )
        for (style, n), name in zip(pairs, names, strict=True)
    ]


def _request(request: SheetRequest, style: Path, preset: Preset, name: str) -> TransferRequest:
    return TransferRequest(
        photo=request.photo,
        paintings=[Painting(style)],
        preset_name=request.preset,
        preset=preset,
        output=str(request.folder / f"{name}.png"),
        device=request.device,
        precision=request.precision,
        memory=request.memory,
        force=request.force,
    )


def _name(style: Path, variation: Variation) -> str:
    """A file's name, without its ending, that says how the picture was made."""
    words = "_".join([style.stem, *(choice.label for choice in variation)])
    plain = re.sub(r"[^\w.+-]+", "-", words).strip("-.")
    return shortened(plain) or "picture"


def unique(names: Sequence[str]) -> list[str]:
    """The names, with a number after those that were there before, in whatever case."""
    taken: set[str] = set()
    result = []
    for name in names:
        numbered = (f"{name}-{n}" for n in range(2, len(names) + 2))
        free = next(n for n in [name, *numbered] if n.casefold() not in taken)
        taken.add(free.casefold())
        result.append(free)
    return result
