"""Who is let in: the studio's own page, and nobody else's."""

from __future__ import annotations

import pytest

from styleforge.core.errors import UsageError
from styleforge.studio.safety import HEADERS, Door, Visit

HERE = "127.0.0.1:7860"
OWN = {"host": HERE, "origin": f"http://{HERE}", "sec-fetch-site": "same-origin"}


def status(door: Door, visit: Visit) -> int:
    refusal = door.refusal(visit)
    return refusal.status if refusal else 200


@pytest.mark.parametrize("host", [HERE, "localhost:7860", "[::1]:7860", "localhost", "LOCALHOST:1"])
def test_names_of_this_machine(host: str) -> None:
    assert status(Door(), Visit("GET", "/", {"host": host})) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "192.168.1.9:7860", "", "[::"],
)
def test_other_names_are_not_answered_to(host: str) -> None:
    """DNS rebinding: a page's own name is made to point here."""
    for method in ("GET", "POST", "WEBSOCKET"):
        visit = Visit(method, "/", {"host": host, "origin": f"http://{host}"})
        assert status(Door(), visit) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "WEBSOCKET"])
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:7860", None],
)
def test_changes_come_from_our_own_page_only(method: str, origin: str | None) -> None:
    headers = {"host": HERE} | ({"origin": origin} if origin else {})
    assert status(Door(), Visit(method, "/api/queue", headers)) == 403
    assert status(Door(), Visit(method, "/api/queue", OWN)) == 200


@pytest.mark.parametrize(
    ("site", "path", "expected"),
    [
        ("same-origin", "/api/shelf", 200),
        ("none", "/api/shelf", 200),
        ("cross-site", "/api/shelf", 403),
        ("same-site", "/api/shelf/a.png/picture", 403),
        ("cross-site", "/", 200),
    ],
)
def test_other_pages_may_link_here_but_show_nothing(site: str, path: str, expected: int) -> None:
    assert status(Door(), Visit("GET", path, {"host": HERE, "sec-fetch-site": site})) == expected


def test_a_host_needs_a_token() -> None:
    door = Door.at("192.168.1.20")
    assert len(door.token) >= 16
    assert Door.at("192.168.1.20").token != door.token
    headers = {"host": "192.168.1.20:7860", "origin": "http://192.168.1.20:7860"}
    for path in ("/", "/api/shelf", "/api/news", "/page"):
        assert status(door, Visit("GET", path, headers)) == 401
        assert status(door, Visit("GET", path, headers, "wrong")) == 401
        assert status(door, Visit("GET", path, headers, "wröng")) == 401
        assert status(door, Visit("GET", path, headers, door.token)) == 200
    assert status(door, Visit("POST", "/token", headers)) == 200
    assert status(door, Visit("POST", "/token", {**headers, "origin": "http://a.b"})) == 403
    assert status(door, Visit("GET", "/page/studio.css", headers)) == 200


def test_names_that_a_host_answers_to() -> None:
    door = Door.at("studio.local")
    for name, expected in {"studio.local": 200, "10.0.0.7": 200, "[fe80::1]": 200}.items():
        assert status(door, Visit("GET", "/", {"host": f"{name}:1"}, door.token)) == expected
    assert status(door, Visit("GET", "/", {"host": "evil.example"}, door.token)) == 403


@pytest.mark.parametrize("host", [None, "127.0.0.1", "localhost", "::1"])
def test_this_machine_needs_none(host: str | None) -> None:
    assert Door.at(host) == Door("127.0.0.1", "")


@pytest.mark.parametrize("host", ["", "a b/c", "http://x", "me@here", "x?y"])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(UsageError, match="`host` is an address or a name of this machine"):
        Door.at(host)


def test_the_page_may_load_nothing_from_elsewhere() -> None:
    policy = HEADERS["Content-Security-Policy"]
    sources = {part for rule in policy.split(";") for part in rule.split()[1:]}
    assert sources == {"'self'", "'none'", "blob:", "data:"}
