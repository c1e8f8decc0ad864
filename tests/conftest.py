"""What the tests need of pytest itself; the plugin is named by the conftest above."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

AXE = Path(__file__).parent / "browser" / "node_modules" / "axe-core" / "axe.min.js"


def _missing_for_the_browser() -> list[str]:
    """Name what the browser tests cannot do without and this machine does not have."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return missing + ([] if AXE.is_file() else ["axe-core"])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real headless Chromium")
    if os.environ.get("PREREG_BROWSER") == "needed" and (missing := _missing_for_the_browser()):
        raise pytest.UsageError(f"the browser tests need {', '.join(missing)}")


def pytest_report_header() -> list[str]:
    missing = _missing_for_the_browser()
    said = f"browser tests: left out, this machine has no {' and no '.join(missing)}; `make test-browser` needs them"
    return [said] if missing else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the browser tests out where there is no browser; ``make test-browser`` fails there instead."""
    left_out = [item for item in items if item.get_closest_marker("browser")] if _missing_for_the_browser() else []
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
