"""Jobs that keep unfinished work: an entry with a fifth argument."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.records import Job
from harness.core import durable
from harness.core.partial import Partial, Stopped


def run(job: Job, inputs: Mapping[str, Path], out: Path, progress: Any, partial: Partial) -> None:
    """Count to ``to``, a step every 20 ms; what else happens is in the job's params."""
    steps = job.params
    if "dies" in steps:
        print("step 41 of 375\nCUDA error: device-side assert triggered", file=sys.stderr, flush=True)
        os.abort()
    if "remark" in steps:
        logging.getLogger("prereg.memory").warning(steps["remark"])
    if "sleeps" in steps:
        Path(steps["note"]).touch()
        time.sleep(steps["sleeps"])
    if "full" in steps:
        durable.write_file = full
    partial.pending = steps.get("keeps", False)
    begin = int(partial.load("count") or b"0") if partial.pending else 0
    for step in range(begin + 1, steps["to"] + 1):
        with Path(steps["count"]).open("a") as lines:
            lines.write(f"{step}\n")
        time.sleep(0.02)
        if "full" in steps:
            partial.save("count", str(step).encode())
        try:
            progress("counting", step / steps["to"])
        except Stopped:
            partial.save("count", str(step).encode(), what="counting", done=step / steps["to"])
            raise
    (out / "counted").write_text(str(steps["to"]))


def full(path: Path, data: bytes, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
