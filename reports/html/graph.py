"""The provenance graph: which stored artifact was made from which, laid out in columns from the base model on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.records import Artifact

MOST = 160
"""Artifacts that are drawn; more are only listed."""
WIDTH, HEIGHT = 190, 36
ACROSS, DOWN = 236, 46
"""Size of a box and distance from box to box, in pixels."""


@dataclass(frozen=True)
class Node:
    """A box of the graph. ``ids`` are its place in the list of artifacts and those of what it was made from."""

    id: int
    ids: tuple[int, ...]
    label: str
    lines: tuple[str, str]
    kind: str
    key: str
    x: int
    y: int


@dataclass(frozen=True)
class Graph:
    """Boxes and the curves between them; ``curves`` are (from, to, SVG path)."""

    nodes: tuple[Node, ...]
    curves: tuple[tuple[int, int, str], ...]
    width: int
    height: int


def graph(artifacts: Sequence[Artifact]) -> Graph | None:
    """Lay out the artifacts, or return None where nothing links them or they are too many to draw."""
    if not any(item.inputs for item in artifacts) or len(artifacts) > MOST:
        return None
    places = {item.key: number for number, item in enumerate(artifacts)}
    inputs = {item.key: [key for key in item.inputs if key in places and key != item.key] for item in artifacts}
    columns = _columns(artifacts, inputs)
    rows = _rows(columns, inputs)
    nodes = tuple(
        Node(
            id=number,
            ids=tuple(places[key] for key in inputs[item.key]),
            label=item.label,
            lines=_lines(item.label, item.key),
            kind=item.kind,
            key=item.key,
            x=columns[item.key] * ACROSS + 1,
            y=rows[item.key] * DOWN + 1,
        )
        for number, item in enumerate(artifacts)
    )
    curves = tuple((start, node.id, _curve(nodes[start], node)) for node in nodes for start in node.ids)
    return Graph(
        nodes,
        curves,
        width=max(node.x for node in nodes) + WIDTH + 1,
        height=max(node.y for node in nodes) + HEIGHT + 1,
    )


def _lines(label: str, key: str) -> tuple[str, str]:
    """Break ``stage[C2.couple][weight=0.5]`` into what it is and where; the key's start where there is no more."""
    head, bracket, rest = label.partition("][")
    lines = (head + "]", rest.replace("][", ", ").replace("]", "")) if bracket else (label, key[:12])
    return _cut(lines[0], 25), _cut(lines[1], 29)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _columns(artifacts: Sequence[Artifact], inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The column of an artifact is one after the last of its inputs."""
    found = {item.key: 0 for item in artifacts}
    for _ in artifacts:  # as many rounds as the longest chain can need; a file's loop cannot hang this
        before = dict(found)
        for key, needed in inputs.items():
            found[key] = min(1 + max((found[each] for each in needed), default=-1), len(artifacts))
        if found == before:
            break
    return found


def _rows(columns: Mapping[str, int], inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Place each column's boxes near their inputs, from top to bottom."""
    rows: dict[str, int] = {}
    for column in sorted(set(columns.values())):
        keys = [key for key in columns if columns[key] == column]
        wanted = {key: _mean([rows[each] for each in inputs[key] if each in rows]) for key in keys}
        next_free = 0
        for key in sorted(keys, key=lambda key: wanted[key]):
            rows[key] = max(next_free, round(wanted[key]))
            next_free = rows[key] + 1
    return rows


def _mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _curve(start: Node, end: Node) -> str:
    left, right = start.x + WIDTH, end.x
    top, bottom = start.y + HEIGHT // 2, end.y + HEIGHT // 2
    middle = (left + right) // 2
    return f"M{left} {top}C{middle} {top} {middle} {bottom} {right} {bottom}"
