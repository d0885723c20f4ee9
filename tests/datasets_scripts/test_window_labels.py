"""Labels by hand: from covered bins, through jitter and strand, with masks; and a store seen by some of its tracks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.chosen_tracks import ChosenTracks
from chromhub.datasets_scripts.dataset import WindowDataset, WindowPlan, training_windows
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource
from chromhub.datasets_scripts.window_labels import (
    LabelledWindows,
    LabelRule,
    balanced_weights,
    centre_bins,
    labels_of,
    window_labels,
)

RULE = LabelRule(width=200)
# summits at 2100, 2140 and 6000; the first two are within 200 bp, so they are one window at 2120
PEAKS = {
    "a": [("chr1", 2000, 2200, "x-3"), ("chr1", 6000 - 75, 6000 + 75, "x-40")],
    "b": [("chr1", 2040, 2240, "y-1")],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(0)
    for i, size in enumerate((20_000, 9_000)):
        bases = decode(rng.integers(0, 4, size).astype(np.uint8))
        (folder / f"{i}.fa").write_text(f">chr{i + 1}\n{bases}\n")
    tracks = []
    for name, rows in PEAKS.items():
        path = folder / f"{name}.bed"
        rows = [*rows, ("chr2", 4000, 4200, "z-7"), ("chr3", 5, 9, "z-8")]
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
        tracks.append(TrackSource(name, path, "peaks", peak_value="name"))
    split = Split(train=("chr1",), valid=("chr2",), test=())
    fastas = (folder / "0.fa", folder / "1.fa")
    return build_store(StoreInputs(fastas, tuple(tracks), split=split, bin_size=4), folder / "store")


def windows_at(*starts):
    return pd.DataFrame({"chrom": "chr1", "start": starts, "end": np.array(starts) + 512})


def test_the_store_is_of_two_files_and_has_the_peaks_of_all_tracks(store):
    assert store.chrom_sizes == {"chr1": 20_000, "chr2": 9_000}
    assert store.peaks["summit"].tolist() == [2100, 2140, 6000, 4100, 4100]
    assert store.peaks["chrom"].tolist() == ["chr1"] * 3 + ["chr2"] * 2
    assert float(store.signal("chr1", "a")[6000 // 4]) == 40  # the number that ends the name
    (fasta,) = (entry for entry in store.report() if entry["input"] == "fasta")
    assert (fasta["file"], fasta["read"]) == ("0.fa, 1.fa", 2)
    (peaks,) = (entry for entry in store.report() if entry["input"] == "peaks")
    assert peaks["dropped"] == {"chromosome not in the genome": 2}


@pytest.mark.parametrize(
    ("middle", "labels"),
    [
        (2100, [1, 1]),  # [2000, 2200): a covers all, b 160 bp of 200
        (2000, [1, 0]),  # [1900, 2100): a covers 100 bp, just half, b 60
        (1996, [0, 0]),  # a covers 96
        (2240, [0, 1]),  # [2140, 2340): a covers 60, b 100
        (6000, [1, 0]),  # a site of 150 bp covers 150 bp; whole bins 5924 to 6076, 38 of 50
        (12_000, [0, 0]),
    ],
)
def test_labels_by_hand(store, middle, labels):
    found, known = window_labels(store, windows_at(middle - 256), RULE)
    assert found.tolist() == [[bool(label) for label in labels]]
    assert known.all()
    dataset = LabelledWindows(
        WindowDataset(store, windows_at(middle - 256), input_length=512), RULE, input_length=512, bin_size=4
    )
    batch = dataset.batch([0])
    assert set(batch) == {"inputs", "labels"}
    assert batch["labels"].tolist() == [labels]


def test_labels_follow_jitter_and_strand(store):
    windows = windows_at(*[1844 + 4 * i for i in range(40)])
    options = {"input_length": 512, "max_jitter": 120, "reverse_complement": True, "seed": 3}
    dataset = LabelledWindows(WindowDataset(store, windows, **options), RULE, input_length=512, bin_size=4)
    seen = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        batch = dataset.batch(range(40))
        moved = windows[["start"]].to_numpy()[:, 0] + dataset.signal._jitter
        plain = window_labels(store, windows_at(*moved), RULE)[0]  # 50 central bins lie the same on both strands
        np.testing.assert_array_equal(batch["labels"], plain)
        seen.append(batch["labels"])
    assert 0 < seen[0].mean() < 1
    assert not np.array_equal(*seen)


def test_thresholds_count_cell_types(store):
    at = windows_at(1844, 5744)  # sites open in 3 and in 40
    assert window_labels(store, at, LabelRule(threshold=2))[0][:, 0].tolist() == [True, True]
    assert window_labels(store, at, LabelRule(threshold=3))[0][:, 0].tolist() == [False, True]


def test_masked_centres_are_not_known():
    signal, mask = np.ones((2, 1, 10), np.float32), np.ones((2, 1, 10), np.uint8)
    mask[0, 0, 3] = 0  # in the centre [2, 8)
    mask[1, 0, 8] = 0
    assert centre_bins(10, width=24, bin_size=4) == slice(2, 8)
    labels, known = labels_of(signal, LabelRule(width=24), bin_size=4, mask=mask)
    assert known is not None
    assert (labels.tolist(), known.tolist()) == ([[1], [1]], [[0], [1]])


def test_balanced_weights():
    labels = np.array([[True], [False], [False], [False], [True]])
    # of 4 known ones one is open: 4 / (2 * 3) and 4 / (2 * 1)
    assert balanced_weights(labels, np.array([[1], [1], [1], [1], [0]]) > 0) == [4 / 6, 2.0]
    with pytest.raises(ValueError, match="needs both classes among the training labels, got 0 open of 2"):
        balanced_weights(np.zeros((2, 1), bool), np.ones((2, 1), bool))


def test_windows_of_a_part_are_chosen_as_those_of_training(store):
    plan = WindowPlan("peaks+background", negative_ratio=1)
    train, report = training_windows(store, plan, input_length=512, max_jitter=64)
    assert train["start"].tolist()[:0] == []
    assert {2120 - 256, 6000 - 256} <= set(train["start"])
    assert report["background"] == 2
    valid, report = training_windows(store, plan, input_length=512, max_jitter=0, part="valid")
    assert set(valid["chrom"]) == {"chr2"}
    assert 4100 - 256 in set(valid["start"])
    assert window_labels(store, valid, RULE)[0].sum(0).tolist() == [1, 1]


def test_chosen_tracks_are_a_store_of_these_alone(store):
    chosen = ChosenTracks.of(store, ["b"])
    assert (chosen.track_names, chosen.chrom_sizes) == (["b"], store.chrom_sizes)
    starts = store.flat_starts(windows_at(1844))
    np.testing.assert_array_equal(chosen.gather(starts, 512)[1][:, 0], store.gather(starts, 512)[1][:, 1])
    again = pickle.loads(pickle.dumps(chosen))
    assert again.track_names == ["b"]
    np.testing.assert_array_equal(again.gather(starts, 512)[1], chosen.gather(starts, 512)[1])
    assert ChosenTracks.of(store, ["b", "a"]).track_names == ["b", "a"]
    assert store.track_names == ["a", "b"]
    for names, sentence in ((["c"], "has no track 'c'"), ([], "one or more"), (["a", "a"], "one or more different")):
        with pytest.raises(ValueError, match=sentence):
            ChosenTracks.of(store, names)


@pytest.mark.parametrize("values", [{"width": 0}, {"threshold": -1}, {"min_covered": 0}, {"min_covered": 1.1}])
def test_rules_that_make_no_sense(values):
    with pytest.raises(ValueError, match="labels need a width above 0"):
        LabelRule(**values)


@pytest.mark.parametrize("width", [202, 1024])
def test_a_centre_off_the_bins_is_refused(store, width):
    with pytest.raises(ValueError, match="must be a multiple of the data's bin size 4 up to `input_length` 512"):
        window_labels(store, windows_at(1000), LabelRule(width=width))


def test_inputs_that_are_refused(store, tmp_path):
    fasta = tmp_path / "a.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 100 + "\n")
    track = tmp_path / "a.bed"
    track.write_text("chr1\t10\t60\tsite\n")
    inputs = StoreInputs(
        (fasta, fasta), (TrackSource("a", track, "peaks"),), split=Split(("chr1",), (), ()), bin_size=4
    )
    with pytest.raises(ValueError, match="holds chromosome 'chr1', which a file before it has"):
        build_store(inputs, tmp_path / "twice")
    named = StoreInputs(fasta, (TrackSource("a", track, "peaks", peak_value="name"),), split=Split(("chr1",), (), ()))
    with pytest.raises(ValueError, match="line 1: the end of column 4, the name, must be a number, got ''"):
        build_store(named, tmp_path / "unnamed")
    track.write_text("chr1\t10\t60\nchr1\t380\t420\nchr1\t500\t600\n")
    cut = StoreInputs(fasta, (TrackSource("a", track, "peaks"),), split=Split(("chr1",), (), ()))
    with pytest.raises(ValueError, match="leave out the rest by --exclude chr1:400-600"):
        build_store(cut, tmp_path / "cut")
    within = TrackSource("a", track, "peaks", exclude=("chr1:400-600",))
    made = build_store(StoreInputs(fasta, (within,), split=Split(("chr1",), (), ())), tmp_path / "within")
    assert np.flatnonzero(made.signal("chr1")).tolist() == [*range(2, 15), *range(95, 100)]
