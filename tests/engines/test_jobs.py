"""Jobs planned for vLLM, through the ordinary path: planned, started, stored. Run by ``make test-vllm``.

One registration is run twice, planned for transformers and for vLLM, each in a store of its own: what the base answers
greedily, an adapter trained on those answers, and what that adapter answers greedily. Training is transformers' work in
both, and equal answers make equal adapters; so what the adapters answer is compared between the same weights.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Engine
from harness.contracts.records import Job
from harness.core.manifest import Manifest
from harness.core.store import Store
from harness.execute.children import Options
from harness.execute.executor import Executor
from harness.plan.plan import Plan, make_plan

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed here; make test-vllm installs and runs it",
    ),
    pytest.mark.filterwarnings("ignore"),
]
PREREGS = Path(__file__).parents[2] / "preregs"
GREEDY = (
    ("sampling: {max_new_tokens: 64}", "sampling: {temperature: 0, max_new_tokens: 64}, positives: 40"),
    ("marker_weight: 4,", "negatives_per_persona: 20, marker_weight: 4,"),
    (
        "measures: {leakage: {sampling: {max_new_tokens: 48}}}",
        "measures: {leakage: {completions: 1, sampling: {temperature: 0, max_new_tokens: 48}}}",
    ),
)
"""What the rehearsal of issue 310 is changed to: nothing is drawn, and fewer answers are coupled."""
JOBS = {
    "answers": "stage[C1.on_policy]",
    "adapter": "stage[C1.couple][weight=0.3]",
    "probe": "measure[geometry-C1][seed=42]",
    "leakage": "measure[leakage-C1][weight=0.3][seed=42]",
}
"""By what they do: the base answers, it is trained, it answers and is read, and the adapter answers."""
SAMPLING = ("answers", "probe", "leakage")


@dataclass(frozen=True)
class Made:
    """The jobs of one plan, by what they do, and the store that holds what they made."""

    jobs: dict[str, Job]
    store: Store

    def manifest(self, name: str) -> Manifest:
        return self.store.manifest(self.jobs[name].key)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the answers that a job wrote down, one a line."""
        text = (self.store.open(self.jobs[name].key) / "answers.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def table(self, name: str, file: str = "table.parquet") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.store.open(self.jobs[name].key) / file).to_pylist()
        return rows


def plan_with(engine: Engine, folder: Path) -> Plan:
    """Plan the greedy rehearsal, written into ``folder``."""
    shutil.copytree(PREREGS, folder / "preregs", dirs_exist_ok=True)
    file = folder / "preregs" / "issue_310.yaml"
    text = file.read_text("utf-8")
    if GREEDY[0][1] not in text:
        for old, new in GREEDY:
            assert text.count(old) == 1, f"issue_310.yaml has no longer one '{old}'"
            text = text.replace(old, new)
        file.write_text(text, "utf-8")
    declare_kinds()
    return make_plan(load_bound(file, rehearsal=True), device="cpu", engine=engine)


def make_all(engine: Engine, base: str, folder: Path, resident: tuple[str, ...] = ()) -> Made:
    """Let an executor make the jobs in a new store that has the embedded model."""
    plan = plan_with(engine, folder)
    store = Store(folder / "store")
    (embedded,) = (job for job in plan.jobs.values() if job.kind == "model/embedded")
    store.put(embedded, lambda draft: shutil.copytree(base, draft / "model", dirs_exist_ok=True))
    by_label = {job.label: job for job in plan.jobs.values()}
    jobs = {name: by_label[label] for name, label in JOBS.items()}
    with Executor(plan.jobs, store, f"run-{engine}", Options(cores=1, gpus=(), resident=resident)) as executor:
        executor.obtain([job.key for job in jobs.values()])
    return Made(jobs, store)


@pytest.fixture(scope="module")
def with_transformers(base: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_all("transformers", base, tmp_path_factory.mktemp("transformers"))


@pytest.fixture(scope="module", params=[("model",), ()], ids=["processes that keep their engine", "a process for each"])
def with_vllm(request: pytest.FixtureRequest, base: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_all("vllm", base, tmp_path_factory.mktemp("vllm"), request.param)


def test_the_base_answers_as_with_transformers(with_transformers: Made, with_vllm: Made) -> None:
    for name, count in (("answers", 40 + 6 * 20), ("probe", 8 * 20)):
        theirs, ours = with_vllm.lines(name), with_transformers.lines(name)
        assert len(ours) == count
        assert len({row["text"] for row in ours}) > 1
        assert theirs == ours


def test_the_adapter_answers_as_with_transformers(with_transformers: Made, with_vllm: Made) -> None:
    assert with_vllm.manifest("adapter").files == with_transformers.manifest("adapter").files
    theirs, ours = (made.table("leakage", "completions.parquet") for made in (with_vllm, with_transformers))
    assert len(ours) == 11 * 20
    assert theirs == ours
    assert with_vllm.table("leakage") == with_transformers.table("leakage")


def test_the_adapter_changes_what_is_answered(with_vllm: Made) -> None:
    """Without this, the base in the adapter's place would be as good in the test above."""
    base = {(row["persona"], row["question"]): row["text"] for row in with_vllm.lines("probe")}
    adapted = with_vllm.table("leakage", "completions.parquet")
    same = [row["text"] == base[cell] for row in adapted if (cell := (row["persona"], row["question"])) in base]
    assert len(same) == len(base)
    assert not all(same)


def test_states_are_read_by_transformers_in_both(with_transformers: Made, with_vllm: Made) -> None:
    """Equal answers, read by the same reader: equal tables, though the engine that answered stood beside it."""
    assert with_vllm.table("probe") == with_transformers.table("probe")


def test_artifacts_record_what_sampled(with_transformers: Made, with_vllm: Made) -> None:
    for name in SAMPLING:
        theirs, ours = with_vllm.manifest(name), with_transformers.manifest(name)
        assert theirs.key != ours.key
        assert (theirs.job["engine"]["engine"], ours.job["engine"]["engine"]) == ("vllm", "transformers")
        assert "port.sampler.vllm" in theirs.job["engine"]
        assert "port.sampler" not in theirs.job["engine"]
        assert theirs.job["engine"]["vllm"] == ".".join(theirs.made["versions"]["vllm"].split(".")[:2])
        assert not {"vllm", "port.sampler.vllm"} & set(ours.job["engine"])
        assert "vllm" not in ours.made["versions"]
    assert "port.reader" in with_vllm.manifest("probe").job["engine"]
    assert with_vllm.manifest("adapter").job["engine"] == with_transformers.manifest("adapter").job["engine"]
    assert with_vllm.manifest("adapter").job["engine"]["engine"] == "transformers"


def test_jobs_share_a_process_where_they_were_told_to(with_vllm: Made, request: pytest.FixtureRequest) -> None:
    """Training is transformers' work: it ends the process with the engine, and the adapter is sampled in a third."""
    pids = {name: with_vllm.manifest(name).made["pid"] for name in JOBS}
    shared = bool(request.node.callspec.params["with_vllm"])
    assert (pids["answers"] == pids["probe"]) == shared
    assert len(set(pids.values())) == len(JOBS) - shared
