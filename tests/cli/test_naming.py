from __future__ import annotations

from pathlib import Path

import pytest

from styleforge.cli.parsing import bit_depth, in_words, memory_size
from styleforge.core.errors import UsageError
from styleforge.core.layers import known_layer
from styleforge.images.geometry import parse_size
from styleforge.jobs.spelling import named_path, with_layers, with_size, with_weight


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of files whose names look like more than names."""
    monkeypatch.chdir(tmp_path)
    for name in ("there:5", "there=5.jpg", "there@conv1_1"):
        Path(name).write_bytes(b"")


@pytest.mark.parametrize(
    ("text", "name", "weight"),
    [
        ("a.jpg", "a.jpg", 1.0),
        ("a.jpg:0.3", "a.jpg", 0.3),
        ("a.jpg:1e-2", "a.jpg", 0.01),
        ("a.jpg:2", "a.jpg", 2.0),
        ("cafe-terrace:.5", "cafe-terrace", 0.5),
        ("C:/a.jpg", "C:/a.jpg", 1.0),
        ("C:/a.jpg:2", "C:/a.jpg", 2.0),
        ("a:b.jpg", "a:b.jpg", 1.0),
        ("a.jpg:", "a.jpg:", 1.0),
        ("there:5", "there:5", 1.0),
        ("there:5:5", "there:5", 5.0),
        ("x" * 300 + ":2", "x" * 300, 2.0),
        ("", "", 1.0),
    ],
)
def test_a_name_with_a_weight(text: str, name: str, weight: float) -> None:
    assert with_weight(text) == (name, weight)


@pytest.mark.parametrize(
    ("text", "name", "layers"),
    [
        ("a.jpg", "a.jpg", ()),
        ("a.jpg@conv1_1", "a.jpg", ("conv1_1",)),
        ("a.jpg:0.5@conv1_1+pool4", "a.jpg:0.5", ("conv1_1", "pool4")),
        ("a.jpg@middle", "a.jpg", ("middle",)),
        ("me@home/a.jpg@conv1_1", "me@home/a.jpg", ("conv1_1",)),
        ("me@home.jpg", "me@home.jpg", ()),
        ("there@conv1_1", "there@conv1_1", ()),
        ("there@conv1_1@conv2_1", "there@conv1_1", ("conv2_1",)),
        ("a.jpg@", "a.jpg@", ()),
        ("a.jpg@conv1_1+", "a.jpg@conv1_1+", ()),
        ("@conv1_1", "@conv1_1", ()),
        ("", "", ()),
    ],
)
def test_a_name_with_layers(text: str, name: str, layers: tuple[str, ...]) -> None:
    assert with_layers(text) == (name, layers)


@pytest.mark.parametrize("weight", ["0", "-1", "-0.0", "nan", "inf", "1e999"])
def test_a_weight_that_is_none(weight: str) -> None:
    text = f"cafe:{weight}"
    with pytest.raises(UsageError) as caught:
        with_weight(text)
    assert str(caught.value) == f"{text}: the weight of a style must be positive (not {weight})"


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("cafe=a.jpg", "cafe", "a.jpg"),
        ("night-cafe-2=b/a.jpg", "night-cafe-2", "b/a.jpg"),
        ("a=b=c.jpg", "a", "b=c.jpg"),
        ("a.jpg", "a", "a.jpg"),
        ("b/Vincent's Night_Café (1888).JPG", "vincent-s-night-caf-1888", None),
        ("夜.png", "style", "夜.png"),
        ("--.png", "style", "--.png"),
        ("there=5.jpg", "there-5", "there=5.jpg"),
        ("x" * 300, "x" * 100, "x" * 300),
    ],
)
def test_a_path_with_a_name(text: str, name: str, path: str | None) -> None:
    assert named_path(text) == (name, Path(path or text))


@pytest.mark.parametrize(
    ("text", "path", "size"),
    [
        ("cafe=a.jpg@512", "cafe=a.jpg", 512),
        ("a.jpg", "a.jpg", 0),
        ("me@home.jpg", "me@home.jpg", 0),
        ("a.jpg@", "a.jpg@", 0),
        ("@512", "@512", 0),
        ("there@512", "there@512", 0),
    ],
)
def test_a_painting_with_a_size(
    text: str, path: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there@512").touch()
    assert with_size(text) == (path, size)


@pytest.mark.parametrize("size", ["31", "8193", "0"])
def test_a_painting_of_a_size_that_cannot_be(size: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_size(f"a.jpg@{size}")
    assert str(caught.value) == f"a.jpg@{size}: a painting's size is from 32 to 8192 pixels"


@pytest.mark.parametrize("name", ["", "Cafe", "night cafe", "a_b", "-a", "a.b", "a:1", "café"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_path(f"{name}=a.jpg")
    assert str(caught.value) == f"{name!r}: a style's name has small letters, digits and hyphens"


def test_a_name_that_no_file_could_be_named_after() -> None:
    with pytest.raises(UsageError) as caught:
        named_path(f"{'x' * 101}=a.jpg")
    assert str(caught.value) == f"{'x' * 101}: a style's name has 100 characters at most"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("8GiB", 2**33),
        ("8g", 2**33),
        ("8GB", 2**33),
        ("1.5gib", 3 * 2**29),
        ("500MiB", 500 * 2**20),
        ("500M", 500 * 2**20),
        (" 2.g ", 2**31),
    ],
)
def test_a_size_of_memory(text: str, size: int | None) -> None:
    assert memory_size(text) == size


@pytest.mark.parametrize(
    "text", ["8", "g", "8k", "8TiB", "-8g", "0g", "0.0m", "8 g", "1e3m", "lots", "0.0000001m"]
)
def test_a_size_of_memory_that_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        memory_size(text)
    assert str(caught.value) == f"--memory is a size such as 8GiB or 500MiB (not {text!r})"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024x768", (1024, 768)),
        ("1024X768", (1024, 768)),
        ("512", (512, 512)),
        (" 3x5 ", (3, 5)),
        ("99999x1", (99999, 1)),
    ],
)
def test_a_size_of_a_picture(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "512x", "x512", "0x512", "512x0", "0", "-5x5", "5 x 5", "5.5x5", "123456x1"]
)
def test_a_size_of_a_picture_that_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert str(caught.value) == (
        f"`size` is WIDTHxHEIGHT in pixels, such as 1024x768 (not {text!r})"
    )


def test_a_depth_is_8_or_16() -> None:
    assert [bit_depth(8), bit_depth(16)] == [8, 16]
    for bits in (0, 1, 12, 32, -8):
        with pytest.raises(UsageError) as caught:
            bit_depth(bits)
        assert str(caught.value) == f"--depth is 8 or 16 (not {bits})"


def test_a_layer_is_one_of_the_networks() -> None:
    assert [known_layer(name) for name in ("conv4_2", "relu1_1", "pool5")] == [
        "conv4_2",
        "relu1_1",
        "pool5",
    ]
    with pytest.raises(UsageError) as caught:
        known_layer("conv4-2")
    assert str(caught.value) == (
        "unknown layer 'conv4-2' (did you mean conv4_2?); "
        "layers are written conv4_2, relu4_2, pool4"
    )


def test_findings_in_words() -> None:
    found = {
        "free_mib": 12,
        "there": True,
        "cuda": [],
        "sizes": [1, 2.5],
        "none": None,
        "at_512": {"s": 3},
    }
    assert (
        in_words(found)
        == "free mib 12, there yes, cuda none, sizes 1 and 2.5, none none, at 512 (s 3)"
    )
