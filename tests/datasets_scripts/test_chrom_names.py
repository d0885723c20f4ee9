import pytest
from chromhub.datasets_scripts.chrom_names import match_chroms, shown


@pytest.mark.parametrize(
    ("wanted", "available", "pairs"),
    [
        (["chr2", "chr1", "chrUn"], ["chr1", "chr2"], {"chr2": "chr2", "chr1": "chr1"}),
        (["1", "2", "MT"], ["chr1", "chr2", "chrM"], {"1": "chr1", "2": "chr2", "MT": "chrM"}),
        (["chrI", "chrM"], ["I", "II", "MT"], {"chrI": "I", "chrM": "MT"}),
        (["chr1", "chrMT"], ["chr1", "chrM"], {"chr1": "chr1", "chrMT": "chrM"}),
        (["M", "MT"], ["chrM"], {"M": "chrM"}),  # no partner is used twice
        (["1", "chr2"], ["1", "2"], {"1": "1"}),  # one rule: files that share a name have no other renamed
    ],
)
def test_match(wanted, available, pairs) -> None:
    assert match_chroms(wanted, available, what="peaks with the genome") == pairs


def test_nothing_in_common_shows_both_sides() -> None:
    with pytest.raises(ValueError, match=r"for a\.bed with the genome: \[NC_1\] against \[chr1, chr2\]"):
        match_chroms(["NC_1"], ["chr1", "chr2"], what="a.bed with the genome")


def test_long_lists_are_cut() -> None:
    assert shown("abcdefghij", 3) == "[a, b, c and 7 more]"
