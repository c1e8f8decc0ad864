"""Two results side by side: numbers, overlap, and which decisions changed; rehearsals are refused."""

import json
from pathlib import Path

import pytest
import report_cases
from report_cases import RUN, decided, leakage_bound, leakage_estimates, leakage_extras
from report_files import put

from harness.cli import main
from harness.contracts.records import Interval
from harness.core.errors import PreregError
from reports.compare import RunComparison, compare, overlap
from reports.compare_words import markdown
from reports.family import is_called, resolve
from reports.reading import read_result

GOLDEN = Path(__file__).parents[1] / "golden" / "reports" / "comparison.md"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """An original, and a replication with another seed that finds less and names the original as its parent."""
    folder = tmp_path_factory.mktemp("pair")
    first = put(report_cases.supported(), folder / "first")
    weak = decided(leakage_bound(), leakage_estimates((24, 200), (0.02, 0.2), 0.0412), leakage_extras())
    again = RUN.model_copy(update={"finished": "2026-03-01T10:00:00Z"})
    second = put(
        weak, folder / "second", run=again, id="leakage_seed_137", parents=("leakage_example",), meaning="cd" * 32
    )
    return first, second


def golden(text: str) -> None:
    assert text == GOLDEN.read_text()


def test_the_comparison_reads_like_this(pair):
    golden(markdown(compare(read_result(pair[0]), read_result(pair[1]))))


def test_numbers_stand_side_by_side(pair):
    found = compare(read_result(pair[0]), read_result(pair[1]))
    shift = next(each for each in found.pairs if each.estimate == "leakage_shift")
    assert (shift.first, shift.second) == (0.3, 0.12)
    assert shift.difference == pytest.approx(-0.18)
    assert shift.intervals == "apart"
    rate = next(each for each in found.pairs if each.at == {"arm": "C1"} and each.estimate == "bystander_rate")
    assert rate.intervals == "overlap"
    assert rate.difference == 0
    assert found.relation == "the second names the first as its parent"
    assert found.shared == ("leakage of C1",)


def test_which_decisions_changed(pair):
    found = compare(read_result(pair[0]), read_result(pair[1]))
    assert [(each.kind, each.name, each.first, each.second) for each in found.rulings if each.changed] == [
        ("verdict", "verdict", "supported", "not supported"),
        ("confidence", "confidence", "MODERATE", "LOW"),
        ("hypothesis", "H1", "supported", "not supported"),
        ("clause", "H1.behavioral", "true", "false"),
        ("triage", "triage", "EM finetuning raises leakage", "no rise shown at these thresholds"),
    ]


def test_a_result_against_itself_changes_nothing(pair):
    found = compare(read_result(pair[0]), read_result(pair[0]))
    assert found.relation == "the same registration"
    assert not any(each.changed for each in found.rulings)
    assert all(each.difference in (0, None) for each in found.pairs)
    assert "Every decision is the same on both sides." in markdown(found)
    assert "**Not independent:**" in markdown(found)


@pytest.mark.parametrize("order", [0, 1])
def test_a_rehearsal_is_no_evidence(pair, tmp_path, capsys, order):
    toy = put(report_cases.rehearsal(), tmp_path)
    both = [str(toy), str(pair[0])]
    assert main(["compare", *both[:: -1 if order else 1]]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{toy}: a rehearsal of leakage_example, which proves nothing" in said.err


def test_nothing_in_common_is_said(pair, tmp_path):
    other = put(report_cases.correlation(), tmp_path)
    hypotheses = report_cases.correlation()
    bound = hypotheses.bound.model_copy(update={"hypotheses": ()})
    none = put(report_cases.Case(bound, hypotheses.decision.model_copy(update={"hypotheses": ()}),
                                 hypotheses.estimates, hypotheses.extras), tmp_path / "none")  # fmt: skip
    with pytest.raises(PreregError, match="nothing to compare"):
        compare(read_result(pair[0]), read_result(none))
    found = compare(read_result(pair[0]), read_result(other))  # H1 on both sides
    assert found.pairs == ()
    assert "No estimate is in both." in markdown(found)
    assert "Only in the second: `r_cosine`" in markdown(found)


def test_what_one_side_lacks_has_not_changed(pair, tmp_path):
    found = compare(read_result(pair[0]), read_result(put(report_cases.correlation(), tmp_path)))
    alone = [each for each in found.rulings if not (each.first and each.second)]
    assert alone
    assert not any(each.changed for each in alone)
    changed, both = sum(each.changed for each in found.rulings), len(found.rulings) - len(alone)
    text = markdown(found)
    assert f"{changed} of {both} decisions on both sides changed; {len(alone)} are on one side only:" in text
    assert text.count("| on one side only |") == len(alone) == text.count("not there")


def test_other_units_and_formulas_are_told(pair, tmp_path):
    case = report_cases.supported()
    changed = {
        **case.estimates,
        "leakage_shift": case.estimates["leakage_shift"].model_copy(update={"unit": "points"}),
        "source_rate": case.estimates["source_rate"].model_copy(update={"formula": "another"}),
    }
    other = put(report_cases.Case(case.bound, case.decision, changed, case.extras), tmp_path)
    found = compare(read_result(pair[0]), read_result(other))
    shift = next(each for each in found.pairs if each.estimate == "leakage_shift")
    assert (shift.difference, shift.intervals, shift.note) == (
        None,
        "unknown",
        "in proportion here and in points there",
    )
    rate = next(each for each in found.pairs if each.estimate == "source_rate")
    assert (rate.difference, rate.note) == (0, "another formula of the same name")


def test_overlap_needs_two_intervals_of_one_level():
    a, b = Interval(level="19/20", low=0, high=1), Interval(level="19/20", low=1, high=2)
    assert overlap(a, b) == overlap(b, a) == "overlap"
    assert overlap(a, b.model_copy(update={"low": 1.01})) == "apart"
    assert overlap(a, b.model_copy(update={"level": "9/10"})) == "unknown"
    assert overlap(a, None) == "unknown"


def test_json_and_files(pair, tmp_path, capsys):
    assert main(["compare", *map(str, pair), "--json"]) == 0
    text = capsys.readouterr().out
    assert RunComparison.model_validate_json(text) == compare(read_result(pair[0]), read_result(pair[1]))
    assert json.loads(text)["schema_name"] == "prereg-comparison"
    out = tmp_path / "deep" / "comparison.md"
    assert main(["compare", *map(str, pair), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_text() == GOLDEN.read_text()


def test_hostile_names_stay_text(tmp_path):
    from markdown_it import MarkdownIt

    hostile = "<script>x</script> | [a](http://b) `c`\n# d"
    one = put(report_cases.supported(), tmp_path / "a", title=hostile)
    text = markdown(compare(read_result(one), read_result(one)))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script>" not in html
    assert "<a " not in html
    assert html.count("<h1>") == 1


@pytest.mark.parametrize(
    ("id", "name", "expected"),
    [
        ("issue_310", "310", True),
        ("issue_310", "issue_310", True),
        ("issue_310_v2", "310", False),
        ("issue_1310", "310", False),
        ("issue_310", "10", False),
        ("a.b", "a.b", True),
        ("axb", "a.b", False),
    ],
)
def test_parents_are_numbers_or_ids(id, name, expected):
    assert is_called(id, name) is expected


def test_parents_resolve_to_registered_ids():
    assert resolve("310", ["issue_310_v2", "issue_310"]) == "issue_310"
    assert resolve("237", ["issue_310"]) == "237"
    assert resolve("a", ["a", "x_a"]) == "a"
