from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge import estimate as estimate_module
from styleforge.errors import OutOfMemoryError
from styleforge.estimate import bytes_per_pixel, ensure_memory, estimate, peak_memory
from styleforge.layers import LAYERS
from styleforge.optimize.scales import Scale
from styleforge.vgg import VGG19
from styleforge.weights import Weights

CPU = torch.device("cpu")
SCALES = [Scale((40, 30), 5), Scale((80, 60), 7)]


@pytest.fixture(scope="module")
def network(weights: Weights) -> VGG19:
    return VGG19(weights, ["relu1_1", "relu2_1"])


def test_evaluations_are_steps_and_one_start_a_scale(network: VGG19) -> None:
    assert estimate(network, SCALES, device=CPU).evaluations == 6 + 8


def test_seconds_are_measured_speed_times_pixels_and_evaluations(
    network: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate_module, "_seconds_per_pixel", lambda *_: 1e-3)
    targets = 1
    expected = 1e-3 * (40 * 30 * (6 + targets) + 80 * 60 * (8 + targets))
    assert estimate(network, SCALES, device=CPU).seconds == pytest.approx(expected)


def test_speed_is_measured(network: VGG19) -> None:
    assert 0 < estimate(network, SCALES, device=CPU).seconds < 60


def test_memory_follows_the_largest_scale(network: VGG19) -> None:
    both, small, large = (
        estimate(network, scales, device=CPU).memory for scales in (SCALES, SCALES[:1], SCALES[1:])
    )
    assert both == large
    per_pixel = bytes_per_pixel(network.sequence)
    assert large - small == pytest.approx(per_pixel * (80 * 60 - 40 * 30), abs=2)


def free_beside_this_process(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "free_memory", lambda _: size)


def test_run_that_fits_is_let_through(network: VGG19, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = peak_memory(network, 400 * 300, device=CPU) - peak_memory(network, 0, device=CPU)
    free_beside_this_process(needed, monkeypatch)
    ensure_memory(network, (400, 300), device=CPU)
    free_beside_this_process(needed - 1, monkeypatch)
    with pytest.raises(OutOfMemoryError):
        ensure_memory(network, (400, 300), device=CPU)


def test_run_that_does_not_fit_names_a_size_that_does(
    network: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_beside_this_process(2**30, monkeypatch)
    needed = peak_memory(network, 4000 * 3000, device=CPU) / 2**30
    free = 1 + peak_memory(network, 0, device=CPU) / 2**30
    with pytest.raises(OutOfMemoryError) as caught:
        ensure_memory(network, (4000, 3000), device=CPU)
    message, size = str(caught.value).split("; try --size ")
    assert message == (
        f"4000 x 3000 pixels need about {needed:.1f} GiB of memory and {free:.1f} GiB are there"
    )
    assert 256 < int(size) < 4000
    ensure_memory(network, (int(size), int(size) * 3 // 4), device=CPU)


def test_no_memory_at_all_is_not_answered_with_size_0(
    network: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_beside_this_process(0, monkeypatch)
    with pytest.raises(OutOfMemoryError, match=r"GiB are there; free some memory$"):
        ensure_memory(network, (400, 300), device=CPU)


def test_bytes_per_pixel_by_hand() -> None:
    sequence = LAYERS[: LAYERS.index("conv2_1") + 1]
    features = 64 + 64 + 64 / 4 + 128 / 4  # conv1_1, conv1_2, pool1, conv2_1
    fixed = bytes_per_pixel([])
    assert bytes_per_pixel(sequence) - fixed == 4 * features
    assert bytes_per_pixel([*sequence, "relu2_1"]) == bytes_per_pixel(sequence)


def test_saved_features_are_no_more_than_counted(weights: Weights, photo: Tensor) -> None:
    layers = LAYERS[: LAYERS.index("relu4_2") + 1]
    network = VGG19(weights, ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2"])
    saved: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return x

    image = photo.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        features = network(image)
    assert features["relu4_2"].requires_grad
    pixels = photo.shape[2] * photo.shape[3]
    counted = (bytes_per_pixel(layers) - bytes_per_pixel([])) * pixels
    assert 0.7 * counted < sum(saved.values()) <= 1.01 * counted
