"""In the place of Weights & Biases: a line of JSON for everything that it is told, in the file ``FAKE_TRACKER``."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

Settings = SimpleNamespace


def login(prompt: bool = True) -> bool:
    assert prompt is False, "nobody is there to be asked"
    return "WANDB_API_KEY" in os.environ


class Run:
    resumed = False

    def __init__(self, **given: Any) -> None:
        self.id = given["id"]
        given.pop("settings")
        tell(self.id, "init", {**given, "tags": list(given["tags"])})
        if os.environ.get("FAKE_TRACKER_FAILS"):
            raise SystemExit("the tracker\nis down")
        self.summary = SimpleNamespace(update=lambda outcome: tell(self.id, "summary", outcome))

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *of: object) -> None:
        tell(self.id, "finish", None)

    def log(self, row: dict[str, float], step: int) -> None:
        tell(self.id, "log", {"step": step, **row})


init = Run


def tell(run: str, what: str, told: Any) -> None:
    with open(os.environ["FAKE_TRACKER"], "a") as lines:  # noqa: PTH123
        lines.write(json.dumps([run, what, told]) + "\n")
