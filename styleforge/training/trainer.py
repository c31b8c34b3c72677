"""One generator, one optimiser: a step of training, and all the state that it depends on."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from styleforge.losses.objective import Loss
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import style_parameters
from styleforge.optimize.evaluation import LossValues
from styleforge.presets.training import Schedule, TrainingPreset
from styleforge.training.distributed import Processes
from styleforge.training.objective import BatchObjective
from styleforge.training.stability import instability, windows

_BETAS = (0.9, 0.99)
_MAX_SETBACKS = 5

_FULL_RATE_INPUTS = 300
"""The last convolution learns at the full rate with at most so many inputs."""

_FORGETTING = 10
"""The first means are of about the last one in so many of the steps."""


class _OptimizerState(BaseModel, arbitrary_types_allowed=True):
    """Of torch's Adam: moments by the parameter's number."""

    state: dict[int, dict[str, Tensor]]
    param_groups: list[dict[str, Any]]


class _State(BaseModel, strict=True, arbitrary_types_allowed=True):
    """The types of what the next step depends on."""

    step: int = Field(ge=0, lt=2**63)
    setbacks: int = Field(ge=0, le=_MAX_SETBACKS + 1)
    generator: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: _OptimizerState


class Trainer:
    """Trains a generator in place, by Adam (Kingma and Ba 2015).

    ``average`` is the running mean of its weights (Polyak and Juditsky 1992), which is steadier
    than the last of them. ``first_style``: only this style and those after it are trained, by
    their scales and shifts alone, and everything else stays as it is.
    """

    def __init__(
        self,
        generator: nn.Module,
        objective: BatchObjective,
        preset: TrainingPreset,
        *,
        styles: int,
        first_style: int | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.generator = generator
        self.average = copy.deepcopy(generator).requires_grad_(False).eval()
        self.step_count = 0
        self.setbacks = 0
        self._objective = objective
        self._preset = preset
        self._styles = styles
        self._first_style = first_style or 0
        self._processes = processes or Processes()
        self._device = next(generator.parameters()).device
        if first_style is not None:
            generator.requires_grad_(False)
            for parameter in style_parameters(generator):
                parameter.requires_grad_(True)
        groups = _parameter_groups(generator, preset.training.style_rate)
        self._optimizer = torch.optim.Adam(groups, betas=_BETAS)
        self._forward: nn.Module = (
            DistributedDataParallel(generator) if self._processes.count > 1 else generator
        )
        self._good: dict[str, Any] = self.state()

    def step(self, photos: Tensor | None, numbers: Sequence[int]) -> LossValues:
        """Learn from the samples with these numbers; photos are (B, 3, H, W) in [0, 1].

        A loss that is not finite takes everything back to the last :meth:`mark_good`, and halves
        the learning rate from there on. Raises FloatingPointError after five of them.
        """
        self.generator.train()
        for group in self._optimizer.param_groups:
            rate = learning_rate(self._preset.training, self.step_count, self.setbacks)
            group["lr"] = rate * group["share"]
        self._optimizer.zero_grad()
        schedule = self._preset.training
        if photos is not None and schedule.stability and self.step_count >= schedule.identity:
            loss = self._stable_loss(photos, numbers)
        else:
            identity = self.step_count < schedule.identity
            loss = self._loss(self._forward, photos, numbers, identity=identity)
        loss.total.backward()  # type: ignore[no-untyped-call]
        values = self._processes.mean(torch.stack(loss).detach())
        if not values.isfinite().all() or not self._gradients_are_finite():
            self._go_back()
        else:
            self._optimizer.step()
            self.step_count += 1
            self._update_average()
        return LossValues(*values.tolist())

    @torch.no_grad()
    def validate(self, photos: Tensor | None, numbers: Sequence[int]) -> LossValues:
        """The loss of the averaged generator."""
        loss = self._loss(self.average, photos, numbers)
        return LossValues(*torch.stack(loss).tolist())

    def mark_good(self) -> None:
        """Where to go back to when the loss is not finite."""
        self._good = self.state()

    def state(self) -> dict[str, Any]:
        """A copy of everything that the next step depends on."""
        return copy.deepcopy(
            {
                "step": self.step_count,
                "setbacks": self.setbacks,
                "generator": self.generator.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            }
        )

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`. Raises RuntimeError or ValueError for another network's."""
        self._check(state)
        self.step_count = state["step"]
        self.setbacks = state["setbacks"]
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._good = state

    def _check(self, state: dict[str, Any]) -> None:
        """Raise ValueError for what could be loaded but not be gone on from."""
        _State.model_validate(state)
        weights = [*state["generator"].values(), *state["average"].values()]
        if not all(x.isfinite().all() for x in weights):
            raise ValueError("weights that are no finite numbers")
        own, saved = self._optimizer.state_dict(), state["optimizer"]
        if _without_rates(saved["param_groups"]) != _without_rates(own["param_groups"]):
            raise ValueError("the optimizer's settings")
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        for number, moments in saved["state"].items():
            shapes = {name: x.shape for name, x in moments.items()}
            shape = parameters[number].shape
            if shapes != {"step": torch.Size(), "exp_avg": shape, "exp_avg_sq": shape}:
                raise ValueError("the optimizer's moments")

    def _loss(
        self,
        network: nn.Module,
        photos: Tensor | None,
        numbers: Sequence[int],
        *,
        identity: bool = False,
    ) -> Loss:
        chosen = self._style_of(numbers)
        if photos is not None:
            photos = photos.to(self._device, memory_format=torch.channels_last)
        pastiches = self._pastiches(network, photos, numbers, chosen)
        if identity and photos is not None:
            return _identity_loss(pastiches, photos)
        return self._objective(pastiches, photos, chosen.to(self._device))

    def _stable_loss(self, photos: Tensor, numbers: Sequence[int]) -> Loss:
        """With the loss of stability in the total; both windows in one batch."""
        photos = photos.to(self._device, memory_format=torch.channels_last)
        still, moved, shift = windows(photos, self._preset.seed * 1_000_003 + numbers[0])
        chosen = self._style_of(numbers)
        both = self._pastiches(
            self._forward, torch.cat([still, moved]), [*numbers, *numbers], chosen.repeat(2)
        )
        pastiches, others = both.chunk(2)
        loss = self._objective(pastiches, still, chosen.to(self._device))
        unstable = self._preset.training.stability * instability(pastiches, others, shift)
        return loss._replace(total=loss.total + unstable)

    def _pastiches(
        self, network: nn.Module, photos: Tensor | None, numbers: Sequence[int], chosen: Tensor
    ) -> Tensor:
        result: Tensor
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            if isinstance(self.generator, TextureNetwork):
                noise = [z.to(self._device) for z in self._noise(numbers)]
                result = network(noise, photos)
            else:
                mixture = nn.functional.one_hot(chosen, self._styles).float()
                result = network(photos, mixture.to(self._device))
        return result.float()

    def _style_of(self, numbers: Sequence[int]) -> Tensor:
        """Every sample's style: each of those that are trained has its turn."""
        trained = self._styles - self._first_style
        return torch.tensor([self._first_style + number % trained for number in numbers])

    def _noise(self, numbers: Sequence[int]) -> list[Tensor]:
        """Noise that follows from the samples' numbers, so that it can be had again."""
        assert isinstance(self.generator, TextureNetwork)
        crop = self._preset.training.crop
        samples = []
        for number in numbers:
            seed = self._preset.seed * 1_000_003 + number
            generator = torch.Generator().manual_seed(seed % 2**63)
            samples.append(self.generator.noise((crop, crop), generator))
        return [torch.cat(level) for level in zip(*samples, strict=True)]

    def _gradients_are_finite(self) -> bool:
        gradients = [p.grad for p in self.generator.parameters() if p.grad is not None]
        return bool(torch.nn.utils.get_total_norm(gradients).isfinite())

    def _go_back(self) -> None:
        setbacks = self.setbacks + 1
        self.load_state(self._good)
        self.setbacks = setbacks
        if setbacks > _MAX_SETBACKS:
            raise FloatingPointError(
                f"the loss was not finite {setbacks} times; use smaller weights or a smaller "
                "learning rate"
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        """An exponential mean; as long as there are few steps, of about the last tenth of them.

        It begins anew with the painting: what gave photos back is of no use to it.
        """
        schedule = self._preset.training
        painting = self.step_count > schedule.identity
        count = self.step_count - (schedule.identity if painting else 0)
        share = max(1 - schedule.average, _FORGETTING / (count + _FORGETTING - 1))
        own, average = self.generator.state_dict(), self.average.state_dict()
        for name, mean in average.items():
            if mean.is_floating_point():
                mean.lerp_(own[name], share)
            else:
                mean.copy_(own[name])


def _parameter_groups(generator: nn.Module, style_rate: float) -> list[dict[str, Any]]:
    """What is trained, and at which share of the learning rate.

    A step of Adam changes every weight by about as much. Behind the other convolutions is a
    normalisation, but what the last one makes changes with the number of its inputs: at the full
    rate a wide network would saturate at once (Yang and Hu 2021).
    """
    last = generator.get_submodule("output")
    inputs = last.weight[0].numel() if isinstance(last, nn.Conv2d) else 1
    special = {id(x): "output" for x in last.parameters()}
    if style_rate != 1:
        special |= {id(x): "styles" for x in style_parameters(generator)}
    shares = {"others": 1.0, "output": min(1.0, _FULL_RATE_INPUTS / inputs), "styles": style_rate}
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in shares}
    for parameter in generator.parameters():
        if parameter.requires_grad:
            groups[special.get(id(parameter), "others")].append(parameter)
    return [{"params": own, "share": shares[name]} for name, own in groups.items() if own]


def _without_rates(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The learning rate is set anew at every step."""
    return [{name: x for name, x in group.items() if name != "lr"} for group in groups]


def _identity_loss(pastiches: Tensor, photos: Tensor) -> Loss:
    """The mean square of what differs from the photos, all of it content."""
    loss = torch.nn.functional.mse_loss(pastiches, photos)
    zero = torch.zeros_like(loss)
    return Loss(loss, loss, zero, zero)


def learning_rate(schedule: Schedule, step: int, setbacks: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017)."""
    warm = min(1.0, (step + 1) / max(schedule.warm_up, 1))
    decay = 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
    return schedule.learning_rate * warm * decay * 0.5**setbacks
