"""What this process runs on and how much it holds, asked without importing a model library: a job may not need one."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

NOTED = "PREREG_MADE"
"""Environment variable with what the run wants to have noted in the manifest of every artifact, as a JSON object."""


def rss_mb(pid: int = 0) -> float:
    """Return the resident memory of a process (0: this one) in MiB, 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid or 'self'}/statm", encoding="ascii") as statm:  # noqa: PTH123 (twice a second)
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError, ValueError):
        return 0.0


_children: dict[str, float] = {"before": 0.0}
"""The largest memory of a child in MiB when peaks were last forgotten: the system has no way to forget it."""


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process or of a child it has waited for, in MiB."""
    if sys.platform == "win32":
        return 0.0
    child = _children_mb()
    return max(_own_peak_mb(), child if child > _children["before"] else 0.0)


def _own_peak_mb() -> float:
    # Not ru_maxrss where there is better: a program begins with that of whoever started it.
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            return next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError, IndexError):
        import resource

        return _mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _children_mb() -> float:
    import resource

    return _mb(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _mb(maxrss: float) -> float:
    return maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that it has waited for, in seconds."""
    if sys.platform == "win32":
        return 0.0
    import resource

    own, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime


def forget_peaks() -> None:
    """Begin the peaks of memory anew, and give the GPU memory back that nothing uses: the next job has its own."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as peaks:  # noqa: PTH123 (proc(5): 5 is the peak)
            peaks.write("5")
    except OSError:
        pass  # not Linux: the peak stays that of the largest job so far
    if sys.platform != "win32":
        _children["before"] = _children_mb()
    if cuda := _cuda():
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()


def gpu_name() -> str:
    """Return the name of the GPU that this process uses, or an empty string."""
    cuda = _cuda()
    return str(cuda.get_device_name()) if cuda else ""


def gpu_mb() -> float:
    """Return the GPU memory that this process has taken now, in MiB; what its allocator keeps counts."""
    cuda = _cuda()
    return float(cuda.memory_reserved()) / 2**20 if cuda else 0.0


def peak_gpu_mb() -> float:
    """Return the most GPU memory that this process has taken, in MiB."""
    cuda = _cuda()
    return float(cuda.max_memory_reserved()) / 2**20 if cuda else 0.0


def noted() -> dict[str, Any]:
    """Return what the run wants to have noted: its command and, where there is one, the reason for its price."""
    try:
        found = json.loads(os.environ.get(NOTED, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cuda() -> Any:
    """Return ``torch.cuda`` if this process has begun to use it. Asking anything else would begin it."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None
