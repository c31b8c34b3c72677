from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from styleforge.core.errors import OutOfMemoryError, UsageError
from styleforge.films.carrying import carried
from styleforge.images.colors import keep_colors
from styleforge.images.geometry import resize
from styleforge.images.load import Picture, load_image
from styleforge.jobs import painters as painters_module
from styleforge.jobs.look import Look
from styleforge.jobs.painters import Frame, NetworkPainter, TransferPainter, following
from styleforge.jobs.recipe import Before, Input, StylizeRecipe, versions
from styleforge.jobs.styles import OptimizedStyle, Painting, TrainedStyle, stylizing_model
from styleforge.networks.apply import stylize
from styleforge.networks.model_file import load_model
from styleforge.presets.networks import TextureSettings
from styleforge.presets.transfer import Optimizer, Preset, Scales
from styleforge.transfers.run import StyleTransfer
from styleforge.transfers.studio import Studio
from styleforge.vgg.weights import Weights
from tests.batches.conftest import CPU, PRESET
from tests.cli.test_models import TINY_TEXTURE, write_model
from tests.pictures import noise

MEMORY = 2**40


def with_steps(steps: int) -> Preset:
    return PRESET.model_copy(update={"optimizer": Optimizer(steps=steps)})


@pytest.fixture
def photo(tmp_path: Path) -> Picture:
    noise(40, 36).save(tmp_path / "c.png")
    return load_image(tmp_path / "c.png")


@pytest.fixture
def trained(tmp_path: Path) -> TrainedStyle:
    write_model(tmp_path / "m.safetensors")
    return TrainedStyle("cafe", tmp_path / "m.safetensors", {"cafe": 1.0})


@pytest.fixture
def network(trained: TrainedStyle) -> NetworkPainter:
    return trained.painter(CPU, MEMORY)


@pytest.fixture
def optimized(tmp_path: Path) -> OptimizedStyle:
    noise(36, 40, seed=99).save(tmp_path / "s.png")
    return OptimizedStyle("s", [Painting(tmp_path / "s.png")], "p.yaml", PRESET)


@pytest.fixture
def transfer(optimized: OptimizedStyle) -> TransferPainter:
    return optimized.painter(CPU, MEMORY)


def test_a_network_paints_what_stylize_makes(network: NetworkPainter, photo: Picture) -> None:
    model = load_model(network.model.path)
    expected = stylize(model.network, photo.pixels, model.mixture({"cafe": 1}), memory=MEMORY)
    assert network.paint(photo).equal(expected)
    gentle = replace(network, look=Look(strength=0.25)).paint(photo)
    torch.testing.assert_close(gentle, 0.75 * photo.pixels + 0.25 * expected)
    kept = replace(network, look=Look(colors="keep")).paint(photo)
    torch.testing.assert_close(kept, keep_colors(expected, photo.pixels))
    harvest = replace(network, styles={"harvest": 2.0}).paint(photo)
    assert not torch.allclose(harvest, expected)


def test_a_network_paints_each_style_where_its_mask_is_white(
    network: NetworkPainter, photo: Picture
) -> None:
    white = replace(photo, pixels=torch.ones_like(photo.pixels))
    left = replace(photo, pixels=(torch.arange(40) < 20).float().expand_as(photo.pixels))
    assert replace(network, masks=[white]).paint(photo).equal(network.paint(photo))
    half = replace(network, masks=[left]).paint(photo)
    assert half[..., 20:].equal(photo.pixels[..., 20:])
    assert half[..., :20].equal(network.paint(photo)[..., :20])
    both = replace(network, styles={"harvest": 1.0, "cafe": 3.0}, masks=[left, white])
    found = both.paint(photo)
    harvest = replace(network, styles={"harvest": 1.0}).paint(photo)
    cafe = network.paint(photo)
    torch.testing.assert_close(found[..., 20:], cafe[..., 20:])
    torch.testing.assert_close(found[..., :20], (0.25 * harvest + 0.75 * cafe)[..., :20])
    assert [mask.sha256 for mask in both.recipe(Input("c.png", "abc")).masks] == 2 * [photo.sha256]


def test_a_network_paints_at_the_limited_size(network: NetworkPainter, photo: Picture) -> None:
    small = replace(network, look=Look(size=20))
    assert small.size((40, 36)) == (20, 18)
    assert network.size((40, 36)) == (40, 36)
    pixels = resize(photo.pixels, (20, 18))
    expected = stylize(
        network.model.network, pixels, network.model.mixture({"cafe": 1}), memory=MEMORY
    )
    assert small.paint(photo).equal(expected)


def test_a_networks_recipe(network: NetworkPainter) -> None:
    wanted = replace(network, look=Look(64, 0.5, "keep", 3, 16))
    content = Input("c.png", "abc")
    assert wanted.recipe(content) == StylizeRecipe(
        model=Input(str(network.model.path), network.model.sha256),
        styles={"cafe": 1.0},
        content=content,
        size=64,
        strength=0.5,
        colors="keep",
        seed=3,
        device="cpu",
        depth=16,
        versions=versions(),
    )


def test_a_network_out_of_memory_says_so(
    network: NetworkPainter, photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(painters_module, "Stylizer", failing)
    with pytest.raises(OutOfMemoryError) as caught:
        network.paint(photo)
    assert str(caught.value) == "out of memory at 40 x 36 pixels; try `size` 20"


def test_the_time_of_a_network_goes_with_the_pixels(
    network: NetworkPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painters_module, "_PROBE_SIDE", 32)
    clock = iter(range(100))
    monkeypatch.setattr("styleforge.jobs.painters.time.perf_counter", lambda: next(clock))
    assert network.seconds([]) == 0
    assert network.seconds([(32, 32), (64, 16), (32, 16)]) == 2.5
    assert replace(network, look=Look(size=16)).seconds([(32, 32)]) == 0.25


def test_a_networks_probe_is_the_photo_itself(network: NetworkPainter, photo: Picture) -> None:
    found = network.probe(photo)()
    assert isinstance(found, torch.Tensor)
    assert found.equal(network.paint(photo))


def test_a_transfer_paints_what_the_studio_makes(
    transfer: TransferPainter, photo: Picture, weights: Weights, tmp_path: Path
) -> None:
    painting = load_image(tmp_path / "s.png").pixels
    run = StyleTransfer(Studio([(painting, 1.0)], PRESET, weights=weights), photo.pixels)
    for _ in run:
        pass
    assert transfer.paint(photo).equal(run.image())
    assert transfer.size((80, 72)) == (40, 36)
    assert (transfer.device, transfer.depth) == (CPU, 8)


def test_a_frame_starts_from_the_one_before_moved_along_in_half_the_steps(
    optimized: OptimizedStyle, photo: Picture, weights: Weights, tmp_path: Path
) -> None:
    noise(40, 36, seed=7).save(tmp_path / "last.png")
    noise(40, 36, seed=8).save(tmp_path / "result.png")
    last, result = (load_image(tmp_path / name) for name in ("last.png", "result.png"))
    preset = with_steps(5).model_copy(update={"scales": Scales(start=32, steps=3)})
    painter = replace(optimized, preset=preset).painter(CPU, MEMORY)
    alone, after = painter.paint(photo), painter.paint(photo, Frame(last, result))
    short = with_steps(3)
    painting = load_image(tmp_path / "s.png").pixels
    run = StyleTransfer(
        Studio([(painting, 1.0)], short, weights=weights),
        photo.pixels,
        init=carried(result.pixels, last.pixels, photo.pixels),
    )
    for _ in run:
        pass
    assert after.equal(run.image())
    assert not torch.allclose(after, alone)
    assert painter.paint(photo).equal(alone), "the next picture without one is as before"


def test_frames_of_different_sizes_are_brought_to_one(
    transfer: TransferPainter, photo: Picture, tmp_path: Path
) -> None:
    noise(80, 60, seed=7).save(tmp_path / "last.png")
    last = load_image(tmp_path / "last.png")
    assert transfer.paint(photo, Frame(last, photo)).shape == (1, 3, 36, 40)


def test_a_transfers_recipe(
    transfer: TransferPainter, optimized: OptimizedStyle, photo: Picture
) -> None:
    content = Input.of(photo)
    recipe = transfer.recipe(content)
    painting = load_image(optimized.paintings[0].path)
    assert (recipe.content, recipe.init, recipe.preset) == (content, None, "p.yaml")
    assert recipe.settings == PRESET.model_dump()
    assert recipe.styles == [Input.of(painting, 1.0)]
    assert recipe.weights["source"] == transfer.studio.weights.source
    assert (recipe.device, recipe.depth, recipe.versions) == ("cpu", 8, versions())
    before = Before(photo=Input("last.png", "def"), result=Input("before.png", "abc"))
    after = transfer.recipe(content, before)
    assert (after.init, after.init_photo) == (before.result, before.photo)
    assert after.settings == following(PRESET).model_dump() | {"init": "before.png"}
    assert transfer.recipe(content) == recipe, "the next picture's is as before"


def test_a_photo_that_is_not_finite_is_a_mistake_and_no_bug(
    transfer: TransferPainter, photo: Picture
) -> None:
    spoiled = replace(photo, pixels=torch.full_like(photo.pixels, float("nan")))
    with pytest.raises(UsageError) as caught:
        transfer.paint(spoiled)
    assert str(caught.value) == "the loss of the initial image is not finite; use smaller weights"


def test_the_next_painting_of_a_batch_shares_the_network(
    optimized: OptimizedStyle, photo: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "next.png"
    noise(48, 40, seed=9).save(path)
    following_style = replace(optimized, paintings=[Painting(path)])
    first = optimized.painter(CPU, MEMORY)
    shared = following_style.painter(CPU, MEMORY, first)
    alone = following_style.painter(CPU, MEMORY)
    assert shared.studio.network is first.studio.network is not alone.studio.network
    assert shared.template == alone.template
    assert torch.equal(shared.paint(photo), alone.paint(photo))
    assert not torch.equal(shared.paint(photo), first.paint(photo))


def test_another_preset_shares_the_network_that_it_looks_through(
    optimized: OptimizedStyle, photo: Picture
) -> None:
    first = optimized.painter(CPU, MEMORY)
    other = replace(optimized, preset=PRESET.model_copy(update={"tv": 1.0}))
    shared, alone = other.painter(CPU, MEMORY, first), other.painter(CPU, MEMORY)
    assert shared.studio.network is first.studio.network
    assert shared.template == alone.template
    assert torch.equal(shared.paint(photo), alone.paint(photo))
    pooled = PRESET.network.model_copy(update={"pooling": "max"})
    for apart in (
        replace(optimized, preset=PRESET.model_copy(update={"network": pooled})),
        replace(optimized, preset=PRESET.model_copy(update={"strength": 1.0})),
        replace(optimized, precision="tf32"),
    ):
        assert apart.painter(CPU, MEMORY, first).studio.network is not first.studio.network


def test_a_network_shares_nothing_with_a_transfer(
    trained: TrainedStyle, optimized: OptimizedStyle
) -> None:
    first = optimized.painter(CPU, MEMORY)
    network = trained.painter(CPU, MEMORY, first)
    assert trained.painter(CPU, MEMORY, network).model is network.model
    assert isinstance(optimized.painter(CPU, MEMORY, network).studio, Studio)


def test_a_transfers_probe_is_one_gradient(transfer: TransferPainter, photo: Picture) -> None:
    gradient = transfer.probe(photo)()
    assert isinstance(gradient, torch.Tensor)
    assert gradient.shape == (1, 3, 36, 40)
    assert gradient.isfinite().all()
    assert gradient.any()


def test_the_time_of_transfers_goes_with_their_work(
    transfer: TransferPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("styleforge.transfers.estimate._seconds_per_pixel", lambda *_: 1.0)
    one = transfer.seconds([(40, 36)])
    assert one == pytest.approx(40 * 36 * (PRESET.optimizer.steps + 2))
    assert transfer.seconds([(40, 36), (80, 72), (64, 64)]) == pytest.approx(
        one * (2 + 40 * 40 / (40 * 36))
    )
    assert transfer.seconds([]) == 0


def test_styles_can_be_sent_to_other_processes(
    trained: TrainedStyle, optimized: OptimizedStyle
) -> None:
    assert pickle.loads(pickle.dumps([trained, optimized])) == [trained, optimized]
    assert trained.inputs == [trained.model]
    assert optimized.inputs == [painting.path for painting in optimized.paintings]


def test_a_trained_style_hands_its_choices_to_its_painter(trained: TrainedStyle) -> None:
    style = replace(trained, look=Look(9, 0.5, "keep", 4, 16))
    painter = style.painter(CPU, 123)
    assert painter.look == style.look
    assert (painter.depth, painter.memory, painter.device) == (16, 123, CPU)
    assert painter.styles == {"cafe": 1.0}


def test_a_texture_network_repaints_photos_only_if_it_was_trained_to(tmp_path: Path) -> None:
    path = tmp_path / "oak.safetensors"
    write_model(path, TINY_TEXTURE, styles=("oak",))
    with pytest.raises(UsageError) as caught:
        stylizing_model(path)
    assert str(caught.value) == (f"oak makes textures: use texture with `model` {path}")
    with_content = TextureSettings(scales=3, width=2, content=True, normalization="instance")
    write_model(path, with_content, styles=("oak",))
    assert stylizing_model(path).style_names == ["oak"]
