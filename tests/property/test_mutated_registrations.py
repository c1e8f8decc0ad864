"""Whatever is done to a registration, binding it gives a result or a refusal with lines, and never a crash."""

from __future__ import annotations

import random
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compile.bind import bind
from harness.compose import declare_kinds
from harness.core.errors import PreregError, Problem
from harness.spec.load import read_text

BASE = (Path(__file__).parent.parent / "golden" / "small.yaml.txt").read_text(encoding="utf-8")
WORDS = [*sorted(set(re.findall(r"[\w.$%]+", BASE))), "[]", "{}", '""', "[a]", "{a: b}", "(", ">", "by", "and", "1e999"]


def mutated(text: str, rng: random.Random) -> str:
    """Drop a line, repeat a line, or put another word in place of one."""
    lines = text.split("\n")
    match rng.randrange(4):
        case 0:
            lines.pop(rng.randrange(len(lines)))
        case 1:
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
        case _:
            word = rng.choice(list(re.finditer(r"[\w.$%]+", text)))
            return text[: word.start()] + rng.choice(WORDS) + text[word.end() :]
    return "\n".join(lines)


@given(st.integers(0, 2**32), st.integers(1, 3), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_result_or_lines(seed: int, times: int, rehearsal: bool):
    declare_kinds()
    rng, text = random.Random(seed), BASE
    for _ in range(times):
        text = mutated(text, rng)
    problems: tuple[Problem, ...] = ()
    meaning = ""
    try:
        meaning = bind(read_text(text, file="x.yaml", folder=Path()), rehearsal=rehearsal).meaning
    except PreregError as error:
        problems = error.problems
    assert bool(problems) is not bool(meaning)
    assert all(problem.where.line > 0 and problem.found for problem in problems), problems
