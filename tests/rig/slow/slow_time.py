"""How long a draw and a step take, and where they leave their lines."""

from __future__ import annotations

import os

SECONDS = float(os.environ.get("PREREG_SLOW_SECONDS", "0"))
DRAWN = os.environ.get("PREREG_SLOW_LINES", os.devnull)
