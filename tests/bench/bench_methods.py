"""False positives and power of each method on 7 x 20 x 10 counts: the table of language.md. Prints two tables.

OMP_NUM_THREADS=1 python tests/bench/bench_methods.py [EXPERIMENTS]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from harness.decide.simulation.nulls import (
    Setting,
    cells_independent,
    cells_paired,
    counts,
    crossed_bootstrap,
    one_way_p,
    two_way_p,
)
from harness.stats.arrays import FloatArray, IntArray

DRAWS = 2000
DESIGNS = ((7, 20, 10), (20, 20, 4), (28, 20, 3))
TRUTH = (0.274, 0.584)
"""#262's first arm, and 31 pp above it."""


def p_values(k: IntArray, trials: int) -> dict[str, FloatArray]:
    """Return each method's two-sided p-values."""
    above, below = two_way_p(k, trials)
    return {
        "cells, independent": cells_independent(k, trials),
        "cells, paired": cells_paired(k, trials),
        "question, paired": one_way_p(k, trials, "question"),
        "persona, paired": one_way_p(k, trials, "persona"),
        "crossed bootstrap, paired": crossed_bootstrap(k, trials, DRAWS, seed=0),
        "two-way t": 2 * np.minimum(above, below),
    }


def main() -> None:
    """Print false positives, then power."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    start = time.perf_counter()
    differ = Setting()
    settings = {
        "personas differ": differ,
        "personas alike": Setting(sds={**differ.sds, "persona x arm": 0.0}),
        "pure binomial": Setting(sds={}),
    }
    found = {name: p_values(counts(setting, n, seed=1), setting.trials) for name, setting in settings.items()}
    print(f"{n:,} nulls of {differ.personas} x {differ.questions} x {differ.trials}; false positives at 5%, two-sided,")
    print("and at one-sided .1% (half of them on the side that is asked about); Monte Carlo error .003 at .05")
    heads = [*settings, "one-sided .001, personas differ"]
    print(f"{'method':<28}" + "".join(f"{head:>20}" for head in heads[:-1]) + f"{heads[-1]:>34}")
    for method in found["personas differ"]:
        cells = [f"{np.mean(each[method] < 0.05):>20.3f}" for each in found.values()]
        tail = np.mean(found["personas differ"][method] < 0.002) / 2
        print(f"{method:<28}" + "".join(cells) + f"{tail:>34.4f}")
    print()
    print(f"power for >= 15 pp and one-sided p < .001 (two-way t), truth {TRUTH[0]:.1%} against {TRUTH[1]:.1%}")
    for personas, questions, trials in DESIGNS:
        k = counts(Setting(personas, questions, trials, TRUTH), n, seed=2)
        shift = (k[1] - k[0]).mean(axis=(0, 1)) / trials
        above, _ = two_way_p(k, trials)
        power = np.mean((above < 0.001) & (shift >= 0.15))
        print(f"{personas:>3} x {questions} x {trials:<3} {power:.3f} ± {np.sqrt(power * (1 - power) / n):.3f}")
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
