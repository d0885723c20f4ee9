import gzip

import pytest
from chromhub.datasets_scripts.variants import Variant, is_vcf, parse_variant, read_variants, variants_of

HEADER = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def vcf(path, *records, header=HEADER, end="\n"):
    path.write_bytes((header.replace("\n", end) + "".join("\t".join(r) + end for r in records)).encode())
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr1:12345:A>G", [Variant("chr1", 12344, "A", "G")]),
        ("1:12,345:a>g,TT", [Variant("1", 12344, "A", "G"), Variant("1", 12344, "A", "TT")]),
        ("HLA:A*01:5:A>-", [Variant("HLA:A*01", 4, "A", "")]),
        ("chr1:5:A:G", [Variant("chr1", 4, "A", "G")]),
    ],
)
def test_on_the_command_line(text, expected):
    assert parse_variant(text) == expected


@pytest.mark.parametrize("text", ["chr1:A>G", "chr1:5", "", "chr1:5:A>G>T", "5:A>G"])
def test_what_is_no_variant(text):
    with pytest.raises(ValueError, match="must be CHROM:POSITION:REF>ALT"):
        parse_variant(text)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant("c", 10, "A", "G"), (10, "A", "G")),
        (Variant("c", 10, "A", "A"), (10, "A", "A")),
        (Variant("c", 10, "A", "ACGT"), (11, "", "CGT")),
        (Variant("c", 10, "ACGT", "A"), (11, "CGT", "")),
        (Variant("c", 10, "GCA", "GTA"), (11, "C", "T")),
        (Variant("c", 10, "AA", "AAA"), (10, "", "A")),  # ends first: the leftmost place
        (Variant("c", 10, "ACG", "TT"), (10, "ACG", "TT")),
    ],
)
def test_trimmed(variant, expected):
    assert variant.trimmed() == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("zipped", [False, True])
def test_vcf(tmp_path, end, zipped):
    records = [
        ("chr1", "100", "rs1", "a", "G", ".", "PASS", "."),
        ("chr1", "200", ".", "AT", "A,<DEL>,*", ".", ".", "."),
        ("chr2", "300", "x", "G", "G]17:198982]"),
        ("chr2", "400", "x", "R", "G"),
        ("chr2", "500", "x", "C", "."),
        ("chr2", "500", "x", "C", "CN"),
    ]
    path = vcf(tmp_path / "a.vcf", *records, end=end)
    if zipped:
        path = tmp_path / "a.vcf.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.vcf").read_bytes()))
    found = list(read_variants(path))
    assert found[0] == Variant("chr1", 99, "A", "G", "rs1", 0)
    assert found[0].end == 100
    assert [(v.alt, v.kind, v.record) for v in found[1:]] == [
        ("A", "sequence", 1),
        ("<DEL>", "symbolic", 1),
        ("*", "overlapping", 1),
        ("G]17:198982]", "symbolic", 2),
        ("G", "unknown_base", 3),
        (".", "no_alt", 4),
        ("CN", "unknown_base", 5),
    ]
    assert is_vcf(path)
    assert list(variants_of(path)()) == found


def test_tsv_by_its_header(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("score\tpos\tchrom\tallele2\tallele1\n0.1\t7\tchr1\tG\tA\n0.2\t8\tchr1\t-\tT\n")
    assert list(read_variants(path)) == [Variant("chr1", 6, "A", "G"), Variant("chr1", 7, "T", "", ".", 1)]
    assert not is_vcf(path)


def test_given_as_text():
    again = variants_of(["chr1:5:A>G,C", "chr2:6:T>TA"])
    assert [v.record for v in again()] == [0, 0, 1]
    assert list(again()) == list(again())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no header line"),
        ("chr1\t5\tA\tG\n", "line 1: the header must name chrom, pos, ref and alt, tab-separated, but has no 'chrom'"),
        ("BCF\2\2", "is a BCF file"),
        (HEADER + "chr1\t100\trs1\tA\n", "line 3: must have at least 5 tab-separated columns, got 'chr1"),
        (HEADER + "chr1\tten\trs1\tA\tG\n", "line 3: the position must be an integer, got 'ten'"),
        (HEADER + "chr1\t-4\trs1\tA\tG\n", "line 3: the position must not be negative, got -4"),
        (HEADER + "chr1\t4\trs1\tA1\tG\n", "line 3: REF must be bases, got 'A1'"),
        (HEADER + "chr1\t4\trs1\tA\tG/T\n", "line 3: ALT must be bases, a symbolic allele, .* got 'G/T'"),
    ],
)
def test_what_is_refused(tmp_path, text, sentence):
    path = tmp_path / "bad.vcf"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        list(read_variants(path))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        list(read_variants(tmp_path / "no.vcf"))
