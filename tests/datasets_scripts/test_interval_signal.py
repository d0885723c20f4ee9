from itertools import pairwise

import numpy as np
import pytest
from chromhub.datasets_scripts import interval_signal
from chromhub.datasets_scripts.bigwig import bin_signal
from chromhub.datasets_scripts.interval_signal import (
    ROW,
    bin_intervals,
    check_no_overlap,
    flattened,
    read_bedgraph,
    read_peak_signal,
)

PEAK = "{}\t{}\t{}\tp\t9\t.\t{}\t-1\t-1\t2\n"


def rows(*intervals: tuple[int, int, float]) -> np.ndarray:
    return np.array(list(intervals), ROW)


def per_bp(intervals: np.ndarray, size: int) -> np.ndarray:
    values = np.zeros(size)
    for start, end, value in intervals.tolist():
        values[start:end] = np.maximum(values[start:end], value)
    return values


@pytest.mark.parametrize("summary", ["max", "mean", "sum"])
@pytest.mark.parametrize("block", [3, 1 << 20])
def test_bins_equal_those_of_the_signal_per_bp(monkeypatch, summary, block) -> None:
    monkeypatch.setattr(interval_signal, "_BLOCK", block)
    rng = np.random.default_rng(0)
    edges = np.sort(rng.choice(997, 201, replace=False))
    table = np.array([(a, b, rng.integers(0, 9) / 4) for a, b in pairwise(edges)], ROW)
    table = table[rng.random(200) < 0.7]  # with gaps
    for bin_size in (1, 4, 64):
        found = bin_intervals(table, num_bins=-(-997 // bin_size), bin_size=bin_size, summary=summary)
        assert np.array_equal(found, bin_signal(per_bp(table, 997), bin_size=bin_size, summary=summary))


def test_no_interval_is_all_zero() -> None:
    assert bin_intervals(rows(), num_bins=3, bin_size=4, summary="max").tolist() == [0, 0, 0]


def test_overlapping_peaks_take_the_largest_value() -> None:
    peaks = rows((5, 20, 2), (0, 10, 1), (8, 9, 7), (30, 31, 0))
    flat = flattened(peaks)
    assert flat.tolist() == [(0, 5, 1.0), (5, 8, 2.0), (8, 9, 7.0), (9, 10, 2.0), (10, 20, 2.0)]
    assert np.array_equal(per_bp(flat, 40), per_bp(peaks, 40))


def test_bedgraph(tmp_path) -> None:
    (tmp_path / "a").write_text("track type=bedGraph\nchr2 5 9 1.5\nchr1 0 3 2\nchr2 1 2 0\n")
    found = {chrom: part.tolist() for chrom, part in read_bedgraph(tmp_path / "a")}
    assert found == {"chr1": [(0, 3, 2.0)], "chr2": [(5, 9, 1.5), (1, 2, 0.0)]}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("chr1\t5\t9\t-1", "line 2: signal must not be negative, got -1"),
        ("chr1\t5\t9\tnan", "line 2: column 4, the value, must be a number, got 'nan'"),
        ("chr1\t5\t9\tx", "line 2: column 4, the value, must be a number, got 'x'"),
        ("chr1\t5\t9", "line 2: column 4, the value, must be a number, got ''"),
        ("chr1\t9\t9\t1", "line 2: must have 0 <= start < end"),
    ],
)
def test_bad_bedgraph_lines_are_named(tmp_path, line, sentence) -> None:
    (tmp_path / "a").write_text(f"chr1\t0\t5\t1\n{line}\n")
    with pytest.raises(ValueError, match=sentence):
        list(read_bedgraph(tmp_path / "a"))


def test_overlapping_bedgraph_lines_are_named(tmp_path) -> None:
    (tmp_path / "a").write_text("chr1\t0\t5\t1\nchr2\t4\t6\t1\nchr1\t4\t6\t1\n")
    with pytest.raises(ValueError, match=r"line 3: a bedGraph's lines must not overlap, got chr1:4-6 after chr1:0-5"):
        check_no_overlap(rows((0, 5, 1), (4, 6, 1)), tmp_path / "a", "chr1")
    check_no_overlap(rows((0, 5, 1), (5, 6, 1)), tmp_path / "a", "chr1")


def test_peaks(tmp_path) -> None:
    (tmp_path / "a").write_text(PEAK.format("chr1", 10, 20, 3.5) + PEAK.format("chr2", 0, 5, 0))
    assert read_peak_signal(tmp_path / "a", value="one")["chr1"].tolist() == [(10, 20, 1.0)]
    found = read_peak_signal(tmp_path / "a", value="signal")
    assert [found[chrom].tolist() for chrom in ("chr1", "chr2")] == [[(10, 20, 3.5)], [(0, 5, 0.0)]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no peak"),
        ("chr1\t0\t5\n", "line 1: column 7, the signalValue, must be a number, got ''"),
        (PEAK.format("chr1", 0, 5, -1), "line 1: column 7, the signalValue, must not be negative, got -1"),
    ],
)
def test_bad_peaks(tmp_path, text, sentence) -> None:
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_peak_signal(tmp_path / "a", value="signal")
