"""A batch that is killed 100 times at random moments (SIGKILL), each time started again.

    python -m benchmarks.batch_kills [--kills 100] [--photos 400] [--seed 0]

Prints, after every tenth kill and at the end: results there; how many of these differ from an
undisturbed run's bytes; how many were written again although they were finished; temporary files
that the killed process has left (a batch that ends clears them away).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.batches.kills import Found, Workplace, killed


def row(when: str, found: Found) -> str:
    return f"{when:>9} {found.results:>8} {found.wrong:>6} {found.again:>6} {found.remains:>8}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workplace = Workplace(Path(folder), arguments.photos)
        print(f"{'kills':>9} {'results':>8} {'wrong':>6} {'again':>6} {'remains':>8}")
        wrong = again = 0
        runs = killed(workplace, arguments.kills, seed=arguments.seed)
        for number, found in enumerate(runs, 1):
            wrong, again = wrong + found.wrong, again + found.again
            if number % 10 == 0:
                print(row(str(number), found), flush=True)
        said = workplace.finish("killed")
        last = workplace.look("killed")
        print(row("finished", last))
        print(f"in all: {wrong + last.wrong} wrong, {again + last.again} written again")
        print(f"the last run: {said.strip()}")


if __name__ == "__main__":
    main()
