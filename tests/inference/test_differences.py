import numpy as np
import pytest
from chromhub.inference.differences import DifferenceMoments


def moments(predicted, true, *, cuts=()):
    found = DifferenceMoments(predicted.shape[1])
    for one, other in zip(np.split(predicted, cuts), np.split(true, cuts), strict=True):
        found.add(one, other)
    return found


def test_three_tracks_are_those_of_corrcoef():
    rng = np.random.default_rng(0)
    predicted, true = rng.normal(size=(2, 50, 3)) + 1000.0
    found = moments(predicted, true, cuts=[7, 30]).summary(["a", "b", "c"])

    def r(i, j):
        return np.corrcoef(predicted[:, i] - predicted[:, j], true[:, i] - true[:, j])[0, 1]

    ab, ac, bc = r(0, 1), r(0, 2), r(1, 2)
    assert found["n"] == 50
    assert found["mean"] == pytest.approx((ab + ac + bc) / 3)
    assert found["tracks"] == pytest.approx({"a": (ab + ac) / 2, "b": (ab + bc) / 2, "c": (ac + bc) / 2})


def test_what_tracks_share_does_not_count():
    shared = np.array([5.0, 0, 7, 2])
    own = np.array([1.0, 2, 3, 5])
    predicted = np.column_stack([shared + own, shared])
    # the true difference is 10 less own: r = -1, whatever is shared
    true = np.column_stack([9 * shared - own + 10, 9 * shared])
    assert moments(predicted, true).summary(["a", "b"])["mean"] == pytest.approx(-1)


def test_equal_outputs_and_places_that_were_not_measured():
    rng = np.random.default_rng(1)
    one = rng.normal(size=20)
    same = moments(np.column_stack([one, one]), rng.normal(size=(20, 2))).summary(["a", "b"])
    assert same == {"n": 20, "mean": None, "tracks": {"a": None, "b": None}}
    true = np.array([[1.0, 0], [np.nan, 3], [2, 0], [4, 0]])
    found = moments(np.array([[1.0, 0], [99, 3], [2, 0], [4, 0]]), true).summary(["a", "b"])
    assert (found["n"], found["mean"]) == (3, pytest.approx(1))
    assert DifferenceMoments(2).summary(["a", "b"])["mean"] is None
