import gzip
import warnings

import numpy as np
import pytest
from chromhub.datasets_scripts import fasta as fasta_module
from chromhub.datasets_scripts.fasta import Fasta, decode, encode

from .conftest import write_fasta


def read(path) -> dict[str, str]:
    return {name: decode(codes) for name, codes in Fasta(path).read_codes()}


def test_codes() -> None:
    assert encode("ACGTNacgtnRy-").tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 4, 4]
    assert decode(np.array([0, 1, 2, 3, 4], np.uint8)) == "ACGTN"


def test_lower_case_iupac_and_crlf(tmp_path) -> None:
    path = write_fasta(tmp_path / "a.fa", {"chr1 some words": "acgtRYnN", "chr2": "TTTT"}, width=3, newline="\r\n")
    fasta = Fasta(path)
    assert {name: decode(codes) for name, codes in fasta.read_codes()} == {"chr1": "ACGTNNNN", "chr2": "TTTT"}
    assert fasta.num_iupac == 2
    assert fasta.chrom_sizes == {"chr1": 8, "chr2": 4}


@pytest.mark.parametrize("block", [1, 7, 50, 1 << 20])
def test_blocks_do_not_matter(tmp_path, monkeypatch, block) -> None:
    sequences = {f"chr{i}": "ACGTTGCA" * i + "N" for i in range(1, 9)}
    path = write_fasta(tmp_path / "a.fa", sequences, width=11)
    monkeypatch.setattr(fasta_module, "_BLOCK", block)
    assert read(path) == sequences


def test_header_may_hold_a_greater_than_sign_and_the_last_line_no_newline(tmp_path) -> None:
    path = tmp_path / "a.fa"
    path.write_text("\n>chr1 a>b\nAC\n\nGT\n>chr2\nA")
    assert read(path) == {"chr1": "ACGT", "chr2": "A"}


@pytest.mark.parametrize("block", [3, 4, 5, 6, 7, 1 << 20])
def test_a_greater_than_sign_within_a_line_of_bases_is_no_header(tmp_path, monkeypatch, block) -> None:
    monkeypatch.setattr(fasta_module, "_BLOCK", block)
    (tmp_path / "a.fa").write_text(">c\nAC>GT\nAC\n")
    with pytest.raises(ValueError, match="letters must be bases, N or IUPAC codes, got '>'"):
        read(tmp_path / "a.fa")


def test_pieces_of_a_chromosome_follow_one_another(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fasta_module, "_BLOCK", 4)
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGTTGCARN", "chr2": "TT"}, width=6)
    fasta = Fasta(path)
    pieces = [(name, decode(codes)) for name, codes in fasta.read_pieces()]
    assert "".join(bases for name, bases in pieces if name == "chr1") == "ACGTTGCANN"
    assert [name for name, _ in pieces] == ["chr1"] * (len(pieces) - 1) + ["chr2"]
    assert len(pieces) > 3
    assert fasta.num_iupac == 1


@pytest.mark.parametrize("name", ["a.fa.gz", "a.fa"])
def test_plain_gzip_can_be_streamed_but_not_fetched(tmp_path, name) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b">chr1\nACGT\n"))
    assert read(path) == {"chr1": "ACGT"}
    with pytest.raises(ValueError, match=r"plain gzip, which has no random access: `gunzip` it or .* `bgzip`"):
        Fasta(path).fetch("chr1", 0, 2)


def test_bgzip(tmp_path) -> None:
    bgzf = pytest.importorskip("Bio.bgzf", reason="biopython writes the bgzip file")
    path = tmp_path / "a.fa.gz"
    with bgzf.BgzfWriter(str(path)) as file:
        file.write(b">chr1\nACGTACGT\n")
    assert read(path) == {"chr1": "ACGTACGT"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyfaidx's own
        assert Fasta(path).fetch("chr1", 2, 6) == "GTAC"


def test_fetch_gives_n_beyond_the_ends(tmp_path) -> None:
    fasta = Fasta(write_fasta(tmp_path / "a.fa", {"chr1": "acgtac", "chr2": "GG"}, width=4))
    assert fasta.fetch("chr1", 1, 5) == "CGTA"
    assert fasta.fetch("chr1", -2, 8) == "NNACGTACNN"
    assert fasta.fetch("chr1", -5, -3) == "NN"
    assert fasta.fetch("chr1", 8, 10) == "NN"
    assert fasta.fetch("chr1", 3, 3) == ""
    with pytest.raises(ValueError, match="no chromosome 'chr3': it has chr1, chr2"):
        fasta.fetch("chr3", 0, 1)
    with pytest.raises(ValueError, match="must end after its start"):
        fasta.fetch("chr1", 3, 2)


def test_index_goes_elsewhere_when_the_folder_is_not_writable(tmp_path, monkeypatch) -> None:
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})
    monkeypatch.setattr("os.access", lambda *_: False)
    assert Fasta(path).fetch("chr1", 1, 3) == "CG"
    assert [p.name for p in tmp_path.iterdir()] == ["a.fa"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (">chr1\nAC\n>chr1 again\nGT\n", "holds chromosome 'chr1' twice"),
        ("ACGT\n", "must start with a header line"),
        ("", "holds no sequence"),
        (">\nACGT\n", "header line without a name"),
        (">chr1\n>chr2\nA\n", "chromosome chr1 has no bases"),
        (">chr1\nAC\n>chr2\n", "chromosome chr2 has no bases"),
        (">chr1\nAC-GT\n", "chromosome chr1: letters must be bases, N or IUPAC codes, got '-'"),
        (">p\nMKLE*\n", "got 'L'"),
    ],
)
def test_bad_fasta(tmp_path, text, sentence) -> None:
    path = tmp_path / "a.fa"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read(path)


def test_missing(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Fasta(tmp_path / "none.fa")
