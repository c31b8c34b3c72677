"""Standard output and standard error, which may be full, closed, or not listened to any more."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Stream:
    """A text stream that the work outlives: from the first error on, what is written is dropped.

    ``error`` is that first error.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.error: OSError | None = None
        if stream is None:  # it was closed before the start
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
            self.error = OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._stream = stream

    def write(self, text: str) -> int:
        if self.error is None:
            with self._noted():
                try:
                    self._stream.write(text)
                except UnicodeEncodeError:
                    encoding = self._stream.encoding
                    plain = text.encode(encoding, "backslashreplace").decode(encoding)
                    self._stream.write(plain)
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            with self._noted():
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError):  # or Python would try again at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextlib.contextmanager
def lasting_streams() -> Iterator[Stream]:
    """Meanwhile, what is printed cannot fail; yields standard output."""
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    out = Stream(sys.stdout)
    sys.stdout, sys.stderr = out, Stream(sys.stderr)
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = before


def _fill_descriptors() -> None:
    """Where a standard stream is closed, the next file opened would be taken for it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
