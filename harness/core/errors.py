"""One shape for everything a user can get wrong: where, what was found, what to do.

Errors are gathered and raised together, so a file with five mistakes needs one round and not five.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Where:
    """A place in a user's file. Lines and columns count from 1; 0 means that there is none."""

    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        spot = self.file
        if self.line:
            spot += f":{self.line}"
        if self.key:
            spot += f":{self.key}" if spot else self.key
        return spot


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: where it stands, what was found, what was expected, and the remedy."""

    where: Where
    found: str
    expected: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.found}" if str(self.where) else self.found
        if self.expected:
            text += f"; expected {self.expected}"
        if self.hint:
            text += f". {self.hint[0].upper()}{self.hint[1:]}"
        return text


class PreregError(Exception):
    """Bad input or an unmet precondition: every problem at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(Where(), problems)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class JobError(Exception):
    """A job could not make its artifact; the run shows it as an ERROR and never as a verdict."""
