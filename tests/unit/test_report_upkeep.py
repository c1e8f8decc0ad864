"""A report that is up to date is known to be so without being built, and nothing that changes it goes unseen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sealing import Repository

from harness.compile.bind import load_bound
from harness.compose import run_job
from harness.contracts.records import Decision
from harness.core.store import DamagedError
from harness.plan.plan import make_plan
from reports import extras, run_file, upkeep
from reports.records import RunInfo

RUN = RunInfo(started="2026-11-28T08:00:00Z", host="here", command="pytest toy.yaml")


class Study:
    """A decided prereg and its report."""

    def __init__(self, repository: Repository) -> None:
        self.store = repository.place.store
        self.bound = load_bound(repository.file, rehearsal=True)
        self.plan = make_plan(self.bound, device="cpu")
        for job in self.plan.jobs.values():
            inputs = {role: self.store.open(key) for role, key in job.inputs.items()}
            self.store.put(job, lambda out, job=job, inputs=inputs: run_job(job, inputs, out, lambda *_, **__: None))
        self.decision = Decision.model_validate(self.store.read_json(self.plan.verdict, "decision.json"))
        self.out = repository.place.results / "toy"
        self.built = 0

    def keep_up(self, run: RunInfo = RUN) -> dict[str, bytes]:
        """Keep the report up to date; return its files."""
        upkeep.keep_up(self.bound, self.plan, self.store, self.decision, run, self.out, figures=False)
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path / "study")
    repository.sealed()
    found, build = Study(repository), extras.model.build

    def counted(*args: object, **kwargs: object) -> object:
        found.built += 1
        return build(*args, **kwargs)

    monkeypatch.setattr(extras.model, "build", counted)
    return found


def test_an_up_to_date_report_is_not_built_again(study: Study) -> None:
    first = study.keep_up()
    assert study.built == 1
    again = study.keep_up(RUN.model_copy(update={"host": "elsewhere"}))
    assert study.built == 1
    assert {name for name in first if first[name] != again[name]} == {"run.json"}
    assert b"elsewhere" in again["run.json"]


@pytest.mark.parametrize(
    "change", ["result edited", "file gone", "note gone", "note torn", "run.json torn", "older version"]
)
def test_a_report_that_is_not_as_written_is_built_again(
    study: Study, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = study.keep_up()
    if change == "result edited":
        (study.out / "results.json").write_bytes(before["results.json"].replace(b"toy", b"boy"))
    elif change == "file gone":
        (study.out / "clean_result.md").unlink()
    elif change == "note gone":
        (study.out / run_file.MADE_OF).unlink()
    elif change == "note torn":
        (study.out / run_file.MADE_OF).write_bytes(b"\xff")
    elif change == "run.json torn":
        (study.out / "run.json").write_bytes(before["run.json"][:40])
    else:
        monkeypatch.setattr(run_file, "REPORT_VERSION", 999)
    after = study.keep_up()
    assert study.built == 2
    assert after["results.json"] == before["results.json"]
    assert after["clean_result.md"] == before["clean_result.md"]


def test_what_a_report_is_made_of_tells_other_results_apart(study: Study) -> None:
    def basis(**other: object) -> str:
        made = {"bound": study.bound, "decision": study.decision, "figures": True, **other}
        return upkeep.basis(made["bound"], study.plan, study.store, made["decision"], figures=bool(made["figures"]))

    one = basis()
    assert one == basis()
    changed = [
        basis(figures=False),
        basis(bound=study.bound.model_copy(update={"title": "another title"})),
        basis(decision=study.decision.model_copy(update={"standing": "amended"})),
    ]
    simulations = study.store.root / "simulations"
    simulations.mkdir()
    (simulations / f"{study.bound.meaning}.json").write_text("{}")
    changed.append(basis())
    assert len({one, *changed}) == 1 + len(changed)


def test_another_version_of_this_program_builds_a_report_again(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.keep_up()
    real = os.stat

    class Newer:
        st_size, st_mtime_ns = 1, 2

    monkeypatch.setattr(
        upkeep.os, "stat", lambda path, **more: Newer if str(path).endswith("tables.py") else real(path, **more)
    )
    study.keep_up()
    assert study.built == 2


def test_damage_is_found_although_nothing_has_to_be_written(study: Study) -> None:
    study.keep_up()
    key = next(iter(study.plan.estimates.values()))
    path = study.store.path(key) / "estimate.json"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DamagedError, match=r"estimate\.json"):
        study.keep_up()
    assert study.built == 1
