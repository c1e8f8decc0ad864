"""Identity: canonical JSON (RFC 8785), digests, and seeds that any process can derive again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import rfc8785


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value; equal meaning gives equal bytes.

    Raises:
        ValueError: for NaN, infinity and whatever JSON cannot hold.
    """
    return rfc8785.dumps(value)


def digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a JSON value's canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


def key_digest(value: Any) -> str:
    """Return a SHA-256 (64 hex digits) of a JSON value for keys that only this harness reads.

    Equal values give equal keys whatever the order of their mappings. Written by the standard library's
    encoder: planning digests hundreds of values at collection, and RFC 8785 in Python takes 20 times as long.
    Unlike :func:`digest`, 1 and 1.0 differ; typed records write each number in one way.

    Raises:
        ValueError: for NaN and infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hex digest of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def seed_for(scope: str, name: str, seed: int = 0) -> int:
    """Derive the seed of one named random draw, in [0, 2**63).

    The same three words give the same seed in every process and on every machine (never Python's
    salted ``hash``). ``scope`` is the prereg id for statistics and the kind for jobs, so that two
    preregs which declare the same job share its artifact.
    """
    text = json.dumps([scope, name, seed], ensure_ascii=False).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
