"""Images that are in no file here: at a web address, or on standard input."""

from __future__ import annotations

import http.client
import posixpath
import sys
import time
import urllib.error
import urllib.request
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

from styleforge import __version__
from styleforge.core.errors import UsageError

STDIN = "-"
"""What names standard input where an image is expected."""

LARGEST = 200 * 2**20
"""Bytes that are taken."""

_PATIENCE = 20.0
"""Seconds of silence after which a server is given up."""

_DEADLINE = 180.0
"""Seconds that a picture may take to arrive."""

_PIECE = 2**16


def is_elsewhere(source: object) -> bool:
    """Whether an image's name is ``-`` or a web address, as a text."""
    return isinstance(source, str) and (source == STDIN or _is_address(source))


def shown(source: str) -> str:
    """A name to print and to keep: an address without the user's name and password."""
    if not _is_address(source):
        return source
    try:
        parts = urlsplit(source)
    except ValueError:  # no address, which is found out later
        return source
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def stem_of_address(source: str) -> str:
    """What outputs are named after: the last part of the address, without its ending."""
    if source == STDIN:
        return "stdin"
    last = posixpath.basename(unquote(urlsplit(source).path))
    return PurePosixPath(last.replace("\0", "")).stem or "picture"


def content_of(source: str) -> bytes:
    """The bytes on standard input or at an address. Raises :class:`UsageError`."""
    return _read_stdin() if source == STDIN else _fetch(source)


def _is_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise UsageError("- is standard input, and nothing is piped into it")
    content = sys.stdin.buffer.read(LARGEST + 1)
    if not content:
        raise UsageError("standard input is empty; it can be read once")
    if len(content) > LARGEST:
        raise UsageError(f"standard input has more than {LARGEST // 2**20} MiB; name a file")
    return content


def _fetch(address: str) -> bytes:
    name = shown(address)
    headers = {"User-Agent": f"styleforge/{__version__}"}
    try:
        request = urllib.request.Request(address, headers=headers)
        with _opener().open(request, timeout=_PATIENCE) as answer:
            return _limited(answer, name)
    except urllib.error.HTTPError as error:
        raise UsageError(
            f"{name} could not be fetched: {error.code} {_words(error.reason)}"
        ) from error
    except urllib.error.URLError as error:
        raise UsageError(f"{name} could not be fetched: {_words(error.reason)}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UsageError(f"{name} could not be fetched: {_words(error)}") from error


def _opener() -> urllib.request.OpenerDirector:
    """Of http and https alone, also after redirections, through the environment's proxies."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _limited(answer: http.client.HTTPResponse, name: str) -> bytes:
    """All of an answer's body. Raises :class:`UsageError` where it is too long, or too slow."""
    started, pieces, size = time.monotonic(), [], 0
    while piece := answer.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise UsageError(f"{name} has more than {LARGEST // 2**20} MiB; fetch it yourself")
        if time.monotonic() - started > _DEADLINE:
            raise UsageError(f"{name} takes more than {_DEADLINE:.0f} s; fetch it yourself")
    expected = answer.headers.get("Content-Length")
    if expected is not None and size != int(expected):
        raise UsageError(f"{name} could not be fetched: {size} of {expected} bytes arrived")
    return b"".join(pieces)


def _words(reason: object) -> str:
    """In one line, as ``connection refused``."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return " ".join(str(reason).split()) or type(reason).__name__
