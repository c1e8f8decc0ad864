"""The tables of one run: what the result cost, on which versions, and where."""

from __future__ import annotations

from harness.core.numbers import count_noun, format_count
from reports.records import ReportModel, RunInfo
from reports.tables import TextTable


def compute(model: ReportModel, run: RunInfo) -> TextTable:
    """Return what the result cost: planned against spent."""
    budget = model.registration.budget_gpu_hours
    rows = [
        ("budget", f"{budget:g} GPU-hours" if budget is not None else "no budget registered"),
        ("planned, the likely price when each job was started", _planned(run)),
        ("spent, all jobs behind the result", _hours(run.gpu_hours, run.cpu_hours)),
        ("spent in this run", _hours(run.gpu_hours_this_run, run.cpu_hours_this_run)),
        ("jobs", f"{format_count(run.jobs)} behind the result, {format_count(run.jobs_this_run)} computed in this run"),
        ("device", run.device or "not recorded"),
    ]
    if run.max_rss_mb is not None:
        gpu = f", {run.max_gpu_mb:,.0f} MB on the GPU" if run.max_gpu_mb is not None else ""
        rows.append(("largest job", f"{run.max_rss_mb:,.0f} MB{gpu}"))
    if run.fast:
        said = f"{count_noun(run.fast, 'training')} with --fast: equal seeds do not give equal bytes"
        rows.append(("not repeatable", said))
    if run.resumed:
        rows.append(("not counted", f"what {count_noun(run.resumed, 'resumed job')} had spent when interrupted"))
    if run.over_budget:
        rows.append(("run over the budget because", run.over_budget))
    return TextTable(("compute", "value"), tuple(rows))


def _planned(run: RunInfo) -> str:
    if run.planned_gpu_hours is None and run.planned_cpu_hours is None:
        return "not priced"
    unpriced = f"; {count_noun(run.unpriced, 'job')} without a price" if run.unpriced else ""
    return _hours(run.planned_gpu_hours, run.planned_cpu_hours) + unpriced


def _hours(gpu: float | None, cpu: float | None) -> str:
    """Write what was spent; no GPU time is not told beside CPU time."""
    parts = [(hours, what) for hours, what in ((gpu, "GPU"), (cpu, "CPU")) if hours is not None]
    said = [_time(hours, what) for hours, what in parts if hours] or [_time(*part) for part in parts[-1:]]
    return ", ".join(said) or "not recorded"


def _time(hours: float, what: str) -> str:
    """Write processor time in a unit that a reader can picture: ``7.2 GPU-hours``, ``0.43 CPU-seconds``."""
    units = (("hours", hours), ("minutes", 60 * hours), ("seconds", 3600 * hours))
    unit, size = next((each for each in units if each[1] >= 1 or not hours), units[-1])
    said = f"{size:.3g}" if size >= 1 or not hours else f"{size:.2g}"
    return f"{said} {what}-{unit.removesuffix('s') if said == '1' else unit}"


def environment(run: RunInfo) -> TextTable:
    """Return versions and places."""
    rows = [("host", run.host), ("started", run.started), ("finished", run.finished), ("command", run.command)]
    rows += [*run.versions.items(), *run.paths.items()]
    return TextTable(("environment", "value"), tuple((name, value) for name, value in rows if value))
