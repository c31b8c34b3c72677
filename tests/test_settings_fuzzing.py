from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.images.fuzzing import Reader
from tests.settings_fuzzing import KINDS, MEMORY, Workplace, suffix

FILES = 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    """A small share of benchmarks/fuzz_settings.py's: no traceback, no hang, none changed."""
    workplace, found = Workplace(tmp_path), Counter[str]()
    reader = Reader(workplace.reader(kind), memory=MEMORY, patience=60.0)
    path = tmp_path / f"damaged{suffix(kind)}"
    for number, (name, content) in enumerate(workplace.damaged(kind, FILES, seed=0)):
        path.write_bytes(content)
        verdict = reader.read(path)
        assert not verdict.is_bug, (number, name, verdict)
        found[verdict.kind] += 1
    reader.close()
    assert min(found["read"], found["refused"]) > 0
