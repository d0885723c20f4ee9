"""A classifier that counts G and C, on a store where that is all there is to know: numbers worked by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.build import build_store
from chromhub.datasets_scripts.fasta import decode
from chromhub.datasets_scripts.folds import Split
from chromhub.datasets_scripts.store_inputs import StoreInputs, TrackSource
from chromhub.datasets_scripts.windows import NUM_GC_BINS
from chromhub.inference.class_measures import class_scores, matched_rows
from chromhub.inference.class_predictions import class_logits, classes_to_table
from chromhub.inference.evaluate_classes import evaluate_classes, flatten_class_metrics, store_for
from chromhub.inference.evaluation_folder import evaluate_run
from chromhub.inference.peak_signal import peak_means, peak_width, window_peak_means
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, DnaFeatureExtractor

LENGTH = 256


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 60_000).astype(np.uint8)
    (folder / "g.fa").write_text(f">one\n{decode(codes)}\n")
    tracks = []
    for name, firsts in (("B", range(1000, 59_000, 3000)), ("T", range(2000, 59_000, 6000))):
        path = folder / f"{name}.bed"
        path.write_text("".join(f"one\t{at}\t{at + 200}\n" for at in firsts))
        tracks.append(TrackSource(name, path, "peaks"))
    split = Split(train=("one:0-8000",), valid=("one:8000-20000",), test=("one:20000-60000",))
    return build_store(StoreInputs(folder / "g.fa", tuple(tracks), split=split, genome="toy"), folder / "store")


@pytest.fixture
def model():
    config = AtacConfig.from_preset(
        "dcnn-tiny",
        input_length=LENGTH,
        target_length=LENGTH,
        bin_size=16,
        id2label={0: "B", 1: "T"},
        label2id={"B": 0, "T": 1},
        problem_type="multi_label_classification",
        label_rule={"width": 200, "threshold": 0.0, "min_covered": 0.5},
    )
    return AtacForSequenceClassification(config).eval()


def test_one_track_by_hand():
    #            B's own peaks | peaks of others | closed, of which the last has another GC content
    scores = np.array([5.0, 2.0, 3.0, 1.0, 2.5, 0.0, 9.0])
    labels = np.array([1, 1, 0, 0, 0, 0, 0]) > 0
    has_peak = np.array([1, 1, 1, 1, 0, 0, 0]) > 0
    gc = np.array([20, 20, 20, 20, 20, 20, 40])
    found = class_scores(scores, labels, np.ones(7, bool), has_peak, gc, 1.0, 0)
    # 5 beats 2.5 and 0, 2 beats 0: 3 of 4; ranked + - + -, 1/2 * 1 + 1/2 * 2/3
    assert found["closed"] == {"n": 4, "positives": 2, "auroc": 0.75, "auprc": pytest.approx(5 / 6)}
    # 5 beats 3 and 1, 2 beats 1
    assert found["other_types"] == {"n": 4, "positives": 2, "auroc": 0.75, "auprc": pytest.approx(5 / 6)}
    known = np.array([1, 0, 1, 0, 1, 1, 1]) > 0
    assert class_scores(scores, labels, known, has_peak, gc, 2.0, 0)["other_types"]["n"] == 2
    none = class_scores(scores, np.zeros(7, bool), np.ones(7, bool), has_peak, gc, 1.0, 0)
    assert none["closed"] == {"n": 0, "positives": 0, "auroc": None, "auprc": None}


def test_matched_rows_follow_the_gc_content():
    gc = np.array([10] * 6 + [11] * 2 + [12] * 5)
    wanted = np.array([10, 10, 11, 11, 11])
    rows = matched_rows(wanted, np.arange(13), gc, ratio=1, seed=0)
    assert np.bincount(gc[rows], minlength=NUM_GC_BINS)[10:13].tolist() == [2, 2, 0]  # 11 runs out
    assert rows.tolist() == sorted(set(rows.tolist()))


def test_the_whole_evaluation(store, model, tmp_path):
    seen = []
    metrics = evaluate_classes(model, store, batch_size=7, progress=lambda *now: seen.append(now))
    json.dumps(metrics, allow_nan=False)
    # summits 1,100 + 3,000 k and 2,100 + 6,000 k, in [20,000, 60,000): 13 of B and 6 of T, none within 200 bp
    closed, others = metrics["results"]["B"]["closed"], metrics["results"]["B"]["other_types"]
    assert (others["positives"], others["n"] - others["positives"]) == (13, 6)
    assert closed["positives"] == 13
    assert metrics["results"]["T"]["other_types"]["positives"] == 6
    assert metrics["windows"]["kept"] == seen[-1][0] == seen[-1][1] == 19 + metrics["windows"]["background"]
    assert metrics["intervals"] == ["one:20000-60000"]
    again = evaluate_classes(model, store, batch_size=64)
    assert again["results"] == metrics["results"]
    assert again["peak_signal"] == pytest.approx(metrics["peak_signal"])
    assert all(-1 <= value <= 1 for value in metrics["peak_signal"].values())
    table = flatten_class_metrics(metrics)
    assert list(table["track"]) == ["B", "B", "T", "T", "mean", "mean"]
    assert table["auroc"][4] == pytest.approx((table["auroc"][0] + table["auroc"][2]) / 2)


def test_a_model_of_some_tracks_finds_them_by_name(store, model):
    assert store_for(["B", "T"], store) is store
    assert store_for(["T"], store).track_names == ["T"]
    assert store_for(["X"], store) is store
    with pytest.raises(ValueError, match=r"the model has labels \['B', 'T'\], but .* has tracks \['T'\]"):
        evaluate_classes(model, store_for(["T"], store))


def test_the_folder_and_the_table(store, model, tmp_path):
    run = tmp_path / "run"
    model.save_pretrained(run)
    DnaFeatureExtractor(input_length=LENGTH).save_pretrained(run)
    metrics = evaluate_run(run, store, device="cpu", batch_size=16)
    assert {path.name for path in (run / "evaluation").iterdir()} == {"metrics.json", "metrics.tsv", "classes.png"}
    assert json.loads((run / "metrics.json").read_text())["results"] == metrics["results"]
    assert metrics["reverse_complement"] is True
    one = evaluate_run(run, store, tmp_path / "one", device="cpu", average_rc=False)
    assert one["reverse_complement"] is False
    with pytest.raises(ValueError, match="--bin-size is for track models"):
        evaluate_run(run, store, tmp_path / "other", device="cpu", bin_sizes=[4])

    regions = pd.DataFrame({"chrom": ["one", "one"], "start": [30_000, 10], "end": [30_300, 20]})
    made = classes_to_table(model, store, tmp_path / "p.tsv", regions=regions, batch_size=1)
    table = pd.read_csv(made.path, sep="\t")
    assert list(table.columns) == ["chrom", "start", "end", "B", "T"]
    assert table["start"].tolist() == [30_000, 10]
    codes = store.codes("one")[30_150 - 128 : 30_150 + 128][None]
    with torch.no_grad():
        strands = [model(torch.from_numpy(each.copy())).logits for each in (codes, 3 - codes[:, ::-1])]
        expected = ((strands[0] + strands[1]) / 2).sigmoid().numpy()[0]
    np.testing.assert_allclose(table.loc[0, ["B", "T"]].to_numpy(float), expected, rtol=1e-4)
    whole = classes_to_table(model, store, tmp_path / "w.tsv", regions=regions.assign(end=[30_300, 600]), whole=True)
    assert whole.num_windows == 2 + 3  # 300 bp and 590 bp in windows of 256
    with pytest.raises(FileExistsError):
        classes_to_table(model, store, tmp_path / "p.tsv", regions=regions)


def test_both_strands_are_averaged_in_logits(model):
    codes = np.random.default_rng(1).integers(0, 4, (3, LENGTH)).astype(np.uint8)
    turned = np.array([3, 2, 1, 0, 4], np.uint8)[codes[:, ::-1]]
    (both,), (of_turned,) = (class_logits(model, [each]) for each in (codes, turned))
    np.testing.assert_array_equal(both, of_turned)
    (forward,), (backward,) = (class_logits(model, [each], average_rc=False) for each in (codes, turned))
    np.testing.assert_allclose(both, (forward + backward) / 2, rtol=1e-6)
    assert not np.allclose(both, forward, atol=1e-3)


def test_windows_give_the_mean_of_their_central_200_bp(store):
    windows = pd.DataFrame({"chrom": "one", "start": [1100 - 128, 1100 - 28, 1300], "end": [1228, 1328, 1556]})
    # B's first peak is 1,000-1,200: the central 200 bp of the windows are it, its right half, and none of it
    np.testing.assert_array_equal(window_peak_means(store, windows)[:, 0], [1, 0.5, 0])


def test_peak_means_by_hand():
    assert [peak_width(*sizes) for sizes in ((4, 1024), (64, 1024), (4, 100), (256, 1024))] == [200, 192, 100, 256]
    signal = np.zeros((1, 1, 8), np.float32)
    signal[0, 0] = [9, 9, 9, 1, 2, 9, 9, 9]  # bins of 100 bp, the middle two are the centre
    assert peak_means(signal, bin_size=100).tolist() == [[[1.5]]]
    signal[0, 0, 4] = np.nan
    assert np.isnan(peak_means(signal, bin_size=100)).all()
