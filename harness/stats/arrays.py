"""Array types of the statistics: shapes are given in docstrings, ``[b, c]`` being draws and cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
