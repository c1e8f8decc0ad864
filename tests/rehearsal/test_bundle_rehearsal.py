"""A real rehearsal leaves as one file, and comes back byte for byte where there are no models and no pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsing import Run

pytestmark = pytest.mark.timeout(1500)

NO_MODELS = """\
import importlib.abc, importlib.metadata, sys
GONE = ("torch", "transformers", "peft", "vllm", "safetensors", "tokenizers", "huggingface_hub", "pytest", "_pytest")
class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Gone())
installed = importlib.metadata.version
def version(name):
    if name in GONE:
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.version = version
"""
PREREG = "import sys; from harness.cli import main; sys.exit(main())"


def prereg(*arguments: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; ``path`` holds a sitecustomize that takes libraries away."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
    env |= {"PYTHONPATH": str(path)} if path else {}
    command = [sys.executable, "-c", PREREG, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600)


def test_a_bundle_in_an_empty_store_without_torch(
    shared_store: Path, own_prereg: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "out"
    done = run(own_prereg, "--rehearse", "--store", shared_store, "--prereg-out", out, cwd=own_prereg.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = tmp_path / "pirate.prereg.zip"
    packed = prereg(
        "store", "export", own_prereg, "--rehearse", "--store", shared_store, "--results", out, "--out", bundle,
        cwd=tmp_path,
    )  # fmt: skip
    assert packed.returncode == 0, packed.stderr
    assert "left out: model[embedded] is a whole model" in packed.stdout

    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(NO_MODELS)
    elsewhere = tmp_path / "reviewer"
    elsewhere.mkdir()
    assert "Error" in prereg_python("import torch", cwd=elsewhere, path=bare).stderr

    imported = prereg("store", "import", bundle, "--store", "store", "--dir", "files", cwd=elsewhere, path=bare)
    assert imported.returncode == 0, imported.stderr
    again = prereg("replay", "files", "--store", "store", "--out", "again", cwd=elsewhere, path=bare)
    assert again.returncode == 0, again.stdout + again.stderr

    before, after = out / "pirate_marker-rehearsal", elsewhere / "again" / "pirate_marker-rehearsal"
    files = [path.relative_to(before).as_posix() for path in before.rglob("*") if path.is_file()]
    names = sorted(set(files) - {".made_of"})  # a note for the next run in this folder, and no part of the report
    assert {"results.json", "clean_result.md"} <= set(names)
    for name in names:
        assert (after / name).read_bytes() == (before / name).read_bytes(), name

    why = prereg("store", "why", "verdict", "--store", "store", cwd=elsewhere, path=bare)
    assert "model[embedded]" in why.stdout
    assert "(elsewhere)" in why.stdout, "what is left out is still known"


def prereg_python(code: str, *, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_an_arm_is_computed_again_from_the_bundle(
    shared_store: Path, own_prereg: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "out"
    arguments = ("--rehearse", "--store", shared_store, "--prereg-out", out, "--no-figures")
    done = run(own_prereg, *arguments, cwd=own_prereg.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = tmp_path / "pirate.prereg.zip"
    packed = prereg(
        "store", "export", own_prereg, "--rehearse", "--store", shared_store, "--results", out, "--out", bundle,
        "--with-models", cwd=tmp_path,
    )  # fmt: skip
    assert packed.returncode == 0, packed.stderr
    unknown = prereg("replay", bundle, "--recompute", "couple", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "there is no arm 'couple'; the arms are plain, coupled" in unknown.stderr
    again = prereg("replay", bundle, "--recompute", "plain", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "finished: measure[leakage-plain][seed=42]" in again.stderr, "it was sampled, and not read from the bundle"
    assert "measure[leakage-plain][seed=42]: equal byte for byte" in again.stdout
