"""Commands with injected faults: what is there afterwards must be whole or absent.

    python -m benchmarks.faults [--faults 25] [--commands transfer stylize ...] [--seed 0]

For each command and each kind of fault, so many times: SIGKILL and SIGTERM, each at a random
moment or just before a random change of a file, files that may not grow beyond a random size, and
a disk that takes no new file from a random one on. Looked at are every output (it decodes, loads,
or is not there), the inputs (unchanged), the exit code and standard error (no traceback). Then the
command goes on undisturbed from what is left, to the results of a run that nothing has disturbed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.cli.faults import COMMANDS, FAULTS, Workplace


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faults", type=int, default=25)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    bugs = 0
    for command in arguments.commands:
        with tempfile.TemporaryDirectory() as folder:
            workplace = Workplace(Path(folder) / "workplace", command)
            for fault in FAULTS:
                chance = random.Random(f"{arguments.seed} {command} {fault}")
                codes: Counter[int] = Counter()
                for _ in range(arguments.faults):
                    found = workplace.disturb(fault, chance)
                    codes[found.code] += 1
                    if found.is_bug:
                        bugs += 1
                        print(f"{command} {fault}: {found}", flush=True)
                print(f"{command:10} {fault:9} exit codes {dict(codes)}", flush=True)
    print(f"{bugs} bugs")
    sys.exit(1 if bugs else 0)


if __name__ == "__main__":
    main()
