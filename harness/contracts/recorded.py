"""The words that type a column of a recorded table: what may stand in ``columns:`` of a measure."""

from __future__ import annotations

RECORDED_WORDS: dict[str, tuple[str, float | None, float | None]] = {
    "rate": ("proportion", 0.0, 1.0),
    "proportion": ("proportion", 0.0, 1.0),
    "cosine": ("1", -1.0, 1.0),
    "correlation": ("1", -1.0, 1.0),
    "p": ("p", 0.0, 1.0),
    "nats": ("nats", 0.0, None),
    "bits": ("bits", 0.0, None),
    "tokens": ("tokens", 0.0, None),
    "count": ("count", 0.0, None),
    "points": ("points", None, None),
    "deg": ("deg", None, None),
    "number": ("1", None, None),
}
"""Unit, lowest and highest attainable value (None where unbounded) by word."""
