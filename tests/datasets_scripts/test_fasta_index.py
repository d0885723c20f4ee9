import os
import shutil

import pytest
from chromhub.datasets_scripts.fasta import Fasta
from chromhub.datasets_scripts.fasta_index import fits_index

GENOME = ">chrA first\nACGTAC\nGTACGT\nAC\n>chrB\nTTTT\n"  # 14 bp in lines of 6, and 4 bp
INDEX = "chrA\t14\t12\t6\t7\nchrB\t4\t35\t4\t5\n"  # 12 = len(">chrA first\\n"); 12 + 14 + 3 ends of lines + 6 = 35


def written(tmp_path, genome, index=INDEX):
    (tmp_path / "g.fa").write_text(genome, newline="")
    (tmp_path / "g.fa.fai").write_text(index)
    return tmp_path / "g.fa", tmp_path / "g.fa.fai"


@pytest.mark.parametrize(
    ("genome", "index"),
    [
        (GENOME, INDEX),
        (GENOME.rstrip("\n"), INDEX),
        (GENOME + "\n\n", INDEX),
        (GENOME.replace("\n", "\r\n"), "chrA\t14\t13\t6\t8\nchrB\t4\t40\t4\t6\n"),
        (GENOME, "".join(reversed(INDEX.splitlines(keepends=True)))),
        (GENOME.replace("AC\n>", "GG\n>"), INDEX),  # other bases at the same places
    ],
    ids=["as made", "no last end of line", "blank lines at the end", "CRLF", "another order", "other bases"],
)
def test_an_index_of_its_file_fits(tmp_path, genome, index) -> None:
    assert fits_index(*written(tmp_path, genome, index))


@pytest.mark.parametrize(
    ("genome", "index"),
    [
        (GENOME.replace(" first", ""), INDEX),  # a shorter header: other offsets
        (GENOME.replace(" first", " FIRST\n"), INDEX),
        (GENOME.replace("chrB", "chrC"), INDEX),
        (GENOME.replace("\nAC\n", "\nACA\n").replace("first", "firs"), INDEX),  # as long, another length
        (GENOME.replace("ACGTAC\nGTACGT", "ACGTACG\nTACGT"), INDEX),  # as long, other lines
        (GENOME + "ACGT\n", INDEX),
        (GENOME + ">chrC\nACGT\n", INDEX),
        (GENOME[:-3], INDEX),
        (GENOME, INDEX.splitlines(keepends=True)[1]),
        (GENOME, ""),
        (GENOME, "chrA\t14\n"),
        (GENOME, "chrA\tx\t12\t6\t7\n"),
    ],
)
def test_an_index_of_another_file_does_not(tmp_path, genome, index) -> None:
    assert not fits_index(*written(tmp_path, genome, index))


def test_a_stale_index_is_made_anew(tmp_path) -> None:
    path, index = written(tmp_path, GENOME.replace(" first", ""))
    os.utime(path, (1, 1))  # put in its place with its old date
    assert Fasta(path).fetch("chrA", 0, 14) == "ACGTACGTACGTAC"
    assert Fasta(path).fetch("chrB", 0, 4) == "TTTT"
    assert index.read_text().split("\n")[0] == "chrA\t14\t6\t6\t7"
    made = index.stat().st_mtime_ns
    assert Fasta(path).fetch("chrB", 1, 3) == "TT"
    assert index.stat().st_mtime_ns == made  # one that fits stays


@pytest.mark.filterwarnings("ignore")  # pyfaidx's own
def test_a_stale_index_of_a_bgzip_file(tmp_path) -> None:
    bgzf = pytest.importorskip("Bio.bgzf", reason="biopython writes the bgzip file")
    for name, header in (("a", "chrA with words"), ("b", "chrA")):
        with bgzf.BgzfWriter(str(tmp_path / f"{name}.fa.gz")) as file:
            file.write(f">{header}\n".encode() + b"ACGTAC\n" * 40_000 + b">chrB\n" + b"TTTTTT\n" * 40_000)
        assert Fasta(tmp_path / f"{name}.fa.gz").fetch("chrB", 0, 6) == "TTTTTT"
        assert fits_index(tmp_path / f"{name}.fa.gz", tmp_path / f"{name}.fa.gz.fai")
    for suffix in (".fai", ".gzi"):
        shutil.copy(tmp_path / f"a.fa.gz{suffix}", tmp_path / f"b.fa.gz{suffix}")
    assert not fits_index(tmp_path / "b.fa.gz", tmp_path / "b.fa.gz.fai")
    assert Fasta(tmp_path / "b.fa.gz").fetch("chrA", 0, 6) == "ACGTAC"
