from __future__ import annotations

from pathlib import Path

import pytest
import torch

from styleforge.images.load import load_image
from styleforge.transfers.loss_network import paper_network
from styleforge.vgg.weights import Weights
from tests.cli.conftest import Command
from tests.pictures import opened


@pytest.mark.slow
def test_it_saves_a_sheet_named_after_picture_and_layer(command: Command) -> None:
    done = command("inspect", "c.png", "--layer", "conv2_1", "--count", "3")
    assert (done.code, done.out) == (0, b"")
    assert done.err.startswith("Saved c_conv2_1.png in ")
    assert opened(Path("c_conv2_1.png").read_bytes()).format == "PNG"


@pytest.mark.slow
def test_the_numbers_are_those_of_the_network(command: Command, weights: Weights) -> None:
    options = ("--layer", "conv1_2", "--count", "2", "--size", "0", "--json", "-q")
    done = command("inspect", "c.png", *options, "-o", "out.png", "--gram", "gram.png")
    features = paper_network(weights, ["relu1_2"])(load_image("c.png").pixels)["relu1_2"][0]
    means = features.mean((1, 2))
    order = means.argsort(descending=True)[:2].tolist()
    assert done.err == ""
    assert done.json == {
        "image": "c.png",
        "layer": "conv1_2",
        "channels": 64,
        "width": 48,
        "height": 40,
        "strongest": [
            {
                "channel": channel,
                "mean": pytest.approx(means[channel].item()),
                "maximum": pytest.approx(features[channel].max().item()),
            }
            for channel in order
        ],
        "output": "out.png",
        "gram": "gram.png",
    }
    assert opened(Path("gram.png").read_bytes()).size == (800, 700)


def test_the_default_layer_is_conv4_2(command: Command) -> None:
    done = command("inspect", "c.png", "-s", "40", "--count", "1", "--json")
    assert done.json["layer"] == "conv4_2"
    assert (done.json["channels"], done.json["width"], done.json["height"]) == (512, 5, 4)
    assert done.json["gram"] is None
    assert Path("c_conv4_2.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--layer", "conv6_1"),
            "unknown layer 'conv6_1' (did you mean conv5_1?); "
            "layers are written conv4_2, relu4_2, pool4",
        ),
        (("--gram", "g.jpg"), "g.jpg: the Gram matrix is drawn as a .png file"),
        (("--gram", "a.png", "-o", "a.png"), "a.png: --gram and --output are the same file"),
        (("--gram", "s.png"), "s.png exists; use --force to overwrite it"),
        (("-o", "c.png", "-f"), "c.png is one of the inputs; choose another output"),
        (("-d", "gpu"), "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(command: Command, options: tuple[str, ...], message: str) -> None:
    before = {path.name for path in Path().iterdir()}
    done = command("inspect", "c.png", *options)
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")
    assert {path.name for path in Path().iterdir()} == before


@pytest.mark.slow
def test_it_overwrites_with_force(command: Command) -> None:
    assert command("inspect", "c.png", "--layer", "conv1_1", "-o", "s.png", "-f", "-q").code == 0
    assert not torch.equal(load_image("s.png").pixels, load_image("c.png").pixels)
