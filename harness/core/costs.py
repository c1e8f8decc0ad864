"""The cost ledger: a line for every artifact that was made, so that what the next one costs can be learnt cheaply.

It is one file of the store, ``costs.ledger``: reading its end says what a hundred thousand manifests would say.
Every line carries its own digest. The ledger decides nothing: a line that is torn or changed is left out, a ledger
that is absent or damaged is written anew from the manifests (``harness.plan.learn``), and no error of it is told.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.durable import replace_file

LEDGER = "costs.ledger"
TAIL = 1 << 18
"""Bytes at the end of the ledger that are read: the newest thousand artifacts or so."""
LONGEST = 4 * TAIL
"""Bytes from which on the ledger is cut to its tail when a run begins."""
_DIGITS = 16


@dataclass(frozen=True)
class Cost:
    """What one artifact took.

    ``device`` is the device class, ``gpu`` the name of the GPU ("" on a CPU), ``engine`` and ``base`` what ran the
    model and which ("" for jobs without one). ``amount`` is the job's work in ``unit`` as its parameters say it, and
    ``seconds`` what it took: wall time on a GPU, which nobody else could use meanwhile, and CPU time elsewhere.
    ``stored`` is the number of bytes on disk, for ``size`` in ``size_unit``.
    """

    key: str
    kind: str
    device: str
    engine: str
    base: str
    gpu: str
    unit: str
    amount: float
    seconds: float
    size_unit: str
    size: float
    stored: int


@dataclass(frozen=True)
class Ledger:
    """What was read: costs in the order in which they were written, one per artifact, and whether lines were bad."""

    costs: tuple[Cost, ...] = ()
    damaged: bool = False


def append(root: Path, cost: Cost) -> None:
    """Add a line. Short appends of several processes do not mix, and one that fails costs nobody anything."""
    try:
        fd = os.open(root / LEDGER, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError:
        return
    try:
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, b"\n" * torn + _line(cost))
    except OSError:
        pass  # a full disk is told where artifacts are stored
    finally:
        os.close(fd)


def read(root: Path) -> Ledger | None:
    """Return the newest costs; None where there is no ledger."""
    try:
        with (root / LEDGER).open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - TAIL))
            lines = handle.read().split(b"\n")
    except OSError:
        return None
    lines = lines[1:] if size > TAIL else lines  # the first is cut
    torn = lines.pop() != b""
    found = [_understood(line) for line in lines]
    by_key: dict[str, Cost] = {}
    for cost in found:
        if cost is not None:
            by_key.pop(cost.key, None)  # an artifact that was made again counts as it was made last
            by_key[cost.key] = cost
    return Ledger(tuple(by_key.values()), damaged=torn or None in found)


def write(root: Path, costs: Iterable[Cost]) -> None:
    """Put a new ledger in the place of the old one; a store that cannot be written keeps what it has."""
    with suppress(OSError):
        replace_file(root / LEDGER, b"".join(map(_line, costs)), sync=False)


def too_long(root: Path) -> bool:
    """Say whether the ledger has grown far beyond what is read of it."""
    try:
        return (root / LEDGER).stat().st_size > LONGEST
    except OSError:
        return False


def _line(cost: Cost) -> bytes:
    body = json.dumps(asdict(cost), separators=(",", ":"), allow_nan=False).encode()
    return _digest(body) + b" " + body + b"\n"


def _understood(line: bytes) -> Cost | None:
    digest, _, body = line.partition(b" ")
    if digest != _digest(body):
        return None
    try:
        return Cost(**json.loads(body))
    except (ValueError, TypeError):
        return None  # of another version of the harness


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_DIGITS].encode()
