"""The temporal loss of films (Ruder et al. 2016): a frame stays what the one before it was, moved.

L_t = weight mean(m (x - y)^2)      y: the last result, moved; m: where it can be followed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from styleforge.images.geometry import resize, size_of
from styleforge.losses.objective import Loss


class Held(NamedTuple):
    """What a picture is held to: y (1, 3, H, W) in [0, 1] and m (1, 1, H, W) in [0, 1]."""

    target: Tensor
    share: Tensor
    weight: float

    def like(self, image: Tensor) -> Held:
        """At the size of an image, on its device."""
        target, share = (resize(part, size_of(image)).to(image) for part in self[:2])
        return Held(target, share, self.weight)


def temporal_loss(image: Tensor, held: Held) -> Tensor:
    """mean(m (x - y)^2) of an image (1, 3, H, W), a scalar, without the weight."""
    return (held.share * (image - held.target).square()).mean()


def holding(objective: Callable[[Tensor], Loss], held: Held) -> Callable[[Tensor], Loss]:
    """The objective with the temporal loss in its total."""

    def held_objective(image: Tensor) -> Loss:
        loss = objective(image)
        return loss._replace(total=loss.total + held.weight * temporal_loss(image, held))

    return held_objective
