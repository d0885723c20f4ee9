import numpy as np
import pytest
from chromhub.inference.kmer_ridge import fit_kmer_ridge, kmer_counts, kmer_features
from chromhub.modeling.kmer_part import canonical_table


def test_a_kmer_and_its_reverse_complement_share_a_feature():
    features = canonical_table(6)
    assert features.max() + 1 == 2080  # (4^6 + 4^3 palindromes) / 2
    assert features[0] == features[4**6 - 1]  # AAAAAA and TTTTTT


def test_counts_by_hand():
    # 2-mers of ACGTN: AC, CG, GT; AC and GT are reverse complements of each other, and N is not counted
    counts = kmer_counts(np.array([[0, 1, 2, 3, 4]], np.uint8), k=2)
    assert counts.sum() == 3
    assert sorted(counts[counts > 0]) == [1, 2]


def test_a_window_shorter_than_k_is_refused():
    with pytest.raises(ValueError, match=r"at least 6, got \(1, 5\)"):
        kmer_counts(np.zeros((1, 5), np.uint8))


def batches(codes, targets, size=100):
    return [(codes[i : i + size], targets[i : i + size]) for i in range(0, len(codes), size)]


def test_a_linear_truth_is_found_and_a_missing_target_is_left_out():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (600, 60)).astype(np.uint8)
    features = np.log1p(kmer_counts(codes, k=2))
    targets = np.column_stack([features[:, 3] - 2 * features[:, 5] + 1, features[:, 1]])
    partly = targets.copy()
    partly[:150, 1] = np.nan
    ridge = fit_kmer_ridge(batches(codes[:400], partly[:400]), batches(codes[400:500], targets[400:500]), k=2)
    assert ridge.penalties[0] == 1e-4  # without noise the smallest is best
    np.testing.assert_allclose(ridge.predict(codes[500:]), targets[500:], atol=0.02)


def test_the_solution_is_that_of_the_normal_equations():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (300, 40)).astype(np.uint8)
    targets = rng.normal(size=(300, 1))
    ridge = fit_kmer_ridge(batches(codes, targets), [], penalties=[0.3], k=2)
    features = np.log1p(kmer_counts(codes, k=2)).astype(np.float64)
    centred = (features - features.mean(0)) / features.std(0)
    weights = np.linalg.solve(
        centred.T @ centred / 300 + 0.3 * np.eye(centred.shape[1]), centred.T @ (targets - targets.mean()) / 300
    )
    np.testing.assert_allclose(ridge.predict(codes), centred @ weights + targets.mean(), atol=1e-6)


def test_regions_in_the_middle_by_hand():
    # AACG, 1-mers: A or T, C or G. The middle 2 bp are AC, and 9 bp are the whole window.
    features = kmer_features(np.array([[0, 0, 1, 2]], np.uint8), k=1, widths=[2, 9])
    np.testing.assert_allclose(np.expm1(features), [[1, 1, 2, 2]], rtol=1e-6)
    assert np.array_equal(features[:, 2:], kmer_features(np.array([[0, 0, 1, 2]], np.uint8), k=1))


def test_a_truth_in_the_middle_needs_its_region():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 4, (500, 60)).astype(np.uint8)
    targets = kmer_features(codes, k=2, widths=[20])[:, :1]
    parts = batches(codes[:300], targets[:300]), batches(codes[300:400], targets[300:400])
    ridge, whole = fit_kmer_ridge(*parts, k=2, widths=[20, 60]), fit_kmer_ridge(*parts, k=2)
    np.testing.assert_allclose(ridge.predict(codes[400:]), targets[400:], atol=0.02)
    assert np.abs(whole.predict(codes[400:]) - targets[400:]).max() > 0.2
    assert (ridge.widths, whole.widths) == ((20, 60), None)


def test_without_windows_there_is_no_ridge():
    with pytest.raises(ValueError, match="needs training windows, got none"):
        fit_kmer_ridge([], [])
    with pytest.raises(ValueError, match="target 0 was measured in no training window"):
        fit_kmer_ridge([(np.zeros((2, 10), np.uint8), np.full((2, 1), np.nan))], [], k=2)
