"""A kind whose code changed without a new version would serve stale artifacts: this lock catches it.

Digests are of syntax trees without docstrings, so comments and formatting keep them; they cover a kind's module and
whatever of ours it imports, except the contracts and the core, which carry no numbers. Regenerate with
PREREG_REGEN=1 after bumping the version, or when the change cannot alter any number.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from harness.compose import declare_kinds
from harness.contracts import versions
from harness.contracts.kinds import EVALS, PROBES, STAGES
from harness.execute.job import PORT_CLASSES

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "tests" / "golden" / "kinds.lock.json"
NUMBERLESS = ("harness.contracts", "harness.core")

JOB_MODULES = {
    "model/embedded": "fixtures.embedded.build",
    "recorded": "harness.measure.recorded",
    "estimate": "harness.decide.estimate",
    "verdict": "harness.decide.verdict",
    "replay": "harness.decide.replay",
    "null": "harness.decide.null",
    "breakdown": "harness.decide.breakdown",
}


def source_of(module: str) -> Path | None:
    stem = ROOT / Path(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def imports_of(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.startswith(("harness.", "fixtures.")) and not name.startswith(NUMBERLESS)}


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return tree


def tree_digest(module: str) -> str:
    """Digest of a module's syntax and of everything numeric that it imports, in a stable order."""
    trees: dict[str, str] = {}
    stack = [module]
    while stack:
        name = stack.pop()
        path = source_of(name)
        if path is None or name in trees:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        stack.extend(imports_of(tree))
        trees[name] = ast.dump(without_docstrings(tree))
    data = sorted((source_of(module) or ROOT).parent.glob("data/*.yaml")) if "embedded" in module else []
    parts = [f"{name}\n{trees[name]}" for name in sorted(trees)] + [path.read_text(encoding="utf-8") for path in data]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def current() -> dict[str, dict[str, object]]:
    declare_kinds()
    lock: dict[str, dict[str, object]] = {}
    for family, registry in (("stage", STAGES), ("probe", PROBES), ("eval", EVALS)):
        for name in registry.names():
            kind = registry.get(name)
            if kind.__module__.startswith("harness."):
                lock[f"{family}/{name}"] = {"version": kind.version, "digest": tree_digest(kind.__module__)}
    for name, module in JOB_MODULES.items():
        lock[name] = {"version": versions.JOBS[name], "digest": tree_digest(module)}
    for port, (module, _) in PORT_CLASSES.items():
        lock[f"port.{port}"] = {"version": versions.PORTS[port], "digest": tree_digest(module)}
    lock["registers"] = {"version": versions.REGISTERS, "digest": tree_digest("fixtures.embedded.registers")}
    return lock


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="syntax trees differ between Python versions; CI's is 3.11")
def test_changed_code_has_a_new_version() -> None:
    now = current()
    if os.environ.get("PREREG_REGEN"):
        LOCK.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    locked = json.loads(LOCK.read_text(encoding="utf-8"))
    stale = [name for name, entry in now.items() if locked.get(name) != entry]
    unbumped = [n for n in stale if n in locked and locked[n]["version"] == now[n]["version"]]
    names = ", ".join(unbumped)
    assert not unbumped, f"the code of {names} changed and the version did not: stale artifacts would be served"
    assert not stale, f"{', '.join(stale)}: new version or kind; regenerate the lock with PREREG_REGEN=1"
    assert set(locked) == set(now)


def test_the_digest_ignores_comments_and_sees_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    module = tmp_path / "harness" / "kind.py"
    module.parent.mkdir()
    module.write_text('"""Doc."""\nx = 1\n')
    first = tree_digest("harness.kind")
    module.write_text('"""Another doc."""\n# why\nx   =   1\n')
    assert tree_digest("harness.kind") == first
    module.write_text('"""Doc."""\nx = 2\n')
    assert tree_digest("harness.kind") != first
