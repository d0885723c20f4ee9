import json

import pandas as pd
import pytest
from chromhub.datasets_scripts.folds import ASAP_FOLDS, Split, asap_split

SIZES = {"chr1": 1000, "chr2": 500, "chr3": 300}


def windows(*rows: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def test_json_round_trip(tmp_path) -> None:
    split = Split(("chr1", "chr2:0-100"), ("chr2:100-500",), ())
    split.to_json(tmp_path / "split.json")
    assert Split.from_json(tmp_path / "split.json") == split


def test_intervals_in_the_order_of_the_genome() -> None:
    split = Split(("chr3", "chr1:500-600", "chr1:0-100"), (), ("chr2",))
    expected = [("chr1", 0, 100), ("chr1", 500, 600), ("chr3", 0, 300)]
    assert list(split.intervals("train", SIZES).itertuples(index=False, name=None)) == expected
    assert split.intervals("valid", SIZES).empty


def test_select_takes_windows_wholly_inside_one_interval() -> None:
    split = Split(("chr1:100-200", "chr1:200-300", "chr2"), (), ())
    inside = [("chr1", 100, 200), ("chr2", 400, 500), ("chr1", 250, 300)]
    outside = [("chr1", 99, 150), ("chr1", 150, 250), ("chr1", 290, 301), ("chr2", 450, 501), ("chr3", 0, 10)]
    kept = split.select(windows(*inside[:2], *outside, inside[2]), "train", SIZES)
    assert list(kept.itertuples(index=False, name=None)) == inside
    assert split.select(windows(*inside), "test", SIZES).empty


@pytest.mark.parametrize(
    "parts",
    [
        (("chr1",), ("chr1:10-20",), ()),
        (("chr1:10-20",), (), ("chr1:19-30",)),
        (("chr1",), (), ("chr1",)),
        (("chr1:0-10", "chr1:5-15"), (), ()),
        (("chr1:0-100", "chr1:200-300"), ("chr1:50-60",), ()),
    ],
)
def test_overlapping_parts_are_refused(parts) -> None:
    with pytest.raises(ValueError, match="parts of a split must not overlap: chr1"):
        Split(*parts)


def test_parts_may_touch() -> None:
    Split(("chr1:0-10",), ("chr1:10-20",), ("chr1:20-30",))


def test_naming_is_the_genomes() -> None:
    split = Split(("1", "2:0-10"), (), ("3",)).placed_on(SIZES)
    assert split == Split(("chr1", "chr2:0-10"), (), ("chr3",))


def test_unknown_chromosomes_and_regions_off_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match=r"chromosomes the genome lacks: \[chr8, chr9\]; the genome has \[chr1, chr2"):
        Split(("chr1",), ("chr8",), ("chr9",)).placed_on(SIZES)
    with pytest.raises(ValueError, match="chr2:0-501 must end within chr2, which has 500 bp"):
        Split(("chr2:0-501",), (), ()).placed_on(SIZES)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "keys train, valid and test, got list"),
        ('{"train": [], "test": []}', r"keys train, valid and test, got \['test', 'train'\]"),
        ('{"train": "chr1", "valid": [], "test": []}', "train must be a list"),
        ('{"train": [1], "valid": [], "test": []}', "train must be a list"),
        ('{"train": ["chr1:9-5"], "valid": [], "test": []}', r"split\.json: a region must end after its start"),
        ('{"train": ["chr1"], "valid": ["chr1"], "test": []}', r"split\.json: parts of a split must not overlap"),
    ],
)
def test_bad_files(tmp_path, text, sentence) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Split.from_json(tmp_path / "split.json")


def test_missing_file(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Split.from_json(tmp_path / "none.json")


def test_bad_part() -> None:
    with pytest.raises(ValueError, match="`part` must be one of train, valid, test, got 'dev'"):
        Split((), (), ()).intervals("dev", SIZES)  # pyright: ignore[reportArgumentType]


def test_asap_folds() -> None:
    assert sorted(chrom for fold in ASAP_FOLDS for chrom in fold) == sorted(f"chr{i}" for i in range(1, 23))
    last = asap_split(4)
    assert (last.valid, last.test) == (ASAP_FOLDS[4], ASAP_FOLDS[0])  # test is the next set, around the corner
    assert set(last.train) == {*ASAP_FOLDS[1], *ASAP_FOLDS[2], *ASAP_FOLDS[3]}
    with pytest.raises(ValueError, match="must be 0 to 4, got 5"):
        asap_split(5)


def test_recipes_hold_the_stated_splits() -> None:
    from pathlib import Path

    recipes = Path(__file__).parents[2] / "recipes"
    yeast = Split.from_json(recipes / "yeast.split.json")
    assert (yeast.valid, yeast.test, len(yeast.train)) == (("chrII",), ("chrIV", "chrXV"), 12)
    assert "chrXII" not in yeast.train
    worm = json.loads((recipes / "celegans.split.json").read_text())
    assert worm == {"train": ["chrI", "chrII", "chrV", "chrX"], "valid": ["chrIII"], "test": ["chrIV"]}
