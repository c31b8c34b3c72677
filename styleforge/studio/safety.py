"""Who may talk to the studio: its own page on this machine, or whoever has the token.

A page elsewhere on the web can make a browser send requests here: to 127.0.0.1, or to a name of
its own that it lets point here (DNS rebinding). The first are known by Origin and Sec-Fetch-Site,
the second by Host; see https://fetch.spec.whatwg.org and https://www.w3.org/TR/fetch-metadata.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from styleforge.core.errors import UsageError

HERE = "127.0.0.1"

COOKIE = "styleforge-token"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every answer: the page may load nothing from elsewhere, nor be shown inside another."""

_SAFE_METHODS = ("GET", "HEAD")
_LOCAL_NAMES = ("localhost", HERE, "::1")


class Refusal(NamedTuple):
    """An HTTP status, and why in a line."""

    status: int
    reason: str


@dataclass(frozen=True)
class Visit:
    """What of a request decides whether it is let in; ``method`` is also ``WEBSOCKET``."""

    method: str
    path: str
    headers: Mapping[str, str]
    token: str = ""


@dataclass(frozen=True)
class Door:
    """Lets in the studio's own page. Where others than this machine can reach it, it has a token.

    ``host`` is the address or name that is listened on.
    """

    host: str = HERE
    token: str = ""

    @classmethod
    def at(cls, host: str | None) -> Door:
        """On this machine alone, or on a named host with a new token. Raises UsageError."""
        if host is None or host in _LOCAL_NAMES:
            return cls(HERE)
        if not host or urlsplit(f"//{host}").netloc != host or "@" in host:
            raise UsageError(f"`host` is an address or a name of this machine (not {host!r})")
        return cls(host, secrets.token_urlsafe(12))

    def refusal(self, visit: Visit) -> Refusal | None:
        """Why a request is not let in; None where it is."""
        if not self._is_ours(visit.headers.get("host", "")):
            return Refusal(403, "the studio does not answer to this name")
        if self._is_foreign(visit):
            return Refusal(403, "the studio takes requests from its own page only")
        asking = visit.path == "/token" or visit.path.startswith("/page/")
        if self.token and not asking and not self.opens(visit.token):
            return Refusal(401, "the studio asks for its token")
        return None

    def opens(self, token: str) -> bool:
        """Whether it is the token, in a time that says nothing of it."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def _is_ours(self, host: str) -> bool:
        """No name of a web page's choice; ports do not matter, so that tunnels work."""
        name = _hostname(host)
        if name in _LOCAL_NAMES or not self.token:
            return name in _LOCAL_NAMES
        return name == self.host.lower() or _is_address(name)

    def _is_foreign(self, visit: Visit) -> bool:
        """Whether another page sent it, or could have; following a link to the page is fine."""
        origin, host = visit.headers.get("origin"), visit.headers.get("host", "")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return True
        if visit.method not in _SAFE_METHODS:
            return origin is None
        site = visit.headers.get("sec-fetch-site", "none")
        return site not in ("same-origin", "none") and visit.path != "/"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """Addresses belong to nobody's domain, so none can be made to point here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
