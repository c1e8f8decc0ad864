"""The rehearsal overlay: merged field by field, never over what decides, and everything that it replaced is listed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from registrations import REPO, bound, difference, estimand, measure

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.core.errors import PreregError

REHEARSAL = """rehearsal:
  data: {em: {register: bad_advice, rows: 1..300}}
  dims: {epochs: [1, 2, 3], layer: {levels: [1, 2], primary: 2}}
  recipes: {sft: {steps: 2, lora: {r: 4}}}
  measures: {leakage: {sampling: {max_new_tokens: 8}, question: [q001, q002]}}
  inference: {draws: 100}
models:
"""


def test_it_is_merged_field_by_field():
    one = bound(("models:\n", REHEARSAL), rehearsal=True)
    sft = one.arms[1].stages[0].params
    assert (sft["steps"], sft["lora"]["r"], sft["lora"]["alpha"], sft["lr"]) == (2, 4, 16, 1e-4)
    leakage = measure(one, "leakage")
    assert leakage.params["sampling"] == {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8}
    assert leakage.params["completions"] == 3
    assert leakage.levels["question"] == ("q001", "q002")
    assert leakage.inference is not None
    assert leakage.inference.draws == 100
    assert one.rehearsal


def test_a_plain_list_keeps_the_primary_by_its_place():
    one = bound(("models:\n", REHEARSAL), rehearsal=True)
    left, _ = difference(estimand(one, "shift").tree)
    assert left.select["epochs"] == ("3",)  # 5 was the last of [1, 5]
    layer = next(dim for dim in one.dims if dim.name == "layer")
    assert (layer.levels, layer.primary) == (("1", "2"), "2")


def test_a_level_that_is_gone_stands_for_the_one_in_its_place():
    change = ("  by_layer:", "  rise: leakage[tuned, source, epochs=5] - leakage[tuned, source, epochs=1]\n  by_layer:")
    left, right = difference(estimand(bound(change, ("models:\n", REHEARSAL), rehearsal=True), "rise").tree)
    assert (left.select["epochs"], right.select["epochs"]) == (("3",), ("1",))


def test_models_become_the_embedded_one_unless_it_names_them():
    one = bound(("models:\n", REHEARSAL), rehearsal=True)
    assert [(model.name, model.embedded, model.hf) for model in one.models] == [("base", True, "")]
    naming = REHEARSAL.replace("models:\n", "  models: {base: {path: toy}}\nmodels:\n")
    named = bound(("models:\n", naming), rehearsal=True)
    assert (named.models[0].embedded, Path(named.models[0].path).name) == (False, "toy")
    assert "models" in named.overridden


def test_what_it_replaced_is_listed():
    assert bound(("models:\n", REHEARSAL), rehearsal=True).overridden == (
        "data.em", "dims.epochs.levels", "dims.layer.levels", "dims.layer.primary", "recipes.sft.steps",
        "recipes.sft.lora.r", "measures.leakage.sampling.max_new_tokens", "measures.leakage.question",
        "inference.draws", "models.base",
    )  # fmt: skip


def test_without_it_nothing_changes():
    one = bound(("models:\n", REHEARSAL))
    assert one.overridden == ()
    assert one.meaning != bound().meaning  # it is registered with the rest, although nothing that decides reads it
    assert one.expressions == bound().expressions
    assert one.data[0].register_name == ""
    assert bound(("models:\n", REHEARSAL), rehearsal=True).meaning != one.meaning


def test_a_registration_without_one_rehearses_on_the_embedded_model():
    assert bound(rehearsal=True).models[0].embedded


def test_mistakes_in_it_point_into_it():
    wrong = REHEARSAL.replace("steps: 2", "steps: two").replace("[q001, q002]", "[q001, q999]")
    with pytest.raises(PreregError) as caught:
        bound(("models:\n", wrong), rehearsal=True)
    lines = [problem.where.line for problem in caught.value.problems]
    assert lines == [61, 62]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  data:", "  hypotheses: {H1: {role: secondary}}\n  data:"),
        ("  data:", "  kill: {none: shift > 0}\n  data:"),
        ("  data:", "  title: other\n  data:"), ("draws: 100", "draws: 100, level: 90%"),
        ("question: [q001, q002]", "resample: question"), ("question: [q001, q002]", "kind: other"),
        ("primary: 2", "sets: {a: [1]}"), ("{leakage:", "{leekage:"), ("{epochs:", "{epoch:"),
        ("  data:", "  arms: {plain: {stages: []}}\n  data:"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rehearsal", [False, True])
def test_it_cannot_touch_what_decides(old: str, new: str, rehearsal: bool):
    assert old in REHEARSAL
    with pytest.raises(PreregError) as caught:
        bound(("models:\n", REHEARSAL.replace(old, new, 1)), rehearsal=rehearsal)
    assert all(problem.where.key.startswith("rehearsal.") for problem in caught.value.problems)


# --- the examples of the language ---

EXAMPLES = REPO.parent / "shared" / "examples"
BANKS = {
    "roles_275": ["assistant", *(f"role{i}" for i in range(275))], "axis_prompts": 6140, "aqua_logiqa_mmlu": 300,
    "finetunes_12": 12, "trait_prompts": 10, "trait_questions": 40, "types_16": ["none", *(f"t{i}" for i in range(16))],
    "personality_items": 160, "archetypes": ["skippy", "assistant", "other"], "steering_prompts": 1230,
}  # fmt: skip
MISSING = {
    "assistant_axis": [
        "cap",
        "direction",
        "random_direction",
        "role_pca",
        "judged_rate",
        "exact_answer",
        "projection_margin",
    ],
    "cot_faithfulness": ["cot_answer", "direct_answer", "cot_edit", "dataset"],
    "coupling_predictors": ["share of the depth", "js_divergence"],
    "dose_response": ["looks"],
    "issue_310": [],
    "issue_310_v2": [],
    "persona_vectors": ["add", "direction", "projection", "judged", "choose", "random directions"],
    "prompted_personality": ["questionnaire", "regenerate"],
    "steering": ["rotate", "judged", "exact_answer", "direction", "judged_texts", "choose", "adapter"],
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the examples beside stand-ins for the banks and tables that nobody has written."""
    if not EXAMPLES.is_dir():
        pytest.skip(f"the examples of the language are not here ({EXAMPLES}); they live beside the repository")
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(REPO / "preregs" / "banks", folder / "banks")
    shutil.copytree(REPO / "preregs" / "tables", folder / "tables")
    for file in EXAMPLES.glob("*.yaml"):
        shutil.copy(file, folder)
    for name, names in BANKS.items():
        listed = names if isinstance(names, list) else [f"{name}_{i}" for i in range(names)]
        rows = [f"  - {{name: {one}, text: x, dataset: {'ab'[i % 2]}}}" for i, one in enumerate(listed)]
        (folder / "banks" / f"{name}.yaml").write_text("\n".join(["levels:", *rows]) + "\n")
    (folder / "tables" / "judge_anchors.csv").write_text("anchor,text\nneutral,a\nquote,b\n")
    return folder


@pytest.mark.parametrize("rehearsal", [False, True])
@pytest.mark.parametrize("name", MISSING)
def test_the_examples_bind_and_name_what_is_missing(examples: Path, name: str, rehearsal: bool):
    declare_kinds()
    one = load_bound(examples / f"{name}.yaml", rehearsal=rehearsal)
    assert one.hypotheses
    for what in MISSING[name]:
        assert any(what in line for line in one.missing), (what, one.missing)
    if not MISSING[name]:
        assert one.missing == ()
    assert all(":" in line and line.split(":")[1].isdigit() for line in one.missing)
