import numpy as np
from chromhub.datasets_scripts.augmentation import draw_augmentation, turn_around

OPTIONS = {"seed": 1, "max_jitter": 8, "bin_size": 4, "reverse_complement": True}


def test_shifts_are_whole_bins_both_ways_and_half_are_turned() -> None:
    shifts, turned = draw_augmentation(2000, epoch=0, **OPTIONS)
    assert set(shifts.tolist()) == {-8, -4, 0, 4, 8}
    assert 900 < turned.sum() < 1100
    assert not np.array_equal(shifts, draw_augmentation(2000, epoch=1, **OPTIONS)[0])


def test_without_augmentation_nothing_happens() -> None:
    shifts, turned = draw_augmentation(5, seed=1, epoch=0, max_jitter=0, bin_size=4, reverse_complement=False)
    assert not shifts.any()
    assert not turned.any()


def test_a_turned_window_is_the_other_strand() -> None:
    batch = {
        "inputs": np.array([[0, 1, 2, 4], [0, 1, 2, 4]], np.uint8),
        "labels": np.array([[[1.0, 2.0]], [[1.0, 2.0]]], np.float32),
        "mask": np.array([[[1, 0]], [[1, 0]]], np.uint8),
    }
    turn_around(batch, np.array([True, False]))
    assert batch["inputs"].tolist() == [[4, 1, 2, 3], [0, 1, 2, 4]]  # ACGN: its other strand is NCGT
    assert batch["labels"].tolist() == [[[2, 1]], [[1, 2]]]
    assert batch["mask"].tolist() == [[[0, 1]], [[1, 0]]]
    turn_around(batch, np.array([True, False]))
    assert batch["inputs"].tolist() == [[0, 1, 2, 4], [0, 1, 2, 4]]
