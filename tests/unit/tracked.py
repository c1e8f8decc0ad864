"""Results of a made-up study, as trackers are told of them."""

from __future__ import annotations

from typing import Any

LABELS = {
    "b": "model[base]", "s": "stage[C2.sft]",
    "c1": "stage[C1.couple][weight=1.0]", "c2": "stage[C2.couple][weight=1.0]",
    "m1": "measure[leakage-C1][weight=1.0]", "m2": "measure[leakage-C2][weight=1.0]", "e": "estimate[shift]",
}  # fmt: skip
INPUTS = {"b": [], "s": ["b"], "c1": ["b"], "c2": ["s"], "m1": ["c1"], "m2": ["c2"], "e": ["m1", "m2"]}


def results(**registration: Any) -> dict[str, Any]:
    return {
        "registration": {
            "id": "toy", "meaning": "f" * 64, "rehearsal": False, "arms": {"C1": "base-first", "C2": "EM-first"},
            **registration,
        },
        "decision": {
            "verdict": "supported", "standing": "confirmatory", "confidence": {"final": "MODERATE"},
            "hypotheses": [{"name": "H1", "verdict": "supported"}, {"name": "H2", "verdict": "not supported"}],
        },
        "artifacts": [
            {"key": key, "label": label, "inputs": INPUTS[key]} for key, label in LABELS.items()
        ],
        "training": [
            {"arm": "C2", "stage": "sft", "at": {"seed": "42"}, "losses": [3.0, 2.0, 1.0]},
            {"arm": "C2", "stage": "couple", "at": {"weight": "1.0", "seed": "42"}, "losses": [0.5]},
            {"arm": "C1", "stage": "couple", "at": {"weight": "1.0", "seed": "42"}, "losses": [0.6]},
        ],
    }  # fmt: skip
