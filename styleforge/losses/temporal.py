"""The temporal loss of films (Ruder et al. 2016): a frame stays what the one before it was, moved.

L_t = weight mean(m (x - y)^2)      y: the last result, moved; m: where it can be followed

A frame takes only a few steps, and they are to go where it is new. So what is optimised is not the
picture x but z in x = z + s m (y - z), with a stiffness s: what is known changes less by a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from styleforge.images.geometry import resize, size_of
from styleforge.losses.objective import Loss


class Held(NamedTuple):
    """What a picture is held to: y (1, 3, H, W) in [0, 1] and m (1, 1, H, W) in [0, 1].

    ``new`` (1, 1, H, W) is how much of its fine detail a place takes from the painting at first.
    """

    target: Tensor
    share: Tensor
    new: Tensor
    weight: float
    stiffness: float = 0.0

    def like(self, image: Tensor) -> Held:
        """At the size of an image, on its device."""
        target, share, new = (resize(part, size_of(image)).to(image) for part in self[:3])
        return Held(target, share, new, self.weight, self.stiffness)

    def kept(self, image: Tensor) -> Tensor:
        """X = z + s m (y - z), of z (1, 3, H, W)."""
        return torch.lerp(image, self.target, self.stiffness * self.share)


def temporal_loss(image: Tensor, held: Held) -> Tensor:
    """mean(m (x - y)^2) of an image (1, 3, H, W), a scalar, without the weight."""
    return (held.share * (image - held.target).square()).mean()


def holding(objective: Callable[[Tensor], Loss], held: Held) -> Callable[[Tensor], Loss]:
    """The objective of z, with the temporal loss in its total."""

    def held_objective(image: Tensor) -> Loss:
        image = held.kept(image)
        loss = objective(image)
        return loss._replace(total=loss.total + held.weight * temporal_loss(image, held))

    return held_objective
