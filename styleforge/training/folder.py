"""What a training leaves beside its model: checkpoint, best model, log, sheet and plot."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from styleforge.core.errors import UsageError
from styleforge.core.files import held_alone, remove_remains, write_atomically
from styleforge.core.json_text import parse_json
from styleforge.images.save import encode_image
from styleforge.networks.model_file import ModelInfo, save_model
from styleforge.training.photographs import OWN

FORMAT = 2


class _Losses(BaseModel):
    total: float
    content: float
    style: float


class _Record(BaseModel, strict=True):
    """What a line of the log must have; it may have more."""

    step: int
    loss: _Losses
    validation: _Losses


class TrainingFolder:
    """``cafe.training/`` beside ``cafe.safetensors``."""

    def __init__(self, model: Path) -> None:
        self.path = model.with_suffix(OWN)
        self.checkpoint = self.path / "last.pt"
        self.best = self.path / "best.safetensors"
        self.log = self.path / "log.jsonl"
        self.sheet = self.path / "sheet.jpg"
        self.plot = self.path / "loss.png"
        self._written = [model, self.checkpoint, self.best, self.log, self.sheet, self.plot]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, for this process only until it ends or dies.

        What one that was killed has left half-written is cleared away.
        """
        message = f"another process trains in {self.path}"
        otherwise = f"{message}; wait for its end or choose another output"
        with held_alone(self.path, otherwise=otherwise):
            remove_remains(self._written)
            yield

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, **state}, buffer)
        write_atomically(self.checkpoint, buffer.getvalue())

    def load_checkpoint(self) -> dict[str, Any]:
        """Raises :class:`UsageError` where there is none that can be read."""
        if not self.checkpoint.is_file():
            raise UsageError(f"nothing to resume: {self.checkpoint} does not exist")
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            newer, older = state["format"] > FORMAT, state["format"] < FORMAT
        except Exception as error:  # torch raises many kinds for a damaged file
            raise self.damaged() from error
        if newer:
            raise UsageError(f"{self.checkpoint} was made by a newer styleforge; upgrade it")
        if older:
            raise UsageError(
                f"{self.checkpoint} was made by an older styleforge; start anew with `force`"
            )
        return dict(state)

    def damaged(self) -> UsageError:
        """What is said of a checkpoint that cannot be gone on from."""
        return UsageError(f"{self.checkpoint} is damaged; start anew with `force`")

    def save_best(self, info: ModelInfo, network: nn.Module) -> None:
        save_model(self.best, info, network)

    def save_sheet(self, image: Tensor) -> None:
        write_atomically(self.sheet, encode_image(image, "JPEG"))

    def append(self, record: Mapping[str, Any]) -> None:
        """One line of JSON."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop the log's lines of steps that will be taken again."""
        kept = [record for record in self.records() if record["step"] <= step]
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomically(self.log, lines.encode())

    def records(self) -> list[dict[str, Any]]:
        """The log's lines, without those that a crash, a full disk or anything else damaged."""
        if not self.log.is_file():
            return []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [record for line in lines if (record := _record(line)) is not None]

    def draw(self) -> None:
        """Training and validation losses against steps."""
        from matplotlib.figure import Figure  # slow to import

        records = self.records()
        steps = [record["step"] for record in records]
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name, values in (("training", "loss"), ("validation", "validation")):
            for term, line in (("total", "-"), ("content", "--"), ("style", ":")):
                losses = [record[values][term] for record in records]
                color = "C0" if name == "training" else "C1"
                axes.plot(steps, losses, line, color=color, label=f"{name}, {term}")
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        axes.legend(fontsize="small")
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=120)
        write_atomically(self.plot, buffer.getvalue())


def _record(line: str) -> dict[str, Any] | None:
    """A line's values, if all that is drawn is among them."""
    try:
        record: dict[str, Any] = parse_json(line)
        _Record.model_validate(record)
    except ValueError:
        return None
    return record
