from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleforge.core.errors import OutOfMemoryError, UsageError
from styleforge.core.settings import validate
from styleforge.images.geometry import resize
from styleforge.images.load import MIN_SIDE
from styleforge.losses.objective import Objective, gram_matrix
from styleforge.optimize.coarse_to_fine import NOISE, Progress
from styleforge.optimize.minimize import Iterate, minimize
from styleforge.optimize.scales import Stage
from styleforge.presets.transfer import Preset, load_preset
from styleforge.transfers import estimate
from styleforge.transfers import run as transfer
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.studio import Studio, Styles
from styleforge.transfers.styles import StyleImage, style_size
from styleforge.vgg.weights import Weights
from tests.conftest import mostly_slow

SHALLOW: dict[str, Any] = {
    "network": {"normalized": False},
    "content": {"alpha": 1e-4, "layers": {"conv2_1": 1}},
    "style": {"beta": 1e-6, "layers": {"conv1_1": 1, "conv2_1": 1}},
    "optimizer": {"steps": 4},
    "scales": None,
    "size": 48,
}
"""Few and cheap layers, for what does not depend on them."""

TWO_SCALES: dict[str, Any] = {"scales": {"start": 32, "steps": 3}, "size": 64}
NEIGHBORS: dict[str, Any] = {
    "network": {"normalized": True},
    "content": {"alpha": 0.01, "layers": {"conv2_1": 1}},
    "style": {"beta": 0, "layers": {"conv1_1": 1, "conv2_1": 1}},
    "neighbors": {"weight": 1, "layers": {"conv1_2": 1, "pool2": 1}, "rounds": 2},
    "optimizer": {"steps": 8},
    "scales": {"start": 32, "steps": 4, "detail": 0},
    "size": 64,
}
CONTENT_ONLY: dict[str, Any] = {"style": {"beta": 0, "layers": {"conv1_1": 1}}}


def shallow(**settings: Any) -> Preset:
    return validate(Preset, {**SHALLOW, **settings}, "test")


def finished(run: StyleTransfer) -> Tensor:
    for _ in run:
        pass
    return run.image()


def psnr(image: Tensor, reference: Tensor) -> float:
    return -10 * (image - reference).square().mean().log10().item()


def style_transfer(
    content: Tensor, styles: Styles, preset: Preset, *, init: Tensor | None = None, **options: Any
) -> StyleTransfer:
    return StyleTransfer(Studio(styles, preset, **options), content, init=init)


@pytest.fixture(scope="module")
def square(photo: Tensor) -> Tensor:
    """A part of the photo, (1, 3, 64, 64), large enough for two scales."""
    return resize(photo[..., :43], (64, 64))


@pytest.fixture(scope="module")
def deep() -> Preset:
    """The layers of the paper in the normalised network, at two scales."""
    settings = {**TWO_SCALES, "style": {"beta": 10}, "optimizer": {"steps": 5}}
    return validate(Preset, settings, "test")


@pytest.mark.slow
def test_end_to_end_at_one_size(
    deep: Preset, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = deep.model_copy(update={"scales": None})
    run = style_transfer(photo, [(painting, 1.0)], preset, weights=weights)
    first, *_, last = list(run)
    assert (first.step, last.step, last.evaluations) == (0, 5, 6)
    assert last.loss.total < 0.5 * first.loss.total
    assert last.loss.total == pytest.approx(last.loss.content + last.loss.style)
    assert run.image().shape == photo.shape
    assert run.image().min() >= 0
    assert run.image().max() <= 1


@pytest.mark.slow
def test_end_to_end_coarse_to_fine(
    deep: Preset, square: Tensor, painting: Tensor, weights: Weights
) -> None:
    run = style_transfer(square, [(painting, 1.0)], deep, weights=weights)
    progress = list(run)
    assert [scale.size for scale in run.scales] == [(32, 32), (64, 64)]
    assert [record.scale_index for record in progress] == 4 * [0] + 6 * [1]
    assert [record.step for record in progress] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert [record.evaluations for record in progress] == list(range(1, 11))
    assert all(record.scale_count == 2 for record in progress)
    assert progress[3].loss.total < 0.95 * progress[0].loss.total
    assert progress[9].loss.total < 0.7 * progress[4].loss.total
    assert run.image().shape == square.shape


@pytest.mark.slow
def test_coarse_scale_gives_the_fine_one_a_better_start(
    deep: Preset, square: Tensor, painting: Tensor, weights: Weights
) -> None:
    alone = deep.model_copy(update={"scales": None})
    start = next(iter(style_transfer(square, [(painting, 1.0)], alone, weights=weights)))
    both = list(style_transfer(square, [(painting, 1.0)], deep, weights=weights))
    assert both[4].loss.total < start.loss.total


def test_adam_lowers_the_loss(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    preset = shallow(optimizer={"name": "adam", "steps": 6})
    first, *_, last = list(style_transfer(photo, [(painting, 1.0)], preset, weights=weights))
    assert last.loss.total < 0.7 * first.loss.total


@pytest.mark.slow
def test_content_only_run_from_the_photo_leaves_it(
    deep: Preset, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    style = deep.style.model_copy(update={"beta": 0.0})
    update = {"scales": None, "style": style, "size": 48}
    preset = deep.model_copy(update=update)
    image = finished(style_transfer(photo, [(painting, 1.0)], preset, weights=weights))
    torch.testing.assert_close(image, resize(photo, (48, 32)), rtol=0, atol=1e-3 + 0.5 / 255)


@pytest.mark.slow
def test_content_only_run_from_grey_reproduces_the_photo(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(**CONTENT_ONLY, network={"normalized": True}, optimizer={"steps": 30})
    grey = torch.full((1, 3, 32, 48), 0.5)
    run = style_transfer(photo, [(painting, 1.0)], preset, init=grey, weights=weights)
    assert psnr(grey, resize(photo, (48, 32))) < 17
    assert psnr(finished(run), resize(photo, (48, 32))) > 30


@pytest.mark.slow
def test_content_only_run_from_noise_brings_back_the_photos_brightness(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(
        **CONTENT_ONLY,
        network={"normalized": True},
        init="noise",
        content={"layers": {"conv1_1": 1}},
        optimizer={"steps": 60},
    )
    image = finished(style_transfer(photo, [(painting, 1.0)], preset, weights=weights))
    pair = [x.mean(1).flatten() for x in (image, resize(photo, (48, 32)))]
    assert torch.corrcoef(torch.stack(pair))[0, 1] > 0.95


def test_style_weights_are_shares(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    preset = shallow()
    other = painting.flip(1)
    run = style_transfer(photo, [(painting, 3.0), (other, 1.0)], preset, weights=weights)
    found = run.studio.objective(resize(photo, run.scales[0].size)).style_targets
    size = style_size((51, 64), run.scales[0].longest, 1.0)
    with torch.no_grad():
        first, second = (run.studio.network(resize(x, size)) for x in (painting, other))
    assert list(found) == ["relu1_1", "relu2_1"]
    for layer, gram in found.items():
        expected = 0.75 * gram_matrix(first[layer]) + 0.25 * gram_matrix(second[layer])
        torch.testing.assert_close(gram, expected)


def test_one_style_twice_is_that_style(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    once = finished(style_transfer(photo, [(painting, 1.0)], shallow(), weights=weights))
    twice = style_transfer(photo, [(painting, 5.0), (painting, 5.0)], shallow(), weights=weights)
    torch.testing.assert_close(finished(twice), once, rtol=0, atol=1e-3)


@pytest.mark.parametrize("init", mostly_slow(["noise", "content"]))
def test_same_seed_gives_the_same_bytes(
    init: str, square: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(**TWO_SCALES, init=init, seed=3)
    first, second = (
        finished(style_transfer(square, [(painting, 1.0)], preset, weights=weights))
        for _ in range(2)
    )
    assert first.numpy().tobytes() == second.numpy().tobytes()


def noise(photo: Tensor, painting: Tensor, weights: Weights, *, seed: int) -> Tensor:
    preset = shallow(init="noise", seed=seed)
    return style_transfer(photo, [(painting, 1.0)], preset, weights=weights).image()


def test_noise_depends_on_the_seed_and_on_nothing_else(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    torch.manual_seed(0)
    first, other = (noise(photo, painting, weights, seed=seed) for seed in (1, 2))
    assert first.equal(noise(1 - photo, painting, weights, seed=1))
    assert (first - other).abs().mean() > 0.5 * NOISE


def test_convention_noise_is_faint_around_mid_grey(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    image = noise(photo, painting, weights, seed=0)
    assert image.shape == (1, 3, 32, 48)
    assert image.mean().item() == pytest.approx(0.5, abs=0.002)
    assert image.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("rectified", "kind"), [(True, "relu"), (False, "conv")])
def test_convention_layers_are_read_after_the_relu_unless_the_preset_says_otherwise(
    rectified: bool, kind: str, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(network={"normalized": False, "rectified": rectified})
    run = style_transfer(photo, [(painting, 1.0)], preset, weights=weights)
    objective = run.studio.objective(resize(photo, run.scales[0].size))
    assert run.studio.network.wanted == {f"{kind}1_1", f"{kind}2_1"}
    assert list(objective.content_weights) == list(objective.content_targets) == [f"{kind}2_1"]
    assert list(objective.style_weights) == list(objective.style_targets)
    assert (objective.content_targets[f"{kind}2_1"].min() < 0) != rectified
    first, *_, last = list(run)
    assert last.loss.total < first.loss.total


def test_image_has_the_final_size_at_any_moment(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    run = style_transfer(square, [(painting, 1.0)], shallow(**TWO_SCALES), weights=weights)
    assert run.image().equal(square)
    steps = iter(run)
    for _ in range(3):
        next(steps)
    assert run.image().shape == square.shape
    assert not run.image().equal(square)


def test_run_stopped_early_keeps_its_image(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    run = style_transfer(photo, [(painting, 1.0)], shallow(), weights=weights)
    for progress in run:
        if progress.step == 2:
            break
    assert run.image().shape == (1, 3, 32, 48)
    assert run.image().equal(run.image())
    assert psnr(run.image(), resize(photo, (48, 32))) < 40


def test_zero_steps_give_the_content(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    run = style_transfer(photo, [(painting, 1.0)], shallow(optimizer={"steps": 0}), weights=weights)
    torch.testing.assert_close(
        finished(run), resize(photo, (48, 32)), rtol=0, atol=1e-5 + 0.5 / 255
    )


def test_inputs_are_left_as_they_were(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    content, style = photo.clone(), painting.clone()
    finished(style_transfer(content, [(style, 1.0)], shallow(size=64), weights=weights))
    assert content.equal(photo)
    assert style.equal(painting)


def test_convention_style_size_follows_the_output() -> None:
    assert style_size((400, 300), 256, 1.0) == (256, 192)
    assert style_size((400, 300), 256, 0.5) == (128, 96)
    assert style_size((300, 400), 512, 2.0) == (768, 1024)


@given(
    size=st.tuples(st.integers(32, 4000), st.integers(32, 4000)),
    longest=st.integers(32, 4000),
    factor=st.floats(0.1, 8),
)
def test_style_keeps_its_share_and_its_shape(
    size: tuple[int, int], longest: int, factor: float
) -> None:
    found = style_size(size, longest, factor)
    assert min(found) >= MIN_SIDE
    least = MIN_SIDE * max(size) / min(size)
    assert abs(max(found) - max(factor * longest, least)) <= 0.5
    assert abs(min(found) - max(found) * min(size) / max(size)) <= 0.5 + 1e-9


@pytest.mark.slow
def test_run_in_tiles_gives_the_same_picture(
    photo: Tensor, painting: Tensor, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_TILE_SIDES", (16,))
    cut, whole = (
        style_transfer(photo, [(painting, 1.0)], shallow(), weights=weights, memory=memory)
        for memory in (0, None)
    )
    assert cut.studio.tiling((48, 32)) is not None
    assert whole.studio.tiling((48, 32)) is None
    torch.testing.assert_close(finished(cut), finished(whole), atol=1e-3, rtol=0)


def test_out_of_memory_goes_on_in_smaller_tiles(
    photo: Tensor, painting: Tensor, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(objective: Any, *args: Any, **options: Any) -> Iterator[Iterate]:
        if isinstance(objective, Objective):
            raise torch.OutOfMemoryError("out of memory")
        return minimize(objective, *args, **options)

    monkeypatch.setattr(transfer, "minimize", short_of_memory)
    run = style_transfer(photo, [(painting, 1.0)], shallow(), weights=weights, memory=2**40)
    notes = [progress.note for progress in run]
    assert notes[0] == "out of memory: goes on in smaller tiles"
    assert notes[1:] == [""] * 4


def test_out_of_memory_in_the_smallest_tiles_is_an_error(
    photo: Tensor, painting: Tensor, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(*_args: Any, **_options: Any) -> Iterator[Iterate]:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(transfer, "minimize", short_of_memory)
    run = style_transfer(photo, [(painting, 1.0)], shallow(), weights=weights, memory=2**40)
    with pytest.raises(OutOfMemoryError, match="try `size`"):
        list(run)


@pytest.mark.slow
def test_a_studio_gives_each_photo_what_its_own_would(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    studio = Studio([(painting, 1.0)], shallow(**TWO_SCALES), weights=weights)
    for content in (photo, photo.flip(3), resize(photo, (48, 48))):
        alone = style_transfer(content, [(painting, 1.0)], studio.preset, weights=weights)
        shared = finished(StyleTransfer(studio, content))
        torch.testing.assert_close(shared, finished(alone), rtol=0, atol=0)


def test_adam_goes_on_with_its_moments_at_the_next_size(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(**{**TWO_SCALES, "optimizer": {"name": "adam", "steps": 4}})
    run = style_transfer(square, [(painting, 1.0)], preset, weights=weights)
    list(run)
    assert run._carried.method is not None
    width, height = run.scales[0].size
    before = run._carried.method._taken_before[0, 0]
    assert (before[:height, :width] == run.scales[0].steps).all()
    assert before[height:].sum() == before[:, width:].sum() == 0


def half(photo: Tensor) -> Tensor:
    """White on the left, soft in the middle, black on the right; (1, 1, H, W)."""
    row = torch.linspace(1.5, -0.5, photo.shape[3]).clamp(0, 1)
    return row.expand(1, 1, photo.shape[2], -1)


@pytest.mark.parametrize("statistic", ["gram", "mean-std", "covariance"])
def test_a_mask_of_ones_is_no_mask(
    statistic: str, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    style = {**SHALLOW["style"], "statistic": statistic}
    studio = Studio([(painting, 1.0)], shallow(style=style), weights=weights)
    masked = finished(StyleTransfer(studio, photo, masks=[torch.ones(1, 1, *photo.shape[2:])]))
    torch.testing.assert_close(masked, finished(StyleTransfer(studio, photo)), rtol=0, atol=1e-5)


def test_where_no_mask_is_white_the_photo_stays(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    studio = Studio([(painting, 1.0)], shallow(**TWO_SCALES), weights=weights)
    mask = half(square)
    found = finished(StyleTransfer(studio, square, masks=[mask]))
    black, white = (mask == 0).expand_as(found), (mask == 1).expand_as(found)
    assert found[black].equal(square[black])
    assert (found[white] - square[white]).abs().mean() > 0.02


@pytest.mark.slow
def test_each_style_goes_where_its_mask_is_white(photo: Tensor, weights: Weights) -> None:
    """One half in the style of a red image, the other of a blue one."""
    ones = torch.ones(1, 1, 48, 48)
    red, blue = (torch.cat([r * ones, 0.2 * ones, b * ones], 1) for r, b in ((0.9, 0), (0, 0.9)))
    left = (torch.arange(64) < 32).float().expand(1, 1, 43, -1)
    preset = shallow(optimizer={"steps": 15})
    studio = Studio([(red, 1.0), (blue, 1.0)], preset, weights=weights)
    found = finished(StyleTransfer(studio, photo, masks=[left, 1 - left]))
    redness = (found - resize(photo, (48, 32)))[:, 0] - (found - resize(photo, (48, 32)))[:, 2]
    assert redness[..., :24].mean() > redness[..., 24:].mean() + 0.1


def test_masks_that_do_not_fit_are_refused(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    studio = Studio([(painting, 1.0)], shallow(), weights=weights)
    with pytest.raises(UsageError) as caught:
        StyleTransfer(studio, photo, masks=[torch.zeros(1, 1, 43, 64)])
    assert str(caught.value) == "mask 1 is black everywhere: paint white where the style goes"


@pytest.mark.slow
def test_masked_run_in_tiles_gives_the_same_picture(
    photo: Tensor, painting: Tensor, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_TILE_SIDES", (16,))
    cut, whole = (
        Studio([(painting, 1.0)], shallow(), weights=weights, memory=memory) for memory in (0, None)
    )
    pair = [finished(StyleTransfer(studio, photo, masks=[half(photo)])) for studio in (cut, whole)]
    torch.testing.assert_close(*pair, atol=1e-3, rtol=0)


def test_sliced_wasserstein_is_refused_in_tiles(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    style = {**SHALLOW["style"], "statistic": "sliced-wasserstein"}
    studio = Studio([(painting, 1.0)], shallow(style=style), weights=weights, memory=1)
    with pytest.raises(OutOfMemoryError) as caught:
        next(iter(StyleTransfer(studio, photo)))
    assert str(caught.value) == (
        "48 x 32 pixels do not fit into the memory at once, and sliced-wasserstein cannot be "
        "evaluated in tiles; use a smaller `size` or another `statistic`"
    )


def test_sliced_wasserstein_needs_more_memory(painting: Tensor, weights: Weights) -> None:
    style = {**SHALLOW["style"], "statistic": "sliced-wasserstein"}
    sliced, gram = (
        Studio([(painting, 1.0)], preset, weights=weights, memory=2**31)
        for preset in (shallow(style=style), shallow())
    )
    fitting = max(n for n in range(100, 2000, 20) if gram.tiling((n, n)) is None)
    with pytest.raises(OutOfMemoryError):
        sliced.tiling((fitting, fitting))
    assert sliced.tiling((300, 300)) is None


@pytest.mark.parametrize("statistic", mostly_slow(["sliced-wasserstein", "mean-std", "covariance"]))
def test_any_statistic_lowers_its_loss_the_same_for_the_same_seed(
    statistic: str, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    style = {"beta": 10, "layers": {"conv1_1": 0.5, "conv2_1": 0.5}, "statistic": statistic}
    preset = shallow(style=style, network={"normalized": True})
    runs = [style_transfer(photo, [(painting, 1.0)], preset, weights=weights) for _ in range(2)]
    first, *_, last = list(runs[0])
    assert last.loss.style < 0.8 * first.loss.style
    assert runs[0].image().equal(finished(runs[1]))


def test_luminance_keeps_the_photos_colors(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(colors="luminance", size=64)
    run = style_transfer(photo, [(painting, 1.0)], preset, weights=weights)
    found = finished(run)
    torch.testing.assert_close(run._content[:, 0], run._content[:, 1])
    inside = ((found > 0) & (found < 1)).all(1, keepdim=True).expand_as(found)
    changed = (found - photo)[inside].view(3, -1)
    assert changed.abs().mean() > 0.01
    torch.testing.assert_close(changed[0], changed[2], atol=1e-5, rtol=0)


def test_luminance_of_an_initial_image_is_all_that_counts(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(colors="luminance", optimizer={"steps": 0}, size=64)
    run = style_transfer(photo, [(painting, 1.0)], preset, init=photo.clone(), weights=weights)
    torch.testing.assert_close(finished(run), photo, atol=1e-5 + 0.5 / 255, rtol=0)


@pytest.mark.parametrize("colors", ["content", "luminance"])
def test_recolored_starts_from_the_photo_where_the_painting_takes_its_colors(
    colors: str, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    preset = shallow(colors=colors, init="recolored", size=64)
    run = style_transfer(photo, [(painting, 1.0)], preset, weights=weights)
    torch.testing.assert_close(run.image(), photo, atol=1e-5, rtol=0)


def test_styles_by_layer_are_checked_first(painting: Tensor, weights: Weights) -> None:
    with pytest.raises(UsageError) as caught:
        Studio([StyleImage(painting, 1.0, ["conv1_1"])], shallow(), weights=weights)
    assert str(caught.value).startswith("no style names the style layer conv2_1: ")


def test_two_styles_at_different_layers(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    styles = [
        StyleImage(painting, layers=["conv2_1"]),
        StyleImage(painting.flip(1), layers=["conv1_1"]),
    ]
    first, *_, last = list(style_transfer(photo, styles, shallow(), weights=weights))
    assert last.loss.total < 0.7 * first.loss.total


def with_neighbors(**settings: Any) -> Preset:
    return shallow(**{**NEIGHBORS, **settings})


def by_scale(run: StyleTransfer) -> list[list[Progress]]:
    return [list(own) for _, own in groupby(run, lambda progress: progress.scale_index)]


def test_neighbors_end_to_end(square: Tensor, painting: Tensor, weights: Weights) -> None:
    run = style_transfer(square, [(painting, 1.0)], with_neighbors(), weights=weights)
    assert run.sources is None
    progress = by_scale(run)
    stages = [(own[0].scale.stage, own[0].scale.size, own[-1].step) for own in progress]
    assert stages == [
        (Stage.HYPERCOLUMNS, (32, 32), 4),
        (Stage.HYPERCOLUMNS, (64, 64), 4),
        (Stage.LAYERS, (64, 64), 4),
        (Stage.LAYERS, (64, 64), 4),
    ]
    for own in progress:
        assert own[-1].loss.total < own[0].loss.total
    assert progress[0][-1].loss.total < 0.9 * progress[0][0].loss.total
    assert run.sources is not None
    assert run.sources.style.shape == (16, 16), "of the last hypercolumns"


@pytest.mark.slow
@pytest.mark.parametrize("scales", [None, {"start": 32, "steps": 2}], ids=["one", "two"])
def test_a_photo_that_is_the_painting_stays(
    scales: dict[str, Any] | None, square: Tensor, weights: Weights
) -> None:
    neighbors = {**NEIGHBORS["neighbors"], "rotations": False}
    preset = with_neighbors(scales=scales, neighbors=neighbors, content={"alpha": 0})
    run = style_transfer(square, [(square, 1.0)], preset, weights=weights)
    first = next(iter(run))
    assert first.loss.total < 1e-8
    if scales is None:
        assert psnr(finished(run), square) > 30


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_with_neighbors_and_a_sketch(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    neighbors = {**NEIGHBORS["neighbors"], "sketch": 1}
    style = {**NEIGHBORS["style"], "beta": 10}
    preset = with_neighbors(neighbors=neighbors, style=style, strength=0.8, seed=3)
    runs = [style_transfer(square, [(painting, 1.0)], preset, weights=weights) for _ in range(2)]
    assert runs[0].scales[0].stage is Stage.STATISTICS
    first, second = map(finished, runs)
    assert first.numpy().tobytes() == second.numpy().tobytes()


@pytest.mark.slow
def test_image_has_the_final_size_at_any_moment_of_all_stages(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    neighbors = {**NEIGHBORS["neighbors"], "sketch": 1}
    style = {**NEIGHBORS["style"], "beta": 10}
    preset = with_neighbors(
        neighbors=neighbors,
        style=style,
        strength=0.8,
        optimizer={"steps": 2},
        scales={"start": 32, "steps": 1},
    )
    run = style_transfer(square, [(painting, 1.0)], preset, weights=weights)
    assert run.image().equal(square)
    seen = set()
    for progress in run:
        seen.add(progress.scale.stage)
        assert run.image().shape == square.shape
        assert 0 <= run.image().min() <= run.image().max() <= 1
    assert seen == set(Stage)


@pytest.mark.slow
def test_a_sketch_is_matched_and_not_kept(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    """Neighbors start from the photo again."""
    neighbors = {**NEIGHBORS["neighbors"], "sketch": 1}
    style = {**NEIGHBORS["style"], "beta": 10}
    preset = with_neighbors(neighbors=neighbors, style=style, strength=0.8)
    run = style_transfer(square, [(painting, 1.0)], preset, weights=weights)
    for progress in run:
        if progress.scale.stage is Stage.HYPERCOLUMNS:
            break
        before = run.image()
    assert psnr(before, square) < 30
    assert psnr(run.image(), resize(resize(square, progress.scale.size), (64, 64))) > 45


@pytest.mark.slow
def test_neighbors_go_with_adam(square: Tensor, painting: Tensor, weights: Weights) -> None:
    preset = with_neighbors(optimizer={"name": "adam", "steps": 12}, scales=None)
    run = style_transfer(square, [(painting, 1.0)], preset, weights=weights)
    progress = by_scale(run)
    for own in progress:
        assert own[-1].loss.total < own[0].loss.total
    assert run._carried.method is not None


@pytest.mark.slow
def test_neighbors_run_in_tiles(
    square: Tensor, painting: Tensor, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stages, at a size that is no multiple of the cells or of the tiles."""
    monkeypatch.setattr(estimate, "_TILE_SIDES", (16,))
    neighbors = {**NEIGHBORS["neighbors"], "layers": {"conv1_2": 1, "conv2_2": 1}}
    preset = with_neighbors(neighbors=neighbors, scales=None, size=49, optimizer={"steps": 2})
    cut, whole = (
        style_transfer(square, [(painting, 1.0)], preset, weights=weights, memory=memory)
        for memory in (0, None)
    )
    for found, expected in zip(cut, whole, strict=True):
        assert found.loss.total == pytest.approx(expected.loss.total, rel=1e-3)
    assert cut.studio.tiling((49, 49)) is not None
    assert psnr(cut.image(), whole.image()) > 40


@pytest.mark.slow
def test_short_floats_do_with_neighbors(square: Tensor, painting: Tensor, weights: Weights) -> None:
    neighbors = {**NEIGHBORS["neighbors"], "layers": {"conv3_1": 1}}
    preset = with_neighbors(neighbors=neighbors, scales=None, size=32)
    run = style_transfer(square, [(painting, 1.0)], preset, weights=weights, precision="bf16")
    assert finished(run).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["painterly", "gram"])
def test_no_strength_leaves_the_photo(name: str, square: Tensor, painting: Tensor) -> None:
    """Its detail too, though coarser scales come first."""
    scales = {"scales.start": 32, "scales.steps": 3, "optimizer.steps": 3}
    preset = load_preset(name, {"strength": 0, "size": 64, "tv": 0, **scales})
    assert psnr(finished(style_transfer(square, [(painting, 1.0)], preset)), square) > 45


@pytest.mark.slow
def test_the_photos_content_goes_as_strength_rises(
    square: Tensor, painting: Tensor, weights: Weights
) -> None:
    distances = []
    content = {"alpha": 1, "layers": {"conv3_1": 1}}
    for strength in (0.0, 0.2, 0.9):
        preset = with_neighbors(strength=strength, content=content, scales=None)
        studio = Studio([(painting, 1.0)], preset, weights=weights)
        image = finished(StyleTransfer(studio, square))
        with torch.no_grad():
            one, other = (studio.network(x, ["relu3_1"])["relu3_1"] for x in (image, square))
        distances.append((one - other).square().mean().item())
    assert distances == sorted(distances)
    assert distances[0] < 0.1 * distances[1]
    assert distances[2] > 1.1 * distances[1]


def test_only_what_is_white_in_a_style_mask_is_a_gram_matrix(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    """The left half's features alone, summed over it and divided by its positions."""
    mask = (torch.arange(48) < 24).float().expand(1, 1, 40, -1)
    style = StyleImage(resize(painting, (48, 40)), mask=mask)
    studio = Studio([style], shallow(), weights=weights)
    found = studio.objective(resize(photo, (48, 32))).style_targets
    with torch.no_grad():
        features = studio.network(style.image)
    for layer, gram in found.items():
        left = features[layer][..., : features[layer].shape[3] // 2]
        torch.testing.assert_close(gram, gram_matrix(left))


@pytest.mark.slow
def test_a_white_style_mask_is_no_mask(square: Tensor, painting: Tensor, weights: Weights) -> None:
    white = torch.ones(1, 1, *painting.shape[2:])
    style = {**NEIGHBORS["style"], "beta": 10}
    preset = with_neighbors(style=style, neighbors={**NEIGHBORS["neighbors"], "rounds": 1})
    studios = [
        Studio([StyleImage(painting, mask=mask)], preset, weights=weights) for mask in (None, white)
    ]
    pair = [by_scale(StyleTransfer(studio, square)) for studio in studios]
    for own, other in zip(*pair, strict=True):
        if own[0].scale.stage is Stage.HYPERCOLUMNS:
            assert own[0].loss.total == pytest.approx(other[0].loss.total, rel=1e-3)


@pytest.mark.slow
def test_a_flat_photo_larger_than_hypercolumns_are(photo: Tensor, weights: Weights) -> None:
    """Reduced to 32 pixels in length, deep layers would see nothing of it."""
    flat = resize(photo, (256, 32))
    neighbors = {
        "weight": 1,
        "layers": {"conv4_1": 1},
        "hypercolumns": 32,
        "rounds": 1,
        "rotations": False,
    }
    preset = with_neighbors(neighbors=neighbors, size=256, scales=None, optimizer={"steps": 1})
    run = style_transfer(flat, [(flat, 1.0)], preset, weights=weights)
    assert [scale.stage for scale in run.scales] == [Stage.LAYERS]
    assert finished(run).isfinite().all()
    assert run.sources is not None
