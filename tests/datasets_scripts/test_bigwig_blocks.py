import struct

import numpy as np
import pytest
from chromhub.datasets_scripts import bigwig_blocks
from chromhub.datasets_scripts.bigwig import BigWig, bin_signal, write_bigwig
from chromhub.datasets_scripts.bigwig_blocks import OverlappingIntervals, decode_bins, missing_runs
from chromhub.datasets_scripts.bigwig_library import installed_library

from .bigwig_files import BEDGRAPH, FIXED_STEP, VARIABLE_STEP, per_base, write_raw_bigwig

SIZES = {"chr1": 3001, "chr2": 500}


def random_sections(rng) -> list:
    """Sections of all types on both chromosomes, with gaps between and within them."""
    sections = []
    for chrom, size in SIZES.items():
        position = int(rng.integers(0, 5))
        while position < size - 80:
            kind = int(rng.integers(BEDGRAPH, FIXED_STEP + 1))
            span, gap = int(rng.integers(1, 7)), int(rng.integers(0, 4))
            intervals = []
            for _ in range(int(rng.integers(1, 9))):
                length = int(rng.integers(1, 9)) if kind == BEDGRAPH else span
                intervals.append((position, position + length, float(np.float32(rng.gamma(0.5, 4)))))
                position += length + (gap if kind == FIXED_STEP else int(rng.integers(0, 4)))
            sections.append((chrom, kind, intervals))
            position += int(rng.integers(0, 12))
    return sections


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("batch", [1, 100, 1 << 17])
def test_all_sections_byte_orders_and_packings(tmp_path, monkeypatch, order, packed, batch) -> None:
    monkeypatch.setattr(bigwig_blocks, "_BATCH", batch)
    rng = np.random.default_rng(0)
    for trial in range(5):
        sections = random_sections(rng)
        path = write_raw_bigwig(tmp_path / f"{trial}.bw", SIZES, sections, order=order, packed=packed)
        for chrom, size in SIZES.items():
            expected = np.nan_to_num(per_base(sections, chrom, size))
            for bin_size in (1, 4, 64):
                found = decode_bins(path, chrom, size=size, bin_size=bin_size, summary="max")
                assert found.dtype == np.float32
                assert np.array_equal(found, bin_signal(expected, bin_size=bin_size, summary="max"))
                for summary in ("mean", "sum"):
                    np.testing.assert_allclose(
                        decode_bins(path, chrom, size=size, bin_size=bin_size, summary=summary),
                        bin_signal(expected, bin_size=bin_size, summary=summary),
                        rtol=1e-6,
                    )


def test_equal_to_the_plain_reader(tmp_path) -> None:
    sections = random_sections(np.random.default_rng(1))
    path = write_raw_bigwig(tmp_path / "a.bw", SIZES, sections)
    for size in (3001, 2999, 4000, 0):  # beyond the file's end the signal is 0, before it the file is cut
        for summary in ("max", "mean", "sum"):
            plain = BigWig(path, library=installed_library()).binned("chr1", size=size, bin_size=4, summary=summary)
            np.testing.assert_allclose(
                decode_bins(path, "chr1", size=size, bin_size=4, summary=summary), plain, rtol=1e-6
            )


@pytest.mark.parametrize(
    ("summary", "expected"),
    # bins 1 2 3 4 | 5 0 0 0 | 0 7 and two bases that are off the end
    [("max", [4, 5, 7]), ("sum", [10, 5, 7]), ("mean", [2.5, 1.25, 1.75])],
)
def test_by_hand(tmp_path, summary, expected) -> None:
    values = np.array([1, 2, 3, 4, 5, 0, np.nan, np.nan, 0, 7], np.float32)
    write_bigwig(tmp_path / "a.bw", {"chr1": 10, "chr2": 6}, [("chr1", 0, values)], bin_size=1)
    assert decode_bins(tmp_path / "a.bw", "chr1", size=10, bin_size=4, summary=summary).tolist() == expected
    assert decode_bins(tmp_path / "a.bw", "chr2", size=6, bin_size=4, summary=summary).tolist() == [0, 0]


def test_values_that_are_nan_count_as_0(tmp_path) -> None:
    intervals = [(0, 1, 1.0), (1, 2, float("nan")), (2, 3, 3.0)]
    path = write_raw_bigwig(tmp_path / "a.bw", {"chr1": 10}, [("chr1", BEDGRAPH, intervals)])
    assert decode_bins(path, "chr1", size=10, bin_size=2, summary="sum").tolist() == [1, 3, 0, 0, 0]
    assert missing_runs(path, "chr1", size=10, min_length=1).tolist() == [[1, 2], [3, 10]]


def test_negative_values_keep_their_bins(tmp_path) -> None:
    # -1 -1 | -2 (missing) | -3 -4: a bin with a missing base, which is 0, has the maximum 0
    intervals = [(0, 2, -1.0), (2, 3, -2.0), (4, 5, -3.0), (5, 6, -4.0)]
    path = write_raw_bigwig(tmp_path / "a.bw", {"chr1": 6}, [("chr1", BEDGRAPH, intervals)])
    found = decode_bins(path, "chr1", size=6, bin_size=2, summary="max", allow_negative=True)
    assert found.tolist() == [-1, 0, -3]
    with pytest.raises(ValueError, match=r"a\.bw at chr1:0: signal must not be negative, got -1"):
        decode_bins(path, "chr1", size=6, bin_size=2, summary="max")


def test_infinite_values_are_refused_with_their_place(tmp_path) -> None:
    path = write_raw_bigwig(tmp_path / "a.bw", {"chr1": 6}, [("chr1", BEDGRAPH, [(3, 4, float("inf"))])])
    with pytest.raises(ValueError, match=r"at chr1:3: signal must be finite, got inf"):
        decode_bins(path, "chr1", size=6, bin_size=2, summary="max")


@pytest.mark.parametrize("intervals", [[(0, 4, 1.0), (3, 6, 2.0)], [(4, 6, 1.0), (0, 2, 1.0)], [(2, 2, 1.0)]])
def test_intervals_out_of_order_are_left_to_another_reader(tmp_path, intervals) -> None:
    path = write_raw_bigwig(tmp_path / "a.bw", {"chr1": 6}, [("chr1", BEDGRAPH, intervals)])
    with pytest.raises(OverlappingIntervals, match="chr1: intervals overlap or are out of order"):
        decode_bins(path, "chr1", size=6, bin_size=2, summary="max")
    found = [BigWig(path, library=library) for library in (None, installed_library())]
    assert np.array_equal(*(bigwig.binned("chr1", size=6, bin_size=2, summary="max") for bigwig in found))


@pytest.mark.parametrize("batch", [1, 100, 1 << 17])
def test_missing_runs(tmp_path, monkeypatch, batch) -> None:
    monkeypatch.setattr(bigwig_blocks, "_BATCH", batch)
    sections = random_sections(np.random.default_rng(2))
    path = write_raw_bigwig(tmp_path / "a.bw", SIZES, sections)
    missing = np.isnan(per_base(sections, "chr1", 3001))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]))).reshape(-1, 2)
    for min_length in (1, 3, 10):
        long = edges[edges[:, 1] - edges[:, 0] >= min_length]
        assert np.array_equal(missing_runs(path, "chr1", size=3001, min_length=min_length), long)


def test_unknown_and_damaged(tmp_path) -> None:
    path = write_raw_bigwig(tmp_path / "a.bw", SIZES, random_sections(np.random.default_rng(3)))
    with pytest.raises(ValueError, match="has no chromosome 'chr9': it has chr1, chr2"):
        decode_bins(path, "chr9", size=9, bin_size=1, summary="max")
    whole, cut = path.read_bytes(), tmp_path / "cut.bw"
    for length in range(4, len(whole) - 4, len(whole) // 40):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is truncated or damaged"):
            decode_bins(cut, "chr1", size=3001, bin_size=4, summary="max")
    broken = bytearray(whole)
    broken[whole.index(b"\x78\x9c") + 8] ^= 255  # inside the first block
    cut.write_bytes(broken)
    with pytest.raises(ValueError, match="is truncated or damaged"):
        decode_bins(cut, "chr1", size=3001, bin_size=4, summary="max")
    broken = bytearray(whole)
    struct.pack_into("<Q", broken, 24, 1 << 63)  # the header says that the index is there
    cut.write_bytes(broken)
    with pytest.raises(ValueError, match="is truncated or damaged"):
        decode_bins(cut, "chr1", size=3001, bin_size=4, summary="max")
    cut.write_bytes(b"not a bigWig" * 10)
    with pytest.raises(ValueError, match="is not a bigWig file"):
        decode_bins(cut, "chr1", size=3001, bin_size=4, summary="max")


def test_a_file_that_changed_is_read_again(tmp_path) -> None:
    path = write_raw_bigwig(tmp_path / "a.bw", {"chr1": 6}, [("chr1", BEDGRAPH, [(0, 6, 1.0)])])
    assert decode_bins(path, "chr1", size=6, bin_size=2, summary="max").tolist() == [1, 1, 1]
    write_raw_bigwig(path, {"chr1": 6}, [("chr1", VARIABLE_STEP, [(0, 2, 5.0), (2, 4, 6.0), (4, 6, 7.0)])])
    assert decode_bins(path, "chr1", size=6, bin_size=2, summary="max").tolist() == [5, 6, 7]


@pytest.mark.parametrize("length", [40, 400_000])
def test_short_and_long_intervals(tmp_path, length) -> None:
    # chr1:0-length is 1.5 but for a gap from 10 to 17: bins of 4 from 12 to 15 are 0, and 2.5 at the last bp
    intervals = [(0, 10, 1.5), (17, length - 1, 1.5), (length - 1, length, 2.5)]
    path = write_raw_bigwig(tmp_path / "a.bw", {"chr1": length}, [("chr1", BEDGRAPH, intervals)])
    found = decode_bins(path, "chr1", size=length, bin_size=4, summary="max")
    assert found[:6].tolist() == [1.5, 1.5, 1.5, 0, 1.5, 1.5]
    assert (found[6:-1] == 1.5).all()
    assert found[-1] == 2.5


def test_real_files(shared) -> None:
    for name in ("yeast/MNase_Henikoff2011.coverage.sacCer3.bw", "celegans/ATAC_Neurons.insertions.ce11.bw"):
        bigwig = BigWig(shared / "data" / name, library=installed_library())
        chrom, size = next(iter(bigwig.chrom_sizes.items()))
        for summary in ("max", "sum", "mean"):
            plain = bigwig.binned(chrom, size=size, bin_size=4, summary=summary)
            fast = decode_bins(bigwig.path, chrom, size=size, bin_size=4, summary=summary)
            np.testing.assert_allclose(fast, plain, rtol=0 if summary == "max" else 1e-6)
