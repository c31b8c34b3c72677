"""What the server that forks the disturbed commands has loaded; it starts no threads."""

from __future__ import annotations

import importlib
import pkgutil

import torch
from tqdm.std import TqdmDefaultWriteLock
from typer.main import get_command

import styleforge
from styleforge import cli
from styleforge.vgg import weights

torch.set_num_threads(1)  # a fork has none of its parent's threads, and would wait for them

for module in pkgutil.walk_packages(styleforge.__path__, "styleforge."):
    importlib.import_module(module.name)
for slow in ("matplotlib.backends.backend_agg", "matplotlib.figure", "torch._dynamo"):
    importlib.import_module(slow)

cli.app = get_command(cli.app)
TqdmDefaultWriteLock.mp_lock = None  # killed processes would leave theirs

_WEIGHTS = weights.load_weights("original")
weights._load_original = lambda: _WEIGHTS
