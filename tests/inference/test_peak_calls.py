import sys

import numpy as np
import pytest
from chromhub.inference.peak_calls import Agreement, CallRule, Peak, PeakCaller, agreement


def call(values, *, start=0, cut=None, **rule):
    caller = PeakCaller(CallRule(**{"cutoff": 2, "min_length": 12, "max_gap": 8, **rule}), bin_size=4)
    for piece in np.split(np.arange(len(values)), cut or []):
        if len(piece):
            caller.add(start + 4 * int(piece[0]), np.asarray(values, float)[piece])
    return caller.finish()


def test_by_hand():
    #         0  4  8  12 16 20 24 28 32 36 40 44 48
    values = [0, 2, 3, 1, 1, 5, 5, 0, 0, 0, 9, 9, 0]
    # A gap of 8 bp is bridged, one of 12 is not; 40-48 is too short. The highest stretch, 20-28, has its middle at 24.
    assert call(values) == [Peak(4, 28, 24, 5.0)]
    assert call(values, start=1000) == [Peak(1004, 1028, 1024, 5.0)]
    assert call(values, max_gap=12) == [Peak(4, 48, 44, 9.0)]
    assert call(values, min_length=8, max_gap=4) == [Peak(4, 12, 10, 3.0), Peak(20, 28, 24, 5.0), Peak(40, 48, 44, 9.0)]


def test_of_equal_summits_the_middle_one():
    # stretches of 7 at 0-4, 8-12 and 16-24: the second; of four (one more at 28-32) the second too
    values = [7, 5, 7, 5, 7, 7, 5]
    assert call(values)[0].summit == 10
    assert call([*values, 7])[0].summit == 10


@pytest.mark.parametrize("cut", [[1], [2, 6], list(range(1, 13))])
def test_the_cut_into_pieces_does_not_matter(cut):
    values = [0, 2, 3, 1, 1, 5, 5, 5, 5, 0, 9, 9, 0]
    assert call(values, cut=cut) == call(values)


def test_masked_bins_are_gaps():
    values = [3, 3, np.nan, np.nan, 3, 3, 0]
    assert call(values) == [Peak(0, 24, 4, 3.0)]
    assert call(values, max_gap=4, min_length=8) == [Peak(0, 8, 4, 3.0), Peak(16, 24, 20, 3.0)]


def test_as_macs(tmp_path):
    bedgraph = pytest.importorskip("MACS3.IO.BedGraphIO", reason="needs MACS3: pip install macs3")
    rng = np.random.default_rng(0)
    steps = np.repeat(rng.gamma(0.6, 2, 900), rng.integers(1, 30, 900))
    values = np.round(np.convolve(steps, np.ones(5) / 5, "same"), 2).astype(np.float32)
    (tmp_path / "a.bdg").write_text("".join(f"chr1\t{4 * i}\t{4 * i + 4}\t{v:.2f}\n" for i, v in enumerate(values)))
    for cutoff, min_length, max_gap in ((1, 200, 30), (2, 100, 0), (3.5, 40, 60)):
        theirs = bedgraph.bedGraphIO(str(tmp_path / "a.bdg")).read_bedGraph(baseline_value=0)
        found = theirs.call_peaks(cutoff=cutoff, min_length=min_length, max_gap=max_gap, call_summits=False)
        rows = [(p["start"], p["end"], p["summit"]) for p in found.get_data_from_chrom(b"chr1")]
        rule = CallRule(cutoff, min_length, max_gap)
        caller = PeakCaller(rule, bin_size=4)
        caller.add(0, values)
        assert [peak[:3] for peak in caller.finish()] == rows
        assert rows
    assert "MACS3" in sys.modules


def peaks(*spans):
    return [Peak(start, end, start, 1.0) for start, end in spans]


def test_agreement_by_hand():
    predicted = peaks((0, 100), (200, 300), (400, 500), (600, 640))
    true = peaks((50, 150), (280, 400), (450, 1000))
    # 0-100 and 50-150 share 50 of 100 bp: half. 200-300 and 280-400 share 20. 400-500 shares 50 with 450-1000, 600-640
    # lies in it: 3 of 4 predicted and 2 of 3 true peaks match; F1 = 2 * .75 * (2 / 3) / (.75 + 2 / 3)
    found = agreement(predicted, true).summary()
    assert (found["predicted_matched"], found["true_matched"]) == (3, 2)
    assert found["precision"] == 0.75
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(1 / (0.75 + 2 / 3))
    assert agreement(predicted, true, min_overlap=0.6) == Agreement(4, 3, 1, 1)


def test_agreement_of_the_truth_and_of_nothing():
    same = peaks((0, 100), (200, 300))
    assert agreement(same, same).summary()["f1"] == 1
    assert agreement(same, peaks((500, 600))).summary()["f1"] == 0
    assert agreement([], same).summary() == {
        **{"predicted": 0, "true": 2, "predicted_matched": 0, "true_matched": 0},
        **{"precision": None, "recall": 0.0, "f1": 0.0},
    }
    assert agreement([], []).summary()["f1"] is None


@pytest.mark.parametrize(("rule", "sentence"), [((0.0,), "above 0, got 0.0"), ((1.0, 0), "at least 1 bp.*got 0")])
def test_rules(rule, sentence):
    with pytest.raises(ValueError, match=sentence):
        CallRule(*rule)
