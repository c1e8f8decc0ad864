"""The embedded model, built once for every test of the engines."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    from fixtures.embedded.build import build

    folder = tmp_path_factory.mktemp("embedded") / "model"
    build(folder, seed=42, progress=lambda *told, **figures: None)
    return str(folder)
