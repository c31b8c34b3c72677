"""Image files with random damage, read through the real loading code in a process of its own."""

from __future__ import annotations

import io
import multiprocessing
import random
import resource
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pillow_heif
import tifffile
import torch

from styleforge.core.errors import StyleforgeError
from styleforge.images.load import load_image, load_pixels
from styleforge.images.opening import BYTES_PER_PIXEL, READABLE, is_whole, opened
from styleforge.jobs.recipe import load_recipe
from tests.pictures import camera_exif, noise

PATIENCE = 10.0
"""Seconds that a file may take."""

MOST_MEMORY = 2**28
"""Bytes that reading a file may take beyond what is taken already and what its pixels take."""

Mutation = Callable[[bytearray, random.Random], None]

Read = Callable[[Path], tuple[str, str]]
"""Reads a file as commands do: what became of it, and why."""


@dataclass(frozen=True)
class Verdict:
    """What became of a file: it was ``read`` or ``refused``, or this is a bug."""

    kind: str
    detail: str = ""

    @property
    def is_bug(self) -> bool:
        return self.kind not in ("read", "refused")


def seeds() -> dict[str, bytes]:
    """Whole files of every format and of many kinds of pixels, by name."""
    files = {}
    image = noise(48, 40)
    pillow_heif.register_heif_opener()
    for file_format in (*READABLE, "HEIF"):
        for mode in ("RGB", "RGBA", "L", "P", "CMYK", "1", "I;16", "LA"):
            buffer = io.BytesIO()
            try:
                image.convert("L" if mode == "I;16" else mode).convert(mode).save(
                    buffer, file_format, exif=camera_exif()
                )
            except (OSError, ValueError, KeyError, RuntimeError, SystemError):
                continue  # the format has no such pixels
            files[f"{file_format}-{mode.replace(';', '')}"] = buffer.getvalue()
    floats = io.BytesIO()
    tifffile.imwrite(floats, np.random.default_rng(0).random((40, 48), np.float32))
    for name, options in {"JPEG-progressive": {"progressive": True}, "TIFF-lzw": {}}.items():
        buffer = io.BytesIO()
        compression = {"compression": "tiff_lzw"} if name == "TIFF-lzw" else {}
        image.save(buffer, name.partition("-")[0], **options, **compression)
        files[name] = buffer.getvalue()
    return {**files, "TIFF-float": floats.getvalue()}


def _flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _extreme(content: bytearray, chance: random.Random) -> None:
    """A number in the header, or anywhere, becomes a large or a small one."""
    place = chance.randrange(min(len(content), chance.choice([64, 512, len(content)])))
    number = chance.choice([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 100_000, 30_000])
    layout = chance.choice([">I", "<I", ">H", "<H"])
    size = struct.calcsize(layout)
    content[place : place + size] = struct.pack(layout, number & (256**size - 1))


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _drop(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    del content[start : start + chance.choice([1, 4, 100])]


def _double(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start:start] = content[start : start + chance.choice([1, 4, 100, 1000])]


def _noise(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    length = min(chance.choice([4, 32, 400]), len(content) - start)
    content[start : start + length] = chance.randbytes(length)


MUTATIONS: tuple[Mutation, ...] = (_flip, _extreme, _extreme, _cut, _drop, _double, _noise)


def mutated(files: dict[str, bytes], count: int, *, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many damaged files; each follows from the seed and its number."""
    names = sorted(files)
    for number in range(count):
        name = names[number % len(names)]
        yield name, mutated_bytes(files[name], random.Random(f"{seed} {number}"))


def mutated_bytes(whole: bytes, chance: random.Random) -> bytes:
    """The same with one mutation, or several."""
    content = bytearray(whole)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        if content:
            chance.choice(MUTATIONS)(content, chance)
    return bytes(content)


class Reader:
    """Reads files in a process of its own, which is replaced when it hangs, dies or grows.

    A fresh process, no fork: a fork of one that runs threads can wait for ever for a lock that one
    of them held, and that would pass for a file that hangs.
    """

    def __init__(
        self, read: Read | None = None, *, memory: int = MOST_MEMORY, patience: float = PATIENCE
    ) -> None:
        self._work = read or every_way
        self._patience = patience
        self._memory = memory
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def read(self, path: Path) -> Verdict:
        before = path.read_bytes(), path.stat().st_mtime_ns
        self._pipe.send(path)
        try:
            kind, detail = self._pipe.recv() if self._pipe.poll(self._patience) else ("hang", "")
        except EOFError:
            self._process.join()
            kind, detail = "crash", f"exit code {self._process.exitcode}"
        if kind in ("hang", "crash", "memory"):
            self.close()
            self._start()
        if (path.read_bytes(), path.stat().st_mtime_ns) != before:
            kind = "changed"
        return Verdict(kind, detail)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(other, self._work, self._memory), daemon=True
        )
        self._process.start()
        other.close()
        self._pipe.recv()  # its libraries take seconds to come, which no file should be blamed for


def _serve(pipe: Connection, read: Read, memory: int) -> None:
    torch.set_num_threads(1)
    pipe.send("ready")
    while True:
        path = pipe.recv()
        own = _peak()
        kind, detail = read(path)
        grown = _peak() - own
        if grown > memory + _declared(path):
            kind, detail = "memory", f"{grown / 2**20:.0f} MiB"
        pipe.send((kind, detail))


def every_way(path: Path) -> tuple[str, str]:
    """Every way in which commands read an image file."""
    kind, detail = "read", ""
    for read in (
        lambda: load_image(path, min_side=1),
        lambda: load_pixels(path, least=16),
        lambda: is_whole(path),
        lambda: load_recipe(path),
    ):
        try:
            read()
        except StyleforgeError as error:
            if "recipe" not in str(error):
                kind, detail = "refused", str(error)
        except BaseException as error:
            return "traceback", f"{type(error).__name__}: {error}"
    return kind, detail


def _declared(path: Path) -> int:
    """Bytes that the pixels may take which the file says it has."""
    try:
        with opened(path) as image:
            return image.width * image.height * BYTES_PER_PIXEL
    except StyleforgeError:
        return 0


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
