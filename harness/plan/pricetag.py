"""Prices in words: every figure with its range and where it comes from, unknown ones as unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.plan.budget import Bill, Price, Total, bill, by_group, unpriced

_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_MOST_NAMES = 4


def tag(cost: Bill, budget_hours: float | None = None) -> str:
    """Return a price in one line: GPU-minutes where a GPU is used, else CPU-minutes; bytes; the budget."""
    time = cost.gpu if cost.gpu.jobs else cost.cpu
    said = [f"likely {_figure(time, 60)} {'GPU' if time is cost.gpu else 'CPU'}-minutes, {_disk(cost.disk)} on disk"]
    said.append(origin(time, cost.disk))
    if time.unknown:
        said.append(f"{_jobs(time.unknown)} of unknown price")
    if time is cost.gpu:
        limit = f"budget {_number(60 * budget_hours)} GPU-minutes" if budget_hours is not None else ""
        said.append(limit or "no budget registered")
    return "; ".join(said)


def table(found: Sequence[Price], budget_hours: float | None) -> Iterator[str]:
    """Yield the lines of a price list: one per group, the total, the budget, and what has no price."""
    whole = bill(found)
    bills = [*by_group(found).items(), ("total", whole)]
    rows = [("likely (low to high)", "jobs", "GPU-minutes", "CPU-minutes", "disk", "")]
    rows += [
        (name, str(each.jobs), _figure(each.gpu, 60), _figure(each.cpu, 60), _disk(each.disk),
         origin(_time(each), each.disk))
        for name, each in bills
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1])]
        cells += [text.ljust(width) for text, width in zip(row[2:5], widths[2:], strict=True)]
        yield "  ".join([*cells, row[5]]).rstrip()
    yield from _budget(whole, budget_hours)
    names = list(unpriced(found))
    if names:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"unknown price: {', '.join(names[:_MOST_NAMES])}{more} (nothing recorded, nothing declared)"


def _budget(cost: Bill, hours: float | None) -> Iterator[str]:
    if not cost.gpu.jobs:
        return
    if hours is None:
        yield "budget: none registered"
        return
    limit, price = hours * 3600, cost.gpu.range
    word = (
        "the likely price is over it" if price.likely > limit
        else "the likely price is within it, the high one is not" if price.high > limit
        else "even the high price is within it"
    )  # fmt: skip
    missing = f"; {_jobs(cost.gpu.unknown)} of unknown price left out" if cost.gpu.unknown else ""
    yield f"budget: {_number(60 * hours)} GPU-minutes ({hours:g} GPU-hours): {word}{missing}"


def gpu_hours(total: Total) -> str:
    """Say seconds on GPUs in GPU-hours, with range and origin."""
    return f"{_figure(total, 3600, 'GPU-hours')}, {origin(total)}"


def origin(time: Total, disk: Total | None = None) -> str:
    """Say where figures come from: those of time, and those of bytes where they come from elsewhere."""
    said = _origin(time)
    return said if disk is None or _origin(disk) == said else f"{said} (bytes: {_origin(disk)})"


def _origin(total: Total) -> str:
    if total.recorded and total.declared:
        return f"{_jobs(total.recorded)} as recorded in this store, {total.declared} declared, not measured"
    if total.recorded:
        return "as recorded in this store"
    return "declared, not measured" if total.declared else "neither recorded nor declared"


def _time(each: Bill) -> Total:
    gpu, cpu = each.gpu, each.cpu
    return Total(
        recorded=gpu.recorded + cpu.recorded, declared=gpu.declared + cpu.declared, unknown=gpu.unknown + cpu.unknown
    )


def _figure(total: Total, size: float, unit: str = "") -> str:
    """Say a sum in units of ``size``: likely (low to high), and how many jobs it leaves out as unknown."""
    if not total.jobs:
        return "none"
    if total.unknown == total.jobs:
        return "unknown"
    found = total.range.times(1 / size)
    more = f" + {total.unknown} unknown" if total.unknown else ""
    named = f" {unit}" if unit else ""
    return f"{_number(found.likely)}{named} ({_number(found.low)} to {_number(found.high)}){more}"


def _disk(total: Total) -> str:
    size, unit = next(((size, unit) for size, unit in _BYTES if total.range.likely >= size), (1.0, "bytes"))
    return _figure(total, size, unit)


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count:,} jobs"


def _number(value: float) -> str:
    """Write a figure with two or three digits; it is no better known than that."""
    if value >= 9.95:
        return f"{value:,.0f}"
    if value >= 0.95:
        return f"{value:.1f}".removesuffix(".0")
    if value < 0.001:
        return "under 0.001" if value else "0"
    return f"{value:.1g}"
