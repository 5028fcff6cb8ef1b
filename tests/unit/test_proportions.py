"""What is said of two shares is what the published tables and programs say."""

from __future__ import annotations

import pytest

from pipeline.reports import proportions


@pytest.mark.parametrize(
    ("hits", "trials", "expected"),
    [
        # R, stats::fisher.test: convictions of like-sex twins; the lady who tastes tea, two-sided.
        ((2, 10), (17, 13), 0.0005367),
        ((3, 1), (4, 4), 0.4857),
        ((0, 0), (40, 60), 1.0),
        ((5, 5), (5, 5), 1.0),
        ((0, 4), (4, 4), 0.02857),
    ],
)
def test_p_values_are_those_of_fishers_exact_test(
    hits: tuple[int, int], trials: tuple[int, int], expected: float
) -> None:
    assert proportions.p_value(hits, trials) == pytest.approx(expected, rel=1e-3)
    assert proportions.p_value(hits[::-1], trials[::-1]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("shares", "power", "plain", "corrected"),
    # The first two are in most textbooks; the third is Stata's `sampsi 0.25 0.4, power(0.9)`.
    [((0.10, 0.15), 0.8, 686, 726), ((0.5, 0.6), 0.8, 388, 408), ((0.25, 0.40), 0.9, 203, 216)],
)
def test_sample_sizes_are_those_of_the_tables(
    shares: tuple[float, float], power: float, plain: int, corrected: int
) -> None:
    size = proportions.sample_size(*shares, power=power)
    assert size is not None
    assert -(-size // 1) == plain
    assert proportions.needed(*shares, power=power) == proportions.needed(*shares[::-1], power=power) == corrected


def test_no_number_tells_equal_shares_apart_and_a_few_tell_all_from_none() -> None:
    assert proportions.needed(0.2, 0.2) is None
    assert proportions.needed(0.0, 0.0) is None
    number = proportions.needed(0.0, 1.0)
    assert number == 4
    assert proportions.p_value((0, number), (number, number)) < proportions.ALPHA
