from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.images.fuzzing import Reader, every_way, mutated, seeds

FILES = 150


@pytest.mark.slow
def test_whole_files_are_read(tmp_path: Path) -> None:
    for name, content in seeds().items():
        path = tmp_path / name
        path.write_bytes(content)
        assert every_way(path) == ("read", ""), name


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """A small share of benchmarks/fuzz.py's: no traceback, no hang, no memory, none changed."""
    reader, found = Reader(patience=60.0), Counter[str]()  # busy machines pause for seconds
    for number, (name, content) in enumerate(mutated(seeds(), FILES, seed=0)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(content)
        verdict = reader.read(path)
        assert not verdict.is_bug, (number, name, verdict)
        found[verdict.kind] += 1
    reader.close()
    assert min(found["read"], found["refused"]) > FILES // 10
