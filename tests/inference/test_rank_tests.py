import math

import numpy as np
import pytest
from chromhub.inference.rank_tests import mann_whitney, wilcoxon
from chromhub.inference.ranking import ranks, spearman


def test_ranks_and_spearman_by_hand():
    assert ranks(np.array([3, 1, 3, 7])).tolist() == [2.5, 1, 2.5, 4]
    # Ranks 1 2 3 4 and 2 1 4 3: rho = 1 - 6 * (1 + 1 + 1 + 1) / (4 * 15) = 0.6.
    assert spearman(np.array([1, 2, 3, 40]), np.array([20, 10, 40, 30])) == pytest.approx(0.6)
    assert spearman(np.arange(9), -(np.arange(9) ** 3)) == pytest.approx(-1)
    assert math.isnan(spearman(np.ones(4), np.arange(4)))


def test_mann_whitney_by_hand():
    # Of x = 1, 2 and y = 3, 4, 5 no x is larger: U = 0, one of 10 orders; both tails 2 / 10.
    assert mann_whitney(np.array([1, 2]), np.array([3, 4, 5])) == (0, pytest.approx(0.2))
    assert mann_whitney(np.array([3, 4, 5]), np.array([1, 2])) == (6, pytest.approx(0.2))
    assert mann_whitney(np.array([1, 1]), np.array([1, 1])) == (2, 1)
    with pytest.raises(ValueError, match="both sides, got 0 and 1"):
        mann_whitney(np.array([]), np.array([1]))


def test_wilcoxon_by_hand():
    # All four positive: W = 10, one of 16 signs; both tails 2 / 16.
    assert wilcoxon(np.array([0.1, 0.2, 0.4, 0.3, 0.0])) == (10, pytest.approx(0.125))
    # Sizes 1 2 3, minus at 1: W = 5; 1 + 1 of 8 at least as large (5, 6): 2 * 2 / 8.
    assert wilcoxon(np.array([-1, 2, 3])) == (5, pytest.approx(0.5))
    assert wilcoxon(np.zeros(3)) == (0, 1)


@pytest.mark.parametrize("size", [7, 30, 80])
@pytest.mark.parametrize("rounded", [False, True])
def test_equal_scipy(size, rounded):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(size)
    x, y = rng.normal(0.4, 1, size), rng.normal(0, 1, size)
    if rounded:
        x, y = np.round(x, 1), np.round(y, 1)
    exact = not rounded and size <= 50
    method = "exact" if exact else "asymptotic"
    theirs = stats.mannwhitneyu(x, y, method=method)
    assert mann_whitney(x, y) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue, rel=1e-6))
    theirs = stats.wilcoxon(x, y, correction=True, method="exact" if exact else "approx")
    w, p = wilcoxon(x - y if not rounded else np.round(x - y, 1))
    assert p == pytest.approx(theirs.pvalue, rel=1e-6) or rounded
    assert min(w, len(x) * (len(x) + 1) / 2 - w) == pytest.approx(theirs.statistic) or rounded
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
