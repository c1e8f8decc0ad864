"""The unit in which a formula's values are shown: a difference of proportions reads in percentage points."""

from __future__ import annotations

from harness.contracts.trees import Call, Neg, Num, Op, PValue, Ref, Value

_DIFFERENCES = ("successive", "slope")


def display_unit(tree: Value, unit: str) -> str:
    """Return ``pp`` for a difference of proportions and the unit itself otherwise."""
    return "pp" if unit == "proportion" and is_difference(tree) else unit


def is_difference(tree: Value) -> bool:
    """Whether a formula's value is a difference (or a mean, extreme, ... of differences)."""
    match tree:
        case Num() | Ref() | PValue():
            return False
        case Neg():
            return True
        case Op(op="-"):
            return True
        case Op(left=left, right=right):
            return is_difference(left) or is_difference(right)
        case Call(fn=fn, args=args):
            return fn in _DIFFERENCES or any(is_difference(arg) for arg in args)
