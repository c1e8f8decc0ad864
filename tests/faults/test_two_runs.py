"""Two runs with two workers each on one store, started together or one after the other: each job is computed once."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from toy_rehearsal import SEED, THOROUGH, Study


def race(study: Study, offset: float) -> tuple[str, str]:
    """Start two runs, the second ``offset`` seconds later; check what must hold and return what they said."""
    one = study.start(workers=2, out=study.folder / "one")
    time.sleep(offset)
    other = study.start(workers=2, out=study.folder / "other")
    assert (one.end(), other.end()) == (0, 0), one.text + other.text
    results = study.results(study.folder / "one")
    study.check(results, study.folder / "one")
    study.check(results, study.folder / "other")
    counted = study.counted()
    assert set(counted) == set(study.manifests())
    assert set(counted.values()) == {1}, "a job was computed more than once"
    return one.text, other.text


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(10 if THOROUGH else 1))
def test_two_runs_at_once_compute_each_job_once(number: int, tmp_path: Path) -> None:
    """In every second race the jobs are so long that whoever comes second has to wait, and says for whom."""
    chance = random.Random(f"{SEED}/{number}")
    offset = chance.choice((0.0, chance.uniform(0.0, 1.0), chance.uniform(0.0, 6.0)))
    print(f"PREREG_FAULT_SEED={SEED} offset {offset:.3f} s")
    said = race(Study(tmp_path / "study", seconds=0.02 if number % 2 else 0.7), offset)
    held = r"waits: .*held by pid \d+ on \S+ since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert number % 2 or offset > 3 or any(re.search(held, text) for text in said), "\n".join(said)
