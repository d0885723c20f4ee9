import numpy as np
from chromhub.datasets_scripts.augmentation import draw_augmentation, substitute_bases, turn_around

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


def test_substitutions_are_other_bases_and_n_stays() -> None:
    before = np.repeat(np.arange(5, dtype=np.uint8), 4000).reshape(1, -1)
    after = before.copy()
    substitute_bases(after, [7], share=0.3, seed=1, epoch=2)
    changes = np.stack([np.bincount(after[before == code], minlength=5) for code in range(5)])
    assert changes[4].tolist() == [0, 0, 0, 0, 4000]
    assert np.all(changes[:4, 4] == 0)
    # 0.7 x 4,000 stay and 0.1 x 4,000 become each other base; five standard deviations are 145 and 95
    assert np.all(np.abs(np.diag(changes)[:4] - 2800) < 145)
    assert np.all(np.abs(changes[:4, :4][~np.eye(4, dtype=bool)] - 400) < 95)
    every = before.copy()
    substitute_bases(every, [7], share=1.0, seed=1, epoch=2)
    assert np.array_equal(every == before, before == 4)


def test_substitutions_hang_on_seed_epoch_and_window_alone() -> None:
    plain = np.random.default_rng(0).integers(0, 5, (3, 200)).astype(np.uint8)

    def drawn(rows: list[int], indices: list[int], seed: int = 1, epoch: int = 2) -> np.ndarray:
        codes = plain[rows]
        substitute_bases(codes, indices, share=0.5, seed=seed, epoch=epoch)
        return codes

    whole = drawn([0, 1, 2], [0, 8, 9])
    assert np.array_equal(drawn([2], [9])[0], whole[2])
    for other in (drawn([2], [8]), drawn([2], [9], seed=2), drawn([2], [9], epoch=3)):
        assert not np.array_equal(other[0], whole[2])
    nothing = plain.copy()
    substitute_bases(nothing, [0, 8, 9], share=0.0, seed=1, epoch=2)
    assert np.array_equal(nothing, plain)
