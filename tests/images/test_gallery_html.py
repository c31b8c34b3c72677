from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

from styleforge.images.gallery_html import Figure, page

AWKWARD = """<a> & "b" 'c' 100%?#.png"""


class Read(HTMLParser):
    """What a browser would see: texts by tag, and the attributes of links and pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.attributes: dict[str, list[dict[str, str | None]]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.setdefault(tag, []).append(dict(attrs))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self._open[-1], []).append(data)


def test_every_picture_is_shown_with_its_caption_and_recipe() -> None:
    rows = [[Figure("1.png", "one", "seed: 1"), Figure("2.png", "two", "seed: 2")]]
    found = Read(page("Cat", [*rows, [Figure("3.png", "three", "seed: 3")]]))
    assert found.texts["title"] == found.texts["h1"] == ["Cat"]
    assert [image["src"] for image in found.attributes["img"]] == ["1.png", "2.png", "3.png"]
    assert [link["href"] for link in found.attributes["a"]] == ["1.png", "2.png", "3.png"]
    assert found.texts["figcaption"] == ["one", "two", "three"]
    assert found.texts["pre"] == ["seed: 1", "seed: 2", "seed: 3"]
    assert len(found.attributes["section"]) == 2


def test_names_are_shown_as_they_are_and_start_no_markup() -> None:
    found = Read(page(AWKWARD, [[Figure(AWKWARD, AWKWARD, AWKWARD)]]))
    (image,) = found.attributes["img"]
    assert found.texts["h1"] == found.texts["pre"] == [AWKWARD]
    assert image["alt"] == AWKWARD
    assert image["src"] is not None
    assert unquote(image["src"]) == AWKWARD
    assert not set(image["src"]) & set("""<>"'?#& """)


def test_it_needs_nothing_from_elsewhere() -> None:
    text = page("Cat", [[Figure("1.png", "one", "seed: 1")]])
    assert "<script" not in text
    assert "http" not in text
