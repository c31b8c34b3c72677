from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.images.colors import luminance
from styleforge.images.geometry import resize
from styleforge.losses import neighbors
from styleforge.losses.neighbors import Matches
from styleforge.transfers.patches import (
    PATCH_LAYERS,
    closest,
    high_band,
    leak,
    nearness,
    patches,
    usage,
)


def places(*vectors: tuple[float, ...]) -> Tensor:
    """Features (1, N, 1, M) with these vectors at the M positions."""
    return torch.tensor(vectors, dtype=torch.float32).T[None, :, None]


def random_features(seed: int, channels: int = 16, height: int = 6, width: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator)


def similarities(features: Tensor, paintings: Tensor) -> Tensor:
    """All of them, (Q, K), in float64 and by the definition, from rows (Q, N) and (K, N)."""
    f, s = features.double(), paintings.double()
    return F.cosine_similarity((f - f.mean(0))[:, None], (s - s.mean(0))[None], dim=2)


def rows(*features: Tensor) -> Tensor:
    return torch.cat([own[0].flatten(1).T for own in features])


def test_nearness_worked_by_hand() -> None:
    # Around the means (2, 1) and (0, 0): (1, 0) and (-1, 0); (1, 1), (-1, 1) and (0, -2).
    found = closest(places((3, 1), (1, 1)), [places((1, 1), (-1, 1), (0, -2))])
    assert found.places.tolist() == [0, 1]
    assert nearness(found) == pytest.approx(1 - 1 / math.sqrt(2))
    assert usage(found, 3) == 1  # two patches have no more than two nearest ones


def test_what_is_like_nothing_is_one_away_and_the_opposite_two() -> None:
    # Around the means: (2, 0) and (-1, 0) twice; (0, 1) and (0, -1).
    found = closest(places((3, 0), (0, 0), (0, 0)), [places((5, 1), (5, -1))])
    assert nearness(found) == pytest.approx(1)
    assert nearness(Matches(torch.tensor([0, 0]), torch.tensor([-1.0, -1.0]))) == 2


@pytest.mark.parametrize(
    ("found", "positions", "expected"),
    [
        ([0, 0, 2, 2], 3, 2 / 3),
        ([0, 0, 2, 2], 10, 2 / 4),
        ([2, 1, 0, 1], 3, 1),
        ([7, 3, 8, 1], 10, 1),
        ([5, 5, 5, 5], 10, 1 / 4),
    ],
)
def test_usage_worked_by_hand(found: list[int], positions: int, expected: float) -> None:
    assert usage(Matches(torch.tensor(found), torch.ones(4)), positions) == expected


def test_a_painting_has_all_its_own_patches() -> None:
    features = {layer: random_features(number) for number, layer in enumerate(PATCH_LAYERS)}
    found = patches(features, [features])
    assert found.nearness == dict.fromkeys(PATCH_LAYERS, pytest.approx(0, abs=1e-6))
    assert found.usage == 1


def test_a_painting_repeated_and_stirred_is_as_near() -> None:
    features = random_features(0)
    stirred = torch.cat([features, features.flip(3)], 2).roll(3, 2)
    found = closest(stirred, [features])
    assert nearness(found) == pytest.approx(0, abs=1e-6)
    assert usage(found, 42) == 1


def test_features_of_another_scale_and_brightness_are_as_near() -> None:
    features, painting = random_features(0), random_features(1)
    expected = nearness(closest(features, [painting]))
    changed = closest(3 * features + torch.rand(1, 16, 1, 1), [0.5 * painting + 2])
    assert nearness(changed) == pytest.approx(expected, abs=1e-5)


def test_it_is_what_all_similarities_say() -> None:
    features, one, other = random_features(0), random_features(1), random_features(2, width=9)
    expected = similarities(rows(features), rows(one, other)).max(1)
    found = closest(features, [one, other])
    assert found.places.equal(expected.indices)
    assert nearness(found) == pytest.approx((1 - expected.values).mean().item(), abs=1e-6)
    distinct = len(set(expected.indices.tolist()))
    assert usage(found, 42 + 54) == distinct / 42


def test_styles_are_taken_together() -> None:
    one, other = random_features(1), random_features(2)
    both = {layer: torch.cat([one, other], 3) for layer in PATCH_LAYERS}
    apart = [dict.fromkeys(PATCH_LAYERS, one), dict.fromkeys(PATCH_LAYERS, other)]
    found = patches(both, apart)
    assert found.nearness == dict.fromkeys(PATCH_LAYERS, pytest.approx(0, abs=1e-6))
    assert found.usage == 1


@pytest.mark.parametrize("block", [1, 42, 5 * 42, 1 << 20])
def test_the_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    features, painting = random_features(0), random_features(1)
    expected = similarities(rows(features), rows(painting)).max(1)
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    found = closest(features, [painting])
    assert found.places.equal(expected.indices)
    assert found.similarity.double().numpy() == pytest.approx(expected.values.numpy(), abs=1e-6)


def stripes(across: float, along: float, side: int = 32) -> Tensor:
    """A luminance (1, 1, H, W) that alternates from pixel to pixel in both directions."""
    signs = 1 - 2 * (torch.arange(side) % 2)
    return (0.5 + across * signs[None] + along * signs[:, None])[None, None]


def test_a_leak_worked_by_hand() -> None:
    photo = stripes(0.3, 0)
    assert leak(stripes(0.1, 0), photo) == pytest.approx(1)
    assert leak(stripes(-0.1, 0), photo) == pytest.approx(-1)
    assert leak(stripes(0, 0.3), photo) == pytest.approx(0, abs=1e-9)
    assert leak(stripes(0.3, 0.4), photo) == pytest.approx(0.6)  # 3 / sqrt(3^2 + 4^2)


@pytest.mark.parametrize("period", [8, 16, 32])
def test_convention_the_high_band_is_what_a_gaussian_of_2_pixels_takes_away(period: int) -> None:
    wave = torch.cos(2 * math.pi * torch.arange(period + 1) / period).expand(1, 1, 33, -1)
    kept = 1 - math.exp(-2 * (math.pi * 2 / period) ** 2)
    assert high_band(wave).numpy() == pytest.approx(kept * wave.numpy(), abs=2e-4)


def test_the_photo_leaks_wholly_whatever_its_brightness_and_contrast(photo: Tensor) -> None:
    light = luminance(photo)
    assert leak(light, light) == pytest.approx(1, abs=1e-12)
    assert leak(0.3 * light + 0.5, light) == pytest.approx(1, abs=1e-6)
    assert leak(1 - light, light) == pytest.approx(-1, abs=1e-6)


def test_another_picture_does_not_leak(photo: Tensor, painting: Tensor) -> None:
    other = resize(painting, (photo.shape[3], photo.shape[2]))
    assert abs(leak(luminance(other), luminance(photo))) < 0.1


def test_nothing_leaks_into_or_from_a_flat_picture(photo: Tensor) -> None:
    light, flat = luminance(photo), torch.full((1, 1, 43, 64), 0.3)
    assert (leak(flat, light), leak(light, flat), leak(flat, flat)) == (0, 0, 0)
