import math

import numpy as np
import pandas as pd
import pytest
from chromhub.inference.variant_protocol import (
    CountFilter,
    direction_metrics,
    fisher_exact,
    informative_variants,
    log_odds_ratio,
    variant_agreement,
)


def test_fisher_by_hand():
    # Fisher's tea: 3 1 / 1 3. Tables with its margins: C(4,k) C(4,4-k) / C(8,4) = 1, 16, 36, 16, 1 of 70;
    # those no likelier than its own 16: 16 + 1 + 16 + 1 = 34.
    assert fisher_exact(3, 1, 1, 3) == pytest.approx(34 / 70)
    assert fisher_exact(5, 0, 0, 5) == pytest.approx(2 / 252)
    assert fisher_exact(0, 0, 3, 4) == 1


def test_fisher_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for row in rng.integers(0, 40, (50, 4)).tolist():
        expected = stats.fisher_exact([row[:2], row[2:]])[1]
        assert fisher_exact(*row) == pytest.approx(expected, rel=1e-6)


def test_log_odds_by_hand():
    # ATAC 30 : 10, WGS 20 : 20: ALT is three times as open.
    assert log_odds_ratio(20, 20, 10, 30) == pytest.approx(math.log2(3))
    assert log_odds_ratio(20, 20, 0, 7) == pytest.approx(math.log2(7.5 / 0.5))


def test_the_papers_filter():
    table = pd.DataFrame(
        [
            ("kept", 20, 20, 5, 45),
            ("kept too", 24, 16, 60, 4),
            ("no balance", 30, 10, 5, 45),
            ("by chance", 20, 20, 9, 11),
            ("too close", 10_000, 10_000, 8_800, 10_000),
            ("no reads", 0, 0, 5, 45),
        ],
        columns=["name", "wgs_ref", "wgs_alt", "atac_ref", "atac_alt"],
    )
    kept, dropped = informative_variants(table)
    assert kept["name"].tolist() == ["kept", "kept too"]
    assert dropped == {"WGS allele fraction": 2, "Fisher's exact test": 1, "odds ratio": 1}
    assert kept["log_odds"].tolist() == pytest.approx([math.log2(9), math.log2(4 / 60 * 24 / 16)])
    assert len(informative_variants(table, CountFilter(1.1, (1, 1), (0, 1)))[0]) == 5
    with pytest.raises(ValueError, match="lacks atac_alt"):
        informative_variants(table.drop(columns="atac_alt"))
    with pytest.raises(ValueError, match="whole numbers of reads"):
        informative_variants(table.assign(wgs_ref=0.5))


def test_direction_metrics_by_hand():
    # ALT more open: + + + - -; predicted + + - - +: TP 2, FN 1, TN 1, FP 1.
    found = direction_metrics(np.array([1, 2, -1, -3, 4]), np.array([1, 1, 1, -1, -1]))
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["f1"] == pytest.approx(4 / 6)
    assert found["mcc"] == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))
    assert direction_metrics(np.ones(3), np.array([1, 1, -1]))["mcc"] == 0


def test_agreement_beside_chance():
    log_odds = np.concatenate([np.linspace(-3, -0.5, 100), np.linspace(0.5, 2, 100)])
    found = variant_agreement(log_odds * 2, log_odds)
    assert (found["n"], found["mcc"], found["f1"]) == (200, 1, 1)
    assert found["spearman"] == pytest.approx(1)
    assert found["random_balanced_accuracy"] == pytest.approx(0.5, abs=0.01)
    assert found["random_mcc"] == pytest.approx(0, abs=0.02)
    with pytest.raises(ValueError, match="must be as many, and some, got 0 and 0"):
        variant_agreement(np.array([]), np.array([]))
