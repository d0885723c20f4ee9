"""The floor sees the windows it is given and nothing else, and is measured as the model is."""

import numpy as np
import pandas as pd
import pytest
from chromhub.datasets_scripts.dataset import WindowPlan, evaluation_windows, training_windows
from chromhub.datasets_scripts.window_labels import LabelRule, window_labels
from chromhub.inference import floor
from chromhub.inference.class_measures import ClassWindows
from chromhub.inference.floor import (
    FloorWindows,
    covered_tiles,
    fit_class_floor,
    fit_track_floor,
    predict_tiles,
    predict_windows,
    tile_length,
)
from chromhub.inference.kmer_ridge import KmerRidge, fit_kmer_ridge, kmer_features
from chromhub.modeling import AtacConfig

from ..finetune.small_store import seal, small_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of two tracks whose peaks are where the motif is."""
    folder = tmp_path_factory.mktemp("data") / "store"
    made = small_store(folder, num_tracks=2, summary="sum")
    rows = []
    for chrom in made.chrom_sizes:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], made.signal(chrom) > 0, [0]])))
        rows += [(chrom, 4 * a, 4 * b, 2 * (a + b)) for a, b in edges.reshape(-1, 2).tolist()]
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "summit"])
    table.to_csv(folder / "peaks.tsv", sep="\t", index=False)
    seal(folder)
    return type(made).open(folder)


@pytest.fixture(autouse=True)
def short_kmers(monkeypatch):
    """136 features instead of 2,080: the same code in a hundredth of the time."""
    monkeypatch.setattr(floor, "K", 4)
    monkeypatch.setattr(floor, "fit_kmer_ridge", lambda *batches: fit_kmer_ridge(*batches, k=4))


def class_windows(store, part="train"):
    return training_windows(store, WindowPlan("peaks+background"), input_length=256, max_jitter=0, part=part)[0]


def test_tiles_lie_in_what_windows_cover():
    windows = pd.DataFrame({"chrom": ["a", "a", "a", "b"], "start": [0, 500, 4000, 8], "end": [1100, 1600, 5024, 1032]})
    # without 50 bp on either side: a 50-1,550 and 4,050-4,974, b 58-982
    tiles = covered_tiles(windows, 512, 50)
    assert tiles.values.tolist() == [["a", 50, 562], ["a", 562, 1074], ["a", 4050, 4562], ["b", 58, 570]]
    assert covered_tiles(windows.iloc[:0], 512).empty


def test_tile_length():
    sizes = ((1024, 4), (256, 4), (768, 4), (1000, 8))
    # 768 has no divisor between 384 and 768, of 1,000 it is 200 in whole bins of 8 bp
    expected = [512, 256, 384, 200]
    configs = [
        AtacConfig.from_preset("dcnn-tiny", input_length=target, target_length=target, bin_size=size)
        for target, size in sizes
    ]
    assert [tile_length(config) for config in configs] == expected


def test_a_share_of_the_windows_is_all_that_the_floor_sees(store):
    train, valid, rule = class_windows(store), class_windows(store, "valid"), LabelRule()
    share = train.iloc[::3].reset_index(drop=True)
    ridge, told = fit_class_floor(store, FloorWindows(share, valid, "some"), rule)
    codes = store.gather_codes(store.flat_starts(share), 256)
    held_out = store.gather_codes(store.flat_starts(valid), 256)
    labels, others = (window_labels(store, windows, rule)[0].astype(float) for windows in (share, valid))
    expected = fit_kmer_ridge([(codes, labels)], [(held_out, others)], k=4)
    np.testing.assert_allclose(ridge.weights, expected.weights, atol=1e-8)
    assert (told["training_windows"], told["of_windows"]) == (len(share), len(share))
    assert (told["windows"], told["validation_windows"]) == ("some", len(valid))


def test_too_many_windows_are_drawn_by_seed(store, monkeypatch):
    monkeypatch.setattr(floor, "MAX_TRAINING", 30)
    chosen = FloorWindows(class_windows(store), class_windows(store, "valid"), "all", seed=5)
    ridge, told = fit_class_floor(store, chosen, LabelRule())
    assert (told["training_windows"], told["of_windows"]) == (30, len(chosen.train))
    again, _ = fit_class_floor(store, chosen, LabelRule())
    np.testing.assert_array_equal(ridge.weights, again.weights)


def test_scores_equal_to_the_ridge_get_its_numbers(store):
    test, rule = class_windows(store, "test"), LabelRule()
    chosen = FloorWindows(class_windows(store), class_windows(store, "valid"), "all")
    ridge, _ = fit_class_floor(store, chosen, rule)
    scene = ClassWindows.of(store, test, rule, negative_ratio=1.0, seed=0)
    codes = store.gather_codes(store.flat_starts(test), 256)
    by_hand = kmer_features(codes, k=4) @ ridge.weights + ridge.intercepts
    found = scene.measure(predict_windows(ridge, store, test))
    assert found == scene.measure(by_hand)
    assert found["differences"]["n"] == scene.has_peak.sum()


def test_no_gain_over_oneself(store):
    scene = ClassWindows.of(store, class_windows(store, "test"), LabelRule(), negative_ratio=1.0, seed=0)
    # the two tracks are open in the same windows, so a track of its own is made for the question
    labels = scene.labels.copy()
    labels[np.flatnonzero(labels[:, 0])[::2], 0] = False
    scene = ClassWindows(**{**vars(scene), "labels": labels})
    scores = np.random.default_rng(0).normal(size=labels.shape)
    assert scene.gain(scores, scores)["tracks"]["t0"] == 0.5  # all differences are 0
    assert scene.gain(scores + labels, scores)["tracks"]["t0"] == 1.0
    assert scene.gain(scores, scores)["mean"] == 0.5  # t1 has no window of another type


def test_tiles_are_predicted_and_read_where_they_lie(store):
    config = AtacConfig.from_preset(
        "dcnn-tiny", input_length=2048, target_length=1024, num_tracks=2, track_names=["t0", "t1"], target_summary="sum"
    )
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    train, _ = training_windows(store, WindowPlan("tile"), input_length=2048, max_jitter=0)
    valid, _ = evaluation_windows(store, "valid", input_length=2048, target_length=1024)
    ridge, told = fit_track_floor(store, FloorWindows(train, valid, "all"), config)
    # 57 windows of 2,048 bp, 1,024 apart, cover with their targets 512 to 58,880 of "one"
    assert (told["tile"], told["training_windows"], len(train)) == (512, 114, 57)
    pieces = list(predict_tiles(ridge, store, windows, config))
    predicted, true = (np.concatenate([piece[i] for piece in pieces]) for i in (1, 2))
    start = int(windows["start"].iloc[3]) + 512 + 512  # second tile of the fourth target
    signal = store.signal("three", 1)[start // 4 : start // 4 + 128]
    assert true[3, 1, 1] == pytest.approx(signal.sum())
    codes = store.codes("three")[start : start + 512][None]
    assert predicted[3, 1, 1] == pytest.approx(np.expm1(np.maximum(ridge.predict(codes), 0))[0, 1], rel=1e-4)
    assert isinstance(ridge, KmerRidge)
