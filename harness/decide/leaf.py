"""The value of a reference: selected, averaged over what is not kept, under draws where there are any."""

from __future__ import annotations

import numpy as np

from harness.contracts.trees import Ref
from harness.decide.draws import Draws, NoInferenceError
from harness.decide.labelled import Labelled
from harness.decide.tables import Selected, World
from harness.stats import gram
from harness.stats.arrays import FloatArray, IntArray


def leaf(world: World, ref: Ref, draws: Draws | None = None) -> Labelled:
    """Return a reference's values ``[b, *keep]``.

    Cells are averaged with equal weights, or with the draws' weights along drawn dims. A kept dim that is drawn
    has its places replaced by the drawn ones. Rates are k/n per cell, cosines come from the Gram blocks.
    """
    selected = world.select(ref)
    if draws is not None and draws.joint:
        data, dims = _joint(ref, selected, draws)
    else:
        data, dims = _crossed(ref, selected, draws)
    levels = {dim: ref.select.get(dim) or world.measures[ref.measure].measure.levels[dim] for dim in ref.keep}
    if draws is not None:
        for dim in ref.keep:
            population = draws.design.population(ref, dim)
            if population is not None:
                levels[dim] = tuple(f"draw {i}" for i in range(data.shape[1 + dims.index(dim)]))
    return Labelled(tuple(dims), levels, data).moved(ref.keep)


def cells(selected: Selected) -> FloatArray:
    """Return the values of single cells ``[*dims]`` of a number or rate."""
    if selected.column.form == "ratio":
        rate: FloatArray = selected.parts[".k"] / selected.parts[".n"]
        return rate
    return np.asarray(selected.parts[""], dtype=np.float64)


def _crossed(ref: Ref, selected: Selected, draws: Draws | None) -> tuple[FloatArray, list[str]]:
    column, dims = selected.column, list(selected.dims)
    if column.form == "gram":
        weights = None if draws is None else _weights(ref, column.pair, draws)
        questions = selected.parts[".dot"].shape[-1]
        data = _cosines(selected, np.full((1, questions), 1.0 / questions) if weights is None else weights)
    else:
        data = cells(selected)[None]
    drawn = {dim for dim in dims if draws is not None and draws.design.population(ref, dim) is not None}
    # What is neither kept nor drawn goes first: it makes everything after it smaller.
    data, dims = _average(data, dims, [dim for dim in dims if dim not in ref.keep and dim not in drawn])
    for dim in sorted(drawn, key=lambda d: d in ref.keep):
        assert draws is not None
        population = draws.design.population(ref, dim)
        assert population is not None
        axis = 1 + dims.index(dim)
        if dim in ref.keep:
            data = _take(data, axis, draws.indices[population])
        else:
            data = np.moveaxis(data, axis, -1)
            weights = draws.weights[population]
            if data.shape[0] == 1:
                data = np.tensordot(weights, data[0], axes=(1, data.ndim - 2))
            else:
                data = np.einsum("bn,b...n->b...", weights, data)
            dims.remove(dim)
    return data, dims


def _joint(ref: Ref, selected: Selected, draws: Draws) -> tuple[FloatArray, list[str]]:
    design, column = draws.design, selected.column
    own = [dim for dim in design.dims if design.population(ref, dim) is not None]
    inside = [dim for dim in own if dim in ref.keep]
    if inside:
        raise NoInferenceError(
            f"cells are drawn, and the formula keeps {' and '.join(inside)} for a function; "
            "'method: bootstrap' with 'resample: … and …' draws whole levels"
        )
    weights = draws.joint[design.group(ref)]
    lost = tuple(1 + i for i, dim in enumerate(design.dims) if dim not in own)
    weights = weights.sum(axis=lost) if lost else weights
    dims = list(selected.dims)
    if column.form == "gram":
        if column.pair in own:
            return _joint_cosines(ref, selected, weights, own)
        questions = selected.parts[".dot"].shape[-1]
        data = _cosines(selected, np.full((1, questions), 1.0 / questions))
    else:
        data = cells(selected)[None]
    data, dims = _average(data, dims, [dim for dim in dims if dim not in ref.keep and dim not in own])
    if own:
        rest = [dim for dim in dims if dim not in own]
        flat = data[0].transpose([dims.index(dim) for dim in (*rest, *own)])
        shape = flat.shape[: len(rest)]
        flat = flat.reshape(*shape, -1).reshape(int(np.prod(shape)), -1)
        data = (weights.reshape(weights.shape[0], -1) @ flat.T).reshape(-1, *shape)
        dims = rest
    return data, dims


def _joint_cosines(ref: Ref, selected: Selected, weights: FloatArray, own: list[str]) -> tuple[FloatArray, list[str]]:
    """Weight (level, question) cells of a cosine: questions inside each level, then levels by their total weight."""
    pair = selected.column.pair
    others = [dim for dim in own if dim != pair]
    weights = np.moveaxis(weights, 1 + own.index(pair), -1)
    b, questions = weights.shape[0], weights.shape[-1]
    weights = weights.reshape(b, -1, questions)
    totals = weights.sum(axis=-1)
    rest = [dim for dim in selected.dims if dim not in others]
    order = [selected.dims.index(dim) for dim in (*others, *rest)]
    parts = {}
    for name, part in selected.parts.items():
        moved = part.transpose([*order, len(order), len(order) + 1])
        parts[name] = moved.reshape(-1, *moved.shape[len(others) :])
    data: FloatArray = np.zeros((b, *parts[".dot"].shape[1:-2]))
    for i in range(weights.shape[1]):
        total = totals[:, i, None]
        share = np.divide(weights[:, i], total, out=np.full((b, questions), 1.0 / questions), where=total > 0)
        blocks = (parts[".dot"][i], parts[".own"][i], parts[".ref"][i])
        values = gram.cosine(*blocks, share, cross_only=selected.column.cross_only)
        data = data + values * totals[:, i].reshape(b, *[1] * (values.ndim - 1))
    return _average(data, rest, [dim for dim in rest if dim not in ref.keep])


def _cosines(selected: Selected, weights: FloatArray) -> FloatArray:
    parts = selected.parts
    return gram.cosine(parts[".dot"], parts[".own"], parts[".ref"], weights, cross_only=selected.column.cross_only)


def _weights(ref: Ref, dim: str, draws: Draws) -> FloatArray | None:
    population = draws.design.population(ref, dim)
    return None if population is None else draws.weights[population]


def _average(data: FloatArray, dims: list[str], gone: list[str]) -> tuple[FloatArray, list[str]]:
    if gone:
        data = data.mean(axis=tuple(1 + dims.index(dim) for dim in gone))
    return data, [dim for dim in dims if dim not in gone]


def _take(data: FloatArray, axis: int, indices: IntArray) -> FloatArray:
    """Replace the places along ``axis`` by the drawn ones, per draw: ``[b or 1, …, n, …] -> [b, …, m, …]``."""
    moved = np.moveaxis(data, axis, 1)
    rows = np.zeros((indices.shape[0], 1), dtype=np.int64)
    if moved.shape[0] > 1:
        rows = np.arange(indices.shape[0], dtype=np.int64)[:, None]
    return np.moveaxis(moved[rows, indices], 1, axis)
