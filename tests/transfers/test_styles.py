from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.settings import validate
from styleforge.images.colors import colors, luminance
from styleforge.images.geometry import resize
from styleforge.losses.objective import GRAM, gram_matrix
from styleforge.presets.transfer import Preset
from styleforge.transfers.loss_network import loss_network
from styleforge.transfers.styles import StyleImage, StyleTargets, recolored, styles_by_layer
from styleforge.vgg.weights import Weights


def preset(**settings: Any) -> Preset:
    style = {"layers": {"conv1_1": 0.5, "conv2_1": 0.5}}
    return validate(Preset, {"network": {"normalized": False}, "style": style, **settings}, "test")


def targets(styles: list[StyleImage], weights: Weights, **settings: Any) -> StyleTargets:
    wanted = preset(**settings)
    network = loss_network(weights, wanted)
    return StyleTargets(network, wanted, styles, GRAM, lambda _: None)


@torch.no_grad()
def grams(image: Tensor, weights: Weights) -> dict[str, Tensor]:
    features = loss_network(weights, preset())(resize(image, (51, 64)))
    return {layer: gram_matrix(features[layer]) for layer in ("relu1_1", "relu2_1")}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([[]], [[0], [0]]),
        ([[], []], [[0, 1], [0, 1]]),
        ([["conv1_1"], ["conv2_1"]], [[0], [1]]),
        ([["relu1_1"], []], [[0, 1], [1]]),
        ([["conv2_1", "conv1_1"], ["conv2_1"]], [[0], [0, 1]]),
    ],
)
def test_styles_by_layer(chosen: list[list[str]], expected: list[list[int]]) -> None:
    found = styles_by_layer(chosen, preset())
    assert list(found) == ["relu1_1", "relu2_1"]
    assert list(found.values()) == expected


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([["conv1_1"], ["conv2_9"]], "conv2_9: unknown layer (did you mean conv2_2?)"),
        ([["middle"], []], "middle: unknown layer"),
        (
            [["conv5_1"], []],
            "conv5_1 is not one of the style layers, conv1_1, conv2_1; "
            "choose them with `style_layer`",
        ),
        (
            [["conv1_1"], ["relu1_1"]],
            "no style names the style layer conv2_1: give it to one, as in a.jpg@conv2_1, "
            "or choose other layers with `style_layer`",
        ),
    ],
)
def test_layers_that_styles_cannot_have(chosen: list[list[str]], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        styles_by_layer(chosen, preset())
    assert str(caught.value) == message


@torch.no_grad()
def test_each_layer_has_the_statistics_of_the_styles_that_name_it(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    other = painting.flip(1)
    styles = [StyleImage(painting, 3.0), StyleImage(other, 1.0, ["conv2_1"])]
    found = targets(styles, weights).everywhere(photo)
    one, two = grams(painting, weights), grams(other, weights)
    torch.testing.assert_close(found["relu1_1"], one["relu1_1"])
    expected = 0.75 * one["relu2_1"] + 0.25 * two["relu2_1"]
    torch.testing.assert_close(found["relu2_1"], expected)


@torch.no_grad()
def test_in_regions_each_style_has_its_own_target(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    other = painting.flip(1)
    styles = [StyleImage(painting), StyleImage(other, 1.0, ["conv2_1"])]
    left = torch.zeros(1, 1, *photo.shape[2:])
    left[..., :32] = 1
    found, places = targets(styles, weights).in_regions(photo, [left, 1 - left])
    one, two = grams(painting, weights), grams(other, weights)
    torch.testing.assert_close(found["relu1_1"], one["relu1_1"])
    torch.testing.assert_close(found["relu2_1"], torch.cat([one["relu2_1"], two["relu2_1"]]))
    assert places["relu1_1"].channels.shape == (1, 1, 43, 64)
    assert places["relu2_1"].channels.shape == (2, 1, 21, 32)
    torch.testing.assert_close(places["relu2_1"].shares, torch.tensor([0.5, 0.5]))


@torch.no_grad()
@pytest.mark.parametrize(("wanted", "same"), [("style", True), ("content", False)])
def test_targets_are_kept_unless_they_are_in_the_photos_colors(
    wanted: str, same: bool, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    made = targets([StyleImage(painting)], weights, colors=wanted)
    first, second = (made.everywhere(x)["relu1_1"] for x in (photo, photo.flip(1)))
    assert first.isclose(second).all() == same
    fresh = targets([StyleImage(painting)], weights, colors=wanted).everywhere(photo.flip(1))
    assert second.equal(fresh["relu1_1"])


def test_a_painting_in_the_photos_colors_has_their_mean_and_covariance(
    photo: Tensor, painting: Tensor
) -> None:
    found, wanted = (colors([(x, 1.0)]) for x in (recolored(painting, photo, "content"), photo))
    torch.testing.assert_close(found.mean, wanted.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.covariance, wanted.covariance, atol=1e-3, rtol=1e-3)


def test_a_painting_in_luminance_is_grey_and_as_light_as_the_photo(
    photo: Tensor, painting: Tensor
) -> None:
    found = recolored(painting, photo, "luminance")
    assert found[:, 0].equal(found[:, 2])
    torch.testing.assert_close(luminance(found).mean(), luminance(photo).mean())
    assert recolored(painting, photo, "style") is painting
