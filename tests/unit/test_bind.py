"""Binding: names, dims, kept axes, units and inference of formulas; arms, measures and their tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from registrations import BASE, REPO, bound, changed, difference, estimand, leaves, measure

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Bound
from harness.contracts.trees import Call, Ci, Compare, Hyp, Num, Over, PValue, expression_id
from harness.core.errors import PreregError


def refused(*changes: tuple[str, str], **options) -> str:
    with pytest.raises(PreregError) as caught:
        bound(*changes, **options)
    return str(caught.value)


def with_estimand(formula: str, *changes: tuple[str, str]) -> Bound:
    return bound(("  by_layer:", f"  added: {formula}\n  by_layer:"), *changes)


# --- formulas ---


def test_what_is_not_kept_is_fixed_or_averaged():
    left, right = difference(estimand(bound(), "shift").tree)
    assert (left.measure, left.column, left.keep) == ("leakage", "rate", ())
    assert left.select["arm"] == ("tuned",)
    assert right.select["arm"] == ("plain",)
    assert left.select["epochs"] == ("5",)  # the primary
    assert left.select["seed"] == ("42",)
    assert len(left.select["question"]) == 20
    assert len(left.select["persona"]) == 32  # 35 without the source and two negatives


def test_by_keeps_a_dim_in_every_measure_below():
    one = with_estimand("leakage[tuned, others] - leakage[plain, others] by epochs and persona")
    found = estimand(one, "added")
    left, right = difference(found.tree)
    assert found.axes == left.keep == right.keep == ("epochs", "persona")
    assert left.select["epochs"] == ("1", "5")


def test_a_level_fixed_in_brackets_is_no_axis():
    left, right = difference(estimand(with_estimand(
        "leakage[tuned, others] - leakage[tuned, others, epochs=1] by epochs"), "added").tree)  # fmt: skip
    assert left.keep == ("epochs",)
    assert right.keep == ()
    assert right.select["epochs"] == ("1",)


def test_a_level_may_be_written_as_another_form_of_its_number():
    (ref,) = leaves(estimand(with_estimand("leakage[tuned, others, epochs=5.0]"), "added").tree)
    assert ref.select["epochs"] == ("5",)


def test_named_estimands_are_put_in_place_of_their_names():
    one = with_estimand("max(by_layer) - min(by_layer)")
    tree = estimand(one, "added").tree
    by_layer = estimand(one, "by_layer").tree
    assert tree.left == Call(fn="max", args=(by_layer,), over=("layer",))
    assert estimand(one, "added").axes == ()


def test_brackets_select_among_the_dims_that_an_estimand_keeps():
    one = with_estimand("source_rate[tuned] - source_rate[plain]")
    left, right = difference(estimand(one, "added").tree)
    assert (left.select["arm"], left.keep) == (("tuned",), ())
    assert (right.select["arm"], right.keep) == (("plain",), ())
    assert "no level or set" in refused(("  by_layer:", "  added: shift[tuned]\n  by_layer:"))


def test_a_function_reduces_its_by_or_what_its_argument_brings():
    found = estimand(with_estimand("mean(leakage[tuned] by persona) by epochs"), "added")
    assert isinstance(found.tree, Call)
    assert found.tree.over == ("persona",)
    assert found.axes == ("epochs",)
    inner = estimand(with_estimand("mean(tau(leakage[tuned] by epochs) by persona)"), "added").tree
    assert isinstance(inner, Call)
    assert inner.over == ("persona",)
    assert inner.args[0].over == ("epochs",)
    assert set(leaves(inner)[0].keep) == {"epochs", "persona"}


def test_leave_one_out_goes_over_a_dim_that_its_argument_does_not_keep():
    formula = "leave_one_out(pearson(leakage[tuned] by persona, leakage[plain] by persona) by persona)"
    found = estimand(with_estimand(formula), "added")
    assert found.axes == ("persona",)
    assert found.tree.over == ("persona",)
    assert found.tree.args[0].over == ("persona",)
    assert found.unit == "1"


def test_successive_keeps_its_axis():
    found = estimand(with_estimand("successive(leakage[tuned] by epochs)"), "added")
    assert found.axes == ("epochs",)
    assert isinstance(found.tree, Call)
    assert found.tree.over == ("epochs",)


def test_tables_of_different_levels_do_not_match():
    text = refused(
        ("  by_layer:", "  added: leakage[tuned, others] - leakage[tuned, negatives] by persona\n  by_layer:")
    )
    assert "different levels of persona" in text


def test_units():
    assert estimand(bound(), "shift").unit == "proportion"
    assert estimand(with_estimand("leakage[tuned] / leakage[plain]"), "added").unit == "1"
    assert estimand(with_estimand("geometry[tuned] * 2"), "added").unit == "1"
    assert estimand(with_estimand("p(shift > 15 pp)"), "added").unit == "p"
    assert estimand(with_estimand("leakage.tokens[tuned]"), "added").unit == "tokens"


def test_numbers_are_exact_and_take_the_unit_they_meet():
    clause = bound(("shift >= 15 pp", "shift >= 0.15")).hypotheses[0].clauses[0].criterion
    fact = clause.of[0]
    assert isinstance(fact, Compare)
    assert fact.right == Num(value="3/20", unit="proportion")
    folded = bound(("shift >= 15 pp", "shift >= -(5 pp) * 3")).hypotheses[0].clauses[0].criterion.of[0]
    assert folded.right == Num(value="-3/20", unit="proportion")


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("leakage[tuned] + 3 points", "a proportion (%, pp) and points"),
        ("leakage[tuned] * geometry[tuned] / leakage[plain] + 5 pp", "plain number"),
        ("leakage[tuned] / 0", "division by 0"),
        ("leakage.tokens[tuned] * leakage[tuned]", "multiplying"),
        ("abs(leakage[tuned] by epochs)", "reduces nothing"),
        ("max(shift)", "single number"),
        ("pearson(leakage[tuned] by persona, geometry[tuned] by layer)", "different dims"),
        ("pearson(leakage[tuned] by persona)", "1 arguments"),
        ("successive(leakage[tuned] by epochs and persona)", "one dim"),
        ("leave_one_out(shift)", "leave_one_out(value by DIM)"),
        ("leave_one_out(shift by layer)", "several levels of layer"),
        ("leakage[tuned, others] by layer", "'by layer'"),
        ("leakage[tuned, others] by layers", "no dim 'layers'"),
        ("leakage[tuned, plain]", "selected twice"),
        ("leakage[tuned, layer=6]", "no dim 'layer'"),
        ("geometry[tuned, librarian]", "does not hold 'librarian'"),
        ("leakage.text[tuned]", "no column 'text'"),
        ("shift.rate", "has no columns"),
        ("H1 + 1", "the hypothesis 'H1'"),
        ("alpha", "no looks"),
        ("p(5 > 0)", "constant"),
        ("p(shift > 0 | shuffled layer)", "several levels of 'layer'"),
        ("p(shift > 0 | random geometri)", "no measure 'geometri'"),
        ("p(max(source_rate) > 0)", "a p-value of a max()"),
        ("levels(5)", "levels() takes a dim"),
    ],
)
def test_formulas_that_are_refused(formula: str, says: str):
    text = refused(("  by_layer:", f"  added: {formula}\n  by_layer:"))
    assert says in text
    assert text.startswith("small.yaml:24:estimands.added: ")
    assert len(text.splitlines()) == 1


# --- criteria ---


def test_a_ci_reads_the_default_level_or_its_own():
    one = bound(("ci(cosine) > 0.1", "ci(cosine, 90%) > 0.1 and ci(cosine) within -1 .. 0.5"))
    first, second = one.hypotheses[0].clauses[1].criterion.of
    assert isinstance(first, Ci)
    assert (first.level, second.level) == ("9/10", "19/20")
    assert (second.low, second.high) == (Num(value="-1"), Num(value="1/2"))
    assert estimand(one, "cosine").levels == ("9/10", "19/20")


def test_all_and_any_take_tables():
    one = bound(("min(source_rate) >= 50%", "all(ci(by_layer) > 0) and any(by_layer > 0.1)"))
    first, second = one.gates[0].criterion.of
    assert isinstance(first, Over)
    assert (first.how, second.how) == ("all", "any")
    assert "single comparison" in refused(("min(source_rate) >= 50%", "all(shift > 0)"))


def test_expressions_are_what_criteria_read():
    one = bound()
    by_id = {expression_id(each.tree): each for each in one.expressions}
    p = one.hypotheses[0].clauses[0].criterion.of[1].left
    assert isinstance(p, PValue)
    assert by_id[expression_id(p)].named is False
    assert by_id[expression_id(p)].name == "p(shift > 0)"
    assert by_id[expression_id(p)].thresholds == ("1/100",)
    assert by_id[expression_id(one.gates[0].criterion.left)].text == "min(source_rate)"
    assert by_id[expression_id(one.kills[0].criterion.of)].name == "shift"
    assert [each.name for each in one.expressions][:4] == ["shift", "source_rate", "cosine", "by_layer"]
    assert len(by_id) == len(one.expressions)


def test_two_estimands_of_one_formula_are_both_kept():
    one = with_estimand("leakage[tuned, others] - leakage[plain, others]")
    assert expression_id(estimand(one, "added").tree) == expression_id(estimand(one, "shift").tree)


def test_texts_and_lines_are_those_of_the_file():
    one = bound()
    clause = one.hypotheses[0].clauses[0]
    assert clause.text == "shift >= 15 pp and p(shift > 0) < 0.01"
    assert (clause.line, one.gates[0].line, one.kills[0].line, one.triage[0].line) == (9, 13, 15, 17)
    assert [fact.text for fact in clause.criterion.of] == ["shift >= 15 pp", "p(shift > 0) < 0.01"]
    assert one.triage[0].criterion == Hyp(name="H1")
    assert one.triage[1].criterion is None
    assert (one.triage[0].reads, one.triage[0].next) == ("it leaks", "more seeds")
    assert [claim.word for claim in one.confidence] == ["MODERATE", "LOW"]


def test_gates_guard_and_kills_kill():
    one = bound(("min(source_rate) >= 50%", "{if: min(source_rate) >= 50%, guards: [H1, cosine]}"),
                ("none: ci(shift) < 5 pp", "none: {if: ci(shift) < 5 pp, kills: [H1]}"))  # fmt: skip
    assert one.gates[0].targets == ("H1", "cosine")
    assert one.gates[0].text == "min(source_rate) >= 50%"
    assert one.kills[0].targets == ("H1",)
    assert "no hypothesis or estimand 'H2'" in refused(
        ("min(source_rate) >= 50%", "{if: min(source_rate) >= 50%, guards: [H2]}"))  # fmt: skip


def test_expected_values_are_exact_in_the_estimands_unit():
    hypothesis = bound(("expect: {shift: 30 pp}", "expect: {shift: 30 pp, cosine: -0.1}")).hypotheses[0]
    assert hypothesis.expect_values == {"shift": "3/10", "cosine": "-1/10"}
    assert hypothesis.expect == {"shift": "30 pp", "cosine": "-0.1"}


def test_after_and_correct():
    second = (
        "  H2:\n    claim: more\n    role: secondary\n    after: H1.more\n    correct: holm over one\n"
        "    all: {one: shift > 0}\ngates:"
    )
    one = bound(("gates:", second))
    assert one.hypotheses[1].after == Hyp(name="H1", clause="more")
    assert one.hypotheses[1].correct == "holm over one"
    assert "'H2' in 'after'" in refused(("gates:", second.replace("H1.more", "H2")))
    assert "no clause 'two'" in refused(("gates:", second.replace("over one", "over two")))
    assert "holm over CLAUSE" in refused(("gates:", second.replace("holm over one", "bonferroni")))


def test_levels_counts():
    one = bound(("MODERATE: supported", "MODERATE: supported and levels(seed) >= 3"), ("[42]", "[42, 137, 256]"))
    assert one.confidence[0].criterion.of[1].left == Num(value="3", unit="count")


def test_inference_must_agree_and_have_something_to_draw():
    assert "no resample" in refused(("    resample: question\n", ""))
    text = refused(("resample: persona and question", "resample: epochs"), ("p(shift > 0)", "p(shift > 0 )"))
    assert "the formula has one level of it" in text


# --- measures and arms ---


def test_tables():
    one = bound()
    leakage, geometry = measure(one, "leakage"), measure(one, "geometry")
    assert leakage.dims == ("arm", "epochs", "seed", "persona", "question")
    assert leakage.sweeps == ("epochs",)
    assert leakage.stage == {"plain": 1, "tuned": 3}
    assert leakage.inference is not None
    assert leakage.inference.over == ("persona", "question")
    # Layers are read together; the pair of questions is one dim; coupling comes later, and its sweep with it.
    assert geometry.dims == ("arm", "seed", "persona", "layer", "question")
    assert geometry.levels["layer"] == ("6", "10", "14")
    assert geometry.sweeps == ()
    assert geometry.stage == {"plain": 0, "tuned": 2}
    assert geometry.params["layer"] == "$layer"
    assert geometry.params["against"] == ["librarian"]


def test_an_arm_without_the_stage_drops_out():
    one = bound(("  geometry:\n", "  training: {kind: training_log, at: after sft}\n  geometry:\n"))
    assert measure(one, "training").stage == {"tuned": 1}
    assert measure(one, "training").dims == ("arm", "seed")


def test_arms_without_a_sweep_need_no_level_of_it():
    text = changed(
        ("data: em", "data: $corpus"), ("  seed: [42]\n", "  corpus: [em, other]\n  seed: [42]\n"),
        ("  em: {path: em.jsonl,", "  other: {path: o.jsonl, md5: PENDING}\n  em: {path: em.jsonl,"),
        ("leakage[tuned, others] - leakage[plain, others]", "leakage[tuned, others, em] - leakage[plain, others]"),
        ("geometry[tuned] - geometry[plain]", "geometry[tuned, em] - geometry[plain]"),
        ("leakage[source] by arm", "leakage[source] by arm and corpus"),
        ("geometry[tuned] by layer", "geometry[tuned, other] by layer"),
    )  # fmt: skip
    one = bound(text=text)
    left, right = difference(estimand(one, "shift").tree)
    assert left.select["corpus"] == ("em",)
    assert right.select["corpus"] == ("em",)  # stands for all: the arm is the same at each
    assert measure(one, "leakage").sweeps == ("epochs", "corpus")
    fixed = bound(text=text.replace("[sft, merge, couple]", "[sft(em), merge, couple]")
                  .replace(", em]", "]").replace(", other]", "]").replace(" and corpus", ""))  # fmt: skip
    assert fixed.arms[1].stages[0].fixed == {"corpus": "em"}
    assert measure(fixed, "leakage").sweeps == ("epochs",)


def test_from_is_unrolled_and_merge_needs_no_recipe():
    one = bound(("tuned: {label: tuned first, stages: [sft, merge, couple]}",
                 "half: {label: half, stages: [sft, merge]}\n"
                 "  tuned: {label: tuned first, from: half, stages: [couple]}"))  # fmt: skip
    tuned = next(arm for arm in one.arms if arm.name == "tuned")
    assert [use.recipe for use in tuned.stages] == ["sft", "merge", "couple"]
    assert tuned.stages[1].kind == "merge"
    assert tuned.model == "base"
    assert tuned.stages[2].params["negatives"] == ["villain", "comedian"]  # in the order of the bank
    assert tuned.stages[2].params["epochs"] == "$epochs"
    assert tuned.stages[2].sweeps == ("epochs",)


def test_a_dim_like_a_set_ties_the_kinds_own_dim():
    one = bound(
        ("persona: all", "persona: $source"), ("source: source, negatives", "source: $source, negatives"),
        ("  seed: [42]\n", "  source: {like: persona.sources}\n  seed: [42]\n"),
        ("sets: {source: [librarian],", "sets: {sources: 1..4, reference: [librarian],"),
        ("against: source", "against: reference"),
        ("leakage[tuned, others] - leakage[plain, others]", "leakage[tuned] - leakage[plain]"),
        ("leakage[source] by arm", "leakage by arm and source"), ("resample: persona and question", "resample: source"),
    )  # fmt: skip
    leakage = measure(one, "leakage")
    assert leakage.dims == ("arm", "source", "epochs", "seed", "question")  # persona is source
    assert len(leakage.levels["source"]) == 4
    source = next(dim for dim in one.dims if dim.name == "source")
    assert source.texts["librarian"].startswith("You are")
    assert leaves(estimand(one, "shift").tree)[0].select["source"] == source.levels


def test_rest_is_what_the_sets_in_use_leave_over():
    sets = "sets: {source: [librarian], negatives: [comedian, villain], others: rest}"
    labelled = sets.replace("others:", "seen_before: [chef, nurse], others:")
    one = bound((sets, labelled))
    assert len(next(dim for dim in one.dims if dim.name == "persona").sets["others"]) == 32
    used = bound((sets, labelled), ("persona: all", "persona: [source, others, seen_before]"))
    assert len(next(dim for dim in used.dims if dim.name == "persona").sets["others"]) == 30


def test_generic_fields():
    one = bound(("completions: 3", "completions: 3\n    truncated: {as: miss, at_most: 5%}\n    arms: independent"))
    leakage = measure(one, "leakage")
    assert leakage.truncated == {"as": "miss", "at_most": "1/20"}
    assert leakage.inference is not None
    assert leakage.inference.paired is False
    cells = bound(
        (
            "resample: persona and question",
            "resample: cells of persona and question\n    reproduces: 262\n    method: bootstrap",
        )
    )
    inference = measure(cells, "leakage").inference
    assert inference is not None
    assert (inference.cells, inference.method, measure(cells, "leakage").reproduces) == (True, "bootstrap", "262")


def test_inference_defaults():
    one = bound(("models:", "inference: {draws: 500, level: 90%, seed: 7}\nmodels:"))
    inference = measure(one, "leakage").inference
    assert inference is not None
    assert (inference.draws, inference.level, inference.seed) == (500, "9/10", 7)
    assert estimand(one, "shift").levels == ("9/10",)


def test_kinds_that_do_not_exist_are_named_with_their_line():
    one = bound(("kind: marker_rate", "kind: judged"))
    assert one.missing == ("small.yaml:26:measures.leakage: eval or probe 'judged' is not implemented yet",)
    assert measure(one, "leakage").family == "missing"
    stage = bound(("kind: sft, data", "kind: dpo, data"))
    assert stage.missing == ("small.yaml:48:recipes.sft: stage 'dpo' is not implemented yet",)


def test_sections_that_come_later_are_named():
    one = bound(
        ("estimands:\n", "choose:\n  best: {of: layer, maximise: by_layer, among: by_layer > 0}\n"
                         "looks: {at: [seed = 42, all], spend: pocock, alpha: 5%, stop: [killed]}\nestimands:\n"),
        ("primary: mean", "primary: best"), ("< 0.01", "< alpha"),
        ("completions: 3", "completions: 3\n    run_when: shift > 0"),
    )  # fmt: skip
    assert [line.split(": ", 1)[1] for line in one.missing] == [
        "run_when is not implemented yet", "looks is not implemented yet", "choose is not implemented yet"]  # fmt: skip
    assert one.choices[0].of == "layer"
    assert leaves(estimand(one, "cosine").tree)[0].select["layer"] == ("best",)
    assert one.hypotheses[0].clauses[0].criterion.of[1].right == Num(value="1/20", unit="p")


# --- recorded tables ---

TABLE = """prereg: 1
id: table
title: A table
question: Is there a relation?
hypotheses:
  H1: {claim: there is, all: {related: "pearson(t.x by item, t.y by item) > 0.5"}}
triage:
  - otherwise: no -> stop
measures:
  t:
    kind: recorded
    file: FILE
    columns: {thing: {dim: item}, arm: arm, x: nats, y: {successes: k, trials: n}, why: text}
    resample: item
dims:
  item: {levels: 1..4, primary: mean}
  arm: {levels: [A, B], primary: A}
"""


ROWS = ["thing,arm,x,k,n,why", *(f"{i},{a},0.{i},{i},9,because" for i in (1, 2, 3) for a in "AB")]


def table(tmp_path: Path, rows: Sequence[str] = ROWS, **options) -> Bound:
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    text = TABLE.replace("FILE", options.pop("file", "t.csv")).replace("1..4", options.pop("dims", "1..4"))
    return bound(text=text, folder=tmp_path, **options)


def test_a_recorded_table(tmp_path: Path):
    one = table(tmp_path)
    found = measure(one, "t")
    assert one.retrospective
    assert found.family == "recorded"
    assert found.dims == ("item", "arm")
    assert found.levels["item"] == ("1", "2", "3")  # what the table does not hold was never planned
    assert [(column.name, column.form, column.unit) for column in found.columns] == [
        ("x", "number", "nats"), ("y", "ratio", "proportion"), ("why", "text", "1")]  # fmt: skip
    assert found.params == {"columns": {"thing": {"dim": "item"}, "arm": "dim", "x": "nats",
                                        "y": {"successes": "k", "trials": "n"}, "why": "text"}}  # fmt: skip
    assert found.file is not None
    assert len(found.file.sha256) == 64


def test_a_recorded_table_in_the_data_folder(tmp_path: Path):
    absent = table(tmp_path, file="data:t.csv")
    present = table(tmp_path, file="data:t.csv", data_root=tmp_path)
    file = measure(absent, "t").file
    assert file is not None
    assert (file.path, file.sha256) == ("data:t.csv", "")
    assert measure(present, "t").file != file
    assert absent.meaning == present.meaning
    assert absent.expressions == present.expressions


def test_a_recorded_table_with_another_digest(tmp_path: Path):
    with pytest.raises(PreregError, match="another digest"):
        table(tmp_path, file=f"t.csv\n    sha256: '{'0' * 64}'")


def refused_table(tmp_path: Path, rows: Sequence[str], **options) -> list[str]:
    with pytest.raises(PreregError) as caught:
        table(tmp_path, rows, **options)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_every_fault_of_a_recorded_table_is_told_when_it_is_bound(tmp_path: Path):
    rows = [ROWS[0], "1,A,0.1,NaN,9,", "1,B,0.1,12,10,", "2,A,,2.5,9,", "2,B,0.1,0,0,", "3,A,-1,1,9", "1,A,0.1,1,9,"]
    assert refused_table(tmp_path, rows) == [
        "t.csv:2:k: found 'NaN'; expected a whole number",
        "t.csv:3:k: 12 successes in 10 trials; expected 0 .. trials",
        "t.csv:4:x: the cell is empty; expected a number",
        "t.csv:4:k: found '2.5'; expected a whole number",
        "t.csv:5:n: 0 trials; expected at least 1. A rate of nothing is unknown, not 0: leave its cell out of the plan",
        "t.csv:6: found 5 cells; expected 6 as in the header",
        "t.csv:7: a second row for item=1, arm=A; expected one row per cell. The first is line 2",
    ]


def test_a_long_list_of_faults_is_cut_and_counted(tmp_path: Path):
    said = refused_table(tmp_path, [ROWS[0], *(f"{i},A,x,1,9," for i in range(1, 31))], dims="1..30")
    assert len(said) == 21
    assert said[19:] == ["t.csv:21:x: found 'x'; expected a number",
                         "t.csv:22: 10 more faults from here to the end of the table"]  # fmt: skip


def test_columns_that_a_recorded_table_lacks(tmp_path: Path):
    (said,) = refused_table(tmp_path, [ROWS[0].replace(",n,", ",total,"), *ROWS[1:]])
    assert said == ("small.yaml:13:measures.t.columns.y: there is no column 'n' in 't.csv'; "
                    "expected one of thing, arm, x, k, total, why")  # fmt: skip


def test_planned_cells_that_a_recorded_table_lacks(tmp_path: Path):
    assert refused_table(tmp_path, [*ROWS[:3], *ROWS[4:-1]]) == [
        "t.csv: 2 of 6 planned cells are missing: (item=2, arm=A), (item=3, arm=B); expected a row for each. Add the "
        "rows: nothing missing becomes a number. To do without a level of item, take all of its rows out of the table: "
        "what was never planned is unknown"
    ]
    assert measure(table(tmp_path, ROWS[:-2]), "t").levels["item"] == ("1", "2")


def test_faults_and_missing_cells_are_told_together(tmp_path: Path):
    said = refused_table(tmp_path, [*ROWS[:4], ROWS[4].replace(",9,", ",,"), *ROWS[6:]])
    assert [line.partition(";")[0] for line in said] == [
        "t.csv: 1 of 6 planned cells is missing: (item=3, arm=A)", "t.csv:5:n: the cell is empty"]  # fmt: skip


def test_rows_of_levels_that_the_measure_leaves_out(tmp_path: Path):
    (said,) = refused_table(tmp_path, ROWS, file="t.csv\n    item: [1, 2]")
    assert said == ("small.yaml:13:measures.t.item: 't.csv' also holds 3; expected rows of 1, 2 alone. "
                    "Name them here, or take their rows out of the table")  # fmt: skip
    assert measure(table(tmp_path, ROWS[:-2], file="t.csv\n    item: [1, 2]"), "t").levels["item"] == ("1", "2")


def test_a_label_that_is_no_level_is_told_with_its_line(tmp_path: Path):
    (said,) = refused_table(tmp_path, [*ROWS[:-1], "five,B,0.3,3,9,"])
    assert "'t.csv' holds five (first in line 7); expected levels of item: 1, 2, 3, 4" in said


# --- meaning ---


def test_meaning_is_what_was_registered():
    first = bound().meaning
    section, rest = BASE.split("gates:")[0], "gates:" + BASE.split("gates:")[1]
    reordered = rest.split("confidence:")[0] + "confidence:" + rest.split("confidence:")[1] + section
    assert bound(text="# a note\n" + BASE).meaning == first
    assert bound(text=reordered).meaning == first
    assert bound(("15 pp", "0.15"), ("30 pp", "30%"), ("1e-4", "0.0001"), ("shift >= ", "shift  >= ")).meaning == first
    assert bound(("lr: 1e-4", "lr: 1e-4, schedule: linear")).meaning == first  # the default, written out


@pytest.mark.parametrize(
    "change",
    [("15 pp", "16 pp"), ("completions: 3", "completions: 4"), ("[42]", "[43]"), ("lr: 1e-4", "lr: 2e-4"),
     ("1..20", "2..20"), ("more seeds", "other seeds"), ("it leaks\n", "it leaks much\n"), ("primary: 5", "primary: 1"),
     ("MODERATE", "HIGH"), ("a09a354", "b09a354"),
     ("resample: question", "resample: persona"), ("[1, 5]", "[1, 2, 5]")],
)  # fmt: skip
def test_meaning_changes_with_what_was_registered(change: tuple[str, str]):
    assert bound(change).meaning != bound().meaning


def test_meaning_of_a_bank_is_its_content(tmp_path: Path):
    bank = (REPO / "preregs" / "banks" / "personas.yaml").read_text()
    for name, text in (("a.yaml", bank), ("b.yaml", "# moved\n" + bank), ("c.yaml", bank.replace("quiet", "loud"))):
        (tmp_path / name).write_text(text)
    a, b, c = (
        bound(("builtin/personas.yaml", name), folder=tmp_path).meaning for name in ("a.yaml", "b.yaml", "c.yaml")
    )
    assert a == b == bound().meaning
    assert c != a


# --- the whole ---


@pytest.mark.parametrize("name", ["issue_310", "issue_310_v2", "issue_262", "coupling_predictors"])
@pytest.mark.parametrize("rehearsal", [False, True])
def test_the_preregistrations_bind(name: str, rehearsal: bool):
    declare_kinds()
    one = load_bound(REPO / "preregs" / f"{name}.yaml", rehearsal=rehearsal)
    assert one.id == name
    assert one.missing == ()
    assert Bound.model_validate_json(one.model_dump_json()) == one
    assert one.retrospective is name.startswith(("issue_262", "coupling"))


def test_the_redesign_has_28_unseen_bystanders():
    declare_kinds()
    one = load_bound(REPO / "preregs" / "issue_310_v2.yaml")
    left, right = difference(estimand(one, "leakage_shift").tree)
    unseen = set(left.select["persona"])
    couple = next(use for use in one.arms[0].stages if use.recipe == "couple")
    assert len(unseen) == 28
    assert not unseen & {*couple.params["negatives"], *couple.params["source"]}
    assert Fraction(one.hypotheses[0].clauses[1].criterion.of[0].right.value) == Fraction(15, 100)
    assert left.select["weight"] == right.select["weight"] == ("1.0",)


def test_binding_imports_nothing_heavy():
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.compile.bind import load_bound\n"
        "from harness.compose import declare_kinds\ndeclare_kinds()\n"
        f"load_bound(Path({str(REPO / 'preregs' / 'issue_310.yaml')!r}))\n"
        "print(*sorted({'numpy', 'scipy', 'pandas', 'pyarrow', 'torch', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    assert done.stdout.strip() == ""
