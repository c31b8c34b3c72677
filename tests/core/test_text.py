from __future__ import annotations

import pytest

from styleforge.core.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Café 漢字 👩‍🎨.jpg", "Café 漢字 👩‍🎨.jpg"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred\x07\x7f", "\\x1b[31mred\\x07\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("photo\u202egpj.exe\u2066\u200f", "photo\\u202egpj.exe\\u2066\\u200f"),
        ("a\u2028b", "a\\u2028b"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_text(text: str, shown: str) -> None:
    assert printable(text) == shown
