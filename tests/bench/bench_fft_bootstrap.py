"""The bootstrap of 140 pooled counts: one power of a Fourier transform against scipy's draws. Prints one table.

OMP_NUM_THREADS=1 python tests/bench/bench_fft_bootstrap.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from harness.stats import fft_bootstrap

CELLS, TRIALS, DRAWS, TIMES = 140, 10, 10_000, 30


def median_ms(function: Callable[[], object], times: int = TIMES) -> float:
    """Return the median wall time in milliseconds."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        spent.append(1000 * (time.perf_counter() - start))
    return statistics.median(spent)


def main() -> None:
    """Time both, show that they agree, print the ratio."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(TRIALS, rng.beta(0.6, 1.5, size=CELLS))
    many = rng.binomial(TRIALS, rng.beta(0.6, 1.5, size=(1000, CELLS)))

    def draws() -> object:
        return stats.bootstrap((counts,), np.mean, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(1))

    def exact() -> object:
        return fft_bootstrap.pooled(counts[None])

    drawn = stats.bootstrap((counts,), np.mean, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(1))
    distribution, support = fft_bootstrap.pooled(counts[None])
    print(f"{CELLS} cells of {TRIALS}, {counts.sum()} hits, {DRAWS:,} draws, medians of {TIMES}")
    print(f"{'quantile':>10} {'scipy':>9} {'exact':>9} {'difference':>11}")
    scale = CELLS * TRIALS
    for share in (0.0005, 0.005, 0.025, 0.5, 0.975, 0.995, 0.9995):
        found = np.quantile(drawn.bootstrap_distribution, share, method="inverted_cdf") / TRIALS
        ours = fft_bootstrap.quantile(distribution, support, share)[0] / scale
        print(f"{share:>10} {found:>9.4f} {ours:>9.4f} {ours - found:>+11.4f}")
    slow, fast = median_ms(draws), median_ms(exact)
    each = median_ms(lambda: fft_bootstrap.pooled(many), 5) / len(many)
    print(f"scipy.stats.bootstrap {slow:.2f} ms, FFT power {fast:.3f} ms: {slow / fast:.0f} times faster")
    print(f"FFT power, 1,000 experiments at once: {each:.4f} ms each: {slow / each:.0f} times faster")


if __name__ == "__main__":
    main()
