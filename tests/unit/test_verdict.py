from __future__ import annotations

from typing import Any

import pytest
from making import bound, cell, ci, clause, cmp, estimates, hypothesis, p_of, ref, row

from harness.contracts.records import Decision
from harness.contracts.trees import All, Any_, Hyp, Not
from harness.core.errors import PreregError
from harness.decide.court import Court, needed
from harness.decide.verdict import decide

GEOMETRIC, BEHAVIORAL = clause("geometric", cmp("geo", ">=", "1/20")), clause("behavioral", cmp("leak", ">=", "3/20"))
H1 = hypothesis("H1", GEOMETRIC, BEHAVIORAL)
GATE = clause("learnt", cmp("source", ">=", "1/2"))
KILL = clause("flat", All(of=(cmp("geo", "<=", "0"), ci("leak", "<", "1/20"))))


def data(geo: Any = 0.1, leak: Any = 0.3, source: Any = 0.9, interval: Any = (0.2, 0.4)) -> dict[str, Any]:
    return estimates(("geo", cell(geo)), ("leak", cell(leak, interval)), ("source", cell(source)))


def run(found: dict[str, Any], **more: Any) -> Decision:
    return decide(bound(H1, **{"gates": (GATE,), "kills": (KILL,), **more}), found)


def test_supported() -> None:
    decision = run(data())
    assert (decision.verdict, decision.hypotheses[0].truth) == ("supported", "true")
    assert decision.why == "H1: geometric: 0.100 is at least 0.05; behavioral: 0.300 is at least 0.15"
    assert decision.kills[0].truth == "false"


def test_not_supported_says_which_clause_and_by_how_much() -> None:
    decision = run(data(leak=0.123))
    assert (decision.verdict, decision.hypotheses[0].verdict) == ("not supported", "not supported")
    assert decision.why == "H1: behavioral: 0.123 is 0.027 below 0.15"
    assert [c.truth for c in decision.hypotheses[0].clauses] == ["true", "false"]


def test_killed() -> None:
    decision = run(data(geo=-0.01, leak=0.01, interval=(-0.02, 0.04)))
    assert decision.verdict == "killed"
    assert decision.why.startswith("H1: kill 'flat': ")
    assert decision.hypotheses[0].truth == "false"


def test_unknown_neither_supports_nor_kills() -> None:
    decision = run(data(geo=None))
    assert (decision.verdict, decision.kills[0].truth) == ("inconclusive", "false")
    assert run(data(geo=-1.0, leak=0.01, interval=None)).kills[0].truth == "unknown"


@pytest.mark.parametrize(("source", "says"), [(0.4, "does not hold"), (None, "is unknown")])
@pytest.mark.parametrize("flat", [False, True])
def test_a_gate_that_does_not_hold_makes_everything_unknown(source: Any, says: str, flat: bool) -> None:
    found = data(-0.01, 0.01, source, (-0.02, 0.04)) if flat else data(source=source)
    decision = run(found, triage=(row(Hyp(name="H1"), "yes"), row(None, "no")))
    assert decision.verdict == "inconclusive"
    assert decision.why.startswith(f"H1: gate 'learnt' {says}")
    assert decision.kills[0].truth == "unknown"
    assert decision.triage is None
    (fact,) = decision.hypotheses[0].clauses[0].facts
    assert (fact.truth, fact.shortfall, fact.value is not None) == ("unknown", None, True)


def test_a_gate_guards_only_the_hypotheses_that_it_names() -> None:
    h2 = hypothesis("H2", clause("c", cmp("geo", ">=", "0")))
    gate = clause("learnt", cmp("source", ">=", "1/2"), targets=("H1",))
    both, only = clause("both", cmp("geo", "<", "0")), clause("only", cmp("leak", ">", "0"), targets=("H1",))
    decision = decide(bound(H1, h2, gates=(gate,), kills=(both, only)), data(source=0.1))
    assert [h.verdict for h in decision.hypotheses] == ["inconclusive", "supported"]
    assert [kill.truth for kill in decision.kills] == ["false", "unknown"]
    assert decision.verdict == "inconclusive"


def test_a_gate_may_guard_an_estimand() -> None:
    gate = clause("learnt", cmp("source", ">=", "1/2"), targets=("leak",))
    decision = decide(bound(H1, gates=(gate,), named=("leak", "geo")), data(source=0.1))
    assert [c.truth for c in decision.hypotheses[0].clauses] == ["true", "unknown"]


def test_a_kill_ends_only_what_it_names() -> None:
    h2 = hypothesis("H2", clause("c", cmp("source", ">=", "2")))
    kill = clause("flat", cmp("geo", ">", "0"), targets=("H2",))
    decision = decide(bound(H1, h2, kills=(kill,)), data())
    assert [h.verdict for h in decision.hypotheses] == ["supported", "killed"]
    assert decision.verdict == "killed"


def test_kill_and_support_together_are_a_fault_of_the_design() -> None:
    with pytest.raises(PreregError, match=r"made.yaml:9:kill.flat: kill 'flat' holds while H1.*fault of the design"):
        run(data(), kills=(clause("flat", cmp("geo", ">", "0"), line=9),))


def test_after_waits_for_another_hypothesis() -> None:
    h3 = hypothesis("H3", clause("c", cmp("source", ">", "0")), role="secondary", after=Hyp(name="H1"))
    assert [h.verdict for h in decide(bound(H1, h3), data()).hypotheses] == ["supported", "supported"]
    late = decide(bound(H1, h3), data(leak=0.0)).hypotheses[1]
    assert (late.truth, late.verdict) == ("unknown", "inconclusive")
    assert late.why.startswith("not tested: what comes before it does not hold")


def test_hypotheses_that_wait_for_each_other_are_an_error() -> None:
    a = hypothesis("A", clause("c", cmp("geo", ">", "0")), after=Hyp(name="B"))
    b = hypothesis("B", clause("c", cmp("geo", ">", "0")), after=Hyp(name="A"))
    with pytest.raises(PreregError, match="A -> B -> A wait for each other"):
        decide(bound(a, b), data())


def test_secondary_hypotheses_do_not_decide() -> None:
    h2 = hypothesis("H2", clause("c", cmp("geo", ">", "9")), role="secondary")
    decision = decide(bound(H1, h2), data())
    assert (decision.verdict, decision.hypotheses[1].verdict) == ("supported", "not supported")


def test_together_killed_beats_not_supported_beats_inconclusive() -> None:
    h2 = hypothesis("H2", clause("c", cmp("source", ">", "9")))
    assert decide(bound(H1, h2), data(geo=None)).verdict == "not supported"
    kill = clause("k", cmp("source", ">", "0"), targets=("H1",))
    assert decide(bound(H1, h2, kills=(kill,)), data(geo=None)).verdict == "killed"
    assert decide(bound(), {}).verdict == "inconclusive"


TRIAGE = (
    row(Hyp(name="H1"), "both", 1),
    row(All(of=(Hyp(name="H1", clause="geometric"), Not(of=Hyp(name="H1", clause="behavioral")))), "recipe", 2),
    row(All(of=(Hyp(name="H1", clause="behavioral"), Not(of=Hyp(name="H1", clause="geometric")))), "not flat", 3),
    row(None, "nothing", 4),
)


@pytest.mark.parametrize(
    ("geo", "leak", "reads"),
    [(0.1, 0.3, "both"), (0.1, 0.0, "recipe"), (0.0, 0.3, "not flat"), (0.0, 0.0, "nothing"), (None, 0.0, None)],
)
def test_triage(geo: Any, leak: Any, reads: str | None) -> None:
    found = run(data(geo, leak, interval=(-1, 1)), triage=TRIAGE).triage
    assert (found.reads if found else None) == reads


def test_two_triage_rows_that_hold_are_an_error() -> None:
    overlapping = (row(Hyp(name="H1"), "one", 3), row(cmp("geo", ">", "0"), "two", 4), row(None, "none", 5))
    with pytest.raises(PreregError, match=r"'one' \(line 3\) and 'two' \(line 4\) both hold.*exclude each other"):
        run(data(), triage=overlapping)


def test_what_a_clause_needs() -> None:
    registered = bound(H1, gates=(GATE,), kills=(KILL,))
    wanted = needed(registered, [GEOMETRIC.criterion])
    assert set(wanted) == set(estimates(("geo", cell(0.0)), ("source", cell(0.0))))
    assert set(needed(registered, [Hyp(name="H1")])) == set(data())
    court = Court(registered, {key: value for key, value in data().items() if key in wanted})
    assert court.clause("H1", "geometric").truth == "true"


def test_holm_over_the_tests_of_a_clause() -> None:
    tests = Any_(of=tuple(cmp(p_of(name), "<", "1/20") for name in "abc"))
    family = hypothesis("H", clause("family", tests), correct="holm over family")
    found = estimates((p_of("a"), cell(0.02)), (p_of("b"), cell(0.03)), (p_of("c"), cell(0.5)))
    assert decide(bound(family), found).verdict == "not supported"
    assert decide(bound(hypothesis("H", clause("family", tests))), found).verdict == "supported"
    values = [fact.value for fact in decide(bound(family), found).hypotheses[0].clauses[0].facts]
    assert values == pytest.approx([0.06, 0.06, 0.5])
    with pytest.raises(PreregError, match="'bonferroni over family'"):
        decide(bound(hypothesis("H", clause("family", tests), correct="bonferroni over family")), found)


def test_standing_and_round_trip() -> None:
    assert run(data()).standing == "exploratory"
    decision = run(data(), retrospective=True)
    assert decision.standing == "retrospective"
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_unrelated_estimates_may_be_absent() -> None:
    assert ref("geo") != ref("leak")
    assert Court(bound(H1, gates=(GATE,)), estimates(("source", cell(0.9)))).gate("learnt").truth == "true"
