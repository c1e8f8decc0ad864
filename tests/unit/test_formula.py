"""The formula language: what it reads, and where it says that something is wrong."""

from __future__ import annotations

import sys

import pytest

from harness.spec.formula import FormulaError, parse_criterion, parse_estimand
from harness.spec.syntax import (
    And,
    Arg,
    Binary,
    Call,
    Compare,
    Name,
    Negative,
    Not,
    Null,
    Number,
    Or,
    Selector,
    Within,
    render,
)

X, Y, Z = Name("x"), Name("y"), Name("z")
ZERO = Number("0")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x", Arg(X)),
        ("x by layer", Arg(X, ("layer",))),
        ("x - y by arm and layer", Arg(Binary("-", X, Y), ("arm", "layer"))),
        ("x - y - z", Arg(Binary("-", Binary("-", X, Y), Z))),
        ("x - (y - z)", Arg(Binary("-", X, Binary("-", Y, Z)))),
        ("x + y * z", Arg(Binary("+", X, Binary("*", Y, Z)))),
        ("-x * y", Arg(Binary("*", Negative(X), Y))),
        ("15 pp", Arg(Number("15", "pp"))),
        ("15%", Arg(Number("15", "%"))),
        ("1e-4", Arg(Number("1e-4"))),
        ("points + 3 points", Arg(Binary("+", Name("points"), Number("3", "points")))),
        ("order - orders", Arg(Binary("-", Name("order"), Name("orders")))),
        ("m.col[C2, others]", Arg(Name("m", "col", (Selector("C2"), Selector("others"))))),
        ("m[theta=22.5, seed = 42]", Arg(Name("m", "", (Selector("22.5", "theta"), Selector("42", "seed"))))),
        ("m[-1, gpt-4]", Arg(Name("m", "", (Selector("-1"), Selector("gpt-4"))))),
        ("m['bad advice']", Arg(Name("m", "", (Selector("bad advice"),)))),
        ("mean(tau(x by e) by s)", Arg(Call("mean", (Arg(Call("tau", (Arg(X, ("e",)),)), ("s",)),)))),
        ("pearson(x by p, y by p)", Arg(Call("pearson", (Arg(X, ("p",)), Arg(Y, ("p",)))))),
        ("p(x > 0)", Arg(Call("p", (Arg(Compare(X, ">", ZERO)),)))),
        ("p(x > 0 | shuffled e within s)",
         Arg(Call("p", (Arg(Compare(X, ">", ZERO)),), Null("shuffled", "e", "s")))),
        ("p(x > 0 | random evil)", Arg(Call("p", (Arg(Compare(X, ">", ZERO)),), Null("random", "evil")))),
    ],
)  # fmt: skip
def test_estimands(text: str, tree: Arg):
    assert parse_estimand(text) == tree
    assert parse_estimand(render(tree)) == tree


A, B, C = (Compare(name, ">", ZERO) for name in (X, Y, Z))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x > 0", A),
        ("x > 0 and y > 0 or z > 0", Or((And((A, B)), C))),
        ("x > 0 and (y > 0 or z > 0)", And((A, Or((B, C))))),
        ("not x > 0 and y > 0", And((Not(A), B))),
        ("(x + y) * 2 > z", Compare(Binary("*", Binary("+", X, Y), Number("2")), ">", Z)),
        ("H1", Name("H1")),
        ("(H1)", Name("H1")),
        ("H1.clause and not killed", And((Name("H1", "clause"), Not(Name("killed"))))),
        ("ci(x) > 0", Compare(Call("ci", (Arg(X),)), ">", ZERO)),
        ("ci(x, 90%) within -3 pp .. 3 pp",
         Within(Call("ci", (Arg(X), Arg(Number("90", "%")))), Negative(Number("3", "pp")), Number("3", "pp"))),
        ("all(x > 0)", Call("all", (Arg(A),))),
        ("any(ci(x) > 0 and y > 0)", Call("any", (Arg(And((Compare(Call("ci", (Arg(X),)), ">", ZERO), B))),))),
        ("at_least(2, x > 0, y > 0, H1)", Call("at_least", (Arg(Number("2")), Arg(A), Arg(B), Arg(Name("H1"))))),
    ],
)  # fmt: skip
def test_criteria(text: str, tree: object):
    assert parse_criterion(text) == tree
    assert parse_criterion(render(tree)) == tree  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("x = 0", 2, "'='"),
        ("x >= ", 5, "ends too early"),
        ("x > 15 percent", 7, "units are % pp"),
        ("m[C1 > 0", 5, "','"),
        ("x > y > z", 6, "'>'"),
        ("x & y > 0", 2, "'and'"),
        ("x ≥ 0", 2, "comparisons are"),
        ("p(x) > 0", 0, "p(value > value)"),
        ("x + y", 0, "number stands where a comparison"),
        ("m[C1]", 0, "number stands where a comparison"),
        ("y > 0 and x", None, ""),
        ("(x > 0) + 1 > 2", 0, "criterion stands where a number"),
        ("1 > ci(x)", 4, "ci(value) stands alone"),
        ("ci(x) > 0 + ci(y)", 12, "ci(value) stands alone"),
        ("ci(x, 0.9) > 0", 0, "ci(value, 90%)"),
        ("x within 0 .. 1", 0, "ci(value) within"),
        ("x > 0 by arm", 5, "'by'"),
        ("all(x > 0 by arm)", 0, "all(criterion)"),
        ("at_least(3, x > 0, y > 0)", 0, "at_least(3"),
        ("at_least(x, y > 0)", 0, "at_least(2"),
        ("mean(x | shuffled e) > 0", 7, "only p()"),
        ("+x > 0", 0, "'+'"),
        ("", 0, "ends too early"),
        ("__import__('os').system('true') > 0", 11, ""),
    ],
)
def test_faults_have_a_position(text: str, position: int | None, says: str):
    if position is None:
        assert parse_criterion(text) == And((B, X))  # a bare name may be a hypothesis: binding decides
        return
    with pytest.raises(FormulaError) as caught:
        parse_criterion(text)
    error = caught.value
    assert error.position == position
    assert says in f"{error.found} {error.expected} {error.hint}"


def test_estimands_are_values():
    with pytest.raises(FormulaError, match="criterion stands where a number"):
        parse_estimand("x > 0")


def test_spans_cover_the_text():
    tree = parse_criterion("a > 0 and  (b + c) * 2 >= 15 pp ")
    assert isinstance(tree, And)
    text = "a > 0 and  (b + c) * 2 >= 15 pp "
    assert [text[one.start : one.end] for one in tree.of] == ["a > 0", "(b + c) * 2 >= 15 pp"]


def test_errors_are_told_after_lark_has_been_imported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test runners put sys.modules back; the cached parser then raises classes of the lark that it was built with."""
    parse_criterion("a > 0")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lark"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(FormulaError, match="cannot stand here"):
        parse_criterion("a > 0 more")
