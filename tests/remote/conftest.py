"""Tests against S3: moto's server on 127.0.0.1. `make test-remote` needs moto and s3fs, and fails without."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

for folder in ("unit", "faults", "toys"):
    sys.path.append(str(Path(__file__).parents[1] / folder))


def pytest_configure(config: pytest.Config) -> None:
    missing = [name for name in ("s3fs", "moto", "flask") if importlib.util.find_spec(name) is None]
    if os.environ.get("PREREG_REMOTE") == "needed" and missing:
        raise pytest.UsageError(f"the tests against S3 need {', '.join(missing)}: pip install s3fs 'moto[server,s3]'")
