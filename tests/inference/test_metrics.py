import math

import numpy as np
import pytest
from chromhub.inference.metrics import PearsonState


def state(predicted, true):
    result = PearsonState()
    result.update(np.array(predicted), np.array(true))
    return result


def test_numbers_worked_by_hand():
    # means 2 and 3; deviations (-1, 0, 1) and (-2, -1, 3); products 2 + 0 + 3 = 5; squares 2 and 14.
    # r = 5 / sqrt(2 * 14) = 5 / sqrt(28). Differences 0, 0, -3: mse = 9 / 3 = 3.
    result = state([1, 2, 3], [1, 2, 6])
    assert result.compute() == pytest.approx(5 / math.sqrt(28), abs=1e-15)
    assert result.mse() == pytest.approx(3)
    assert result.summary() == {"n": 3, "pearson": result.compute(), "mse": result.mse()}


def test_equals_numpy_and_does_not_depend_on_the_pieces():
    rng = np.random.default_rng(0)
    true = rng.gamma(0.5, 2, (60, 3, 7)).astype(np.float32)
    predicted = (true * 0.5 + rng.normal(size=true.shape)).astype(np.float32)
    at_once = state(predicted, true)
    expected = np.corrcoef(predicted.ravel().astype(float), true.ravel().astype(float))[0, 1]
    assert at_once.compute() == pytest.approx(expected, abs=1e-14)
    for cuts in ([1], [1, 2, 3, 50], list(range(1, 60)), [0, 30, 30]):
        streamed, merged = PearsonState(), PearsonState()
        for piece_predicted, piece_true in zip(np.split(predicted, cuts), np.split(true, cuts), strict=True):
            streamed.update(piece_predicted, piece_true)
            merged.merge(state(piece_predicted, piece_true))
        assert streamed == merged
        assert streamed.n == true.size
        assert streamed.compute() == pytest.approx(expected, abs=1e-13)
        assert streamed.mse() == pytest.approx(np.mean((predicted - true.astype(float)) ** 2), rel=1e-12)


def test_merge_leaves_the_other_state_as_it_is():
    other = state([1, 2, 4], [3, 1, 2])
    before = PearsonState(**vars(other))
    state([5, 6], [1, 0]).merge(other)
    assert other == before


@pytest.mark.parametrize("offset", [1e6, -1e9])
def test_an_offset_costs_no_digits(offset):
    rng = np.random.default_rng(1)
    true = rng.normal(size=10_000)
    predicted = true + rng.normal(size=10_000)
    shifted_true, shifted_predicted = true + offset, predicted + offset
    result = PearsonState()
    for i in range(0, 10_000, 100):
        result.update(shifted_predicted[i : i + 100], shifted_true[i : i + 100])
    # The shift itself rounds (by 1e-7 at 1e9): compare with the rounded values shifted back, which is exact.
    expected = np.corrcoef(shifted_predicted - offset, shifted_true - offset)[0, 1]
    assert result.compute() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_side_is_not_a_number(value):
    # In float64 the mean of many 0.1 is not 0.1, so a variance alone would not show that the side is constant.
    constant, other = np.full(1003, value), np.arange(1003.0)
    result = PearsonState()
    for piece in np.array_split(np.arange(1003), 7):
        result.update(constant[piece], other[piece])
    assert math.isnan(result.compute())
    assert math.isnan(state(other, constant).compute())
    assert result.summary()["pearson"] is None
    assert result.mse() == pytest.approx(np.mean((constant - other) ** 2))


def test_constant_pieces_of_different_values_are_not_constant():
    result = PearsonState()
    result.update(np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    assert math.isnan(result.compute())
    result.update(np.array([2.0, 2.0]), np.array([5.0, 5.0]))
    assert result.compute() == 1.0


def test_perfect_is_exactly_one_and_never_more():
    values = np.random.default_rng(2).normal(size=5000)
    assert state(values, values * 3 + 1).compute() == pytest.approx(1, abs=1e-15)
    assert abs(state(values, -values).compute()) <= 1


def test_nothing_and_nan():
    empty = PearsonState()
    empty.update(np.zeros((0, 4)), np.zeros((0, 4)))
    assert empty == PearsonState()
    assert empty.summary() == {"n": 0, "pearson": None, "mse": None}
    assert math.isnan(state([1, 2, math.nan], [1, 2, 3]).compute())
    assert state([1.0, math.nan], [1.0, 2.0]).summary()["mse"] is None


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"must have one shape, got \(2, 3\) and \(3, 2\)"):
        PearsonState().update(np.zeros((2, 3)), np.zeros((3, 2)))
