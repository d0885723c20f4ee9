import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.store_inputs import TrackSource
from chromhub.inference.half_agreement import HalfSpool, add_agreement, as_recorded, half_agreement
from chromhub.inference.metrics import PearsonState

from ..finetune.small_store import small_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("data") / "store", summary="sum")


def reads_file(path, rows):
    path.write_text("".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in rows))
    return TrackSource("t0", path, "fragments")


def test_equal_halves_agree_wholly_and_bins_are_joined():
    first = np.array([0.0, 3, 1, 0, 7, 7, 0, 2])  # 8 bins of 4 bp
    states = {4: PearsonState(), 8: PearsonState()}
    add_agreement(states, first, first, np.array([[4, 32]]), bin_size=4, summary="sum")
    assert [states[size].compute() for size in (4, 8)] == [1.0, 1.0]
    # 7 bins from 4 bp on; of 8 bp 3 are whole
    assert [states[size].n for size in (4, 8)] == [7, 3]
    states = {8: PearsonState()}
    add_agreement(states, first, first[::-1], np.array([[0, 32]]), bin_size=4, summary="sum")
    # sums 3, 1, 14, 2 and 2, 14, 1, 3
    expected = np.corrcoef(np.log1p([3, 1, 14, 2]), np.log1p([2, 14, 1, 3]))[0, 1]
    assert states[8].compute() == pytest.approx(expected)


def test_every_read_is_in_one_half_and_a_collapsed_one_only_once(tmp_path):
    np.array([[1, 5], [1, 5], [2, 9], [4, 7]] * 50, np.int32).tofile(tmp_path / "0.0")
    spool = {
        "folder": tmp_path,
        "read": 200,
        "dropped": {},
        "types": [""],
        "numbers": {"one": [200]},
        "chrom_sizes": {},
    }
    halves = [HalfSpool(**spool, half=half, seed=3).ends("one") for half in (0, 1)]
    assert sum(map(len, halves)) == 200
    assert min(map(len, halves)) > 60
    unique = [HalfSpool(**spool, half=half, seed=3, collapse=True).ends("one") for half in (0, 1)]
    assert sorted(map(tuple, np.concatenate(unique).tolist())) == [(1, 5), (2, 9), (4, 7)]


def test_reads_that_pile_up_agree_and_scattered_ones_do_not(store, tmp_path):
    rng = np.random.default_rng(0)
    piled = [("three", start, start + 60) for start in np.repeat(rng.integers(100, 11_000, 40), 50)]
    scattered = [("three", start, start + 60) for start in rng.integers(100, 11_000, 2000)]
    targets = pd.DataFrame({"chrom": ["three"], "start": [0], "end": [12_000]})
    found = [
        half_agreement(reads_file(tmp_path / f"{name}.bed", rows), store, targets, [4, 128])
        for name, rows in (("piled", piled), ("scattered", scattered))
    ]
    assert found[0]["4"]["pearson"] > 0.95
    assert abs(found[1]["4"]["pearson"]) < 0.1
    assert (found[0]["4"]["n"], found[0]["128"]["n"]) == (3000, 93)
    again = half_agreement(reads_file(tmp_path / "piled.bed", piled), store, targets, [4, 128])
    assert again == found[0]


def test_the_recorded_shift_is_taken(store, tmp_path):
    reads = reads_file(tmp_path / "r.bed", [("one", 5, 9)])
    assert as_recorded(reads, store) is reads
    store = small_store(tmp_path / "s")
    store.description["tracks"][0] |= {"kind": "bedpe", "tn5_shift": [4, -5], "duplicates": "collapse"}
    found = as_recorded(reads, store)
    assert (found.tn5_shift, found.rules.duplicates, found.kind) == ((4, -5), "collapse", "fragments")


def test_what_cannot_be_compared_is_refused(store, tmp_path):
    reads = reads_file(tmp_path / "r.bed", [("one", 5, 9)])
    targets = pd.DataFrame({"chrom": ["three"], "start": [0], "end": [12_000]})
    with pytest.raises(ValueError, match="multiples of the store's 4 bp, got 6"):
        half_agreement(reads, store, targets, [6])
    with pytest.raises(FileNotFoundError, match=r"none\.bed does not exist"):
        half_agreement(TrackSource("t0", tmp_path / "none.bed", "fragments"), store, targets, [4])
    with pytest.raises(ValueError, match="has no track 'x'"):
        as_recorded(TrackSource("x", reads.path, "fragments"), store)
