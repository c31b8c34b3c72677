from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.losses.objective import Loss, total_variation
from styleforge.losses.temporal import Held, holding, temporal_loss


def held(photo: Tensor, share: float, **settings: float) -> Held:
    parts = torch.full_like(photo[:, :1], share)
    return Held(1 - photo, parts, 1 - parts, weight=300.0, **settings)


def smooth(image: Tensor) -> Loss:
    zero, tv = torch.zeros(()), total_variation(image)
    return Loss(tv, zero, zero, tv)


def test_convention_the_loss_is_a_mean_of_squares_by_share() -> None:
    """By hand: y = 0.5, x = 0.7: 0.25 * 0.04, and 300 of it beside the objective."""
    grey = torch.full((1, 3, 8, 8), 0.5)
    x = grey + 0.2
    assert temporal_loss(x, held(grey, 0.25)).item() == pytest.approx(0.01)
    assert holding(smooth, held(grey, 0.25))(x).total.item() == pytest.approx(3.0)


def test_convention_what_is_known_is_nearer_to_the_last_result() -> None:
    """By hand: z + 0.5 * 0.8 (y - z) with y = 1 and z = 0.5: 0.7."""
    z = torch.full((1, 3, 8, 8), 0.5)
    kept = held(torch.zeros_like(z), 0.8, stiffness=0.5).kept(z)
    torch.testing.assert_close(kept, torch.full_like(z, 0.7))


def test_what_is_new_has_the_larger_gradient(photo: Tensor) -> None:
    parts = torch.zeros_like(photo[:, :1])
    parts[..., 32:] = 1
    free, stiff = (Held(photo, parts, 1 - parts, 0.0, stiffness) for stiffness in (0.0, 0.75))
    gradients = []
    for one in (free, stiff):
        z = photo.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(holding(smooth, one)(z).total, z)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[1][..., 33:], 0.25 * gradients[0][..., 33:])
    torch.testing.assert_close(gradients[1][..., :31], gradients[0][..., :31])


def test_at_the_size_of_a_scale(photo: Tensor) -> None:
    small = held(photo, 0.8, stiffness=0.5).like(photo[..., ::2, ::2])
    assert small.target.shape == (1, 3, 22, 32)
    assert small.share.shape == small.new.shape == (1, 1, 22, 32)
    assert (small.weight, small.stiffness) == (300.0, 0.5)
