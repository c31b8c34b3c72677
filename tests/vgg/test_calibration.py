from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from styleforge.core.layers import CONVOLUTIONS, LAYERS
from styleforge.core.resources import resource
from styleforge.images.folder import pictures_in
from styleforge.vgg import calibration as normalization
from styleforge.vgg.calibration import (
    FLOOR,
    mean_activations,
    measure,
    normalize,
    normalized_weights,
)
from styleforge.vgg.network import VGG19, Padding, Pooling
from styleforge.vgg.weights import Weights


@pytest.fixture(scope="module")
def means(weights: Weights, photo: Tensor, painting: Tensor) -> dict[str, Tensor]:
    return mean_activations(weights, [photo, painting], pooling="avg", padding="replicate")


@pytest.fixture(scope="module")
def normalized(weights: Weights, means: dict[str, Tensor]) -> Weights:
    return normalize(weights, means)


@pytest.fixture
def unknown(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights that no shipped means belong to; small photographs, and a cache of their own."""
    monkeypatch.setattr(normalization, "MEASURED_SIZE", 32)
    monkeypatch.setattr(normalization, "user_cache_path", lambda name: tmp_path / name)
    return replace(weights, sha256="0" * 64)


def means_of(
    weights: Weights,
    monkeypatch: pytest.MonkeyPatch,
    pooling: Pooling = "avg",
    padding: Padding = "replicate",
) -> dict[str, Tensor]:
    """The mean activations that ``normalized_weights`` divides by."""
    used: list[dict[str, Tensor]] = []
    with monkeypatch.context() as patch:
        patch.setattr(normalization, "normalize", lambda _, means: used.append(means))
        normalized_weights(weights, pooling=pooling, padding=padding)
    return used[0]


@pytest.mark.slow
def test_mean_activation_is_1_where_it_was_measured(
    normalized: Weights, means: dict[str, Tensor], photo: Tensor, painting: Tensor
) -> None:
    again = mean_activations(normalized, [photo, painting], pooling="avg", padding="replicate")
    for name, mean in means.items():
        above = mean > FLOOR * mean.mean()
        assert above.any(), name
        torch.testing.assert_close(again[name][above], torch.ones(above.sum()), rtol=1e-4, atol=0)
        assert (again[name][~above] <= 1.0001).all(), name


def test_normalizing_only_scales_each_filter(
    weights: Weights, normalized: Weights, means: dict[str, Tensor], photo: Tensor
) -> None:
    with torch.no_grad():
        plain = VGG19(weights, LAYERS)(photo)
        scaled = VGG19(normalized, LAYERS)(photo)
    scale = torch.ones(1)
    for name in LAYERS:
        if name in means:
            scale = means[name].clamp(min=FLOOR * means[name].mean().item()).view(1, -1, 1, 1)
        error = (scaled[name] * scale - plain[name]).abs().max() / plain[name].abs().max()
        assert error < 1e-5, name


def test_each_image_counts_the_same_whatever_its_size(
    weights: Weights, photo: Tensor, painting: Tensor, means: dict[str, Tensor]
) -> None:
    layer = "relu1_1"
    with torch.no_grad():
        network = VGG19(weights, [layer])
        singly = [network(image)[layer].mean((0, 2, 3)) for image in (photo, painting)]
    torch.testing.assert_close(means["conv1_1"], (singly[0] + singly[1]) / 2)


def test_mean_activations_need_an_image(weights: Weights) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        mean_activations(weights, [], pooling="avg", padding="replicate")


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("padding", ["replicate", "zeros"])
def test_means_of_the_original_weights_ship(
    pooling: Pooling, padding: Padding, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalization, "_cached_means", lambda *_: pytest.fail("none ship"))
    means = means_of(weights, monkeypatch, pooling, padding)
    assert {name: len(mean) for name, mean in means.items()} == CONVOLUTIONS
    assert all((mean >= 0).all() and mean.mean() > 0 for mean in means.values())


def test_shipped_means_are_of_the_size_of_measured_ones(
    weights: Weights, means: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shipped in means_of(weights, monkeypatch).items():
        assert 1 / 3 < shipped.mean() / means[name].mean() < 3, name


@pytest.mark.parametrize("padding", ["replicate", "zeros"])
def test_shipped_means_of_max_pooling_exceed_those_of_average(
    padding: Padding, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    average = means_of(weights, monkeypatch, "avg", padding)
    largest = means_of(weights, monkeypatch, "max", padding)
    for name in CONVOLUTIONS:
        if name.startswith("conv1"):  # above all pooling
            torch.testing.assert_close(average[name], largest[name])
        else:
            assert largest[name].mean() > 1.1 * average[name].mean(), name


@pytest.mark.slow
def test_unknown_weights_are_measured_on_the_sample_photographs_once(
    unknown: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = means_of(unknown, monkeypatch)
    samples = pictures_in(resource("sample_images") / "content", recursive=True)
    torch.testing.assert_close(first, measure(unknown, samples, pooling="avg", padding="replicate"))
    (cached,) = (tmp_path / "styleforge").iterdir()
    assert cached.name == "mean_activations-000000000000-avg-replicate.safetensors"
    monkeypatch.setattr(normalization, "measure", lambda *_, **__: pytest.fail("measured again"))
    torch.testing.assert_close(means_of(unknown, monkeypatch), first, rtol=0, atol=0)


DAMAGED = {
    "empty": b"",
    "junk": b"damaged " * 9,
    "wrong shapes": save({name: torch.rand(2, n) for name, n in CONVOLUTIONS.items()}),
    "another checksum": save(
        {name: torch.rand(n) for name, n in CONVOLUTIONS.items()}, {"sha256": "0" * 64}
    ),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_cache_is_measured_again(
    content: bytes, unknown: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = {name: torch.rand(filters) for name, filters in CONVOLUTIONS.items()}
    monkeypatch.setattr(normalization, "measure", lambda *_, **__: fresh)
    path = tmp_path / "styleforge" / "mean_activations-000000000000-avg-replicate.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    assert means_of(unknown, monkeypatch) is fresh
    torch.testing.assert_close(means_of(unknown, monkeypatch), fresh)
    monkeypatch.setattr(normalization, "measure", lambda *_, **__: pytest.fail("not mended"))
    torch.testing.assert_close(means_of(unknown, monkeypatch), fresh, rtol=0, atol=0)


def test_cache_that_cannot_be_written_is_no_error(
    unknown: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = {name: torch.rand(filters) for name, filters in CONVOLUTIONS.items()}
    monkeypatch.setattr(normalization, "measure", lambda *_, **__: fresh)
    (tmp_path / "styleforge").write_text("a file where the folder should be")
    assert means_of(unknown, monkeypatch) is fresh
