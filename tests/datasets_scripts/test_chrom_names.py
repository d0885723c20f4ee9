import pytest
from chromhub.datasets_scripts.chrom_names import (
    check_sizes,
    chrom_key,
    lost_rows,
    match_chroms,
    names_in_file,
    shown,
)


@pytest.mark.parametrize(
    ("wanted", "available", "pairs"),
    [
        (["chr2", "chr1", "chrUn"], ["chr1", "chr2"], {"chr2": "chr2", "chr1": "chr1"}),
        (["1", "2", "MT"], ["chr1", "chr2", "chrM"], {"1": "chr1", "2": "chr2", "MT": "chrM"}),
        (["chrI", "chrM"], ["I", "II", "MT"], {"chrI": "I", "chrM": "MT"}),
        (["chr1", "chrMT"], ["chr1", "chrM"], {"chr1": "chr1", "chrMT": "chrM"}),
        (["M", "MT"], ["chrM"], {"M": "chrM"}),  # two names, maybe two sequences: no partner is used twice
        (["chrM", "chrMT"], ["chrMT", "chrM"], {"chrM": "chrM", "chrMT": "chrMT"}),  # as in hg19 of the 1000 Genomes
        (["1", "chr2"], ["1", "2"], {"1": "1", "chr2": "2"}),
        (["1", "KI270728.1"], ["chr1", "KI270728.1"], {"1": "chr1", "KI270728.1": "KI270728.1"}),  # a shared scaffold
        (["VI", "chrVI"], ["chrVI"], {"VI": "chrVI", "chrVI": "chrVI"}),  # two spellings in one file
        (["Chr1", "Mt", "Pt"], ["1", "ChrM", "ChrC"], {"Chr1": "1", "Mt": "ChrM", "Pt": "ChrC"}),
        (["chrI", "chrM"], ["I", "Mito"], {"chrI": "I", "chrM": "Mito"}),
        (["chrI", "chrM"], ["I", "MtDNA"], {"chrI": "I", "chrM": "MtDNA"}),
        (["chr1_KI270706v1_random"], ["KI270706.1"], {"chr1_KI270706v1_random": "KI270706.1"}),
        (["GL000211.1"], ["chr1", "chrUn_gl000211"], {"GL000211.1": "chrUn_gl000211"}),
        (["1", "2", "9", "10"], ["I", "II", "IX", "X"], {"1": "I", "2": "II", "9": "IX", "10": "X"}),
        (["chrI", "chrIV"], ["1", "4"], {"chrI": "1", "chrIV": "4"}),
        (["1", "2", "X"], ["I", "II", "III", "X"], {"1": "I", "2": "II", "X": "X"}),  # a worm's X is no ten
        (["chr5", "chrM"], ["chr21", "chrM"], {"chrM": "chrM"}),  # one convention, and a FASTA of a part
    ],
)
def test_match(wanted, available, pairs) -> None:
    assert match_chroms(wanted, available, what="peaks with the genome") == pairs


def test_arabic_numbers_without_a_roman_partner_are_of_another_genome() -> None:
    with pytest.raises(ValueError, match="no chromosome name in common"):
        match_chroms(["1", "2", "10"], ["I", "II", "III", "IV", "V", "X"], what="a.bed with the genome")


def test_nothing_in_common_shows_both_sides() -> None:
    with pytest.raises(ValueError, match=r"for a\.bed with the genome: \[NC_1\] against \[chr1, chr2\]"):
        match_chroms(["NC_1"], ["chr1", "chr2"], what="a.bed with the genome")


@pytest.mark.parametrize("shared", ["KI270728.1", "MT"])
def test_a_lost_convention_is_refused_although_a_scaffold_is_shared(shared) -> None:
    with pytest.raises(
        ValueError, match=rf"but \[{shared}\]: \[1, 2\] against \[NC_000001\.11\] follow two conventions"
    ):
        match_chroms(["1", "2", shared], ["NC_000001.11", shared], what="a.bed with the genome")


def test_keys() -> None:
    assert [chrom_key(name) for name in ("chrVI", "6", "chr2L", "chrMT", "chrUn_KI270742v1", "S#1#chr1")] == [
        *("VI", "6", "2L", "M", "KI270742.1", "S#1#chr1")
    ]


def test_a_file_with_two_names_for_one_chromosome_is_refused() -> None:
    assert names_in_file({"1": "chr1"}, what="a.bw") == {"chr1": "1"}
    with pytest.raises(
        ValueError, match=r"a\.bw has two names for one chromosome, 1 and chr1, both chr1 of the genome"
    ):
        names_in_file({"1": "chr1", "chr1": "chr1"}, what="a.bw")


def test_lengths_matter_where_a_chromosome_is_read() -> None:
    genome, pairs = {"chr1": 10, "chrM": 7}, {"1": "chr1", "MT": "chrM"}
    about = {"what": "a.bw", "remedy": "give another"}
    notes = check_sizes({"1": 10, "MT": 8}, pairs, genome, used={"chr1"}, **about)
    assert notes == ["MT has 8 bp, the FASTA's chrM 7: it is not read"]
    with pytest.raises(ValueError, match=r"a\.bw says MT has 8 bp, the FASTA's chrM has 7: .*give another"):
        check_sizes({"1": 10, "MT": 8}, pairs, genome, used={"chr1", "chrM"}, **about)


def test_a_loss_is_told_below_half() -> None:
    assert lost_rows("a.bed", kept=5, read=10, unit="peaks", lost=[]) is None
    sentence = "a.bed: only 4 of 10 peaks are kept (6 off): is it of the same genome?"
    assert lost_rows("a.bed", kept=4, read=10, unit="peaks", lost=["6 off"]) == sentence


def test_long_lists_are_cut() -> None:
    assert shown("abcdefghij", 3) == "[a, b, c and 7 more]"
