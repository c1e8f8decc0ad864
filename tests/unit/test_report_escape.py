"""Nothing that a name, a title or a completion holds becomes markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reports.escape import code, fence, md, visible

PARSER = MarkdownIt("gfm-like", {"linkify": False})
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil/x.png)",
    "[a](javascript:x)",
    "**bold** _it_ ~~no~~",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "a | b | c",
    "`code` ``more``",
    "&lt;b&gt; &#60;",
    "$x^2$",
    "---",
    "===",
    "a\nb\n\n# c",
    "\x1b[31mred",
    "\u202egnp.exe",
    "back\\slash\\",
    "[ZLT]",
    "*",
    "software_engineer",
    "| --- |",
    "+ x",
    "http://a.b/c",
    "<http://a.b>",
    "@team",
    "a\u0000b",
)


def texts(markdown):
    """The plain text of the rendered tokens, and whether anything but text was made of it."""
    tokens = PARSER.parse(markdown)
    kinds = [token.type for token in tokens]
    inner = [child for token in tokens for child in (token.children or [])]
    return "".join(child.content for child in inner), kinds, [child.type for child in inner]


@pytest.mark.parametrize("text", HOSTILE)
def test_user_text_renders_as_exactly_that_text(text):
    shown, kinds, inner = texts(str(md(text)))
    assert shown == visible(text).strip()
    assert kinds == ["paragraph_open", "inline", "paragraph_close"]
    assert set(inner) <= {"text", "text_special", *(["code_inline"] if "@" in text else [])}


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_renders_as_exactly_that_text(text):
    shown, _, inner = texts("x " + str(md(text)) + " x")
    assert shown == f"x {visible(text).strip()} x".replace("  ", " ") or shown == f"x {visible(text).strip()} x"
    assert "html_inline" not in inner
    assert "link_open" not in inner
    assert "image" not in inner


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=300, deadline=None)
def test_fences_hold_what_is_inside(text):
    tokens = PARSER.parse(str(fence(text)) + "\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[0].content == visible(text, lines=True) + "\n"


@given(st.text(min_size=1, max_size=40).filter(lambda text: visible(text).strip()))
@settings(max_examples=300, deadline=None)
def test_code_spans_hold_what_is_inside(text):
    shown, _, inner = texts("x " + str(code(text)) + " x")
    assert inner.count("code_inline") == 1
    assert visible(text).strip() in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_keeps_its_columns(text):
    tokens = PARSER.parse(f"| a | b |\n| --- | --- |\n| {md(text)} | {code(text, table=True)} |\n")
    assert [token.type for token in tokens].count("td_open") == 2


def test_control_and_bidirectional_characters_are_shown_and_not_sent():
    assert visible("\x1b[31m\u202e\u200b") == "\\x1b[31m\\u202e\\u200b"
    assert visible("a\nb\tc") == "a b c"
    assert visible("a\r\nb", lines=True) == "a\nb"
    assert visible("naïve — 日本 ✓") == "naïve — 日本 ✓"
