"""Kleene's three-valued logic: true, false, unknown."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contracts.records import Truth


def negation(truth: Truth) -> Truth:
    """Return not ``truth``; the negation of unknown is unknown."""
    return {"true": "false", "false": "true", "unknown": "unknown"}[truth]  # type: ignore[return-value]


def conjunction(truths: Iterable[Truth]) -> Truth:
    """Return the conjunction: false beats unknown, unknown beats true. Nothing at all is unknown."""
    seen = set(truths)
    if "false" in seen:
        return "false"
    return "unknown" if "unknown" in seen or not seen else "true"


def disjunction(truths: Iterable[Truth]) -> Truth:
    """Return the disjunction: true beats unknown, unknown beats false. Nothing at all is unknown."""
    return negation(conjunction(negation(truth) for truth in truths))


def at_least(count: int, truths: Iterable[Truth]) -> Truth:
    """Say whether at least ``count`` hold: unknown while the unknown ones would decide it."""
    seen = list(truths)
    holds = seen.count("true")
    if not seen:
        return "unknown"
    if holds >= count:
        return "true"
    return "unknown" if holds + seen.count("unknown") >= count else "false"
