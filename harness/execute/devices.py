"""Slots: the right to use one core or one GPU, held as a lock by the child that uses it."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Slot:
    """One core or one GPU of this host. ``id`` is the GPU as ``CUDA_VISIBLE_DEVICES`` names it."""

    device: Device
    id: str
    lock: Path


FRESH = 5.0
"""Seconds for which asking for a slot counts; whoever waits asks several times a second."""


def ask_for(slot: Slot) -> None:
    """Say that this process waits for a slot: whoever keeps it between two jobs gives it up then."""
    with contextlib.suppress(OSError):
        _asked(slot.lock).write_text(str(os.getpid()))


def asked_for(lease: Path, besides: int) -> bool:
    """Say whether a process other than ``besides`` waits for the slot with this lock."""
    try:
        asked = _asked(lease)
        return time.time() - asked.stat().st_mtime < FRESH and asked.read_text() != str(besides)
    except OSError:
        return False


def _asked(lease: Path) -> Path:
    return lease.with_suffix(".asked")


def cores() -> int:
    """Return how many cores this process may use (affinity and container quota)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no quota
    return max(1, count)


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs inside this process's ``CUDA_VISIBLE_DEVICES``, as it names them; without it, all of them."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return tuple(str(i) for i in range(max(1, len(list(Path("/dev").glob("nvidia[0-9]*"))))))
    return tuple(part.strip() for part in mask.split(",") if part.strip() and part.strip() != "-1")


def here() -> str:
    """Return what shares cores and GPUs: this host or, where Slurm hands them out, this allocation on it.

    Two allocations on a host have cores and GPUs of their own, and may number them alike.
    """
    allocation = os.environ.get("SLURM_JOB_ID", "")
    return f"{socket.gethostname()}-slurm-{allocation}" if allocation else socket.gethostname()


def cpu_slots(store: Path, count: int) -> tuple[Slot, ...]:
    """Return one slot per core, shared by everybody who uses this store on this host."""
    folder = store / "leases" / here()
    return tuple(Slot("cpu", str(i), folder / f"cpu-{i}.lock") for i in range(count))


def gpu_slots(ids: Sequence[str]) -> tuple[Slot, ...]:
    """Return one slot per GPU, shared by all stores of this user on this host (or by ``PREREG_LEASES``)."""
    folder = _user_folder() / here()
    return tuple(Slot("cuda", name, folder / f"cuda-{name.replace('/', '_')}.lock") for name in ids)


def _user_folder() -> Path:
    if chosen := os.environ.get("PREREG_LEASES"):
        return Path(chosen)
    # Not TMPDIR and not XDG_RUNTIME_DIR: both differ between two shells of one user, who share the GPU.
    return Path(f"/tmp/pytest-prereg-{os.getuid()}") if os.name == "posix" else Path(tempfile.gettempdir()) / "prereg"
