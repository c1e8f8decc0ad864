"""A comparison as Markdown: what was decided differently first, then numbers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from harness.core.numbers import count_noun, format_interval, format_level, format_value
from reports.compare import Pair, Result, Ruling, RunComparison
from reports.escape import code, md

_OVERLAP = {"overlap": "overlap", "apart": "apart", "unknown": "—"}


def markdown(found: RunComparison) -> str:
    """Return the comparison as GitHub-flavoured Markdown; everything that comes from outside is escaped."""
    return "\n".join(_lines(found)).rstrip("\n") + "\n"


def _lines(found: RunComparison) -> Iterator[str]:
    yield f"# {md(found.first.id)} against {md(found.second.id)}"
    yield ""
    yield from _table(
        ("", "first", "second"),
        [
            ("title", md(found.first.title), md(found.second.title)),
            *((name, md(getattr(found.first, name)), md(getattr(found.second, name))) for name in _FIELDS),
            ("registration", _short(found.first), _short(found.second)),
        ],
    )
    yield f"Relation: {md(found.relation)}."
    if found.shared:
        labels = ", ".join(code(label) for label in found.shared[:8])
        more = f" and {len(found.shared) - 8} more" if len(found.shared) > 8 else ""
        same = count_noun(len(found.shared), "stored measurement")
        stand = "stands" if len(found.shared) == 1 else "stand"
        yield ""
        yield f"**Not independent:** {same} {stand} behind both results ({labels}{more})."
    yield ""
    yield "## Decisions"
    yield ""
    yield from _rulings(found.rulings)
    yield "## Estimates"
    yield ""
    pairs = [pair for pair in found.pairs if not pair.at or pair.deciding]
    yield from _table(_HEAD, [_row(pair) for pair in pairs]) if pairs else iter(("No estimate is in both.", ""))
    cells = [pair for pair in found.pairs if pair.at and not pair.deciding]
    if cells:
        yield "## Cells"
        yield ""
        yield from _table(_HEAD, [_row(pair) for pair in cells])
    yield from _lacking(found)
    yield (
        "Differences are second minus first. Intervals that overlap do not show that two numbers agree, and nothing "
        "here tests a difference: two runs may share personas, questions or data."
    )


_FIELDS = ("verdict", "confidence", "standing", "date")
_HEAD = ("estimate", "first", "second", "difference", "intervals", "note")


def _short(result: Result) -> Markup:
    return code(result.meaning[:12], table=True)


def _rulings(rulings: Sequence[Ruling]) -> Iterator[str]:
    both = [ruling for ruling in rulings if ruling.in_both]
    changed, alone = [ruling for ruling in both if ruling.changed], len(rulings) - len(both)
    of = f"{count_noun(len(both), 'decision')}{' on both sides' if alone else ''}"
    rest = f"; {alone} {'is' if alone == 1 else 'are'} on one side only" if alone else ""
    if changed:
        yield f"{len(changed)} of {of} changed{rest}:"
    else:
        yield f"Every decision{' that is on both sides' if alone else ''} is the same{rest or ' on both sides'}."
    yield ""
    rows = [
        (md(f"{ruling.kind} {ruling.name}" if ruling.kind != ruling.name else ruling.kind), _said(ruling.first),
         _said(ruling.second), "**changed**" if ruling.changed else "same" if ruling.in_both else "on one side only")
        for ruling in sorted(rulings, key=lambda ruling: (not ruling.changed, not ruling.in_both))
    ]  # fmt: skip
    yield from _table(("decision", "first", "second", ""), rows)


def _said(word: str) -> Markup:
    return md(word) if word else Markup("not there")


def _row(pair: Pair) -> tuple[str, ...]:
    at = "".join(f", {dim} {level}" for dim, level in pair.at.items())
    difference = "—"
    if pair.difference is not None and pair.display != "p":
        unit = "pp" if pair.display == "proportion" else pair.display
        difference = format_value(pair.difference, unit, signed=True)
    first, second = (
        md(_value(value, interval, pair.display))
        for value, interval in ((pair.first, pair.first_interval), (pair.second, pair.second_interval))
    )
    return (md(pair.estimate + at), first, second, md(difference), _OVERLAP[pair.intervals], md(pair.note))


def _value(value: float | None, interval: object, display: str) -> str:
    from harness.contracts.records import Interval

    said = format_value(value, display)
    if isinstance(interval, Interval):
        said += f" ({format_level(interval.level)} {format_interval(interval.low, interval.high, display)})"
    return said


def _lacking(found: RunComparison) -> Iterator[str]:
    for names, which in ((found.only_first, "first"), (found.only_second, "second")):
        if names:
            yield f"Only in the {which}: {', '.join(code(name) for name in names)}."
            yield ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (header, tuple("---" for _ in header), *rows):
        yield "| " + " | ".join(cell or " " for cell in line) + " |"
    yield ""
