from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import OutOfMemoryError
from styleforge.optimize.scales import Scale
from styleforge.presets.transfer import load_preset
from styleforge.transfers import estimate as estimate_module
from styleforge.transfers.estimate import (
    bytes_per_pixel,
    ensure_memory,
    estimate,
    extra_bytes,
    neighbor_bytes,
    peak_memory,
    tiling_within,
)
from styleforge.vgg.network import VGG19, Pooling
from styleforge.vgg.weights import Weights

CPU = torch.device("cpu")
PLENTY = 2**40
SCALES = [Scale((40, 30), 5), Scale((80, 60), 7)]


@pytest.fixture(scope="module")
def network(weights: Weights) -> VGG19:
    return VGG19(weights, ["relu1_1", "relu2_1"])


@pytest.mark.slow
def test_evaluations_are_steps_and_one_start_a_scale(network: VGG19) -> None:
    assert estimate(network, SCALES, device=CPU, memory=PLENTY).evaluations == 6 + 8


def test_seconds_are_measured_speed_times_pixels_and_evaluations(
    network: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate_module, "_seconds_per_pixel", lambda *_: 1e-3)
    targets = 1
    expected = 1e-3 * (40 * 30 * (6 + targets) + 80 * 60 * (8 + targets))
    assert estimate(network, SCALES, device=CPU, memory=PLENTY).seconds == pytest.approx(expected)


def test_each_scale_goes_by_the_speed_of_its_size(
    network: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def speed(_network: VGG19, _device: torch.device, side: int) -> float:
        asked.append(side)
        return {128: 4e-6, 256: 2e-6, 512: 1e-6}[side]

    monkeypatch.setattr(estimate_module, "_seconds_per_pixel", speed)
    scales = [Scale((128, 85), 4), Scale((256, 170), 4), Scale((512, 341), 4), Scale((900, 600), 4)]
    found = estimate(network, scales, device=CPU, memory=PLENTY).seconds
    small, middle, *large = (scale.size[0] * scale.size[1] for scale in scales)
    assert found == pytest.approx(6 * (4e-6 * small + 2e-6 * middle + 1e-6 * sum(large)))
    assert asked == [128, 256, 512]
    asked.clear()
    in_small_tiles = peak_memory(network, 0, device=CPU)
    estimate(network, scales[-1:], device=CPU, memory=in_small_tiles)
    assert asked == [256], "the smallest tiles are small images"


def test_speed_is_measured(network: VGG19) -> None:
    assert 0 < estimate(network, SCALES, device=CPU, memory=PLENTY).seconds < 60


@pytest.mark.slow
def test_memory_follows_the_largest_scale(network: VGG19) -> None:
    both, small, large = (
        estimate(network, scales, device=CPU, memory=PLENTY).memory
        for scales in (SCALES, SCALES[:1], SCALES[1:])
    )
    assert both == large
    per_pixel = bytes_per_pixel(network) + estimate_module._IMAGE_BYTES
    assert large - small == pytest.approx(per_pixel * (80 * 60 - 40 * 30), abs=2)


def test_run_that_fits_is_not_cut(network: VGG19) -> None:
    needed = peak_memory(network, 400 * 300, device=CPU)
    assert tiling_within(needed, network, 400 * 300, device=CPU) is None
    assert tiling_within(needed - 1, network, 400 * 300, device=CPU) is not None


def test_large_run_is_cut_into_tiles_that_fit(network: VGG19) -> None:
    pixels = 6000 * 4000
    whole = peak_memory(network, pixels, device=CPU)
    for memory in (whole // 2, whole // 3):
        tiling = tiling_within(memory, network, pixels, device=CPU)
        assert tiling is not None
        assert peak_memory(network, pixels, device=CPU, tiling=tiling) <= memory
        ensure_memory(memory, network, (6000, 4000), device=CPU)


def test_tiles_cost_a_forward_pass_and_what_overlaps(
    network: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate_module, "_seconds_per_pixel", lambda *_: 1e-9)
    scales = [Scale((6000, 4000), 10)]
    whole, cut = (
        estimate(network, scales, device=CPU, memory=memory).seconds
        for memory in (2**40, peak_memory(network, 6000 * 4000, device=CPU) // 2)
    )
    assert 1.5 * whole <= cut < 1.8 * whole


@pytest.mark.slow
def test_run_that_does_not_fit_in_tiles_names_a_size_that_does(network: VGG19) -> None:
    free = 2**30 + peak_memory(network, 0, device=CPU)
    with pytest.raises(OutOfMemoryError) as caught:
        ensure_memory(free, network, (24000, 18000), device=CPU)
    message, size = str(caught.value).split("; try `size` ")
    assert message.startswith("24000 x 18000 pixels need about ")
    assert message.endswith(f" GiB of memory and {free / 2**30:.1f} GiB are there")
    assert 256 < int(size) < 24000
    ensure_memory(free, network, (int(size), int(size) * 3 // 4), device=CPU)


def test_no_memory_at_all_is_not_answered_with_size_0(network: VGG19) -> None:
    with pytest.raises(OutOfMemoryError, match=r"GiB are there; free some memory$"):
        ensure_memory(0, network, (400, 300), device=CPU)


@pytest.mark.parametrize(("pooling", "pool"), [("max", 2 * 64 / 4), ("avg", 64)])
def test_bytes_per_pixel_by_hand(weights: Weights, pooling: Pooling, pool: float) -> None:
    """Floats of what is wanted, a byte of other ReLUs but before max pooling, two of a maximum."""
    network = VGG19(weights, ["relu1_1", "relu3_1"], pooling=pooling)
    other = VGG19(weights, ["relu1_1"], pooling=pooling)
    blocks = pool + 128 / 4 + (2 * 128 / 16 if pooling == "max" else 128 / 4) + 4 * 256 / 16
    assert bytes_per_pixel(network) - bytes_per_pixel(other) == blocks


def test_saved_features_are_no_more_than_counted(weights: Weights, photo: Tensor) -> None:
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
    counted = (bytes_per_pixel(network) - estimate_module._WORKING_BYTES) * pixels
    assert 0.9 * counted < sum(saved.values()) <= 1.01 * counted


def test_what_a_presets_targets_take_counts(network: VGG19) -> None:
    """Neighbors are as much again as the features at their layers."""
    painterly, gram = load_preset("painterly"), load_preset("gram")
    assert extra_bytes(gram) == 0
    assert extra_bytes(painterly) == pytest.approx(neighbor_bytes(painterly.neighbor_weights))
    scales = [Scale((512, 512), 1)]
    plain, more = (
        estimate(
            network, scales, device=CPU, memory=PLENTY, extra=extra, speed=lambda _: 1e-6
        ).memory
        for extra in (0.0, 1000.0)
    )
    assert more - plain == 1000 * 512**2
    with pytest.raises(OutOfMemoryError):
        ensure_memory(plain, network, (512, 512), device=CPU, extra=1e6)
