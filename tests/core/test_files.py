from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from styleforge.core.errors import UsageError
from styleforge.core.files import MACHINE, file_sha256, remove_remains, write_atomically


def test_sha256_is_of_the_whole_file(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"something longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, failure: BaseException
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(moment, fail)
    with pytest.raises(type(failure)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    previous = os.umask(mask)
    try:
        write_atomically(tmp_path / "a", b"")
        assert (tmp_path / "a").stat().st_mode & 0o777 == mode
        assert os.umask(mask) == mask, "the process's own mask is as before"
    finally:
        os.umask(previous)


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("写" * 83 + ".png")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_killed_writers_have_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    path, dead, alive = tmp_path / f"{'long' * 20}\n.png", 2**22 + 1, os.getpid()
    stale = [f".{path.name[:50]}.{dead}.{MACHINE}-abcdefg1", f".b.png.{dead}.{MACHINE}-_bcdefg1"]
    others = [
        f".b.png.{alive}.{MACHINE}-abcdefg1",
        f".c.png.{dead}.{MACHINE}-abcdefg1",
        f".b.png.{dead}.00000000-abcdefg1",
        ".b.png.swp",
        "b.png",
    ]
    for name in [*stale, *others]:
        (tmp_path / name).touch()
    remove_remains([path, tmp_path / "b.png", tmp_path / "nowhere" / "d.png"])
    assert {file.name for file in tmp_path.iterdir()} == set(others)


def test_a_write_that_is_killed_leaves_what_is_known_as_its_own(tmp_path: Path) -> None:
    code = "import os; os.fsync = lambda _: os._exit(9); import sys; from pathlib import Path\n"
    code += "from styleforge.core.files import write_atomically\n"
    code += "write_atomically(Path('a.png'), b'new')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    remove_remains([tmp_path / "a.png"])
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_was_killed_and_not_yet_waited_for_is_gone(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    remains = tmp_path / f".a.png.{killed.pid}.{MACHINE}-abcdefgh"
    remains.write_bytes(b"half")
    remove_remains([tmp_path / "a.png"])
    assert remains.exists(), "the writer lives"
    killed.kill()
    while psutil.Process(killed.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    remove_remains([tmp_path / "a.png"])
    assert not remains.exists()
    killed.communicate()


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o604)
    write_atomically(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o604


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "no" / "a.png"
    with pytest.raises(OSError, match="No such file") as caught:
        write_atomically(path, b"new")
    assert caught.value.filename == str(path)


def test_a_pipe_has_no_hash(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(UsageError) as caught:
        file_sha256(tmp_path / "a")
    assert str(caught.value) == f"{tmp_path / 'a'} is a pipe or a device, not a file"
