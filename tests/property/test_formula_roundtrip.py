"""Writing a tree and parsing it gives the tree again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.spec.formula import parse_criterion, parse_estimand
from harness.spec.scalars import RESERVED, UNIT_WORDS
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

WORDS = {"p", "ci", "all", "any", "at_least"} | RESERVED
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(lambda text: text not in WORDS)
numbers = st.builds(
    Number,
    st.one_of(
        st.integers(0, 999).map(str), st.floats(0, 99, allow_nan=False).map(lambda x: f"{x:.3f}"), st.just("1e-4")
    ),
    st.sampled_from(["", *UNIT_WORDS]),
)
levels = st.text(st.characters(codec="utf-8", exclude_characters="\"'", exclude_categories=("C", "Z")), min_size=1)
levels = levels | st.just("bad advice") | st.just("a=b, c]")
selectors = st.builds(Selector, levels, st.just("") | names)
refs = st.builds(Name, names, st.just("") | names, st.lists(selectors, max_size=3).map(tuple))
dims = st.lists(names, max_size=2, unique=True).map(tuple)
nulls = st.none() | st.builds(Null, st.just("shuffled"), names, st.just("") | names)
nulls = nulls | st.builds(Null, st.just("random"), names)
rels = st.sampled_from([">", ">=", "<", "<="])


def _values(inner):
    args = st.builds(Arg, inner, dims)
    compared = st.builds(Compare, inner, rels, inner)
    return st.one_of(
        st.builds(Negative, inner),
        st.builds(Binary, st.sampled_from("+-*/"), inner, inner),
        st.builds(Call, names, st.lists(args, min_size=1, max_size=2).map(tuple)),
        st.builds(Call, st.just("p"), compared.map(lambda one: (Arg(one),)), nulls),
    )


values = st.recursive(numbers | refs, _values, max_leaves=8)
intervals = values.map(lambda value: Call("ci", (Arg(value),)))
facts = st.one_of(
    st.builds(Compare, values, rels, values),
    st.builds(Compare, intervals, rels, values),
    st.builds(Within, intervals, values, values),
    st.builds(Name, names, st.just("") | names),
)


def _criteria(inner):
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Not, inner),
        st.builds(And, several),
        st.builds(Or, several),
        st.builds(Call, st.sampled_from(["all", "any"]), inner.map(lambda one: (Arg(one),))),
        several.map(lambda of: Call("at_least", (Arg(Number("2")), *map(Arg, of)))),
    )


@given(st.builds(Arg, values, dims))
@settings(max_examples=150, deadline=None)
def test_estimands(tree: Arg):
    assert parse_estimand(render(tree)) == tree


@given(st.recursive(facts, _criteria, max_leaves=5))
@settings(max_examples=150, deadline=None)
def test_criteria(tree):
    assert parse_criterion(render(tree)) == tree
