from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.images.geometry import fit_size, resize
from styleforge.losses.objective import gram_matrix
from styleforge.presets.transfer import load_preset
from styleforge.transfers.patches import PATCH_LAYERS
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.score import CONTENT_LAYERS, STYLE_LAYERS, Score, relative_distance, score
from styleforge.transfers.studio import Studio
from styleforge.vgg.weights import Weights

SIZE = 64


def of(
    picture: Tensor,
    photo: Tensor,
    *styles: Tensor | tuple[Tensor, float],
    weights: Weights,
    size: int = SIZE,
) -> Score:
    weighted = [style if isinstance(style, tuple) else (style, 1.0) for style in styles]
    return score(picture, photo, weighted, weights=weights, size=size)


def plain_features(weights: Weights, image: Tensor) -> dict[str, Tensor]:
    """VGG-19 as published, with torch's own layers: features after the ReLUs."""
    x, features = image - weights.mean.view(1, 3, 1, 1), {}
    for name, kernel in weights.kernels.items():
        if name.endswith("_1") and name != "conv1_1":
            x = F.max_pool2d(x, 2)
        x = F.relu(F.conv2d(x, kernel, weights.biases[name], padding=1))
        features[name] = x
    return features


def plain_distance(x: Tensor, target: Tensor) -> float:
    return (((x - target) ** 2).sum() / (target**2).sum()).item()


def similarities(x: Tensor, painting: Tensor) -> Tensor:
    """All centered cosines of (1, N, H, W) and another in float64: (positions, positions)."""
    f, s = (own[0].flatten(1).double() for own in (x, painting))
    f, s = f - f.mean(1, keepdim=True), s - s.mean(1, keepdim=True)
    return F.normalize(f, dim=0).T @ F.normalize(s, dim=0)


def test_the_content_image_is_no_distance_from_itself(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    found = of(photo, photo, painting, weights=weights)
    assert found.size == (64, 43)
    assert found.content == dict.fromkeys(CONTENT_LAYERS, 0.0)
    assert (found.ssim, found.mean_content) == (1, 0)
    assert found.content_color == pytest.approx(0, abs=1e-6)
    assert found.leak == pytest.approx(1)
    assert min(found.style.values()) > 0.05
    assert found.style_color > 0.05
    assert min(found.nearness.values()) > 0.05


def test_the_style_image_is_no_distance_from_itself(painting: Tensor, weights: Weights) -> None:
    found = of(painting, 1 - painting, painting, weights=weights)
    assert found.style == dict.fromkeys(STYLE_LAYERS, pytest.approx(0, abs=1e-10))
    assert found.mean_style == pytest.approx(0, abs=1e-10)
    assert found.style_color == pytest.approx(0, abs=1e-6)
    assert found.nearness == dict.fromkeys(PATCH_LAYERS, pytest.approx(0, abs=1e-5))
    assert found.mean_nearness == pytest.approx(0, abs=1e-5)
    assert found.usage == 1
    assert min(found.content.values()) > 0.05
    assert found.ssim < 0
    assert found.leak == pytest.approx(-1)


@pytest.mark.slow
def test_convention_the_judge_is_vgg19_as_published(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    picture = (0.5 * photo + 0.25).flip(3)
    found = of(picture, photo, painting, weights=weights)
    x, p, a = (plain_features(weights, image) for image in (picture, photo, painting))
    for name in CONTENT_LAYERS:
        assert found.content[name] == pytest.approx(plain_distance(x[name], p[name]), rel=1e-3)
    for name in STYLE_LAYERS:
        expected = plain_distance(gram_matrix(x[name]), gram_matrix(a[name]))
        assert found.style[name] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_convention_patches_are_the_published_networks_after_the_relus(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    found = of(photo, photo, (painting, 1.0), (1 - painting, 5.0), weights=weights)
    x, a, b = (plain_features(weights, image) for image in (photo, painting, 1 - painting))
    for name in PATCH_LAYERS:
        distances = 1 - similarities(x[name], torch.cat([a[name], b[name]], 3))
        assert found.nearness[name] == pytest.approx(distances.min(1).values.mean().item(), 1e-3)
        if name == "conv3_4":
            used = len(distances.argmin(1).unique())
            assert found.usage == pytest.approx(used / len(distances), abs=0.02)


@pytest.mark.slow
def test_convention_everything_is_brought_to_the_content_images_shape_and_one_longest_side(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    picture = resize(photo.flip(3), (97, 64))
    found = of(picture, photo, painting, weights=weights, size=48)
    assert found.size == (48, 32)
    small, photo_small = resize(picture, (48, 32)), resize(photo, (48, 32))
    painting_small = resize(painting, fit_size((51, 64), 48))
    assert found == of(small, photo_small, painting_small, weights=weights, size=48)


@pytest.mark.slow
def test_styles_blend_as_in_a_transfer(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    other = 1 - painting
    twice = of(photo, photo, (painting, 1.0), (painting, 3.0), weights=weights)
    assert twice.style == pytest.approx(of(photo, photo, painting, weights=weights).style)
    blend = of(photo, photo, (painting, 3.0), (other, 1.0), weights=weights)
    x, a, b = (plain_features(weights, image) for image in (photo, painting, other))
    for name in STYLE_LAYERS:
        target = 0.75 * gram_matrix(a[name]) + 0.25 * gram_matrix(b[name])
        expected = plain_distance(gram_matrix(x[name]), target)
        assert blend.style[name] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_transfer_lies_between_its_content_and_its_style(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    photo, painting = resize(photo, (48, 40)), resize(painting, (48, 40))
    preset = load_preset("painterly", {"size": 48, "scales": None, "optimizer.steps": 6})
    run = StyleTransfer(Studio([(painting, 1.0)], preset, weights=weights), photo)
    list(run)
    before, after, style = (
        of(picture, photo, painting, weights=weights, size=48)
        for picture in (photo, run.image(), painting)
    )
    assert style.mean_style < after.mean_style < before.mean_style
    assert before.mean_content < after.mean_content < style.mean_content
    assert before.ssim > after.ssim > style.ssim
    assert style.style_color < after.style_color < before.style_color
    assert before.content_color < after.content_color < style.content_color
    assert before.mean_nearness > after.mean_nearness > style.mean_nearness
    assert before.leak > after.leak > style.leak
    assert 0 < after.usage < style.usage


def test_a_relative_distance_does_not_depend_on_the_scale() -> None:
    x, target = torch.rand(2, 1, 4, 5, 6)
    expected = relative_distance(x, target)
    assert relative_distance(100 * x, 100 * target) == pytest.approx(expected)
    assert relative_distance(torch.zeros_like(x), target) == pytest.approx(1)
    assert relative_distance(2 * target, target) == pytest.approx(1)


@pytest.mark.parametrize("width", [60, 68])
def test_a_picture_of_another_shape_is_refused(
    photo: Tensor, painting: Tensor, weights: Weights, width: int
) -> None:
    with pytest.raises(UsageError) as error:
        of(resize(photo, (width, 43)), photo, painting, weights=weights)
    assert str(error.value) == (
        f"the picture is {width} x 43 pixels and the content image 64 x 43: "
        "they must have the same proportions; crop one of them"
    )


def test_a_shape_that_differs_by_rounding_is_taken(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    found = of(resize(photo, (65, 43)), photo, painting, weights=weights)
    assert found.size == (64, 43)
    assert found.ssim > 0.9
