"""How long a toy's training, sampling or reading takes: long enough to be killed in the middle."""

from __future__ import annotations

import os
import time


def work() -> None:
    time.sleep(float(os.environ.get("PREREG_TOY_SECONDS", "0.05")))
