"""Plans: what is made once, what has its own key, and what decides no key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from registrations import bound

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.explain.design import trained
from harness.plan.plan import Plan, make_plan
from reports.setup import setup_tables

PREREGS = Path(__file__).parents[2] / "preregs"


@pytest.fixture(autouse=True, scope="module")
def kinds() -> None:
    declare_kinds()


def plan_of(text: str, tmp_path: Path, *, rehearsal: bool = True, name: str = "one.yaml") -> Plan:
    path = tmp_path / name
    path.write_text(text.replace("banks/", f"{PREREGS}/banks/"), encoding="utf-8")
    return make_plan(load_bound(path, rehearsal=rehearsal))


@pytest.fixture(scope="module")
def text() -> str:
    return (PREREGS / "issue_310.yaml").read_text(encoding="utf-8")


def kinds_of(plan: Plan) -> dict[str, int]:
    counts: dict[str, int] = {}
    for job in plan.jobs.values():
        counts[job.kind] = counts.get(job.kind, 0) + 1
    return counts


def test_issue_310_trains_nine_couplings_on_three_models(text: str, tmp_path: Path) -> None:
    counts = kinds_of(plan_of(text, tmp_path, rehearsal=False))
    assert counts["stage/sft"] == 2
    assert counts["stage/merge"] == 2
    assert counts["stage/marker_coupling"] == 9
    assert counts["stage/on_policy"] == 3, "a weight sweep shares the arm's own answers"
    assert counts["eval/marker_rate"] == 9
    assert counts["probe/centroid_cosine"] == 3
    assert "model/embedded" not in counts


def test_the_nine_couplings_share_three_sets_of_own_answers(text: str, tmp_path: Path) -> None:
    """What is drawn is drawn once for an arm, whatever the weight; only tokenizing is done again for each."""
    jobs = plan_of(text, tmp_path, rehearsal=False).jobs
    couplings = [job for job in jobs.values() if job.kind == "stage/marker_coupling"]
    drawn = Counter(job.inputs["prepared"] for job in couplings)
    assert sorted(drawn.values()) == [3, 3, 3]
    assert {jobs[key].kind for key in drawn} == {"stage/on_policy"}
    assert {job.params["params"]["unlikelihood_weight"] for job in couplings} == {0.5, 1.0, 2.0}


def test_a_rehearsal_builds_one_embedded_model_and_judges_a_null(text: str, tmp_path: Path) -> None:
    plan = plan_of(text, tmp_path)
    counts = kinds_of(plan)
    assert counts["model/embedded"] == 1
    assert counts["stage/marker_coupling"] == 3
    assert counts["eval/marker_rate"] == 4, "three arms, and the first one sampled again for the null"
    assert plan.replay in plan.jobs
    assert plan.null in plan.jobs


def test_jobs_stand_in_an_order_in_which_they_can_run(text: str, tmp_path: Path) -> None:
    seen: set[str] = set()
    for key, job in plan_of(text, tmp_path).jobs.items():
        assert set(job.inputs.values()) <= seen, job.label
        seen.add(key)


def test_comments_order_and_the_file_name_decide_no_key(text: str, tmp_path: Path) -> None:
    one = plan_of(text, tmp_path)
    two = plan_of("# a comment\n\n" + text, tmp_path, name="another.yaml")
    model_jobs = {key for key, job in one.jobs.items() if job.kind != "verdict"}
    assert model_jobs - set(two.jobs) == {one.replay, one.null}, "what quotes lines of the file moves with them"


def test_a_parameter_of_a_stage_changes_what_stands_on_it_and_nothing_else(text: str, tmp_path: Path) -> None:
    one = plan_of(text, tmp_path)
    two = plan_of(text.replace("positives: 200", "positives: 100"), tmp_path)
    kept = {job.label for key, job in one.jobs.items() if key in two.jobs}
    assert {"model[embedded]", "stage[C2.sft]", "stage[C2.merge]", "measure[geometry-C2][seed=42]"} <= kept
    changed = {job.label for key, job in one.jobs.items() if key not in two.jobs}
    assert {"stage[C1.on_policy]", "stage[C2.couple][weight=0.3]", "estimate[leakage_shift]", "verdict"} <= changed


def test_a_seed_level_is_a_run_of_its_own(text: str, tmp_path: Path) -> None:
    one = kinds_of(plan_of(text, tmp_path))
    two = kinds_of(plan_of(text.replace("seed: [42]", "seed: [42, 137]"), tmp_path))
    assert two["stage/sft"] == 2 * one["stage/sft"]
    assert two["stage/marker_coupling"] == 2 * one["stage/marker_coupling"]
    assert two["model/embedded"] == 1


class Stored:
    """A store that holds the given keys."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def has(self, key: str) -> bool:
        return key in self.keys


def test_a_stored_artifact_needs_none_of_its_inputs(text: str, tmp_path: Path) -> None:
    plan = plan_of(text, tmp_path)
    assert len(plan.missing(Stored())) == len(plan.jobs) - _reported_only(plan)
    assert plan.missing(Stored(*plan.goals)) == ()
    (leakage_c1,) = plan.measurements["leakage-C1"]
    needed = {job.label for job in plan.missing(Stored(), [leakage_c1])}
    assert needed == {
        "model[embedded]", "stage[C1.on_policy]", "stage[C1.couple][weight=0.3]",
        "measure[leakage-C1][weight=0.3][seed=42]",
    }  # fmt: skip


def _reported_only(plan: Plan) -> int:
    """Jobs that no goal needs."""
    needed = set(plan.goals)
    for key in reversed(plan.jobs):
        if key in needed:
            needed.update(plan.jobs[key].inputs.values())
    return len(plan.jobs) - len(needed)


def test_the_device_class_is_part_of_a_model_jobs_key(text: str, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(text.replace("banks/", f"{PREREGS}/banks/"), encoding="utf-8")
    bound = load_bound(path, rehearsal=True)
    cpu, cuda = make_plan(bound, device="cpu"), make_plan(bound, device="cuda")
    assert not {key for key, job in cpu.jobs.items() if job.lane == "model"} & set(cuda.jobs)
    assert cpu.replay == cuda.replay


TWO_MODELS = (
    ("shift: leakage[tuned, others] - leakage[plain, others]", "shift: leakage[tuned, others, lm=qwen] - "
     "leakage[plain, others]"),
    ("source_rate: leakage[source] by arm", "source_rate: leakage[source] by arm and lm"),
    ("geometry[tuned] - geometry[plain]", "geometry[tuned, lm=qwen] - geometry[plain]"),
    ("by_layer: geometry[tuned] by layer", "by_layer: geometry[tuned] by layer and lm"),
    ("tuned: {label: tuned first,", "tuned: {label: tuned first, model: $lm,"),
    ("plain: {label: base first,", "plain: {label: base first, model: llama,"),
    ("  seed: [42]\n", "  seed: [42]\n  lm: [qwen, llama]\n"),
    ("  base: {hf: Qwen/Qwen2.5-7B-Instruct, revision: a09a354}", "  qwen: {hf: Qwen/Qwen2.5-7B-Instruct, revision: "
     "a09a354}\n  llama: {hf: meta-llama/Llama-3.1-8B-Instruct, revision: 0e9e39f}"),
)  # fmt: skip


def test_an_arm_whose_model_is_a_dim_is_made_on_every_model_of_it() -> None:
    found = bound(*TWO_MODELS)
    jobs = make_plan(found, device="cuda").jobs.values()
    made: dict[str, list[str]] = {}
    for job in jobs:
        if job.kind.startswith("stage/") and "tuned.sft" in job.label:
            made.setdefault(job.params["model"]["hf"], []).append(job.label)
    assert made == {
        "Qwen/Qwen2.5-7B-Instruct": ["stage[tuned.sft][lm=qwen]"],
        "meta-llama/Llama-3.1-8B-Instruct": ["stage[tuned.sft][lm=llama]"],
    }
    measured = [job.label for job in jobs if job.label.startswith("measure[leakage-tuned]")]
    assert sorted(label.split("[lm=")[1].split("]")[0] for label in measured) == ["llama", "llama", "qwen", "qwen"]
    told = list(trained(found))
    assert told[0].startswith("6 models, from Qwen/Qwen2.5-7B-Instruct (a09a354) and meta-llama/Llama-3.1-8B-Instruct")
    assert "- tuned (tuned first): sft, then merge, then couple, on each of qwen and llama" in told
    assert "| tuned | tuned first | qwen, llama |" in str([
        f"| {' | '.join(row)} |" for table in setup_tables(found) if table.name == "Arms" for row in table.rows
    ])  # fmt: skip
