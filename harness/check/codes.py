"""What each code means: what is wrong, why it matters, and what to do. ``prereg check --explain CODE`` prints it."""

from __future__ import annotations

import importlib
import inspect

RULES = {
    "CELLS": "resampling",
    "CONTRADICTION": "reachability",
    "CONTROL": "controls",
    "HEADROOM": "headroom",
    "INERT": "reachability",
    "KILL-POINT": "kills",
    "LEAK": "leakage",
    "MULTIPLE": "multiplicity",
    "OVERLAP": "reachability",
    "PIN": "pins",
    "POWER": "power",
    "RESOLUTION": "resolution",
    "SEED": "seeds",
    "UNDECIDED": "reachability",
    "UNFALSIFIABLE": "reachability",
    "UNREACHABLE": "reachability",
    "UNREAD": "unread",
    "ALLOW": "run",
}
"""The module of ``harness.check`` that yields each code."""

SAYS = {
    "CELLS": ("error", "A measure whose persona x question cells are drawn as if independent decides."),
    "CONTRADICTION": (
        "error",
        "A kill and the hypothesis that it kills can both hold: the same data would support the claim and end the line "
        "of work, and the run would stop with an error. A note where it takes an interval without its own estimate.",
    ),
    "CONTROL": ("warning", "A control is missing: manipulation check, range gate, null of a probe, judge anchors."),
    "HEADROOM": (
        "error",
        "A threshold asks for more than half of what the baseline leaves, or nobody knows the baseline.",
    ),
    "INERT": ("warning", "A part of a claim holds whenever the rest of it does: it decides nothing."),
    "KILL-POINT": ("error", "A kill compares a point estimate, which noise alone can bring about."),
    "LEAK": (
        "error",
        "Rows that decide were trained on, stand there twice, or were used to choose what they decide on.",
    ),
    "MULTIPLE": ("error or warning", "Several tests or claims are each made at the full level without a correction."),
    "OVERLAP": ("error", "Two triage rows can both hold, so the outcome would have two meanings."),
    "PIN": (
        "warning",
        "A revision (all but a whole commit hash), digest, prompt or convention is open. 'prereg seal' refuses it.",
    ),
    "POWER": (
        "error, warning or note",
        "The rule is rarely right: thresholds at the truth, low power, false positives.",
    ),
    "RESOLUTION": ("error or warning", "A threshold is finer than the smallest p, the steps of a rate, or its noise."),
    "SEED": ("warning", "Every arm is trained once."),
    "UNDECIDED": ("note", "The solver found neither a witness nor a proof in time. Nothing was refuted."),
    "UNFALSIFIABLE": ("error", "No data can make the hypothesis come out not supported."),
    "UNREACHABLE": (
        "error",
        "No data can bring this about; the clashing parts are named. A warning for a confidence that is never claimed, "
        "a note for an 'otherwise' that is never needed.",
    ),
    "UNREAD": ("error, warning or note", "An arm, measure, level or estimand is made and decides nothing."),
    "ALLOW": ("note", "An entry of 'allow' accepts a finding that the checker does not make."),
}
"""Severity and one sentence for each code."""


def explain(code: str) -> str:
    """Return a code's severity, meaning and reasons.

    Raises:
        KeyError: there is no such code.
    """
    severity, sentence = SAYS[code]
    text = inspect.getdoc(importlib.import_module(f"harness.check.{RULES[code]}")) or ""
    _, _, why = text.partition("\n\n")
    head = f"{code} ({severity}): {sentence}"
    accept = (
        f"To accept it: allow: [{{finding: {code}, at: KEY, because: …}}]; it is sealed, printed and costs confidence."
    )
    return "\n\n".join(part for part in (head, why.strip(), accept if code != "ALLOW" else "") if part)
