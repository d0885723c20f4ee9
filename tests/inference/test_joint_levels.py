import numpy as np
import pytest
from chromhub.inference import joint_levels
from chromhub.inference.joint_levels import JointLevels, level_values, levels
from chromhub.inference.ranking import spearman


def test_levels_rise_with_the_value_and_hold_it_within_a_percent():
    values = np.geomspace(1e-4, 1e5, 5000)
    found = levels(values)
    assert (np.diff(found) >= 0).all()
    assert np.abs(level_values(found) / values - 1).max() < 0.009
    assert levels(np.array([0.0, -1.0, 1e-6])).tolist() == [0, 0, 0]
    assert level_values(np.array([0])).tolist() == [0]


def test_spearman_by_hand():
    # Ranks 1 2 3 4 and 1 2.5 2.5 4: deviations -1.5 -.5 .5 1.5 and -1.5 0 0 1.5; 4.5 / sqrt(5 * 4.5)
    state = JointLevels()
    state.update(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 5.0], [5.0, 9.0]]))
    assert state.spearman() == pytest.approx(4.5 / np.sqrt(22.5))


def test_pieces_and_their_order_do_not_matter(monkeypatch):
    monkeypatch.setattr(joint_levels, "_PENDING", 300)
    rng = np.random.default_rng(0)
    true = rng.gamma(0.3, 3, 6000).astype(np.float32)
    predicted = (true * rng.gamma(2, 0.5, 6000)).astype(np.float32)
    whole, parts = JointLevels(), [JointLevels() for _ in range(3)]
    whole.update(predicted, true)
    for i, piece in enumerate(np.array_split(np.arange(6000), 17)):
        parts[i % 3].update(predicted[piece], true[piece])
    for other in parts[1:]:
        parts[0].merge(other)
    assert parts[0].spearman() == whole.spearman()
    assert parts[0].calibration() == whole.calibration()
    assert whole.spearman() == pytest.approx(spearman(predicted, true), abs=1e-3)


def test_calibration_by_hand():
    # 10 bins predicted 1 of which the true mean is 2, and 10 predicted 8 of mean 4; values are middles of their levels
    one, two, eight, four = level_values(levels(np.array([1.0, 2.0, 8.0, 4.0])))
    state = JointLevels()
    state.update(np.repeat([one, eight], 10), np.repeat([two, four], 10))
    found = state.calibration(2)
    assert [row["n"] for row in found] == [10, 10]
    assert [row["predicted"] for row in found] == pytest.approx([one, eight])
    assert [row["true"] for row in found] == pytest.approx([two, four])
    assert state.quantiles((0.5, 0.9)) == [
        {"quantile": 0.5, "predicted": pytest.approx(one), "true": pytest.approx(two)},
        {"quantile": 0.9, "predicted": pytest.approx(eight), "true": pytest.approx(four)},
    ]


def test_nothing_seen():
    state = JointLevels()
    assert np.isnan(state.spearman())
    assert state.calibration() == state.quantiles() == []
    state.update(np.ones(3), np.arange(3))
    assert np.isnan(state.spearman())
