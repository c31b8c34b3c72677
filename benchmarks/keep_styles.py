"""A model with some of another one's styles, and everything else as it is.

    python benchmarks/keep_styles.py MODEL OUTPUT NAME ... [--mean OTHER]

How the shipped mosaic.safetensors was made from the network of eight styles that shipped first,
and paintings.safetensors from two of twelve, the second of which was trained on from the first:
with --mean the weights are the mean of both models', which paints what lies between the two
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from styleforge.networks.model_file import Model, load_model, save_model
from styleforge.networks.transformer import TransformerNetwork, style_parameters


def with_styles(network: TransformerNetwork, places: Sequence[int]) -> TransformerNetwork:
    """The same network with the styles at these places, in their order."""
    smaller = TransformerNetwork(network.settings, len(places))
    chosen = torch.tensor(list(places))
    of_styles = {id(x) for x in (*style_parameters(network), *network.buffers())}
    smaller.load_state_dict(
        {
            name: x.detach()[chosen] if id(x) in of_styles else x.detach()
            for name, x in (*network.named_parameters(), *network.named_buffers())
        }
    )
    return smaller


@torch.no_grad()
def mean_with(network: TransformerNetwork, other: TransformerNetwork) -> None:
    """Make the weights the mean of both networks'."""
    for own, theirs in zip(network.parameters(), other.parameters(), strict=True):
        own.lerp_(theirs, 0.5)


def transformer(model: Model) -> TransformerNetwork:
    assert isinstance(model.network, TransformerNetwork)
    return model.network


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--mean", type=Path, metavar="OTHER")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    network = transformer(model)
    if arguments.mean:
        mean_with(network, transformer(load_model(arguments.mean)))
    places = [model.style_names.index(name) for name in arguments.names]
    info = model.info.model_copy(update={"styles": [model.info.styles[i] for i in places]})
    save_model(arguments.output, info, with_styles(network, places))


if __name__ == "__main__":
    main()
