"""Presets, models, checkpoints and recipes with random damage, read as the commands read them.

    python -m benchmarks.fuzz_settings [--files 1000] [--kinds presets models ...] [--seed 0]

So many of each kind. Each must be read or refused in one line: no traceback, no crash, not over
10 s, not over 1 GiB of memory, and the file itself not changed. Prints how many were read and
refused, and every bug with the file's number, which gives the same file again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from tests.images.fuzzing import Reader
from tests.settings_fuzzing import KINDS, MEMORY, Workplace, suffix


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bugs = 0
    print(f"{'kind':12} {'read':>7} {'refused':>7} {'bugs':>7}")
    with tempfile.TemporaryDirectory() as folder:
        workplace = Workplace(Path(folder))
        for kind in arguments.kinds:
            found: Counter[str] = Counter()
            reader = Reader(workplace.reader(kind), memory=MEMORY)
            path = Path(folder) / f"damaged{suffix(kind)}"
            damaged = workplace.damaged(kind, arguments.files, seed=arguments.seed)
            for number, (name, content) in enumerate(damaged):
                path.write_bytes(content)
                verdict = reader.read(path)
                found[verdict.kind] += 1
                if verdict.is_bug:
                    print(f"{number} {kind} {name}: {verdict.kind} {verdict.detail}", flush=True)
            reader.close()
            wrong = sum(found.values()) - found["read"] - found["refused"]
            bugs += wrong
            print(f"{kind:12} {found['read']:7} {found['refused']:7} {wrong:7}", flush=True)
    sys.exit(1 if bugs else 0)


if __name__ == "__main__":
    main()
