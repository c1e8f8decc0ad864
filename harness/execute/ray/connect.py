"""Finding, joining and leaving a Ray cluster, in bounded time and with one clear error."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import PreregError, Problem, Where
from harness.execute.devices import cores

PATIENCE = 10.0
"""Seconds within which an address must answer. Ray itself would try for minutes and then end the process."""

LOCAL_OBJECTS = 100 * 2**20
"""Bytes of shared memory for a cluster that is started here: artifacts go through the store and not through Ray."""

_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""What a gRPC client says first (RFC 9113, 3.4); the other side answers with a frame of type 4, SETTINGS."""


def wanted(address: str) -> str:
    """Return the address to join: the given one, ``RAY_ADDRESS``, that of a cluster running here, or none."""
    address = address or os.environ.get("RAY_ADDRESS", "")
    return _running_here() if address in ("", "auto") else address


def fault(address: str, *, several: bool = False) -> Problem | None:
    """Say why jobs cannot run on Ray, or nothing. Imports no Ray and takes at most ``PATIENCE`` seconds.

    Args:
        address: as given, ``""`` for none.
        several: whether several processes of this run will join (pytest-xdist).
    """
    if importlib.util.find_spec("ray") is None:
        return Problem(
            Where(), "--executor ray needs the package 'ray'", "", "run: pip install 'pytest-prereg[ray]'"
        )  # fmt: skip
    asked = address or os.environ.get("RAY_ADDRESS", "")
    if asked.startswith("ray://"):
        return Problem(
            Where(), f"the address {asked} is one of Ray Client",
            "HOST:PORT of a cluster that this machine is a node of",
            "run pytest on a node of the cluster (ray job submit, or ray start --address=HOST:PORT here first)",
        )  # fmt: skip
    found = wanted(address)
    if asked in ("", "auto") and not found:
        if asked or several:
            return Problem(
                Where(), "no Ray cluster runs on this machine", "one that every process of this run can join",
                "start one with ray start --head, or leave out -n: Ray runs jobs side by side without it",
            )  # fmt: skip
        return None
    if why := silence(found):
        return Problem(
            Where(), f"no Ray cluster answers at {found} ({why})", "HOST:PORT as ray start --head printed it",
            "check --ray-address and RAY_ADDRESS, and that the cluster runs (ray status)",
        )  # fmt: skip
    return None


def silence(address: str, patience: float = PATIENCE) -> str:
    """Return why nothing answers at ``HOST:PORT`` as gRPC does, or an empty string."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return "this is no HOST:PORT"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=patience) as line:
            if os.environ.get("RAY_USE_TLS", "0") == "1":
                return ""
            line.sendall(_OPENING)
            answer = line.recv(9)
    except TimeoutError:
        return f"nothing in {patience:g} s"
    except (OSError, OverflowError) as error:
        return str(error)
    return "" if answer[3:4] == b"\x04" else "something else does"


@dataclass(frozen=True)
class Link:
    """A connection to a cluster. ``joined`` says that this object made it; ``started``, the cluster as well."""

    joined: bool
    started: bool
    address: str
    text: str

    def leave(self) -> None:
        """Hang up, and end the cluster if it was started here."""
        import ray

        if self.joined:
            with _undisturbed():
                ray.shutdown()


def join(address: str, namespace: str) -> Link:
    """Join a cluster, or start one on this machine where there is none.

    Raises:
        PreregError: there is no such cluster, it does not answer, or it does not take us.
    """
    if problem := fault(address):
        raise PreregError(problem)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless somebody wants that
    import ray

    joined, found = not ray.is_initialized(), wanted(address)
    if joined:
        more: dict[str, Any] = {"address": found}
        if not found:
            more = {"address": "local", "num_cpus": cores(), "object_store_memory": LOCAL_OBJECTS}
            more["include_dashboard"] = False
        try:
            with _undisturbed():
                ray.init(namespace=namespace, log_to_driver=False, logging_level=logging.ERROR, **more)
        except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            raise PreregError(
                Problem(
                    Where(), f"the Ray cluster at {found or 'this machine'} cannot be joined: {_first(error)}", "",
                    "this machine must be a node of it, with the same Ray, Python and token; see docs/ray.md",
                )
            ) from error  # fmt: skip
    started = joined and not found
    return Link(joined, started, ray.get_runtime_context().gcs_address, _told(found, started=started))


def _told(address: str, *, started: bool) -> str:
    import ray

    nodes = sum(bool(node.get("Alive")) for node in ray.nodes())
    has = ray.cluster_resources()
    where = "a cluster that was started here" if started else f"the cluster at {address or 'hand'}"
    size = f"{nodes} node{'s' if nodes != 1 else ''}, {has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs"
    return f"jobs run on Ray: {where}, {size}"


def _first(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _running_here() -> str:
    """Return the address of the cluster that ``ray start`` began on this machine, as Ray notes it, if it answers."""
    note = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    with contextlib.suppress(OSError):
        address = note.read_text().strip()
        if address and not silence(address, patience=2.0):
            return address
    return ""


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep our own SIGTERM handler, which Ray replaces, and Ray's warnings away from a user's ``-W error``."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)
