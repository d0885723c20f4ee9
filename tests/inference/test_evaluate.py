import json

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.datasets_scripts.dataset import WindowDataset, evaluation_windows
from chromhub.datasets_scripts.folds import Split
from chromhub.inference.evaluate import check_fit, evaluate, flatten_metrics, predicted_and_true
from chromhub.inference.joint_levels import levels
from chromhub.inference.peak_calls import CallRule, PeakCaller, agreement
from chromhub.inference.peak_shape import cosine_similarity
from chromhub.inference.ranking import spearman
from chromhub.inference.track_states import rebin
from chromhub.modeling import AtacConfig, AtacForTrackPrediction

from .toy_genome import SPLIT, toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def by_numpy(model, store, kind, chroms, *, factor, summary, log):
    """Evaluate the plain way: all windows at once, one strand, numpy.corrcoef on everything flattened."""
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024, kind=kind)
    windows = windows[windows["chrom"].isin(chroms)]
    batch = WindowDataset(store, windows, input_length=2048).batch(range(len(windows)))
    with torch.no_grad():
        predictions = model(torch.from_numpy(batch["inputs"])).predictions[..., 128:384]
    predicted, true = (
        np.expm1(predictions.double().numpy()).ravel(),
        batch["labels"][..., 128:384].astype(float).ravel(),
    )
    predicted, true = (summary(values.reshape(-1, factor), axis=1) for values in (predicted, true))
    levels_of = [levels(side) for side in (predicted, true)]
    if log:
        predicted, true = np.log1p(predicted), np.log1p(true)
    expected = {
        "n": len(true),
        "pearson": pytest.approx(np.corrcoef(predicted, true)[0, 1], abs=1e-6),
        "mse": pytest.approx(np.mean((predicted - true) ** 2), rel=1e-5),
        "spearman": pytest.approx(spearman(*levels_of), abs=5e-3),
    }
    if log:
        return expected
    deviance, null = (
        2 * np.mean(true * np.log(np.where(true > 0, true, 1) / mean) - true + mean)
        for mean in (predicted, true.mean())
    )
    return expected | {
        "poisson_deviance": pytest.approx(deviance, rel=1e-4),
        "deviance_explained": pytest.approx(1 - deviance / null, abs=1e-4),
    }


def test_numbers_equal_numpy(tiny_model, store):
    metrics = evaluate(tiny_model, store, average_rc=False)
    for name, kind in (("genome_wide", "tile"), ("peaks", "peaks")):
        result = metrics["results"]["atac"][name]
        for size in (4, 16, 128):
            for scale in ("log1p", "raw"):
                options = {"factor": size // 4, "summary": np.max, "log": scale == "log1p"}
                chroms = ["chrA", "chrC"]
                assert result["pooled"][str(size)][scale] == by_numpy(tiny_model, store, kind, chroms, **options)
                for chrom, table in result["chroms"].items():
                    assert table[str(size)][scale] == by_numpy(tiny_model, store, kind, [chrom], **options)
    # chrC has 5,001 bp, 4 whole targets; chrA 9,002 bp, 8, of which the first is all N. 256 bins each.
    chroms = metrics["results"]["atac"]["genome_wide"]["chroms"]
    assert {chrom: table["4"]["raw"]["n"] for chrom, table in chroms.items()} == {"chrA": 7 * 256, "chrC": 4 * 256}
    assert list(metrics["results"]["atac"]["peaks"]["chroms"]) == ["chrA"]


def test_what_is_recorded(tiny_model, store):
    seen = []
    metrics = evaluate(tiny_model, store, batch_size=4, progress=lambda *now: seen.append(now))
    json.dumps(metrics, allow_nan=False)
    assert metrics["part"] == "test"
    assert metrics["intervals"] == ["chrA:0-9002", "chrC:0-5001"]
    assert metrics["data"] == {
        "name": "store",
        "genome": "toy",
        "fingerprint": store.fingerprint,
        "bin_size": 4,
        "summary": "max",
        "tracks": ["atac"],
    }
    assert metrics["windows"]["genome_wide"] == {"kind": "tile", "candidates": 12, "dropped": {"N": 1}, "kept": 11}
    assert metrics["windows"]["peaks"]["kept"] == 2
    assert (metrics["reverse_complement"], metrics["bf16"]) == (True, False)
    assert "torch" in metrics["versions"]
    assert seen == [(0, 13), (4, 13), (7, 13), (11, 13), (13, 13)]


def test_batch_size_does_not_matter(tiny_model, store):
    one, other = (flatten_metrics(evaluate(tiny_model, store, batch_size=size)) for size in (1, 64))
    pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-6)


def test_both_strands_are_averaged_in_the_scale_of_training(tiny_model, store):
    both, one = evaluate(tiny_model, store), evaluate(tiny_model, store, average_rc=False)
    assert (both["reverse_complement"], one["reverse_complement"]) == (True, False)
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    batch = WindowDataset(store, windows, input_length=2048).batch(range(len(windows)))
    turned = np.array([3, 2, 1, 0, 4], np.uint8)[batch["inputs"][:, ::-1]]
    with torch.no_grad():
        given, reverse = (tiny_model(torch.from_numpy(codes)).predictions for codes in (batch["inputs"], turned))
    predicted = torch.expm1((given + reverse.flip(-1)) / 2)[..., 128:384].numpy().ravel()
    true = batch["labels"][..., 128:384].ravel()
    found, of_one = (m["results"]["atac"]["genome_wide"]["pooled"]["4"]["raw"]["pearson"] for m in (both, one))
    assert found == pytest.approx(np.corrcoef(predicted, true)[0, 1], abs=1e-6)
    assert found != pytest.approx(of_one, abs=1e-4)
    pairs = list(predicted_and_true(tiny_model, store, windows))
    np.testing.assert_allclose(np.concatenate([pair[1] for pair in pairs]).ravel(), predicted, rtol=1e-5, atol=1e-6)


def test_a_store_without_peaks_has_one_set(tiny_model, tmp_path):
    metrics = evaluate(tiny_model, toy_store(tmp_path, peaks=False))
    assert list(metrics["windows"]) == ["genome_wide"]
    assert list(metrics["results"]["atac"]) == ["genome_wide"]


def test_a_part_without_a_peak_has_a_report_but_no_result(tiny_model, store):
    metrics = evaluate(tiny_model, store, part="valid")
    assert metrics["windows"]["peaks"]["kept"] == 0
    assert list(metrics["results"]["atac"]) == ["genome_wide"]


def test_peaks_are_called_on_both_sides(tiny_model, store):
    rule = CallRule(0.5)
    found = evaluate(tiny_model, store, peak_cutoff=0.5, batch_size=3)["peak_calls"]["atac"]
    assert found["rule"] == {"cutoff": 0.5, "min_length": 200, "max_gap": 30, "min_overlap": 0.5}
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    expected = {}
    for chrom, rows in windows.groupby("chrom", sort=False):
        sides = [
            np.concatenate(side) for side in list(zip(*predicted_and_true(tiny_model, store, rows), strict=True))[1:]
        ]
        called = []
        for side in sides:
            caller = PeakCaller(rule, bin_size=4)
            for start, row in zip(rows["start"] + 512, side[:, 0], strict=True):
                caller.add(start, row)
            called.append(caller.finish())
        expected[chrom] = agreement(*called).summary()
    assert found["chroms"] == expected
    assert found["pooled"]["true"] == sum(row["true"] for row in expected.values()) > 0


def test_the_truth_has_f1_1_and_cosine_1(tiny_model, store, monkeypatch):
    plain = predicted_and_true
    monkeypatch.setattr(
        "chromhub.inference.evaluate.predicted_and_true",
        lambda *args, **options: ((chrom, true.copy(), true) for chrom, _, true in plain(*args, **options)),
    )
    metrics = evaluate(tiny_model, store, peak_cutoff=0.5)
    assert metrics["peak_calls"]["atac"]["pooled"]["f1"] == 1
    assert metrics["shape"]["atac"]["pooled"]["cosine"] == pytest.approx(1)
    assert metrics["shape"]["atac"]["pooled"]["predicted"] == metrics["shape"]["atac"]["pooled"]["true"]
    numbers = metrics["results"]["atac"]["genome_wide"]["pooled"]["4"]["raw"]
    assert numbers["spearman"] == pytest.approx(1)
    assert numbers["poisson_deviance"] == pytest.approx(0, abs=1e-6)
    assert all(row["predicted"] == row["true"] for row in metrics["calibration"]["atac"]["bins"])
    # the default cutoff: a fiftieth of the true bins lies above
    cutoff = evaluate(tiny_model, store)["peak_calls"]["atac"]["rule"]["cutoff"]
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    true = np.concatenate([true.ravel() for _, _, true in plain(tiny_model, store, windows)])
    assert np.mean(true > cutoff) == pytest.approx(0.02, abs=0.001)


def test_shape_of_peaks(tiny_model, store):
    found = evaluate(tiny_model, store)["shape"]["atac"]
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024, kind="peaks")
    ((_, predicted, true),) = predicted_and_true(tiny_model, store, windows)
    assert found["pooled"] == found["chroms"]["chrA"]
    assert found["pooled"]["peaks"] == 2
    assert found["pooled"]["cosine"] == pytest.approx(cosine_similarity(predicted[:, 0], true[:, 0]).mean(), rel=1e-5)
    profile = true[:, 0].mean(axis=0)
    expected = (profile - profile.min()) / (profile.max() - profile.min())
    assert found["pooled"]["true"] == pytest.approx(expected, abs=1e-5)


def test_tracks_keep_their_order(tmp_path):
    store = toy_store(tmp_path, tracks=("one", "two"), summary="mean")
    config = AtacConfig.from_preset("dcnn-tiny", num_tracks=2, track_names=["one", "two"], target_summary="mean")
    model = AtacForTrackPrediction(config).eval()
    metrics = evaluate(model, store, bin_sizes=[128, 64])
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=1024)
    pairs = list(predicted_and_true(model, store, windows))
    for track, name in enumerate(("one", "two")):
        predicted, true = (
            np.concatenate([pair[i][:, track] for pair in pairs]).reshape(-1, 16).mean(axis=1) for i in (1, 2)
        )
        result = metrics["results"][name]["genome_wide"]["pooled"]
        assert list(result) == ["64", "128"]
        assert result["64"]["raw"]["pearson"] == pytest.approx(np.corrcoef(predicted, true)[0, 1], abs=1e-5)


def test_masked_bins_do_not_count(tiny_model, store):
    class Masked(type(store)):
        has_masks = True

        def gather_mask(self, starts, length):
            """Every bin of 512 bp but the first 256 bp counts, so half of them do."""
            return np.tile(np.uint8(np.arange(length // 4) // 64 % 2), (len(starts), 1, 1))

    masked = Masked.open(store.path)
    whole, half = (evaluate(tiny_model, s)["results"]["atac"]["genome_wide"]["pooled"] for s in (store, masked))
    assert half["4"]["raw"]["n"] == whole["4"]["raw"]["n"] / 2
    assert half["128"]["raw"]["n"] == whole["128"]["raw"]["n"] / 2
    windows, _ = evaluation_windows(masked, "test", input_length=2048, target_length=1024)
    pairs = list(predicted_and_true(tiny_model, masked, windows))
    predicted, true = (np.concatenate([pair[i] for pair in pairs]).ravel() for i in (1, 2))
    known = ~np.isnan(true)
    expected = np.corrcoef(predicted[known], true[known])[0, 1]
    assert half["4"]["raw"]["pearson"] == pytest.approx(expected, abs=1e-6)


def test_a_constant_prediction_is_null(tiny_model, store):
    with torch.no_grad():
        tiny_model.head.weight.zero_()
    result = evaluate(tiny_model, store)["results"]["atac"]["genome_wide"]["pooled"]["4"]["log1p"]
    assert result["pearson"] is None
    assert result["mse"] > 0


def test_flatten_metrics(tiny_model, store):
    metrics = evaluate(tiny_model, store)
    table = flatten_metrics(metrics)
    columns = ["track", "set", "chrom", "bin_size", "scale", "n", "pearson", "mse", "spearman", "poisson_deviance"]
    assert list(table.columns) == [*columns, "of"]
    assert set(table["of"]) == {"model"}
    assert table["poisson_deviance"].notna().tolist() == (table["scale"] == "raw").tolist()
    # genome-wide: pooled and 2 chromosomes, peaks: pooled and 1; each 4 bin sizes and 2 scales. Then peak signal, one
    # width for pooled and 1 chromosome.
    assert len(table) == (3 + 2) * 4 * 2 + 2 * 2
    row = table[(table["set"] == "peaks") & (table["chrom"] == "chrA") & (table["bin_size"] == 16)].iloc[0]
    assert row["pearson"] == metrics["results"]["atac"]["peaks"]["chroms"]["chrA"]["16"]["log1p"]["pearson"]
    assert table["pearson"].dtype == np.float64


def test_rebin():
    values = np.array([[[1.0, 3.0, 2.0, 8.0]]])
    assert rebin(values, 1, summary="max") is values
    assert rebin(values, 2, summary="max").tolist() == [[[3, 8]]]
    assert rebin(values, 2, summary="mean").tolist() == [[[2, 5]]]
    assert rebin(values, 4, summary="sum").tolist() == [[[14]]]


@pytest.mark.parametrize("size", [2, 6, 12, 0, -4, 2048])
def test_bin_sizes_that_do_not_fit(tiny_model, store, size):
    with pytest.raises(
        ValueError, match=rf"multiples of the data's 4 bp that divide the target of 1024 bp, got {size}"
    ):
        evaluate(tiny_model, store, bin_sizes=[4, size])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"bin_size": 8}, r"the model's bin size is 8, but that of .*store is 4"),
        ({"target_summary": "mean"}, r"the model's summary is mean, but that of .*store is max"),
        ({"num_tracks": 2}, r"the model's number of tracks is 2, but that of .*store is 1"),
    ],
)
def test_a_model_of_other_signal_is_refused(store, fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_fit(AtacConfig.from_preset("convnext-dcnn-tiny", **fields), store)


def test_names_count_only_among_several_tracks(store, tmp_path):
    check_fit(AtacConfig.from_preset("dcnn-tiny", track_names=["another"]), store)
    two = toy_store(tmp_path, tracks=("one", "two"))
    with pytest.raises(ValueError, match=r"the model's tracks are two, one, but those of .* are one, two"):
        check_fit(AtacConfig.from_preset("dcnn-tiny", num_tracks=2, track_names=["two", "one"]), two)


def test_a_part_without_a_window_is_refused(tiny_model, tmp_path):
    split = Split(train=SPLIT.train, valid=(), test=("chrC:0-1000",))
    with pytest.raises(ValueError, match="no window of the test part"):
        evaluate(tiny_model, toy_store(tmp_path, split=split))
