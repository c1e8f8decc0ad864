"""Identity: canonical JSON (RFC 8785), digests, and seeds that any process can derive again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

_LARGEST = 2**53 - 1
"""Integers beyond it are none of JSON's numbers."""


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value; equal meaning gives equal bytes.

    Raises:
        ValueError: for NaN, infinity and whatever JSON cannot hold.
    """
    try:
        return _written(value).encode()
    except (TypeError, UnicodeEncodeError):
        return _rfc8785(value)  # It says what is wrong.


def _written(value: Any) -> str:
    """Write what registrations are made of, four times as fast as ``rfc8785``, which writes the rest."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        # RFC 8785 sorts by UTF-16 units; where all keys are ASCII the order is Python's.
        order = None if "".join(value).isascii() else _utf16
        return "{" + ",".join([f"{encode_basestring(k)}:{_written(value[k])}" for k in sorted(value, key=order)]) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join([encode_basestring(one) if type(one) is str else _written(one) for one in value]) + "]"
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int and -_LARGEST <= value <= _LARGEST:
        return str(value)
    return _rfc8785(value).decode()


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _rfc8785(value: Any) -> bytes:
    import rfc8785

    return rfc8785.dumps(value)


def digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a JSON value's canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


def guarded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON mapping with its own digest in it, under ``sha256``."""
    return {**content, "sha256": digest(dict(content))}


def unchanged(content: Mapping[str, Any]) -> bool:
    """Say whether a mapping is what :func:`guarded` returned; one without a digest is taken as it is."""
    return content.get("sha256") in (None, digest({name: value for name, value in content.items() if name != "sha256"}))


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
