"""A plain HTML page of pictures and their recipes, for a folder that holds them. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from styleforge.core.text import printable

_LAYOUT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 sans-serif; margin: 2em; }}
section {{ display: flex; flex-wrap: wrap; gap: 1em; align-items: start; }}
figure {{ margin: 0; max-width: 24em; }}
img {{ max-width: 100%; }}
pre {{ overflow: auto; }}
</style>
<h1>{title}</h1>
{rows}
</html>
"""

_FIGURE = """<figure>
<a href="{link}"><img src="{link}" alt="{caption}" loading="lazy"></a>
<figcaption>{caption}<details><summary>recipe</summary><pre>{recipe}</pre></details></figcaption>
</figure>"""


@dataclass(frozen=True)
class Figure:
    """A picture in the page's folder, by its file name, with a line and its recipe under it."""

    file: str
    caption: str
    recipe: str


def page(title: str, rows: Sequence[Sequence[Figure]]) -> str:
    """The page, row by row. Whatever the names hold is shown as it is."""
    sections = ("\n".join(["<section>", *map(_figure, row), "</section>"]) for row in rows)
    return _LAYOUT.format(title=escape(printable(title)), rows="\n".join(sections))


def _figure(figure: Figure) -> str:
    return _FIGURE.format(
        link=quote(os.fsencode(figure.file)),
        caption=escape(printable(figure.caption)),
        recipe=escape(figure.recipe),
    )
