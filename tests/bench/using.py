"""What a call takes: wall time, CPU time and extra memory at its peak."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

MB = 2**20


def used(run: Callable[[], object], device: torch.device) -> tuple[float, float, float]:
    """Run it once; returns wall seconds, CPU seconds and extra MB at the peak.

    On a CPU memory is the resident set's high-water mark, reset before the call, above what was resident then; free
    memory is given back to the system first, or a later call would find what an earlier one left (Linux with glibc).
    On CUDA it is the allocator's peak above what was allocated.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # resets VmHWM, see proc(5)
        before = _resident("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _resident("VmHWM")
    return wall, cpu, (peak - before) / MB


def _resident(name: str) -> int:
    """Return a figure of /proc/self/status in bytes."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {name}")
