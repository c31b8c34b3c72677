"""Image files of every format with random damage, read as the commands read them.

    python -m benchmarks.fuzz [--files 10000] [--seed 0] [--keep FOLDER]

Each must be read or refused in one line: no traceback, no crash, not over 10 s, not over 256 MiB
of memory beside what its header's pixels take, and the file itself not changed. Prints how many
of each format were read and refused, and every bug with the file's number, which gives the same
file again; ``--keep`` keeps those files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.images.fuzzing import Reader, mutated, seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where files that show a bug go")
    arguments = parser.parse_args()
    files, reader, bugs = seeds(), Reader(), 0
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.jpg"
        damaged = mutated(files, arguments.files, seed=arguments.seed)
        for number, (name, content) in enumerate(damaged):
            path.write_bytes(content)
            verdict = reader.read(path)
            found[name.partition("-")[0], verdict.kind] += 1
            if verdict.is_bug:
                bugs += 1
                print(f"{number} {name}: {verdict.kind} {verdict.detail}", flush=True)
                if arguments.keep:
                    (arguments.keep / f"{number}-{name}").write_bytes(content)
    reader.close()
    print(f"{'format':10} {'read':>7} {'refused':>7} {'bugs':>7}")
    for file_format in sorted({name for name, _ in found}):
        read, refused = found[file_format, "read"], found[file_format, "refused"]
        others = sum(n for (name, _), n in found.items() if name == file_format) - read - refused
        print(f"{file_format:10} {read:7} {refused:7} {others:7}")
    sys.exit(1 if bugs else 0)


if __name__ == "__main__":
    main()
