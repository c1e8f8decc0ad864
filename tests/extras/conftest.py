"""Tests of optional extras against the real libraries; ``make test-extras`` fails where one is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "plugin"))
sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

WANTED = ("rocrate", "wandb", "mlflow")


def pytest_configure(config: pytest.Config) -> None:
    missing = [name for name in WANTED if importlib.util.find_spec(name) is None]
    if os.environ.get("PREREG_EXTRAS") == "needed" and missing:
        raise pytest.UsageError(
            f"the tests of extras need {', '.join(missing)}: pip install 'pytest-prereg[crate,wandb,mlflow]'"
        )
