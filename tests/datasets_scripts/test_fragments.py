import gzip

import numpy as np
import pytest
from chromhub.datasets_scripts import text_chunks
from chromhub.datasets_scripts.fragments import count_insertions

SIZES = {"chr1": 20, "chr2": 10}


def positions(path, *, sizes=SIZES, tn5_shift=(0, 0)):
    """Return {chrom: positions, each as often as it was counted} and the report."""
    counts, report = count_insertions(path, sizes, tn5_shift=tn5_shift)
    return {c: np.repeat(np.arange(len(v)), v).tolist() for c, v in counts}, report


@pytest.mark.parametrize(
    "text",
    [
        "chr1\t2\t8\nchr2\t0\t10\nchr1\t2\t9\n",
        "# 10x header\n# id=x\nchr1\t2\t8\tAAAC-1\t3\nchr2\t0\t10\tAAAC-1\t1\nchr1\t2\t9\tAAAC-2\t2\n",
        "track name=x\nchr1\t2\t8\t.\t0\t+\nchr2\t0\t10\t.\t0\t-\nchr1\t2\t9\t.\t0\t+\textra\n",
        "chr1\t2\t8\r\nchr2\t0\t10\r\n\r\nchr1\t2\t9\r\n",
        "chr1 2 8\nchr2 0 10\nchr1 2 9",
        'chr1\t2\t8\t"a\t1\n# in the middle\ntrack name=y\nchr2\t0\t10\t\t1\n  \nbrowser x\nchr1\t2\t9\ta#b\t1',
    ],
    ids=["three columns", "10x", "BED6 and a ragged line", "CRLF", "spaces", "no data in the middle, an empty column"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_both_ends_of_every_line_count_once(tmp_path, text, packed) -> None:
    path = tmp_path / "f.bed"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found, report = positions(path)
    assert found == {"chr1": [2, 2, 7, 8], "chr2": [0, 9]}
    assert (report.read, report.kept, report.dropped) == (3, 3, {})


def test_shift(tmp_path) -> None:
    (tmp_path / "f.bed").write_text("chr1\t2\t18\nchr2\t0\t4\n")
    found, report = positions(tmp_path / "f.bed", tn5_shift=(4, -5))
    # 2 + 4 and 18 - 1 - 5; 0 + 4, and 4 - 1 - 5 = -2 is off the chromosome
    assert found == {"chr1": [6, 12], "chr2": [4]}
    assert (report.kept, report.ends_off) == (2, 1)


def test_chunks_and_names(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(text_chunks, "_CHUNK", 2)
    (tmp_path / "f.bed").write_text("1\t0\t1\n2\t0\t1\nMT\t0\t1\n1\t5\t21\n1\t5\t20\n2\t3\t4\n")
    found, report = positions(tmp_path / "f.bed")
    assert found == {"chr1": [0, 0, 5, 19], "chr2": [0, 0, 3, 3]}
    assert (report.read, report.kept) == (6, 4)
    assert report.dropped == {"chromosome not in the genome": 1, "past the chromosome's end": 1}
    assert report.unknown_chroms == ["MT"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("chr1\t5", "line 3: must have at least 3 tab-separated columns"),
        ("chr1\t5\tx", "line 3: column 3, the end, must be an integer, got 'x'"),
        ("chr1\t5.5\t7", "line 3: column 2, the start, must be an integer"),
        ("chr1\t7\t6", "line 3: must have 0 <= start < end"),
        ("chr1\t-1\t7", "line 3: must have 0 <= start < end"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, sentence) -> None:
    (tmp_path / "f.bed").write_text(f"#\nchr1\t0\t5\n{line}\nchr1\t0\t5\n")
    with pytest.raises(ValueError, match=sentence):
        positions(tmp_path / "f.bed")


def test_files_without_use_are_refused(tmp_path) -> None:
    (tmp_path / "f.bed").write_text("# nothing\n")
    with pytest.raises(ValueError, match="holds no fragment"):
        positions(tmp_path / "f.bed")
    (tmp_path / "g.bed").write_text("NC_1\t0\t5\n")
    with pytest.raises(ValueError, match=r"g\.bed with the genome: \[NC_1\] against \[chr1, chr2\]"):
        positions(tmp_path / "g.bed")
    (tmp_path / "h.bed.gz").write_bytes(gzip.compress(b"chr1\t0\t5\n" * 1000)[:-9])
    with pytest.raises(ValueError, match="truncated or damaged gzip"):
        positions(tmp_path / "h.bed.gz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        count_insertions(tmp_path / "none", SIZES)


def test_a_read_with_a_name_and_a_strand_is_cut_at_its_5_prime_end(tmp_path) -> None:
    text = "chr1\t2\t8\tAAAC-1\t1\t+\nchr2\t0\t10\tAAAC-1\t1\t-\n"
    (tmp_path / "f.bed").write_text(text)
    found, report = positions(tmp_path / "f.bed")
    assert (found, report.kept) == ({"chr1": [2], "chr2": [9]}, 2)  # the first base of +, the last of -
    (tmp_path / "f.bed").write_text(text + "chr1\t2\t8\tAAAC-1\t1\t.\n")
    with pytest.raises(ValueError, match=r"line 3: column 6, the strand, must be \+ or -, as the first line makes"):
        positions(tmp_path / "f.bed")


def test_fragments_without_a_base_are_counted(tmp_path) -> None:
    (tmp_path / "f.bed").write_text("chr1\t2\t8\nchr1\t5\t5\n")
    found, report = positions(tmp_path / "f.bed")
    assert (found["chr1"], report.read, report.kept, report.dropped) == ([2, 7], 2, 1, {"of no base": 1})
    (tmp_path / "f.bed").write_text("chr1\t5\t5\n")
    with pytest.raises(ValueError, match=r"f\.bed: no read is left of 1: 1 of no base"):
        positions(tmp_path / "f.bed")


def test_a_hash_in_a_field_is_no_comment(tmp_path) -> None:
    (tmp_path / "f.bed").write_text("S#1#chr1\t2\t8\tS1#AAAC-1\t1\n")
    found, _ = positions(tmp_path / "f.bed", sizes={"S#1#chr1": 20})
    assert found == {"S#1#chr1": [2, 7]}


def test_two_spellings_of_a_chromosome_are_one(tmp_path) -> None:
    (tmp_path / "f.bed").write_text("chr1\t2\t8\n1\t3\t5\n")
    assert positions(tmp_path / "f.bed")[0] == {"chr1": [2, 3, 4, 7], "chr2": []}


def test_tabs_and_blanks_in_one_file_are_said(tmp_path) -> None:
    (tmp_path / "f.bed").write_text("chr1\t2\t8\nchr1 3 5\n")
    with pytest.raises(ValueError, match="are all its columns parted by tabs, or all by blanks"):
        positions(tmp_path / "f.bed")
