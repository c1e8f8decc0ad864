"""Ray clusters of several node processes on this machine, and processes that run toy jobs on them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("faults", "toys")]

if os.environ.get("PREREG_RAY") == "needed" and importlib.util.find_spec("ray") is None:
    raise pytest.UsageError("the tests of the Ray executor need ray: pip install 'pytest-prereg[ray]'")


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


if importlib.util.find_spec("ray") is not None:
    from ray_cluster import Nodes, Scene

    @pytest.fixture(scope="session")
    def nodes(_quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
        """Two nodes of one core each, that every test may use and none may harm."""
        with Nodes(tmp_path_factory.mktemp("cluster"), [{"num_cpus": 1, "num_gpus": 1}, {"num_cpus": 1}]) as nodes:
            yield nodes

    @pytest.fixture
    def scene(tmp_path: Path) -> Iterator[Scene]:
        scene = Scene(tmp_path)
        yield scene
        scene.close()
