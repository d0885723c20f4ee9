import gzip

import pandas as pd
import pytest
from chromhub.datasets_scripts.bed import (
    clip_to_end,
    drop_past_end,
    parse_region,
    place_intervals,
    read_intervals,
    read_peaks,
)


def rows(table: pd.DataFrame) -> list[tuple]:
    return list(table.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("chr1", ("chr1", None, None)),
        ("chr1:0-100", ("chr1", 0, 100)),
        ("chr20:13,400,000-42_000_000", ("chr20", 13_400_000, 42_000_000)),
        ("HLA-A*01:01:5-7", ("HLA-A*01:01", 5, 7)),
    ],
)
def test_parse_region(text, region) -> None:
    assert parse_region(text) == region


@pytest.mark.parametrize("text", ["", "chr1:5-5", "chr1:9-5", "chr1:100", "chr1:5-", "chr1:-5"])
def test_bad_region(text) -> None:
    with pytest.raises(ValueError, match="a region must"):
        parse_region(text)


def test_intervals_of_three_columns_crlf_comments_and_gzip(tmp_path) -> None:
    text = b"track name=x\r\nbrowser position chr1\r\n# comment\r\n\r\nchr2\t5\t9\r\nchr1\t0\t3\tname\r\n"
    (tmp_path / "a.bed").write_bytes(text)
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(text))
    for name in ("a.bed", "a.bed.gz"):
        assert rows(read_intervals(tmp_path / name)) == [("chr2", 5, 9), ("chr1", 0, 3)]  # file order, unsorted is fine


def test_no_intervals_is_an_empty_table(tmp_path) -> None:
    (tmp_path / "a.bed").write_text("# nothing\n")
    table = read_intervals(tmp_path / "a.bed")
    assert list(table.columns) == ["chrom", "start", "end"]
    assert table.empty


@pytest.mark.parametrize("name", ["a.narrowPeak", "ENCFF0.bed"])
def test_narrow_peak_summits(tmp_path, name) -> None:
    peak = "chr1\t{}\t{}\t.\t0\t.\t1\t-1\t-1\t{}\n"
    (tmp_path / name).write_text(peak.format(200, 301, -1) + peak.format(100, 180, 7))
    # 100 + 7; -1 gives the midpoint (200 + 301) // 2
    assert rows(read_peaks(tmp_path / name)) == [("chr1", 100, 180, 107), ("chr1", 200, 301, 250)]


def test_three_column_peaks_have_their_midpoint(tmp_path) -> None:
    (tmp_path / "a.bed").write_text("chr1\t10\t21\n")
    assert rows(read_peaks(tmp_path / "a.bed")) == [("chr1", 10, 21, 15)]


def test_empty_peak_file_is_refused(tmp_path) -> None:
    (tmp_path / "a.bed").write_text("# nothing\n")
    with pytest.raises(ValueError, match="holds no peak"):
        read_peaks(tmp_path / "a.bed")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("chr1\t5", "line 2: must have at least 3 tab-separated columns"),
        ("chr1\tx\t5", "line 2: column 2, the start, must be an integer, got 'x'"),
        ("chr1\t5\t1e6", "line 2: column 3, the end, must be an integer, got '1e6'"),
        ("chr1\t9\t5", "line 2: must have 0 <= start < end"),
        ("chr1\t-1\t5", "line 2: must have 0 <= start < end"),
        ("chr1\t5\t9\t.\t0\t.\t1\t-1\t-1\t4", r"line 2: column 10, the summit, must lie in \[0, 4\) or be -1, got 4"),
        ("chr1\t5\t9\t.\t0\t.\t1\t-1\t-1\tx", "line 2: column 10, the summit, must be an integer"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, sentence) -> None:
    (tmp_path / "a.bed").write_text(f"chr1\t0\t5\n{line}\n")
    with pytest.raises(ValueError, match=sentence):
        read_peaks(tmp_path / "a.bed")


def test_past_the_end() -> None:
    table = pd.DataFrame({"chrom": ["chr1"] * 3, "start": [0, 90, 100], "end": [10, 101, 120]})
    kept, num_dropped = drop_past_end(table, {"chr1": 100})
    assert (rows(kept), num_dropped) == ([("chr1", 0, 10)], 2)
    kept, num_past = clip_to_end(table, {"chr1": 100})
    assert (rows(kept), num_past) == ([("chr1", 0, 10), ("chr1", 90, 100)], 2)


def test_place_intervals_renames_sorts_and_counts() -> None:
    table = pd.DataFrame({"chrom": ["3", "1", "2", "2", "x"], "start": [0, 0, 7, 5, 0], "end": [9] * 5})
    chroms = ["chr2", "chr1", "chr3"]
    kept, dropped = place_intervals(table, {"chr2": 10, "chr1": 10}, genome_chroms=chroms, what="a.bed")
    assert rows(kept) == [("chr2", 5, 9), ("chr2", 7, 9), ("chr1", 0, 9)]  # the genome's order
    assert dropped == {"chromosome not in the genome": 1, "chromosome not chosen": 1}
    with pytest.raises(ValueError, match=r"a\.bed with the genome: \[3, 1, 2, x\] against \[NC_1\]"):
        place_intervals(table, {"NC_1": 10}, genome_chroms=["NC_1"], what="a.bed")


@pytest.mark.parametrize(
    ("more", "summit"),
    [
        ("5.1\t3.2\t2.1\t10", 10),
        ("5.1\t3.2\t2.1\t.", 150),  # none: the midpoint
        ("5.1\t3.2\t2.1\t-1", 150),
        ("5.1\t3.2\t2.1\t10" + "\t1" * 10, 10),  # IDR
        ("5.1\t3.2\t2.1\t10\t7\tgene", 10),
        ("0\t300\t0\t2\t100,100,\t0,200,", 150),  # BED12
        ("0\t300\t0\t1\t300\t0", 150),
    ],
)
def test_the_summit_is_column_10_of_narrow_peak(tmp_path, more, summit) -> None:
    (tmp_path / "a.bed").write_text(f"chr1\t0\t300\tp\t100\t.\t{more}\n")
    assert read_peaks(tmp_path / "a.bed")["summit"].tolist() == [summit]


def test_an_hla_allele_is_a_chromosome() -> None:
    assert parse_region("HLA-A*01:01:01:01") == ("HLA-A*01:01:01:01", None, None)
    assert parse_region("HLA-DRB1*15:01:01:02:5-70") == ("HLA-DRB1*15:01:01:02", 5, 70)
    with pytest.raises(ValueError, match="must be NAME or NAME:START-END"):
        parse_region("chr1:100")
