from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from harness.contracts.records import Truth
from harness.decide import kleene

truths = st.sampled_from(["true", "false", "unknown"])
lists = st.lists(truths, min_size=1, max_size=6)
VALUES: dict[Truth, tuple[bool, ...]] = {"true": (True,), "false": (False,), "unknown": (True, False)}


def by_completion(parts: list[Truth], rule) -> Truth:
    """The definition: true or false when every completion of the unknown parts agrees."""
    found = {rule(completion) for completion in product(*(VALUES[part] for part in parts))}
    return "unknown" if len(found) == 2 else "true" if found == {True} else "false"


@given(lists)
def test_connectives_agree_with_every_completion(parts: list[Truth]) -> None:
    assert kleene.conjunction(parts) == by_completion(parts, all)
    assert kleene.disjunction(parts) == by_completion(parts, any)


@given(lists, st.integers(1, 7))
def test_at_least_agrees_with_every_completion(parts: list[Truth], count: int) -> None:
    assert kleene.at_least(count, parts) == by_completion(parts, lambda values: sum(values) >= count)


@given(lists)
def test_de_morgan_and_double_negation(parts: list[Truth]) -> None:
    negated = [kleene.negation(part) for part in parts]
    assert kleene.negation(kleene.conjunction(parts)) == kleene.disjunction(negated)
    assert [kleene.negation(part) for part in negated] == parts


@given(lists, st.permutations(range(6)))
def test_order_does_not_matter(parts: list[Truth], order: list[int]) -> None:
    shuffled = [parts[i] for i in order if i < len(parts)]
    assert kleene.conjunction(shuffled) == kleene.conjunction(parts)
    assert kleene.disjunction(shuffled) == kleene.disjunction(parts)


@given(lists, st.data())
def test_learning_more_never_turns_a_decision_around(parts: list[Truth], data: st.DataObject) -> None:
    learnt = [data.draw(st.sampled_from(["true", "false"])) if part == "unknown" else part for part in parts]
    for connective in (kleene.conjunction, kleene.disjunction):
        before, after = connective(parts), connective(learnt)
        assert before in ("unknown", after)


def test_nothing_is_unknown() -> None:
    assert kleene.conjunction([]) == kleene.disjunction([]) == kleene.at_least(1, []) == "unknown"
