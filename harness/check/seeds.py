"""SEED: one training run per arm.

With a run-to-run SD of 5 pp a question-level 5% test on one seed rejects a true null in 48% of the experiments
(`language.md`, the numbers): every p-value then reads "for these trained models".
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding


def single_seed(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding when arms are trained with one seed."""
    seed = next((dim for dim in bound.dims if dim.name == "seed"), None)
    if not any(arm.stages for arm in bound.arms) or (seed is not None and len(seed.levels) > 1):
        return
    yield CheckFinding(
        code="SEED",
        severity="warning",
        at="dims.seed",
        line=seed.line if seed is not None else 1,
        reason="every arm is trained once: another run of the same recipe may come out differently, and no p-value "
        "here knows by how much",
        fix="seed: [42, 137, 256]; HIGH confidence asks for three",
    )
