"""What a tracker is told of a result: one run per arm with losses per step, artifact keys and the verdict.

Everything comes from ``results.json``, so a tracker shows what the report shows and nothing reads it back. A run's id
digests the prereg, the arm and the keys of its artifacts: the same result updates its runs, another one has others.

A rehearsal is named and tagged so, and its verdict goes by another name: no table of verdicts lists it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.contracts.records import Record
from harness.core.ident import digest

_FORBIDDEN = re.compile(r"[^\w\-./ :]")
"""What one of the trackers refuses in names."""


class ArmRun(Record):
    """One run of a tracker.

    ``losses`` has, by metric name, the loss at each optimiser step (nats per weighted token); ``artifacts`` keys by
    label; ``outcome`` what was decided, for the whole prereg.
    """

    id: str
    name: str
    group: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    losses: dict[str, tuple[float, ...]]
    artifacts: dict[str, str]
    outcome: dict[str, str]


def arm_runs(results: Mapping[str, Any]) -> tuple[ArmRun, ...]:
    """Return a run for each arm of a parsed ``results.json``; recorded preregs have no arms and no runs."""
    registration, decision = results["registration"], results["decision"]
    rehearsal = bool(registration["rehearsal"])
    group = f"{registration['id']}-rehearsal" if rehearsal else str(registration["id"])
    runs = []
    for arm, label in registration["arms"].items():
        artifacts = dict(_behind(arm, results["artifacts"]))
        if not artifacts:
            continue
        config = {
            "prereg": registration["id"], "arm": arm, "label": label, "rehearsal": rehearsal,
            "meaning": registration["meaning"],
        }  # fmt: skip
        runs.append(
            ArmRun(
                id=digest(["tracked", group, arm, sorted(artifacts.values())])[:32],
                name=f"REHEARSAL {registration['id']} {arm}" if rehearsal else f"{registration['id']} {arm}",
                group=group,
                tags=("rehearsal", "proves nothing") if rehearsal else ("registered", str(decision["standing"])),
                config=config,
                losses=dict(_losses(arm, results["training"])),
                artifacts=artifacts,
                outcome=_outcome(decision, rehearsal),
            )
        )
    return tuple(runs)


def _behind(arm: str, artifacts: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield label and key of everything that an arm's measurements stand on, and of them."""
    by_key = {each["key"]: each for each in artifacts}
    ours = re.compile(rf"(measure\[.*-{re.escape(arm)}\]|stage\[{re.escape(arm)}\.)")
    stack = [each["key"] for each in artifacts if ours.match(each["label"])]
    wanted: set[str] = set()
    while stack:
        key = stack.pop()
        if key in by_key and key not in wanted:
            wanted.add(key)
            stack += by_key[key]["inputs"]
    labels = [each["label"] for each in artifacts]
    for each in artifacts:
        if each["key"] in wanted:
            same = labels.count(each["label"]) > 1
            yield (f"{each['label']} {each['key'][:8]}" if same else each["label"]), each["key"]


def _losses(arm: str, training: list[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[float, ...]]]:
    for each in training:
        if each["arm"] == arm:
            place = [f"{dim} {level}" for dim, level in each["at"].items()]
            yield _FORBIDDEN.sub("_", "/".join(["loss", each["stage"], *place])), tuple(each["losses"])


def _outcome(decision: Mapping[str, Any], rehearsal: bool) -> dict[str, str]:
    if rehearsal:
        return {"rehearsal_returned": str(decision["verdict"]), "standing": "rehearsal: proves nothing"}
    confidence = decision["confidence"]["final"]
    return {
        "verdict": str(decision["verdict"]), "confidence": str(confidence or "none"),
        "standing": str(decision["standing"]),
        **{f"verdict.{each['name']}": str(each["verdict"]) for each in decision["hypotheses"]},
    }  # fmt: skip
