"""A model with some of another one's styles, and everything else as it is.

    python benchmarks/keep_styles.py MODEL OUTPUT NAME ...

How the shipped mosaic.safetensors was made from the network of eight styles that shipped first,
and paintings.safetensors from the one of fourteen that was trained after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from styleforge.networks.model_file import load_model, save_model
from styleforge.networks.transformer import TransformerNetwork, style_parameters


def with_styles(network: TransformerNetwork, places: Sequence[int]) -> TransformerNetwork:
    """The same network with the styles at these places, in their order."""
    smaller = TransformerNetwork(network.settings, len(places))
    chosen = torch.tensor(list(places))
    of_styles = {id(parameter) for parameter in style_parameters(network)}
    smaller.load_state_dict(
        {
            name: x.detach()[chosen] if id(x) in of_styles else x.detach()
            for name, x in network.named_parameters()
        }
    )
    return smaller


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    assert isinstance(model.network, TransformerNetwork)
    places = [model.style_names.index(name) for name in arguments.names]
    info = model.info.model_copy(update={"styles": [model.info.styles[i] for i in places]})
    save_model(arguments.output, info, with_styles(model.network, places))


if __name__ == "__main__":
    main()
