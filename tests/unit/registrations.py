"""A small registration that binds, as text to be changed by tests of binding."""

from __future__ import annotations

from pathlib import Path

from harness.compile.bind import bind
from harness.compose import declare_kinds
from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.records import Record
from harness.contracts.trees import Expression, Op, Ref, Value
from harness.spec.load import read_text

REPO = Path(__file__).parent.parent.parent
BASE = (REPO / "tests" / "golden" / "small.yaml.txt").read_text(encoding="utf-8")


def changed(*changes: tuple[str, str]) -> str:
    """Return the small registration with texts replaced, each of which it must hold."""
    text = BASE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def bound(
    *changes: tuple[str, str], text: str = "", folder: Path | None = None, rehearsal: bool = False,
    data_root: Path | None = None,
) -> Bound:  # fmt: skip
    """Bind the small registration (or ``text``) with some changes."""
    declare_kinds()
    document = read_text(text or changed(*changes), file="small.yaml", folder=folder or Path())
    return bind(document, rehearsal=rehearsal, data_root=data_root)


def measure(of: Bound, name: str) -> BoundMeasure:
    """Return a measure by name."""
    return next(one for one in of.measures if one.name == name)


def estimand(of: Bound, name: str) -> Expression:
    """Return a named estimand."""
    return next(one for one in of.expressions if one.name == name and one.named)


def leaves(tree: Record | Value) -> list[Ref]:
    """Return the references of a tree from left to right."""
    if isinstance(tree, Ref):
        return [tree]
    found: list[Ref] = []
    for name in type(tree).model_fields:
        value = getattr(tree, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Record):
                found += leaves(one)
    return found


def difference(tree: Value) -> tuple[Ref, Ref]:
    """Return both sides of ``a - b``."""
    assert isinstance(tree, Op)
    assert isinstance(tree.left, Ref)
    assert isinstance(tree.right, Ref)
    return tree.left, tree.right
