import gzip

import pytest
from chromhub.datasets_scripts.genes import read_genes

GTF = """#!genome-build x
chr1\tHAVANA\tgene\t101\t200\t.\t+\t.\tgene_id "A.1"; gene_type "protein_coding"; gene_name "a";
chr1\tHAVANA\texon\t101\t150\t.\t+\t.\tgene_id "A.1"; gene_type "protein_coding";
chr1\tHAVANA\tgene\t301\t400\t.\t-\t.\tgene_id "B"; gene_type "lncRNA";
chr2\tHAVANA\tgene\t1\t50\t.\t-\t.\tgene_id "C"; gene_type "protein_coding";
"""
GFF = (
    "chr1\tensembl\tgene\t11\t20\t.\t-\t.\tID=gene:G;biotype=protein_coding;gene_id=G\n"
    "chr1\tx\tgene\t31\t40\t.\t.\t.\tID=n\n"
)


@pytest.mark.parametrize("packed", [False, True])
def test_first_base_of_a_gene_on_its_strand(packed, tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_bytes(gzip.compress(GTF.encode()) if packed else GTF.encode())
    table, dropped = read_genes(path)
    # 1-based 101-200 is [100, 200): + starts at 100; [300, 400) on - at 399
    assert table[["gene", "start", "end", "strand", "tss"]].to_numpy().tolist() == [
        ["A.1", 100, 200, "+", 100],
        ["B", 300, 400, "-", 399],
        ["C", 0, 50, "-", 49],
    ]
    assert dropped == {}
    coding, dropped = read_genes(path, gene_type="protein_coding")
    assert list(coding["gene"]) == ["A.1", "C"]
    assert dropped == {"another type": 1}


def test_gff3_and_bed(tmp_path):
    path = tmp_path / "genes.gff3"
    path.write_text(GFF)
    table, dropped = read_genes(path)
    assert table.iloc[0].tolist() == ["G", "chr1", 10, 20, "-", 19]
    assert dropped == {"without a strand": 1}
    path.write_text("chrI\t5\t15\tg1\t0\t-\nchrI\t5\t15\tg1\t0\t-\nchrI\t7\t8\nchrI\t10\t20\tg2\t0\t+\n")
    table, dropped = read_genes(path)
    assert table[["gene", "strand", "tss"]].to_numpy().tolist() == [
        ["g1", "-", 14],
        ["chrI:7", ".", 7],
        ["g2", "+", 10],
    ]
    assert dropped == {"listed twice": 1}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("chr1\t0\t5\tg\t0\tx\n", None, "line 1: column 6, the strand, must be"),
        ("chr1\t0\t5\n", "protein_coding", "is no GTF or GFF3, so it has no types"),
        (GTF, "tRNA", "holds no gene of type 'tRNA'"),
        (GTF.replace("301\t400", "401\t400"), None, "line 4: must have 1 <= start <= end"),
        (GTF.replace("301\t400", "x\t400"), None, "line 4: column 4 must be an integer, got 'x'"),
        (GTF.replace("exon\t101\t150\t.", "exon\t101"), None, "line 3: a GTF or GFF3 must have 9"),
    ],
)
def test_what_is_no_gene_is_refused(text, kind, message, tmp_path):
    (tmp_path / "genes").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_genes(tmp_path / "genes", gene_type=kind)
