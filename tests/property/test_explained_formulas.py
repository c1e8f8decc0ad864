"""A formula in words says its own structure: read back by its brackets, it is the tree that it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compile.bind import bind
from harness.compose import declare_kinds
from harness.contracts.bound import Bound
from harness.contracts.trees import Call, Expression, Neg, Num, Op, Ref, Value
from harness.explain.values import Values
from harness.spec.load import read_text

TEXT = """\
prereg: 1
id: toy
title: A toy
question: Does it differ?
hypotheses:
  H1: {claim: it does, all: {more: "x > 0"}}
triage:
  - H1: yes -> go on
  - otherwise: no -> stop
confidence: {LOW: otherwise}
estimands:
  x: counts[b] - counts[a]
  y: 2 * counts[c]
  z: (counts[c] - counts[b]) - (counts[b] - counts[a])
measures:
  counts: {kind: recorded, file: "data:toy.csv", columns: {arm: dim, persona: dim,
           rate: {successes: k, trials: n}}, resample: persona}
dims:
  arm: [a, b, c]
  persona: {levels: [p1, p2, p3, p4], primary: mean}
"""
WORDS = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}
LEAF = r"the counts rate in [abc]|[xyz](?= |\)|$)|2"
SHARED = re.compile(r"(the counts rate in )([abc]) (plus|minus|times|divided by) that in ([abc])")


@pytest.fixture(scope="module")
def bound() -> Bound:
    declare_kinds()
    return bind(read_text(TEXT, file="toy.yaml", folder=Path()))


def read(text: str) -> object:
    """Read words back: brackets alone say what belongs together, so a group is one part, or two and what joins them."""
    spelled = SHARED.sub(r"\1\2 \3 \1\4", text)
    tokens = re.findall(rf"\(|\)|{LEAF}|{'|'.join(WORDS)}", spelled)
    assert "".join(tokens).replace(" ", "") == spelled.replace(" ", ""), "nothing is skipped"
    group, rest = _group(tokens)
    assert rest == [], text
    return group


def _group(tokens: list[str]) -> tuple[object, list[str]]:
    if tokens[0] == "minus":
        part, rest = _part(tokens[1:])
        return ("-", part), rest
    left, rest = _part(tokens)
    if not rest or rest[0] == ")":
        return left, rest
    right, after = _part(rest[1:])
    return (WORDS[rest[0]], left, right), after


def _part(tokens: list[str]) -> tuple[object, list[str]]:
    if tokens[0] != "(":
        return tokens[0], tokens[1:]
    group, rest = _group(tokens[1:])
    assert rest[0] == ")"
    return group, rest[1:]


def structure(tree: Value, told: dict[str, str]) -> object:
    """What the words must say: the tree, down to what goes by its name."""
    name = told.get(tree.model_dump_json())
    if name:
        return name
    match tree:
        case Ref():
            return f"the counts rate in {tree.select['arm'][0]}"
        case Neg():
            return ("-", structure(tree.of, told))
        case Op():
            return (tree.op, structure(tree.left, told), structure(tree.right, told))
    return "2"


def trees(bound: Bound) -> st.SearchStrategy[Value]:
    named = [expression.tree for expression in bound.expressions if expression.named]
    x = named[0]
    assert isinstance(x, Op)
    arms = [x.left.model_copy(update={"select": {**x.left.select, "arm": (arm,)}}) for arm in "abc"]
    leaves = st.sampled_from([*arms, *named, Num(value="2", unit="1")])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(Op, op=st.sampled_from("+-*/"), left=inner, right=inner), st.builds(Neg, of=inner)
        ),
        max_leaves=7,
    )


@given(data=st.data())
def test_words_and_their_brackets_say_the_tree(bound: Bound, data: st.DataObject) -> None:
    tree = data.draw(trees(bound).filter(lambda found: isinstance(found, Op | Neg)))
    told = data.draw(st.sets(st.sampled_from("xyz")))
    values = Values(bound)
    values.told |= told
    said = values.meaning(Expression(name="w", text="w", unit="1", tree=tree))
    names = {each.tree.model_dump_json(): each.name for each in bound.expressions if each.name in told}
    top = dict(names)
    top.pop(tree.model_dump_json(), None)  # what is explained is not said by its own name
    assert read(said) == structure(tree, top), said


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ("z", "(the counts rate in c minus that in b) minus (the counts rate in b minus that in a)"),
        ("largest of a sum", "the largest (the counts rate in b plus that in a)"),
        ("sum of largests", "the largest counts rate in b plus the largest counts rate in a"),
    ],
)
def test_named_parts_and_functions_keep_their_brackets(bound: Bound, tree: str, words: str) -> None:
    x = next(each.tree for each in bound.expressions if each.name == "x")
    assert isinstance(x, Op)
    keep = {"keep": ("persona",)}
    a, b = (side.model_copy(update=keep) for side in (x.right, x.left))
    made: dict[str, Value] = {
        "z": next(each.tree for each in bound.expressions if each.name == "z"),
        "largest of a sum": Call(fn="max", args=(Op(op="+", left=b, right=a),)),
        "sum of largests": Op(op="+", left=Call(fn="max", args=(b,)), right=Call(fn="max", args=(a,))),
    }
    assert Values(bound).meaning(Expression(name="w", text="w", unit="1", tree=made[tree])) == words
