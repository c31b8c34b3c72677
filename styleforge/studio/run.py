"""The studio from its start to its end."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from pathlib import Path

from styleforge.core.errors import UsageError
from styleforge.studio.desk import CommandOf, Desk, Means
from styleforge.studio.news import News
from styleforge.studio.safety import Door
from styleforge.studio.worker import Worker

_PATIENCE = 2
"""Seconds that open tabs get to hang up at the end."""


def check_folder(folder: Path) -> None:
    """Raise :class:`UsageError` where results cannot be kept; makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise UsageError(f"{folder} cannot be a folder for results ({reason})") from error


def run(
    folder: Path,
    means: Means,
    door: Door,
    port: int,
    *,
    command_of: CommandOf,
    begun: Callable[[str], object],
) -> None:
    """Listen until Ctrl-C; ``begun`` is called with the page's address once it can be opened.

    Raises :class:`UsageError` where it cannot listen there.
    """
    import uvicorn

    from styleforge.studio.server import application

    listening = _socket(door.host, port)
    news, worker = News(), Worker()
    desk = Desk(folder, means, worker, command_of, news.spread)
    worker.start()
    config = uvicorn.Config(
        application(desk, door, news),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE,
    )
    begun(_address(door.host, listening.getsockname()[1]))
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again at its end
        uvicorn.Server(config).run(sockets=[listening])


def _socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is taken; choose another with `port`") from error
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot listen on {host}, port {port} ({reason})") from error


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
