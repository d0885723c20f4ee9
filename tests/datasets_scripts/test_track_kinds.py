import gzip

import pytest
from chromhub.datasets_scripts.track_kinds import recognise_kind

LINES = {
    "bedgraph": "chr1\t0\t5\t1.5\n",
    "fragments": "chr1\t0\t5\tAAAC-1\t2\n",
    "peaks": "chr1\t0\t5\tp\t9\t.\t1.5\t-1\t-1\t2\n",
    "bedpe": "chr1\t0\t5\tchr1\t8\t12\tread\t60\t+\t-\n",
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.bw", "bigwig"),
        ("a.bigWig", "bigwig"),
        ("a.bam", "bam"),
        ("a.bedGraph.gz", "bedgraph"),
        ("a.bdg", "bedgraph"),
        ("a.narrowPeak.gz", "peaks"),
        ("a.tagAlign.gz", "tagalign"),
        ("atac_fragments.tsv.gz", "fragments"),
        ("a.fragments.bed", "fragments"),
    ],
)
def test_by_name(tmp_path, name, kind) -> None:
    (tmp_path / name).touch()
    assert recognise_kind(tmp_path / name) == kind


@pytest.mark.parametrize("kind", LINES)
def test_by_first_line(tmp_path, kind) -> None:
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(f"# made by hand\n{LINES[kind]}".encode()))
    assert recognise_kind(tmp_path / "a.bed.gz") == kind


def test_by_first_bytes(tmp_path, toy) -> None:
    (toy.folder / "a.bw").rename(tmp_path / "a.signal")
    assert recognise_kind(tmp_path / "a.signal") == "bigwig"
    (tmp_path / "a.reads").write_bytes(gzip.compress(b"BAM\x01"))
    assert recognise_kind(tmp_path / "a.reads") == "bam"


def test_three_columns_called_bedpe_are_fragments(tmp_path) -> None:
    (tmp_path / "a.bedpe").write_text("chr1\t0\t5\n")
    assert recognise_kind(tmp_path / "a.bedpe") == "fragments"
    (tmp_path / "a.bedpe").write_text(LINES["bedpe"])
    assert recognise_kind(tmp_path / "a.bedpe") == "bedpe"


def test_a_bed_that_may_be_two_things(tmp_path) -> None:
    path = tmp_path / "a.bed"
    path.write_text("chr1\t0\t5\n")
    with pytest.raises(
        ValueError, match=r"a\.bed may be fragments or peaks: give it by --fragments, or say what it is"
    ):
        recognise_kind(path)
    assert recognise_kind(path, reads=True) == "fragments"
    path.write_text(">chr1\nACGT\n")
    with pytest.raises(ValueError, match=r"a\.bed is not recognised: say what it is by --kind"):
        recognise_kind(path)


def test_signal_is_no_reads(tmp_path) -> None:
    (tmp_path / "a.bw").touch()
    with pytest.raises(
        ValueError, match=r"--fragments must be a file of reads or fragments, got .*a\.bw, a bigwig file"
    ):
        recognise_kind(tmp_path / "a.bw", reads=True)


BED = {
    "peaks with a score": "chr1\t0\t300\tpeak_{i}\t10{i}\n",
    "named by genes": "chr1\t0\t300\tCAT{i}\t10{i}\n",
    "one barcode of many": "chr1\t0\t300\tAAAC-1\t1\nchr1\t0\t300\tpeak_{i}\t1\n",
    "BED12": "chr1\t0\t300\tp\t0\t.\t0\t300\t0\t1\t300,\t0,\n",
}


@pytest.mark.parametrize("text", BED.values(), ids=BED)
def test_columns_without_a_second_witness_ask_for_a_kind(tmp_path, text) -> None:
    (tmp_path / "a.bed").write_text("".join(text.format(i=i) for i in range(5)))
    with pytest.raises(ValueError, match="may be fragments or peaks: give it by --fragments, or say what it is"):
        recognise_kind(tmp_path / "a.bed")


def test_ids_in_column_4_are_no_signal(tmp_path) -> None:
    path = tmp_path / "a.bed"
    path.write_text("chr1\t0\t300\t1\nchr1\t400\t700\t2\n")
    with pytest.raises(ValueError, match="may be bedGraph or peaks: say what it is by --kind"):
        recognise_kind(path)
    path.write_text("chr1\t0\t300\t1\nchr1\t300\t700\t2\n")  # end to end
    assert recognise_kind(path) == "bedgraph"
    path.write_text('track type="bedGraph"\nchr1\t0\t300\t1\nchr1\t400\t700\t2\n')
    assert recognise_kind(path) == "bedgraph"


def test_narrow_peak_of_idr_is_peaks(tmp_path) -> None:
    (tmp_path / "a.bed").write_text(LINES["peaks"].strip() + "\t1.5" * 10 + "\n")
    assert recognise_kind(tmp_path / "a.bed") == "peaks"
