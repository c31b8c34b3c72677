from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.colors import color_distance, colors, luminance
from styleforge.networks.underpainting import Underpainting

ONE = torch.ones(1, 1)


def photo(height: int = 64, width: int = 80, seed: int = 0) -> Tensor:
    """Areas of colors."""
    small = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size=(height, width), mode="nearest")


def pastiche(height: int = 64, width: int = 80) -> Tensor:
    """Detail without areas."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))


def painted(painting: Tensor) -> Underpainting:
    underpainting = Underpainting()
    underpainting.learn(0, painting)
    return underpainting


def distance(one: Tensor, other: Tensor) -> float:
    return color_distance(*(colors([(image, 1.0)]) for image in (one, other)))


def test_a_flat_pastiche_becomes_the_photo_in_the_paintings_colors(painting: Tensor) -> None:
    gentle = 0.3 + 0.4 * painting
    flat = torch.full((1, 3, 64, 80), 0.5)
    made = painted(gentle)(flat, photo(), ONE)
    assert distance(made, gentle) < 0.07 < 0.1 < distance(flat, gentle)


def test_light_stays_light(painting: Tensor) -> None:
    """Whatever the hues: luminance alone decides about luminance."""
    made = painted(0.3 + 0.4 * painting)(torch.full((1, 3, 64, 80), 0.5), photo(), ONE)
    before, after = (luminance(image)[0, 0, 8::16, 8::16].flatten() for image in (photo(), made))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.99


def test_detail_is_the_pastiches_own(painting: Tensor) -> None:
    made = painted(painting)(0.4 + 0.2 * pastiche(), torch.full((1, 3, 64, 80), 0.5), ONE)
    change = made - (0.4 + 0.2 * pastiche())
    assert change.diff(dim=3).abs().max() < 0.02


def test_a_style_without_a_painting_has_none(painting: Tensor) -> None:
    underpainting = Underpainting(2)
    underpainting.learn(1, painting)
    assert not underpainting.covers(torch.tensor([[1.0, 0.0]]))
    assert underpainting.covers(torch.tensor([[0.9, 0.1]]))
    made = underpainting(pastiche(), photo(), torch.tensor([[1.0, 0.0]]))
    assert made.equal(pastiche())


def test_a_batch_of_different_styles(painting: Tensor) -> None:
    underpainting = Underpainting(2)
    underpainting.learn(0, painting)
    underpainting.learn(1, painting.flip(1))
    photos = torch.cat([photo(), photo(seed=1)])
    pastiches = torch.cat([pastiche(), pastiche().flip(3)])
    together = underpainting(pastiches, photos, torch.eye(2))
    for k in range(2):
        alone = underpainting(pastiches[k : k + 1], photos[k : k + 1], torch.eye(2)[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (63, 65)])
def test_any_size_is_kept(size: tuple[int, int], painting: Tensor) -> None:
    made = painted(painting)(pastiche(*size), photo(*size), ONE)
    assert made.shape == (1, 3, *size)
    assert made.isfinite().all()


def test_a_grey_photo_and_a_grey_painting(painting: Tensor) -> None:
    """What does not vary is not blown up."""
    grey = photo().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    noisy = grey + 1e-3 * (pastiche() - 0.5)
    underpainting = painted(painting)
    flat = torch.full((1, 3, 64, 80), 0.5)
    torch.testing.assert_close(
        underpainting(flat, noisy, ONE), underpainting(flat, grey, ONE), atol=0.02, rtol=0
    )
    made = painted(painting.mean(1, keepdim=True).expand(-1, 3, -1, -1))(flat, photo(), ONE)
    torch.testing.assert_close(made[:, 0], made[:, 2], atol=1e-3, rtol=0)


def test_gradients_reach_the_pastiche_alone(painting: Tensor) -> None:
    own = (0.4 + 0.2 * pastiche()).requires_grad_()
    underpainting = painted(painting)
    underpainting(own, photo(), ONE).square().mean().backward()
    assert own.grad is not None
    assert own.grad.abs().sum() > 0
    assert not [*underpainting.parameters()]


def test_within_autocast_it_is_as_exact(painting: Tensor) -> None:
    own, underpainting = (0.4 + 0.2 * pastiche()).bfloat16(), painted(painting)
    with torch.autocast("cpu", torch.bfloat16):
        found = underpainting(own, photo(), ONE)
    assert found.equal(underpainting(own.float(), photo(), ONE))
