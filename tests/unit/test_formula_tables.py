"""The tables that formulas are read with are those of the grammar, and say what lark says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from harness.spec import grammar, lalr
from harness.spec.formula import FormulaError, parse_criterion, parse_estimand


def made(rule: str, start: int, end: int, items: list[Any]) -> Any:
    return rule, start, end, items


def fault(token: Any, expected: set[str], position: int) -> Exception:
    return lalr.Unreadable(position)


def read(parse: Any, text: str) -> Any:
    try:
        return json.dumps(parse(text, made))
    except lalr.Unreadable:
        return None


def by_lark(text: str, make: Any) -> Any:
    return grammar.parse(text, make, fault)


def test_the_tables_are_those_of_the_grammar() -> None:
    assert lalr.TABLES.read_text("utf-8") == grammar.tables(), "run python -m harness.spec.grammar"


@pytest.mark.parametrize(
    "text",
    [
        "x", "  x ", "x - y by arm and layer", "a[b, 'c d', dim = e].f", "a.b[c]", "a.b[c][d]",
        "p(x > 0 | shuffled q within r)", "p(x > 0 | random d)", "ci(x, 90%) within -1 pp .. 1 pp",
        "not a and (b or not c)", "at_least(2, a, b > 0)",
        "orb > 0 or notx", "by > 0", "shuffled > 0", "or", "and or", "x by by", "1e-4 tokens", "1 tokensx", "3%",
        "3 %x",
        "+x", "--x", "x +", "", "   ", "x y", "x = 1", "x > 0 > 1", "(x", "x)", "f()", "f(x,)", "x[", "x[]", "x[a=b=c]",
        "x ..", "..", "x within 1", "été", "x[été]", "x['a\nb']", "a\tand\nb", "x || y", "p(x | shuffled)",
        "x within 1..2",
    ],
)  # fmt: skip
def test_both_parsers_read_the_same(text: str) -> None:
    assert read(lalr.parse, text) == read(by_lark, text)


@pytest.mark.parametrize("text", ["x >", "x ** 2", "+x > 0", "x[a > 1", "3 percent > x"])
def test_what_the_tables_cannot_read_is_explained(text: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_criterion(text)
    assert caught.value.found


def test_formulas_that_are_right_need_no_lark() -> None:
    code = (
        "import sys; from harness.spec import formula; formula.parse_estimand('x by a'); print('lark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert parse_estimand("x by a").by == ("a",)
