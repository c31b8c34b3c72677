"""Standard input, and web addresses of a server in this process."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from styleforge.core.errors import UsageError
from styleforge.core.files import file_sha256
from styleforge.images import elsewhere
from styleforge.images.elsewhere import is_elsewhere, shown, stem_of_address
from styleforge.images.load import load_image
from tests.pictures import noise


class Answers(BaseHTTPRequestHandler):
    """What a server may do to who asks."""

    def do_GET(self) -> None:
        getattr(self, "_" + self.path.strip("/").partition(".")[0])()

    def log_message(self, *_: object) -> None:
        """Nobody listens."""

    def _ok(self, content: bytes = b"", kind: str = "text/html") -> None:
        if not content:
            buffer = io.BytesIO()
            noise().save(buffer, "PNG")
            content = buffer.getvalue()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def _page(self) -> None:
        self._ok(b"<html>no image</html>", "image/png")

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"some")

    def _missing(self) -> None:
        self.send_error(404)

    def _to(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.end_headers()

    def _moved(self) -> None:
        self._to("/ok.png")

    def _round(self) -> None:
        self._to("/round")

    def _into(self) -> None:
        self._to("file:///etc/hostname")

    def _ftp(self) -> None:
        self._to("ftp://127.0.0.1/a.png")

    def _silent(self) -> None:
        self.server.released.wait(10)  # type: ignore[attr-defined]

    def _endless(self) -> None:
        self._ok(b"x" * 3000)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as served:
        served.released = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.released.set()  # type: ignore[attr-defined]
        served.shutdown()


def error_of(source: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_image(source)
    return str(caught.value)


@pytest.mark.parametrize("path", ["ok.png", "moved"])
def test_an_address_is_read_like_a_file(server: str, path: str, tmp_path: Path) -> None:
    """Whatever type the server says that it has."""
    noise().save(tmp_path / "a.png")
    there, here = load_image(f"{server}/{path}"), load_image(tmp_path / "a.png")
    assert there.pixels.equal(here.pixels)
    assert there.sha256 == file_sha256(tmp_path / "a.png")
    assert there.name == f"{server}/{path}"
    assert not there.path.exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("page.png", " is not an image that can be read"),
        ("cut", " could not be fetched: 4 of 100 bytes arrived"),
        ("missing", " could not be fetched: 404 Not Found"),
    ],
)
def test_what_is_no_image_there(server: str, path: str, reason: str) -> None:
    assert error_of(f"{server}/{path}") == f"{server}/{path}{reason}"


@pytest.mark.parametrize("path", ["round", "into", "ftp"])
def test_redirections_that_are_not_followed(server: str, path: str) -> None:
    message = error_of(f"{server}/{path}")
    assert message.startswith(f"{server}/{path} could not be fetched: ")
    assert "\n" not in message


def test_a_server_that_says_nothing(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_PATIENCE", 0.1)
    assert error_of(f"{server}/silent") == f"{server}/silent could not be fetched: timed out"


def test_a_server_that_says_too_much(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "LARGEST", 2000)
    assert error_of(f"{server}/endless") == (
        f"{server}/endless has more than 0 MiB; fetch it yourself"
    )


def test_a_server_that_takes_too_long(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_DEADLINE", -1.0)
    assert (
        error_of(f"{server}/ok.png") == f"{server}/ok.png takes more than -1 s; fetch it yourself"
    )


def test_no_server() -> None:
    address = "http://127.0.0.1:1/a.png"
    assert error_of(address) == f"{address} could not be fetched: connection refused"


@pytest.mark.parametrize("address", ["http://", "https://[", "http://a b/c"])
def test_what_is_no_address(address: str) -> None:
    assert error_of(address).startswith(f"{address} could not be fetched: ")


def test_a_password_is_not_kept(server: str) -> None:
    secret = server.replace("//", "//me:secret@") + "/page.png"
    assert shown(secret) == f"{server}/page.png"
    assert "secret" not in error_of(secret)


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("-", "stdin"),
        ("https://a.org/pictures/my%20cat.jpg?size=3#top", "my cat"),
        ("https://a.org/", "picture"),
        ("https://a.org/..%2F..%2Fetc", "etc"),
    ],
)
def test_names_of_outputs(source: str, stem: str) -> None:
    assert stem_of_address(source) == stem


@pytest.mark.parametrize("source", [Path("-"), "a.jpg", "httpd.jpg", "./-", "ftp://a.org/a.jpg"])
def test_what_is_a_file(source: str | Path) -> None:
    assert not is_elsewhere(source)


class Piped(io.TextIOWrapper):
    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self.isatty = lambda: terminal  # type: ignore[method-assign]


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    monkeypatch.setattr(sys, "stdin", Piped((tmp_path / "a.png").read_bytes()))
    picture = load_image("-")
    assert picture.pixels.equal(load_image(tmp_path / "a.png").pixels)
    assert picture.name == "-"
    assert error_of("-") == "standard input is empty; it can be read once"


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (None, "- is standard input, and nothing is piped into it"),
        (Piped(b"", terminal=True), "- is standard input, and nothing is piped into it"),
        (Piped(b"no image"), "- is not an image that can be read"),
    ],
    ids=["none", "terminal", "no image"],
)
def test_standard_input_without_an_image(
    stdin: Piped | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert error_of("-") == message


def test_standard_input_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "LARGEST", 2000)
    monkeypatch.setattr(sys, "stdin", Piped(b"x" * 3000))
    assert error_of("-") == "standard input has more than 0 MiB; name a file"
