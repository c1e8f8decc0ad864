"""The files that Slurm is given: requests, one script per array, the last step, and what submits them.

A folder is written once and whole: tasks that are still queued read its requests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import PreregError
from harness.execute.child import ENTRY
from harness.execute.ending import SAVED
from harness.execute.slurm import Array, Arrays

REQUESTS = "requests.jsonl"
SAVE = 90
"""Seconds before its time limit at which a job is asked to save and leave."""
TERMINATED = 128 + signal.SIGTERM
RESTARTS = 10
"""So many times is a job that was asked to end put back into the queue."""
_PLAIN = re.compile(r"[\w./+=@:,-]+")
_OURS = ("--array", "-a", "--dependency", "-d", "--wrap", "--parsable", "--requeue", "--no-requeue")


@dataclass(frozen=True)
class Asked:
    """What the scripts need to know beside the jobs.

    ``store`` opens the store on every node: a folder or a URL. ``report`` are pytest's arguments in the last step,
    ``options`` go to every ``sbatch``, ``throttle`` bounds how many tasks of an array run at once, and ``noted`` goes
    into the manifest of every artifact.
    """

    name: str
    folder: Path
    store: str | Path
    report: Sequence[str]
    options: Sequence[str] = ()
    throttle: int | None = None
    noted: Mapping[str, Any] = field(default_factory=dict)


def options_of(text: str) -> tuple[str, ...]:
    """Return the options for ``sbatch`` that a user wrote in one string.

    Raises:
        PreregError: it cannot be split into words, or sets what the scripts set.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise PreregError(f"--slurm-options {text!r} is not a list of options: {error}") from error
    for word in words:
        name = word.partition("=")[0]
        if name in _OURS:
            raise PreregError(f"--slurm-options: {name} is set by the scripts themselves; leave it out")
    if words and not words[0].startswith("-"):
        raise PreregError(
            f"--slurm-options begins with '{words[0]}', which is no option of sbatch; an example: "
            "--slurm-options='--partition=gpu --account=mine'"
        )
    return tuple(words)


def write(asked: Asked, planned: Arrays) -> tuple[Path, ...]:
    """Write the folder, all of it or nothing; return its files.

    Raises:
        PreregError: the folder exists already, or a path holds what Slurm's directives cannot.
    """
    folder = asked.folder
    for path in (folder, Path.cwd(), asked.store):
        if not _PLAIN.fullmatch(str(path)):
            raise PreregError(
                f"'{path}': Slurm's directives cannot hold spaces and other special characters; use a folder whose "
                "path has letters, digits and ._/+=@:,- only"
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PreregError(
            f"'{folder}' exists already, and tasks that still wait may read it; give a new folder, or delete this one "
            "when none of its jobs is queued or runs"
        )
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        names = list(_write(draft, asked, planned))
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except OSError as error:
        raise PreregError(f"'{folder}' cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tuple(folder / name for name in names)


def _write(draft: Path, asked: Asked, planned: Arrays) -> Iterator[str]:
    lines = [json.dumps(_request(asked, job.model_dump(mode="json"))) for array in planned.arrays for job in array.jobs]
    texts = {REQUESTS: "".join(f"{line}\n" for line in lines)}
    texts |= {f"{array.name}.sh": _array_script(asked, array) for array in planned.arrays}
    texts |= {"report.sh": _report_script(asked, planned), "submit.sh": _submit_script(asked, planned)}
    (draft / "logs").mkdir()
    for name, text in texts.items():
        (draft / name).write_text(text, encoding="utf-8")
        if name.endswith(".sh"):
            (draft / name).chmod(0o755)
        yield name


def _request(asked: Asked, job: dict[str, Any]) -> dict[str, Any]:
    return {"job": job, "store": str(asked.store), "entry": ENTRY, "noted": dict(asked.noted)}


def _directives(asked: Asked, name: str, minutes: int | None, *more: str) -> str:
    said = [
        f"--job-name={asked.name}-{name}", *more,
        *([f"--time={minutes}"] if minutes is not None else []),
        "--requeue", f"--signal=TERM@{SAVE}", f"--chdir={Path.cwd()}", "--open-mode=append",
    ]  # fmt: skip
    return "".join(f"#SBATCH {option}\n" for option in said)


_SRUN = 'srun --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}"'


def _array_script(asked: Asked, array: Array) -> str:
    last = array.first + len(array.jobs) - 1
    throttle = f"%{asked.throttle}" if asked.throttle is not None else ""
    device = ["--gres=gpu:1"] if array.device == "cuda" else []
    directives = _directives(
        asked, array.name, array.minutes, f"--array=0-{len(array.jobs) - 1}{throttle}", *device,
        f"--output={asked.folder}/logs/%x-%A_%a.log",
    )  # fmt: skip
    command = shlex.join([sys.executable, "-m", "harness.execute.slurm_task", str(asked.folder / REQUESTS)])
    price = "" if array.minutes is not None else "# No time limit: the price of its jobs is unknown.\n"
    return f"""#!/bin/bash
# {array.name} of {asked.name}: requests {array.first} to {last}, counted from 0. Written by prereg plan --slurm.
{directives}{price}
{_SRUN} {command} "$(({array.first} + SLURM_ARRAY_TASK_ID))"
status=$?
# {SAVED}: asked to end (preempted, or out of time) with its work saved; {TERMINATED}: before it had begun. It goes on.
again=no
if [ "$status" -eq {SAVED} ] || [ "$status" -eq {TERMINATED} ]; then again=yes; fi
if [ "$again" = yes ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {RESTARTS} ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$status"
"""


def _report_script(asked: Asked, planned: Arrays) -> str:
    output = f"--output={asked.folder}/logs/%x-%j.log"
    command = shlex.join([sys.executable, "-m", "pytest", *asked.report])
    return f"""#!/bin/bash
# The last step of {asked.name}: estimates, verdict and report, by pytest. It trains nothing: all models are stored.
{_directives(asked, "report", planned.minutes, output)}
{_SRUN} {command}
"""


def _submit_script(asked: Asked, planned: Arrays) -> str:
    calls = []
    for number, array in enumerate(planned.arrays):
        tasks = f"{len(array.jobs)} task" + ("s" if len(array.jobs) > 1 else "")
        calls.append(f'submit {array.name}.sh "{tasks}"{_dependency(array.after)}; job[{number}]=$id')
    calls.append(f'submit report.sh "the report"{_dependency(planned.ends)}')
    options = f"options=({shlex.join(asked.options)})"
    return f"""#!/bin/bash
# Submits the arrays of {asked.name}: each waits until those whose artifacts it reads have succeeded, and is cancelled
# when one of them has failed. What is stored already is found stored, so that this may be run again.
# `options` go to every sbatch: partition, account, memory and whatever else this cluster asks for.
set -euo pipefail
{options}
submitted=()
job=()

submit() {{ # SCRIPT WHAT [OPTION ...]; sets id
    local script=$1 what=$2
    shift 2
    if ! id=$(sbatch --parsable ${{options[@]+"${{options[@]}}"}} "$@" {shlex.quote(str(asked.folder))}/"$script"); then
        echo "submit.sh: sbatch refused $script" >&2
        if [ "${{#submitted[@]}}" -gt 0 ]; then
            echo "submit.sh: submitted before it; to take them back: scancel ${{submitted[*]}}" >&2
        fi
        exit 1
    fi
    id=${{id%%;*}}
    submitted+=("$id")
    echo "$script: job $id, $what"
}}

{os.linesep.join(calls)}
"""


def _dependency(after: Sequence[int]) -> str:
    if not after:
        return ""
    wanted = ":".join(f"${{job[{number}]}}" for number in after)
    return f' --dependency="afterok:{wanted}" --kill-on-invalid-dep=yes'
