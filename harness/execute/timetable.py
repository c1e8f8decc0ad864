"""A schedule in words: who works when, every start and end, what bounds the time, and where more GPUs stop helping."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.contracts.records import Job
from harness.execute.devices import Device
from harness.execute.schedule import Schedule, Span, enough, scaling

WIDTH = 72
"""Columns of the chart."""
_NAMES: dict[Device, str] = {"cuda": "GPU", "cpu": "core"}


def timetable(play: Callable[[int], Schedule], gpus: int, unpriced: int) -> Iterator[str]:
    """Yield the lines that ``prereg plan --gpus`` prints.

    Args:
        play: returns the schedule with so many GPUs.
        gpus: how many there are.
        unpriced: how many of the jobs have no price and take no time here.
    """
    found = play(gpus)
    if not found.spans:
        yield "every job is stored: there is nothing to schedule"
        return
    yield f"schedule on {_count(gpus, 'GPU')} and {_count(found.slots['cpu'], 'core')}, by likely price, in minutes"
    if unpriced:
        yield f"{_count(unpriced, 'job')} of unknown price: counted as taking no time, so all of this is too short"
    yield from _chart(found)
    yield from _table(found)
    yield from _bounds(found)
    if found.work["cuda"]:
        yield from _scaling(play, gpus)
    else:
        yield "no job that is to run uses a GPU"


def as_json(found: Schedule) -> dict[str, object]:
    """Return a schedule for programs; times are minutes."""
    return {
        "slots": dict(found.slots),
        "makespan_min": found.makespan,
        "lower_bound_min": found.lower_bound,
        "critical_path_min": found.critical_path,
        "efficiency": found.efficiency,
        "critical": [job.key for job in found.critical],
        "jobs": [
            {"key": span.job.key, "label": span.job.label, "device": span.job.device, "slot": span.slot,
             "begin_min": span.begin, "end_min": span.end}
            for span in found.spans
        ],
    }  # fmt: skip


def _chart(found: Schedule) -> Iterator[str]:
    """One row per GPU, a letter per kind of job; capitals and small letters alternate, so that ends can be seen."""
    rows: dict[int, list[Span]] = {}
    for span in found.spans:
        if span.job.device == "cuda":
            rows.setdefault(span.slot, []).append(span)
    letters = _letters([span.job.kind for spans in rows.values() for span in spans])
    scale = WIDTH / found.makespan if found.makespan else 0.0
    for slot, spans in sorted(rows.items()):
        row = ["."] * WIDTH
        for number, span in enumerate(spans):
            letter = letters[span.job.kind]
            for column in range(round(span.begin * scale), round(span.end * scale)):
                row[column] = letter.upper() if number % 2 else letter
        yield f"GPU {slot:<3} |{''.join(row)}|"
    if found.slots["cuda"] > len(rows):
        yield f"{_count(found.slots['cuda'] - len(rows), 'GPU')} never used"
    if letters:
        said = ", ".join(f"{letter} {kind.rpartition('/')[2]}" for kind, letter in letters.items())
        yield f"        0{f'{_time(found.makespan)} min'.rjust(WIDTH)}   {said}, . idle"


def _letters(kinds: list[str]) -> dict[str, str]:
    """Give each kind a letter of its name that no other has."""
    taken: dict[str, str] = {}
    for kind in dict.fromkeys(kinds):
        name = kind.rpartition("/")[2]
        free = (letter for letter in f"{name}abcdefghijklmnopqrstuvwxyz" if letter.isalpha())
        taken[kind] = next((letter for letter in free if letter not in taken.values()), "#")
    return taken


def _table(found: Schedule) -> Iterator[str]:
    yield "   begin      end  on        job"
    for span in found.spans:
        on = f"{_NAMES[span.job.device]} {span.slot}"
        yield f"{_time(span.begin):>8} {_time(span.end):>8}  {on:8}  {_named(span.job)}"


def _bounds(found: Schedule) -> Iterator[str]:
    gpus, work = found.slots["cuda"], found.work["cuda"]
    yield (
        f"makespan {_time(found.makespan)} min; lower bound {_time(found.lower_bound)} min, the greater of the "
        f"critical path ({_time(found.critical_path)}) and the GPUs' work ({_time(work)} / {gpus} = "
        f"{_time(work / gpus)}); efficiency {_percent(found.efficiency)}; GPUs busy {_percent(found.busy('cuda'))}"
    )
    yield f"critical path, {_time(found.critical_path)} min: each job waits for the one before"
    for job in found.critical:
        yield f"{_time(job.cost):>8}  {_named(job)}"


def _scaling(play: Callable[[int], Schedule], most: int) -> Iterator[str]:
    yield "GPUs  makespan  lower bound  efficiency  busy"
    for count in scaling(most):
        found = play(count)
        yield (
            f"{count:>4}  {_time(found.makespan):>8}  {_time(found.lower_bound):>11}  "
            f"{_percent(found.efficiency):>10}  {_percent(found.busy('cuda')):>4}"
        )
    path, work = found.critical_path, found.work["cuda"]
    last = enough(play, most)
    if last is None:
        yield f"it scales up to {most} and beyond"
    else:
        yield (
            f"it stops scaling at {_count(last, 'GPU')}: from there on a run takes its critical path, which more GPUs "
            "do not shorten"
        )
    yield (
        f"{_time(work)} min of work over a critical path of {_time(path)} min could keep {work / path:.1f} GPUs busy "
        "at most"
    )


def _named(job: Job) -> str:
    return f"{job.key[:8]}  {job.label}"


def _time(minutes: float) -> str:
    return f"{minutes:,.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
