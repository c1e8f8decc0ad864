"""KILL-POINT: a kill has to bound the effect.

Killing on a point estimate of at most 5 pp happens with probability .65 when the truth is 0, and still .17 when the
truth is 16.5 pp (`language.md`, the numbers).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Compare, PValue
from harness.contracts.walks import leaves, nodes


def kill_on_points(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each kill that compares a point estimate."""
    for kill in bound.kills:
        points = [
            leaf.text
            for leaf in leaves(kill.criterion)
            if isinstance(leaf, Compare) and not any(isinstance(node, PValue) for node in nodes(leaf.left))
        ]
        if points:
            yield CheckFinding(
                code="KILL-POINT",
                severity="error",
                at=f"kill.{kill.name}",
                line=kill.line,
                reason=f"'{kill.name}' ends the line of work on a point estimate ({'; '.join(points)}), "
                "which noise alone can bring about",
                fix="compare the whole interval: ci(...) < bound",
            )
