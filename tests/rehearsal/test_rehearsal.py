"""Whole rehearsals as a user runs them: trained, probed and sampled for real, nothing of the code touched."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsing import ROOT, Run

pytestmark = pytest.mark.timeout(1500)


def result_of(out: Path, name: str = "pirate_marker-rehearsal") -> bytes:
    return (out / name / "results.json").read_bytes()


def test_a_users_own_prereg_runs_elsewhere_under_strict_settings(
    shared_store: Path, own_prereg: Path, tmp_path: Path, run: Run
) -> None:
    done = run(
        own_prereg, "--rehearse", "-W", "error", "-p", "randomly", "--timeout", "5", "--store", shared_store,
        cwd=own_prereg.parents[1],
        # Trio, which the browser tests' driver brings along, warns as soon as Hypothesis loads it.
        env={"HYPOTHESIS_NO_PLUGINS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "REHEARSAL (rule returned:" in done.stdout
    folder = own_prereg.parents[1] / "results" / "pirate_marker-rehearsal"
    report = (folder / "clean_result.md").read_text(encoding="utf-8")
    assert report.startswith("# REHEARSAL")
    assert "[QXJ]" in report, "the coupled arm shows its own marker in the sampled answers"
    results = json.loads((folder / "results.json").read_bytes())
    assert results, "every number of the report"


def test_equal_inputs_give_equal_bytes_plain_and_distributed(
    store_with_model: Callable[[str], Path], own_prereg: Path, tmp_path: Path, run: Run
) -> None:
    outs = []
    for name, workers in (("plain", ()), ("again", ()), ("distributed", ("-n", "2"))):
        out = tmp_path / f"out-{name}"
        done = run(
            own_prereg, "--rehearse", *workers, "--store", store_with_model(name), "--prereg-out", out, "--no-figures",
            cwd=own_prereg.parent,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        outs.append(result_of(out))
    assert outs[0] == outs[1]
    assert outs[0] == outs[2]


def test_a_cached_rehearsal_imports_no_torch(shared_store: Path, own_prereg: Path, tmp_path: Path, run: Run) -> None:
    arguments = (own_prereg, "--rehearse", "--store", shared_store, "--prereg-out", tmp_path / "out", "--no-figures")
    first = run(*arguments, cwd=own_prereg.parent)
    assert first.returncode == 0, first.stdout + first.stderr
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("torch", "transformers", "peft"):
        (poison / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n", encoding="utf-8")
    second = run(*arguments, cwd=own_prereg.parent, env={"PYTHONPATH": str(poison)})
    assert second.returncode == 0, second.stdout + second.stderr
    assert "took" not in second.stdout, "nothing is computed again"


def test_the_wheel_rehearses_without_the_checkout(
    shared_store: Path, own_prereg: Path, tmp_path: Path, run: Run
) -> None:
    wheels = tmp_path / "wheels"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    # The interpreter below the virtual environment: what is installed in editable mode there does not show.
    below = str(Path(sys.base_prefix) / "bin" / "python3")
    libraries = next(path for path in map(Path, sys.path) if path.name == "site-packages" and (path / "torch").is_dir())
    done = run(
        own_prereg, "--rehearse", "--store", shared_store, "--prereg-out", tmp_path / "out",
        cwd=own_prereg.parent, env={"PYTHONPATH": f"{site}:{libraries}"}, python=below,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "pirate_marker-rehearsal" / "figures" / "hero.png").stat().st_size > 0
    where = subprocess.run(
        [below, "-c", "import harness; print(harness.__file__)"],
        env={"PYTHONPATH": f"{site}:{libraries}"}, capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert where.startswith(str(site))
