from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from styleforge.core.errors import UsageError
from styleforge.training.photographs import (
    Batches,
    Crops,
    Photographs,
    central_crop,
    random_crop,
    stacked,
)
from tests.conftest import CHELSEA
from tests.pictures import noise
from tests.training.conftest import save_ramp

LEVELS = range(20, 240, 25)


@pytest.fixture
def flat(tmp_path: Path) -> list[Path]:
    """Photographs of one grey each, to tell them apart by."""
    paths = [tmp_path / f"{level:03}.png" for level in LEVELS]
    for level, path in zip(LEVELS, paths, strict=True):
        Image.new("RGB", (40, 40), (level,) * 3).save(path)
    return paths


def cut_short(path: Path) -> Path:
    """A JPEG that begins like one and fails when it is decoded."""
    buffer = io.BytesIO()
    noise(200, 200).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return path


def level(photo: Tensor) -> int:
    assert photo.max() - photo.min() < 1e-5
    return round(photo.mean().item() * 255)


def crops_of(paths: list[Path], *, crop: int = 32, seed: int = 0) -> Crops:
    return Crops(paths, crop=crop, seed=seed)


def tiny_files(folder: Path, count: int) -> Path:
    Image.new("RGB", (1, 1)).save(folder / "000.png")
    content = (folder / "000.png").read_bytes()
    for number in range(1, count):
        (folder / f"{number:03}.png").write_bytes(content)
    return folder


def test_folders_below_are_searched(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    for path in (tmp_path / "1.jpg", tmp_path / "a" / "2.PNG", below / "3.webp", below / "4.tiff"):
        noise().save(path)
    (tmp_path / "notes.txt").write_text("not a photograph")
    found = Photographs.find(tmp_path)
    names = sorted(path.name for path in found.training + found.validation)
    assert names == ["1.jpg", "2.PNG", "3.webp", "4.tiff"]
    assert found.unreadable == []


def test_files_that_are_not_images_are_counted(tmp_path: Path) -> None:
    tiny_files(tmp_path, 3)
    (tmp_path / "text.jpg").write_text("not a photograph")
    (tmp_path / "empty.png").touch()
    found = Photographs.find(tmp_path)
    assert sorted(path.name for path in found.unreadable) == ["empty.png", "text.jpg"]
    assert not set(found.unreadable) & set(found.training + found.validation)


@pytest.mark.parametrize(("count", "held"), [(2, 1), (39, 1), (40, 2), (119, 5), (200, 8)])
def test_photos_to_check_with_are_not_learned_from(tmp_path: Path, count: int, held: int) -> None:
    found = Photographs.find(tiny_files(tmp_path, count))
    assert len(found.validation) == held
    assert len(found.training) == count - held
    assert sorted(found.training + found.validation) == sorted(tmp_path.iterdir())


def test_the_same_folder_is_split_alike(photo_folder: Path) -> None:
    assert Photographs.find(photo_folder) == Photographs.find(photo_folder)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_photographs(tmp_path: Path, count: int) -> None:
    (tmp_path / "text.jpg").write_text("not a photograph")
    if count:
        tiny_files(tmp_path, count)
    with pytest.raises(UsageError) as caught:
        Photographs.find(tmp_path)
    assert str(caught.value) == f"{tmp_path} has {count} photographs; at least 2 are needed"


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UsageError) as caught:
            Photographs.find(path)
        assert str(caught.value) == f"no such folder: {path}"


def test_contents_change_with_a_photograph_that_is_replaced_under_its_name(tmp_path: Path) -> None:
    folder = tiny_files(tmp_path, 5)
    before = Photographs.find(folder)
    assert Photographs.find(folder).contents == before.contents
    photo = before.training[0]
    content = bytearray(photo.read_bytes())
    content[-3] ^= 0xFF
    photo.write_bytes(content)
    after = Photographs.find(folder)
    assert after.fingerprint == before.fingerprint
    assert after.contents != before.contents


def test_the_fingerprint_changes_with_the_photographs_not_with_their_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    before = Photographs.find(tiny_files(old, 5)).fingerprint
    old.rename(new)
    assert Photographs.find(new).fingerprint == before
    (new / "004.png").rename(new / "5.png")
    renamed = Photographs.find(new).fingerprint
    tiny_files(new, 5)
    added = Photographs.find(new).fingerprint
    assert len({before, renamed, added}) == 3
    (new / "5.png").unlink()
    assert Photographs.find(new).fingerprint == before


def test_each_photo_is_seen_once_each_time_through_them(flat: list[Path]) -> None:
    crops, count = crops_of(flat), len(flat)
    first, second = (
        [level(crops[number].photo) for number in range(start, start + count)]
        for start in (0, count)
    )
    assert sorted(first) == sorted(second) == [*LEVELS]
    assert first != second
    assert first != [*LEVELS]


def samples(crops: Crops, numbers: Iterable[int]) -> dict[int, Tensor]:
    return {crops[number].number: crops[number].photo for number in numbers}


def test_a_sample_is_the_same_whenever_it_is_asked_for(photographs: Photographs) -> None:
    forwards = samples(crops_of(photographs.training), range(8))
    backwards = samples(crops_of(photographs.training), reversed(range(8)))
    assert all(forwards[number].equal(backwards[number]) for number in range(8))
    assert len({tuple(photo.flatten().tolist()) for photo in forwards.values()}) == 8


def test_another_seed_gives_other_samples(photographs: Photographs) -> None:
    one, other = (crops_of(photographs.training, seed=seed) for seed in (0, 1))
    assert not any(one[number].photo.equal(other[number].photo) for number in range(4))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a single core
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_no_sample(photographs: Photographs, workers: int) -> None:
    crops = crops_of(photographs.training)
    loader = DataLoader(
        crops, batch_sampler=Batches(range(1, 4), 2), num_workers=workers, collate_fn=stacked
    )
    batches = list(loader)
    assert [numbers for _, numbers, _ in batches] == [[2, 3], [4, 5], [6, 7]]
    for photos, numbers, unreadable in batches:
        assert photos.equal(torch.stack([crops[number].photo for number in numbers]))
        assert unreadable == 0


def test_a_photo_that_cannot_be_decoded_makes_way_for_the_next(
    flat: list[Path], tmp_path: Path
) -> None:
    damaged = cut_short(tmp_path / "damaged.jpg")
    found = Photographs.find(tmp_path)
    assert found.unreadable == [], "it begins like an image"
    paths = [*flat[:3], damaged]
    taken = [crops_of(paths)[number] for number in range(len(paths))]
    assert sorted(sample.unreadable for sample in taken) == [0, 0, 0, 1]
    assert {level(sample.photo) for sample in taken} == set(LEVELS[:3])
    assert stacked(taken)[2] == 1


def test_a_photo_that_is_gone_makes_way_for_the_next(flat: list[Path]) -> None:
    flat[1].unlink()
    taken = [crops_of(flat[:2])[number] for number in range(2)]
    assert [level(sample.photo) for sample in taken] == [LEVELS[0]] * 2
    assert sum(sample.unreadable for sample in taken) == 1


def test_no_photo_can_be_decoded(tmp_path: Path) -> None:
    crops = crops_of([cut_short(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")])
    with pytest.raises(UsageError) as caught:
        crops[0]
    assert str(caught.value) == "none of the 3 photographs can be read any more"


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("size", [(60, 40), (40, 60), (20, 10), (33, 32), (300, 40)], ids=str)
def test_a_crop_has_its_size_and_levels(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    noise(*size).convert(mode).save(path)
    chance = np.random.default_rng(0)
    for crop in (random_crop(path, 32, chance), central_crop(path, 32)):
        assert crop.shape == (3, 32, 32)
        assert crop.dtype == torch.float32
        assert crop.is_contiguous()
        assert 0 <= crop.min() < crop.max() <= 1


def test_a_crop_shows_a_quarter_to_all_of_the_shorter_side(tmp_path: Path) -> None:
    path = save_ramp(tmp_path / "ramp.png", 100, 100)
    chance = np.random.default_rng(0)
    crops = torch.stack([random_crop(path, 32, chance) for _ in range(100)])
    spans = (crops[:, 0, 16, -1] - crops[:, 0, 16, 0]) * 32 / 31
    shown, mirrored = spans.abs(), spans < 0
    assert 0.24 < shown.min() < 0.3
    assert 0.94 < shown.max() < 1.01
    assert 35 < mirrored.sum() < 65
    assert (crops[:, 1, -1] > crops[:, 1, 0]).all(), "never upside down"


@pytest.mark.slow
def test_a_crop_comes_from_anywhere(tmp_path: Path) -> None:
    path = save_ramp(tmp_path / "ramp.png", 200, 100)
    chance = np.random.default_rng(0)
    crops = torch.stack([random_crop(path, 32, chance) for _ in range(100)])
    lowest, highest = crops[:, :2].amin((0, 2, 3)), crops[:, :2].amax((0, 2, 3))
    assert (lowest < 0.03).all()
    assert (highest > 0.97).all()


def test_a_small_photo_is_enlarged(tmp_path: Path) -> None:
    middle = central_crop(save_ramp(tmp_path / "ramp.png", 16, 16), 64)
    torch.testing.assert_close(middle[0, 32], torch.linspace(0, 1, 64), atol=0.05, rtol=0)


def test_the_central_crop_is_the_middle(tmp_path: Path) -> None:
    middle = central_crop(save_ramp(tmp_path / "ramp.png", 128, 64), 32)
    expected = torch.linspace(0.25, 0.75, 32).expand(32, 32)
    torch.testing.assert_close(middle[0], expected, atol=0.02, rtol=0)
    torch.testing.assert_close(
        middle[1], torch.linspace(0, 1, 32)[:, None].expand(32, 32), atol=0.03, rtol=0
    )


def test_a_jpeg_read_at_a_fraction_of_its_size_gives_the_same_crop(tmp_path: Path) -> None:
    png = tmp_path / "chelsea.png"
    Image.open(CHELSEA).save(png)
    for seed in range(3):
        one, other = (random_crop(p, 32, np.random.default_rng(seed)) for p in (CHELSEA, png))
        assert (one - other).abs().mean() < 0.01


@pytest.mark.parametrize(("batch", "processes"), [(4, 1), (4, 2), (4, 4), (6, 3), (5, 3)])
def test_the_processes_shares_make_up_the_batch(batch: int, processes: int) -> None:
    shares = [
        list(Batches(range(3), batch, rank=rank, processes=processes)) for rank in range(processes)
    ]
    for step, parts in enumerate(zip(*shares, strict=True)):
        together = [number for part in parts for number in part]
        assert together == list(range(step * batch, (step + 1) * batch))


def test_batches_from_a_step_on_are_the_rest_of_all() -> None:
    assert list(Batches(range(2, 5), 3)) == list(Batches(range(5), 3))[2:]
    assert len(Batches(range(2, 5), 3)) == 3
