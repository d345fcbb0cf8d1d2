"""Shares compared with limits and with each other, against scipy's own tests and published examples."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest, chi2_contingency, norm

from mlops.statistics.proportions import Share, above, below, difference, exceeds, interval, requests_needed

NEWCOMBE = Share(56, 70), Share(48, 80)  # the first example of Newcombe 1998


@pytest.mark.parametrize(
    ("hits", "total", "limit"), [(3, 60, 0.01), (0, 100, 0.05), (30, 30, 0.99), (17, 320, 0.05), (1, 1, 0.5)]
)
def test_a_share_is_above_or_below_a_limit_as_the_exact_binomial_test_says(hits, total, limit):
    assert above(Share(hits, total), limit) == pytest.approx(
        binomtest(hits, total, limit, alternative="greater").pvalue, rel=1e-9
    )
    assert below(Share(hits, total), limit) == pytest.approx(binomtest(hits, total, limit, alternative="less").pvalue, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [NEWCOMBE, (Share(9, 100), Share(3, 95)), (Share(50, 1000), Share(10, 19000))])
def test_two_shares_without_a_margin_are_pearsons_chi_squared_one_sided(first, second):
    table = [[share.hits, share.total - share.hits] for share in (first, second)]
    assert exceeds(first, second) == pytest.approx(chi2_contingency(table, correction=False).pvalue / 2, rel=1e-9)


@pytest.mark.parametrize(("margin", "p"), [(0.0533, 0.025), (0.3377, 0.975)])
def test_with_a_margin_it_is_the_score_test_whose_published_limits_have_these_p_values(margin, p):
    """Newcombe 1998, table II, method 6 (Mee): 0.0533 to 0.3377 at 95 %."""
    assert exceeds(*NEWCOMBE, margin) == pytest.approx(p, abs=2e-4)


def test_the_interval_of_a_difference_is_the_published_one():
    """Newcombe 1998, table II, method 10: 0.0524 to 0.3339."""
    assert difference(*NEWCOMBE) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_interval_of_a_share_is_wilsons():
    found = binomtest(17, 320).proportion_ci(method="wilson")
    assert interval(Share(17, 320)) == pytest.approx((found.low, found.high), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "margin", "p"),
    [
        (Share(0, 50), Share(0, 50), 0.0, 1.0),  # nothing happened on either side
        (Share(50, 50), Share(50, 50), 0.0, 1.0),
        (Share(0, 50), Share(50, 50), 0.0, 1.0),
    ],
)
def test_where_nothing_differs_upwards_chance_explains_all(first, second, margin, p):
    assert exceeds(first, second, margin) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(
    ("usual", "worse", "requests"),
    [(0.001, 0.01, 832), (0.005, 0.01, 3679), (0.01, 0.02, 1824), (0.01, 0.05, 222), (0.05, 0.1, 341)],
)
def test_the_requests_needed_are_the_published_ones(usual, worse, requests):
    assert requests_needed(usual, worse) == requests


def test_with_so_many_requests_the_rise_is_seen_as_often_as_was_said():
    """The power of the normal approximation, computed the other way round."""
    n = requests_needed(0.01, 0.02)
    deviation = ((0.01 * 0.99 + 0.02 * 0.98) / n) ** 0.5
    assert norm.sf(norm.isf(0.05) - 0.01 / deviation) == pytest.approx(0.8, abs=1e-3)
