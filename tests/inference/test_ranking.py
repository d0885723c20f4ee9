import math

import numpy as np
import pytest
from chromhub.inference.ranking import auroc, average_precision, roc_curve


@pytest.mark.parametrize(
    ("scores", "labels", "area", "precision"),
    [
        # pairs won: .9 beats both negatives, .6 beats .1 of (.7, .1): 3 of 4.
        # ranked + - + -: precision 1 at recall 1/2, then 2/3 at recall 1: 1/2 + 1/3
        ([0.9, 0.7, 0.6, 0.1], [1, 0, 1, 0], 3 / 4, 1 / 2 + 1 / 3),
        ([3, 2, 1], [1, 1, 0], 1.0, 1.0),
        ([1, 2, 3], [1, 1, 0], 0.0, 1 / 2 * 1 / 2 + 1 / 2 * 2 / 3),
        # all tied: every pair counts half; one step, at the share of positives
        ([5, 5, 5, 5], [1, 0, 0, 0], 0.5, 1 / 4),
        # the positive at 2 ties with one negative and beats the other: (1/2 + 1) / 2; precision 1 of 2
        ([2, 2, 1], [1, 0, 0], 3 / 4, 1 / 2),
    ],
)
def test_by_hand(scores, labels, area, precision):
    for dtype in (np.float64, np.float32):
        values = np.array(scores, dtype)
        assert auroc(values, np.array(labels)) == pytest.approx(area, abs=1e-12)
        assert average_precision(values, np.array(labels) > 0) == pytest.approx(precision, abs=1e-12)


def test_equals_counting_pairs_whatever_the_order():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 20, 300).astype(np.float32), rng.random(300) < 0.3
    gaps = scores[labels][:, None] - scores[~labels][None]
    assert auroc(scores, labels) == ((gaps > 0).mean() + (gaps == 0).mean() / 2).item()
    shuffled = rng.permutation(300)
    assert auroc(scores[shuffled], labels[shuffled]) == auroc(scores, labels)
    assert average_precision(scores[shuffled], labels[shuffled]) == average_precision(scores, labels)
    assert average_precision(np.exp(scores), labels) == average_precision(scores, labels)


def test_roc_curve_has_the_area():
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 9, 100), rng.random(100) < 0.5
    false, true = roc_curve(scores, labels)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    area = ((false[1:] - false[:-1]) * (true[1:] + true[:-1]) / 2).sum()
    assert area == pytest.approx(auroc(scores, labels), abs=1e-12)


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], []])
def test_one_class_is_not_defined(labels):
    scores = np.arange(len(labels), dtype=float)
    assert math.isnan(auroc(scores, np.array(labels)))
    assert math.isnan(average_precision(scores, np.array(labels)))


def test_refusals():
    with pytest.raises(ValueError, match=r"one shape \(n,\), got \(2,\) and \(3,\)"):
        auroc(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="must be numbers, got NaN in 1 of 2"):
        average_precision(np.array([np.nan, 1]), np.array([0, 1]))
