"""Simulated hidden states: the same geometry in two arms, answers noisier in one, as Gram tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.contracts.records import Column

Array = NDArray[np.float64]


def states(
    rng: np.random.Generator, centroids: Array, questions: int, noise: float, question_shift: Array | None = None
) -> Array:
    """Return ``[personas, questions, d]``: centroid + what the question adds for everyone + answer noise."""
    shape = (centroids.shape[0], questions, centroids.shape[1])
    shared = 0.0 if question_shift is None else question_shift[None]
    result: Array = centroids[:, None] + shared + noise * rng.standard_normal(shape)
    return result


def centroids(rng: np.random.Generator, personas: int, d: int, cosine: float) -> Array:
    """Return unit-norm-ish centroids whose mutual cosines are about ``cosine``; the first is the reference."""
    common = rng.standard_normal(d)
    own = rng.standard_normal((personas, d))
    result: Array = (np.sqrt(cosine) * common + np.sqrt(1 - cosine) * own) / np.sqrt(d)
    return result


def blocks(h: Array, g: Array) -> tuple[Array, Array, Array]:
    """Return dot, own and ref ``[..., Q, Q]`` of states ``[..., Q, d]`` and the reference's ``[Q, d]``."""
    own = h @ np.swapaxes(h, -1, -2)
    ref = np.broadcast_to(g @ g.T, own.shape)
    return h @ g.T, own, ref


def column(cross_only: bool) -> Column:
    return Column(name="cos", low=-1, high=1, form="gram", cross_only=cross_only)


def rows(h: Array, g: Array, personas: Sequence[str], questions: Sequence[str]) -> dict[str, list[object]]:
    """Return the rows of a Gram table over (persona, question, question_b)."""
    dot, own, ref = blocks(h, g)
    data: dict[str, list[object]] = {"persona": [], "question": [], "question_b": []}
    for persona in personas:
        for question in questions:
            data["persona"] += [persona] * len(questions)
            data["question"] += [question] * len(questions)
            data["question_b"] += list(questions)
    data |= {"cos.dot": list(dot.reshape(-1)), "cos.own": list(own.reshape(-1)), "cos.ref": list(ref.reshape(-1))}
    return data
