import math

import numpy as np
import pytest
from chromhub.inference.variant_scores import (
    SCORES,
    AllelePair,
    jensen_shannon_distance,
    largest_difference,
    score_pairs,
    shared_bases,
)


def pair(ref, alt, first_bp, lengths=(1, 1), middle_bin=50):
    return AllelePair(np.array([[ref], [alt]], np.float32), first_bp, lengths, middle_bin)


def test_a_3_bp_insertion_aligned_by_hand():
    # Bins of 4 bp from 6 bp left of the variant on. REF, by base relative to the variant:
    #   -6..-3: 1   -2..1: 2   2..5: 3   6..9: 4
    # ALT holds 3 new bases at 0, 1, 2; the genome goes on at 3, which is REF's base 0:
    #   -6..-3: 10  -2..1: 20  2..5: 30  6..9: 40
    # Compared, 4 on each side: -4 -3 -2 -1 and, of REF, 0 1 2 3; of ALT 3 4 5 6.
    ref, alt = shared_bases(pair([1, 2, 3, 4], [10, 20, 30, 40], -6, (0, 3)), bin_size=4, window=8)
    assert ref.tolist() == [[1, 1, 2, 2, 2, 2, 3, 3]]
    assert alt.tolist() == [[10, 10, 20, 20, 30, 30, 30, 40]]


def test_a_deletion_is_the_insertion_turned_around():
    one = shared_bases(pair([1, 2, 3, 4], [10, 20, 30, 40], -6, (0, 3)), bin_size=4, window=8)
    other = shared_bases(pair([10, 20, 30, 40], [1, 2, 3, 4], -6, (3, 0)), bin_size=4, window=8)
    np.testing.assert_array_equal(other, one[::-1])


def test_of_equal_lengths_the_changed_bases_count():
    ref, _ = shared_bases(pair([1, 2, 3, 4], [0, 0, 0, 0], -6, (2, 2)), bin_size=4, window=8)
    assert ref.tolist() == [[1, 1, 2, 2, 2, 2, 3, 3]]


def test_scores_worked_by_hand():
    # 101 bins of 4 bp, the variant in bin 49 (bp 196..199 of them), 2 throughout REF, 6 throughout ALT but one base
    # compared 10: ALT's bin 49, of which a window of 8 bp around base 199 sees bases 195..202.
    ref, alt = np.full(101, 2.0), np.full(101, 6.0)
    alt[49] = 10
    scores = score_pairs([pair(ref, alt, -199)], bin_size=4, window=8, pseudocount=0.0)
    assert set(scores) == set(SCORES)
    # bases 195 | 196 197 198 199 | 200 201 202: mean (4 * 6 + 4 * 10) / 8 = 8
    assert scores["ref_signal"] == [[2]]
    assert scores["alt_signal"] == [[8]]
    assert scores["logfc"] == [[2]]
    assert scores["max_difference"] == [[8]]
    # The Gaussian of 8 bins: bin 49 has weight 1 / sum(exp(-x^2 / 128)) = w of its own; 6 + 4 w there.
    w = 1 / sum(math.exp(-x * x / 128) for x in range(-32, 33))
    assert scores["smoothed_logfc"][0, 0] == pytest.approx(math.log2((6 + 4 * w) / 2))
    # One bin to the right its weight is exp(-1 / 128) w.
    assert scores["paper_fold_change"][0, 0] == pytest.approx(2 / (6 + 4 * w * math.exp(-1 / 128) + 1e-4))
    # p = 1/8 each; q = 6/64 four times and 10/64 four times.
    p, q = np.full(8, 1 / 8), np.array([6, 10, 10, 10, 10, 6, 6, 6]) / 64
    m = (p + q) / 2
    assert scores["jsd"][0, 0] == pytest.approx(math.sqrt((p * np.log2(p / m) + q * np.log2(q / m)).sum() / 2))


def test_equal_alleles_are_0_and_swapped_ones_change_sign():
    rng = np.random.default_rng(0)
    ref, alt = rng.gamma(1, 1, (2, 101))
    options = {"bin_size": 4, "window": 160, "pseudocount": 1e-3}
    same = score_pairs([pair(ref, ref, -199)], **options)
    assert {same[name][0, 0] for name in ("logfc", "jsd", "max_difference", "smoothed_logfc")} == {0}
    one, other = (score_pairs([pair(*sides, -199)], **options) for sides in ((ref, alt), (alt, ref)))
    for name in ("logfc", "max_difference", "smoothed_logfc"):
        np.testing.assert_array_equal(one[name], -other[name])
        assert one[name] != 0
    np.testing.assert_allclose(one["jsd"], other["jsd"])


def test_distance_and_difference():
    # Two profiles without a common base: 1 bit, whatever their sums.
    assert jensen_shannon_distance(np.array([1.0, 0]), np.array([0.0, 7])) == 1
    assert jensen_shannon_distance(np.array([1.0, 3]), np.array([2.0, 6])) == 0
    assert jensen_shannon_distance(np.zeros(3), np.zeros(3)) == 0
    assert largest_difference(np.array([[1.0, 5, 2]]), np.array([[2.0, 1, 4]])).tolist() == [-4]
