"""What JUnit files say beside pytest's own fields: properties of each item, for dashboards and gates of pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.plugin.cases import Case, expressions, keys

if TYPE_CHECKING:
    from harness.contracts.records import Estimate
    from harness.plugin.registrations import Registration
    from harness.plugin.session import Session


def properties(session: Session, registration: Registration, case: Case) -> list[tuple[str, str]]:
    """Return names and values for one judged item.

    ``prereg`` and ``meaning`` (the registration's digest) are everywhere, ``rehearsal`` where it is one; measures have
    the ``key`` of every table, gates, clauses, kills and hypotheses the value of each estimate that they read
    (``estimate.NAME`` and ``interval.NAME``, unit and all digits), and the verdict ``verdict``, ``standing``,
    ``confidence`` and every named single estimate.
    """
    bound = registration.bound
    found = [("prereg", bound.id), ("meaning", bound.meaning)]
    if bound.rehearsal:
        found.append(("rehearsal", "true"))
    if case.kind == "measure":
        found += [("key", key) for key in keys(case, bound, registration.plan)]
    elif case.kind == "verdict":
        decision = session.decision(registration)
        found += [("key", registration.plan.verdict), ("verdict", decision.verdict), ("standing", decision.standing)]
        found.append(("confidence", decision.confidence.final or "none"))
        every = session.estimates(registration, registration.plan.estimates).values()
        named = {each.name for each in bound.expressions if each.named}
        for estimate in every:
            found += _estimate(estimate) if estimate.name in named and not estimate.axes else ()
    elif case.kind != "check":
        for estimate in session.estimates(registration, expressions(case, bound)).values():
            found += _estimate(estimate)
    return found


def _estimate(estimate: Estimate) -> Iterator[tuple[str, str]]:
    unit = "" if estimate.unit in ("1", "p") else f" {estimate.unit}"
    for cell in estimate.cells:
        at = "".join(f"[{dim}={level}]" for dim, level in cell.at.items())
        value = "unknown" if cell.value is None else f"{cell.value!r}{unit}"
        yield f"estimate.{estimate.name}{at}", value
        for interval in cell.intervals[:1]:
            yield f"interval.{estimate.name}{at}", f"{interval.low!r}..{interval.high!r}{unit}"
