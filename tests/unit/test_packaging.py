"""The wheel's package list is written by hand: it must name every folder that holds code or data of ours."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    kept = (".py", ".yaml", ".j2", ".csv", ".lark")
    folders = {
        path.parent.relative_to(ROOT)
        for top in ("harness", "fixtures", "reports", "preregs/banks", "preregs/tables")
        for path in (ROOT / top).rglob("*")
        if path.suffix in kept and "__pycache__" not in path.parts
    }
    assert {".".join(folder.parts) for folder in folders} == listed


def test_every_template_is_shipped() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    names = [path.name for path in (ROOT / "reports" / "templates").iterdir() if path.is_file()]
    assert {"report.html.j2", "report.css", "report.js"} <= set(names)
    assert not [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)]


def test_constraints_pin_torch_first_and_nothing_of_the_gpu_extra() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert pins[0] == "torch==2.13.0"
    assert all("==" in pin for pin in pins)
    assert not [pin for pin in pins if pin.startswith(("vllm", "nvidia", "triton"))]
