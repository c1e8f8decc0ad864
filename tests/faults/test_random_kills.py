"""Whatever is killed in the life of a rehearsal, whenever: the next run goes on and nothing is computed twice.

20 kills in the ordinary suite, 200 by ``make faults`` (``PREREG_FAULTS``). ``PREREG_FAULT_SEED`` repeats the choices
of a run; which instruction is hit is up to the machine.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from toy_rehearsal import KILLS, SEED, Life, Study, Undisturbed, wait_for

SHARE = 5
"""Kills in one test, so that workers of this suite can share them."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("share", range(-(-KILLS // SHARE)))
def test_random_kills(share: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED}/{share}")
    goal, killed, scenes = min(SHARE, KILLS - share * SHARE), Counter[str](), 0
    while killed.total() < goal:
        scenes += 1
        study = Study(tmp_path / f"scene{scenes}")
        for _ in range(SHARE):
            if killed.total() < goal:
                killed += disturb(study, undisturbed.lines, chance, goal - killed.total())
        before = study.manifests()
        study.finish(workers=chance.choice((0, 0, 2)))
        study.check(undisturbed.results)
        after = study.manifests()
        assert all(after[key] == manifest for key, manifest in before.items()), "what is stored stays as it is"
        study.clear()
    print(f"PREREG_FAULT_SEED={SEED} share {share}: killed {dict(killed)} in {scenes} rehearsals")


def disturb(study: Study, lines: int, chance: random.Random, most: int) -> Counter[str]:
    """Run the study and kill something, perhaps more than once; return what was killed."""
    workers = chance.choice((0, 0, 2))
    life, killed = study.start(workers=workers), Counter[str]()
    while killed.total() < most and await_moment(life, study, lines, chance):
        if victim := shoot(life, chance):
            killed[victim] += 1
        if chance.random() < 0.5:
            break
    status = life.end()
    if not killed:
        assert status == 0, life.text
    elif set(killed) == {"zygote"}:
        assert status == 0, f"a run survives its zygote\n{life.text}"
    elif killed["pytest"]:
        assert status != 0
    elif killed["worker"] and "in makegateway" in life.text:
        # A worker was hit before it could speak, at the start or in the place of a dead one: xdist gives up there.
        assert status == 3, life.text
    else:
        assert status in (0, 1), life.text
    return killed


def await_moment(life: Life, study: Study, lines: int, chance: random.Random) -> bool:
    """Wait until a random moment of the run; return whether it still lives."""
    begun = len(study.said())
    if chance.random() < 0.2:  # at start, perhaps before any job
        delay, goal = chance.uniform(0.0, 2.0), lines
    else:
        delay, goal = chance.uniform(0.0, 0.1), begun + chance.randint(0, max(lines - begun, 0))
        wait_for("a moment", lambda: life.process.poll() is not None or len(study.said()) >= goal)
    with contextlib.suppress(Exception):
        life.process.wait(delay)
    return life.process.poll() is None


def shoot(life: Life, chance: random.Random) -> str:
    """Kill a process of the run; each role is as likely as any other that is there. Return the role."""
    there = life.look()
    if not there:
        return ""
    victim = chance.choice(sorted(there))
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(there[victim]), signal.SIGKILL)
        return victim
    return ""
