"""Shapes: the cheapest lengths, found another way, and every batch inside its own."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import Shapes, ends
from fixtures.training import Row


def cost(lengths, chosen, rows, recording):
    return sum(rows * (min(end for end in chosen if end >= each) - each) for each in lengths) + recording * len(chosen)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(1, 4), st.integers(0, 80))
def test_no_other_choice_of_lengths_is_cheaper(lengths, rows, recording):
    kinds = sorted(set(lengths))
    every = [(*some, kinds[-1]) for count in range(len(kinds)) for some in combinations(kinds[:-1], count)]
    found = ends(lengths, rows, recording)
    assert found == sorted(found)
    assert cost(lengths, found, rows, recording) == min(cost(lengths, each, rows, recording) for each in every)


def row(length, asked, unlikely=0):
    made = Row([1] * length)
    for spot in range(asked):
        made.ask(spot % length, 1, 1.0)
    for spot in range(unlikely):
        made.ask(spot % length, 1, 1.0, unlikely=True)
    return made


batches_of = st.lists(
    st.lists(st.builds(row, st.integers(1, 40), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=4),
    min_size=1, max_size=12,
)  # fmt: skip


@given(batches_of, st.integers(1, 120))
def test_every_batch_is_cut_into_parts_that_fit_their_shapes(batches, most):
    shapes = Shapes(batches, most, recording=10)
    for batch in batches:
        parts = shapes.parts(batch)
        assert [each for part in parts for each in part] == batch
        for part in parts:
            shape, longest = shapes.of(part), max(len(each.ids) for each in part)
            assert shape.rows == len(part)
            assert longest <= shape.longest
            assert shape.rows == 1 or shape.rows * shape.longest <= most
            unlikely = sum(sum(each.unlikely) for each in part)
            assert unlikely <= shape.unlikely
            assert sum(len(each.spots) for each in part) - unlikely <= shape.asked


def test_parts_are_as_few_as_hold_the_batch():
    batch = [row(10, 1) for _ in range(7)]
    for most, count in ((1000, 1), (70, 1), (69, 2), (40, 2), (39, 3), (20, 4), (19, 7), (1, 7)):
        assert len(Shapes([batch], most).parts(batch)) == count


@pytest.mark.parametrize(("recording", "count"), [(0, 30), (10**9, 1)])
def test_recordings_are_traded_for_padding(recording, count):
    assert len(Shapes([[row(length, 1)] for length in range(1, 31)], 1000, recording)) == count
