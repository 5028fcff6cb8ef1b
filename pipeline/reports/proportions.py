"""Two shares compared: can their difference be told from chance, and how many trials would that take? Pure."""

from __future__ import annotations

import math
from statistics import NormalDist

#: How often a difference is to be seen where there is none, and where there is one.
ALPHA, POWER = 0.05, 0.8

#: Probabilities that differ by less are equal: what is left of rounding.
_SAME = 1 + 1e-7


def p_value(hits: tuple[int, int], trials: tuple[int, int]) -> float:
    """Return how probable a difference at least as great as this one is, were there none: Fisher's exact test,
    two-sided, which adds up all tables that are no more probable than the one observed (as R's fisher.test does).

    Args:
        hits: how many trials of each hit.
        trials: how many there were of each.
    """
    all_hits, (first, second) = sum(hits), trials
    lowest, highest = max(0, all_hits - second), min(all_hits, first)

    def log_of(a: int) -> float:
        return _log_choose(first, a) + _log_choose(second, all_hits - a) - _log_choose(first + second, all_hits)

    limit = math.exp(log_of(hits[0])) * _SAME
    return min(1.0, math.fsum(p for a in range(lowest, highest + 1) if (p := math.exp(log_of(a))) <= limit))


def sample_size(first: float, second: float, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return how many trials of each it takes to tell two shares apart (Fleiss, Levin and Paik, Statistical Methods for
    Rates and Proportions, third edition, 4.2); None for equal ones, which no number tells apart.

    Args:
        first, second: the shares, 0 to 1.
        alpha: how often a difference is to be seen where there is none, on either side.
        power: how often this difference is to be seen.
    """
    if first == second:
        return None
    of_normal, mean = NormalDist().inv_cdf, (first + second) / 2
    by_chance = of_normal(1 - alpha / 2) * math.sqrt(2 * mean * (1 - mean))
    by_power = of_normal(power) * math.sqrt(first * (1 - first) + second * (1 - second))
    return (by_chance + by_power) ** 2 / (first - second) ** 2


def needed(first: float, second: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return the same for Fisher's exact test, as a whole number: with the correction for continuity (Fleiss, Tytun and
    Ury, A simple approximation for calculating sample sizes for comparing independent proportions, Biometrics 36).
    """
    size = sample_size(first, second, alpha, power)
    if size is None:
        return None
    return math.ceil(size / 4 * (1 + math.sqrt(1 + 4 / (size * abs(first - second)))) ** 2)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
