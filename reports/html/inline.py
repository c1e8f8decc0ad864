"""Text on the page: generated Markdown becomes HTML through a CommonMark parser, everything else is escaped.

The parser knows no HTML, links or images, so nothing that a name, a title or a completion holds can become one.
"""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from reports.escape import visible

LONGEST = 4000
"""Characters of one piece of text that the page takes over."""


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).disable(["link", "image", "autolink", "heading", "lheading", "hr"])


def html(text: object, most: int = LONGEST) -> Markup:
    """Return text as HTML on one line: Markdown (``Markup``) is rendered, other text shown as it is."""
    if isinstance(text, Markup):
        return Markup(_parser().renderInline(_cut(str(text), most)))
    return escape(visible(_cut(str(text), most)))


def paragraphs(text: object) -> Markup:
    """Return Markdown of several paragraphs as HTML."""
    return Markup(_parser().render(_cut(str(text)))) if isinstance(text, Markup) else Markup(f"<p>{html(text)}</p>")


def cell(text: object) -> Markup:
    """Return what a Markdown table's cell shows; pipes are escaped there even inside code."""
    return html(Markup(str(text).replace("\\|", "|")) if isinstance(text, Markup) else text)


def plain(text: object, most: int = LONGEST) -> str:
    """Return the words of a text alone, for titles and labels."""
    if not isinstance(text, Markup):
        return visible(_cut(str(text), most))
    return Markup(re.sub(r"<[^>]*>", "", str(html(text, most)))).unescape()


def _cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"
