"""Jobs that were planned for vLLM, through the ordinary path: planned, started, stored. Run by ``make test-vllm``."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Engine
from harness.contracts.records import Job
from harness.core.store import Store
from harness.execute.executor import Executor
from harness.execute.pool import Options
from harness.plan.plan import Plan, make_plan

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed here; make test-vllm installs and runs it",
    ),
    pytest.mark.filterwarnings("ignore"),
]
PREREG = Path(__file__).parents[2] / "preregs" / "issue_310.yaml"


def plan_with(engine: Engine) -> Plan:
    declare_kinds()
    return make_plan(load_bound(PREREG, rehearsal=True), device="cpu", engine=engine)


def samples_on_the_base(plan: Plan) -> tuple[Job, Job]:
    """The answers for a coupling, and a probe that samples its texts and reads them; both on the base model alone."""
    alone = [job for job in plan.jobs.values() if list(job.inputs) == ["base"] and "port.sampler" in str(job.engine)]
    (answers,) = (job for job in alone if job.label == "stage[C1.on_policy]")
    probe = next(job for job in alone if job.kind.startswith("probe/"))
    return answers, probe


@pytest.fixture
def store(base: str, tmp_path: Path) -> Store:
    """A store with the embedded model, which the session has built."""
    made = Store(tmp_path / "store")
    (embedded,) = (job for job in plan_with("auto").jobs.values() if job.kind == "model/embedded")
    made.put(embedded, lambda draft: shutil.copytree(base, draft / "model", dirs_exist_ok=True))
    return made


@pytest.mark.parametrize("resident", [("model",), ()], ids=["one process for both", "a process for each"])
def test_a_planned_job_samples_with_vllm_and_reads_with_transformers(store: Store, resident: tuple[str, ...]) -> None:
    plans = {engine: plan_with(engine) for engine in ("transformers", "vllm")}
    wanted = {engine: samples_on_the_base(plan) for engine, plan in plans.items()}
    assert not {job.key for job in wanted["vllm"]} & {job.key for job in wanted["transformers"]}
    for engine, plan in plans.items():
        options = Options(cores=1, gpus=(), resident=resident if engine == "vllm" else ())
        with Executor(plan.jobs, store, f"run-{engine}", options) as executor:
            executor.obtain([job.key for job in wanted[engine]])
    made = {engine: [store.manifest(job.key).made for job in jobs] for engine, jobs in wanted.items()}
    assert all("vllm" in each["versions"] for each in made["vllm"])
    assert not any("vllm" in each["versions"] for each in made["transformers"])
    answers, probe = wanted["vllm"]
    assert answers.engine["engine"] == "vllm"
    assert answers.engine["vllm"] == ".".join(made["vllm"][0]["versions"]["vllm"].split(".")[:2])
    assert {"port.sampler.vllm", "port.reader"} <= set(probe.engine)
    assert (made["vllm"][0]["pid"] == made["vllm"][1]["pid"]) == bool(resident)
    tables = {engine: table(store, jobs[1]) for engine, jobs in wanted.items()}
    assert tables["vllm"].num_rows == tables["transformers"].num_rows > 0
    assert tables["vllm"].schema == tables["transformers"].schema


def table(store: Store, job: Job) -> pa.Table:
    return pq.read_table(store.open(job.key) / "table.parquet")
