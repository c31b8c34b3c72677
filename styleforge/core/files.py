"""Files as bytes: hashes, and writes that either happen whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from styleforge.core.errors import UsageError

STDOUT = "-"
"""What names standard output where a file's name is expected."""

MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(rf"\.(?P<name>.*)\.(?P<writer>\d+)\.{MACHINE}-[a-z0-9_]{{8}}", re.DOTALL)
"""Names of temporary files: the final one's beginning, the process that writes it, its machine."""

_NAME_KEPT = 50

_LONGEST_NAME = 255
"""Bytes that file systems take."""


def check_regular(path: Path) -> None:
    """Raise :class:`UsageError` for what cannot be read like a file: a pipe would never end."""
    try:
        special = path.exists() and not (path.is_file() or path.is_dir())
    except OSError as error:  # a name that is too long
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"{path} cannot be read ({reason})") from error
    if special:
        raise UsageError(f"{path} is a pipe or a device, not a file")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises :class:`UsageError`, OSError."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_is_free(path: Path, *, force: bool) -> None:
    """Raise :class:`UsageError` where a file is that may not be replaced."""
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise UsageError(f"{path}: the name is too long; {_LONGEST_NAME} bytes are the limit")
    if path.is_file() and not force:
        raise UsageError(f"{path} exists; use `force` to overwrite it")


def check_place(path: Path, *, inputs: Iterable[Path], force: bool, needed: int) -> None:
    """Raise :class:`UsageError` if a file of so many bytes could not be written to ``path``."""
    check_is_free(path, force=force)
    if path.is_dir():
        raise UsageError(f"{path} is a directory; name a file")
    if any(path.exists() and source.exists() and path.samefile(source) for source in inputs):
        raise UsageError(f"{path} is one of the inputs; choose another output")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the folder {folder} may not be written to")
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"no space in {folder}: {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB needed"
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary one beside it, so that it is never seen half-written.

    One that is there keeps its mode. Raises OSError, which names the file, and leaves what was
    there before.
    """
    try:
        with replaced(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` to be written, which then takes its place.

    Where that fails nothing is left of it, and of the old file everything.
    """
    prefix = f".{path.name[:_NAME_KEPT]}.{os.getpid()}.{MACHINE}-"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(_mode(path))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def held_alone(folder: Path, *, otherwise: str) -> Iterator[None]:
    """Make a folder, for this process only until it ends or dies.

    Raises :class:`UsageError`, which says ``otherwise``, where another process has it.
    """
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(otherwise) from error
    try:
        yield
    finally:
        lock.release()


def remove_remains(paths: Iterable[Path]) -> None:
    """Delete what processes of this machine that were killed while they wrote these files left."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name[:_NAME_KEPT])
    for folder, known in names.items():
        for file in folder.glob(".*"):
            found = _TEMPORARY.fullmatch(file.name)
            if found and found["name"] in known and not _lives(int(found["writer"])):
                file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Whether it may still write; one that was killed and is not yet waited for does not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mode(path: Path) -> int:
    """What a file may be used for: as before, or as new files are."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
