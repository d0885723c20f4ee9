"""Landscape models measured by bin and by gene, beside a linear model."""

import json

import numpy as np
import pandas as pd
import pytest
from chromhub.cli import app
from chromhub.datasets_scripts.landscape_signal import LandscapeGrid
from chromhub.inference.evaluate_landscape import compare_sides, gene_signal
from chromhub.inference.evaluation_folder import evaluate_run
from chromhub.inference.linear_landscape import LinearLandscape, fit_linear, local_features, target_bin_means
from chromhub.inference.provenance import Provenance, part_intervals
from chromhub.modeling import ClasterConfig, ClasterForProfileRegression
from typer.testing import CliRunner

from ..landscape_folder import write_landscape


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_landscape(tmp_path_factory.mktemp("sim") / "data")[0]


@pytest.fixture
def run(tmp_path, data):
    grid = data.grid
    config = ClasterConfig.from_preset(
        "claster-tiny", num_input_bins=grid.num_input_bins, num_bins=grid.num_bins, bin_size=grid.bin_size,
        track_names=data.track_names, input_tracks=data.input_tracks,
    )  # fmt: skip
    ClasterForProfileRegression(config).save_pretrained(tmp_path / "run")
    Provenance(
        None, "toy", part_intervals(data, "train"), part_intervals(data, "valid"), ("RNA0",), 5, "scratch",
        data.fingerprint,
    ).save(tmp_path / "run")  # fmt: skip
    return tmp_path / "run"


def test_a_folder_of_numbers(run, data):
    metrics = evaluate_run(run, data, device="cpu", batch_size=3)
    folder = run / "evaluation"
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "metrics.tsv", "scatter.png", "tracks.png"}
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert metrics["task"] == "landscape"
    assert metrics["leak"] == {"checked": True, "allowed": False, "overlaps": []}
    levels = metrics["results"]["RNA0"]
    rows = data.rows("test")
    assert levels["bins"]["model"]["raw"]["n"] == data.mask[rows].sum()
    assert levels["genes"]["linear"]["raw"]["n"] == len(rows)  # of 600 bp in 4,200 bp
    assert len(pd.read_csv(folder / "metrics.tsv", sep="\t")) == 3 * 2 * 2
    # batches do not matter
    again = evaluate_run(run, data, overwrite=True, device="cpu", batch_size=64)["results"]["RNA0"]
    assert again["bins"]["model"]["raw"]["pearson"] == pytest.approx(
        levels["bins"]["model"]["raw"]["pearson"], abs=1e-6
    )


def test_the_command(run, data, tmp_path):
    def invoke(*more):
        return CliRunner().invoke(app, ["evaluate", str(run), "--data", str(data.path), "--device", "cpu", *more])

    shown = invoke()
    assert shown.exit_code == 0, shown.output
    assert "start sites" in shown.stdout
    assert "linear" in shown.stdout
    assert "genes" in shown.stderr
    for more, message in (
        (["--bin-size", "4"], "is a landscape model: leave it out"),
        (["--one-strand"], "--one-strand is for models that read sequence"),
        (["--part", "train"], "overlaps what the model"),
    ):
        refused = invoke(*more, "-o", str(tmp_path / "out"))
        assert refused.exit_code == 2
        assert message in refused.stderr
    said = json.loads(invoke("--json", "--overwrite").stdout)
    assert list(said["results"]["RNA0"]) == ["bins", "genes", "start_sites"]


def test_data_of_another_kind_are_refused(tiny_model, tmp_path, data):
    tiny_model.save_pretrained(tmp_path / "run")
    with pytest.raises(ValueError, match="holds a AtacForTrackPrediction, which"):
        evaluate_run(tmp_path / "run", data, device="cpu")


def test_measures_by_hand():
    # predicted 1, 3, 7 and true 1, 7, 3: in log2(1 + x) 1, 2, 3 and 1, 3, 2
    found = compare_sides(np.array([1.0, 3, 7]), np.array([1.0, 7, 3]))
    assert found["log2p1"]["pearson"] == pytest.approx(0.5)  # 1 - 6 * 2 / (3 * 8)
    assert found["raw"]["spearman"] == pytest.approx(0.5)
    assert found["raw"]["mse"] == pytest.approx(32 / 3)
    assert found["raw"]["mae"] == pytest.approx(8 / 3)
    assert found["log2p1"]["r2"] == pytest.approx(1 - 2 / 2)
    flat = compare_sides(np.ones(3), np.array([1.0, 7, 3]))["raw"]
    assert flat["pearson"] is None
    assert flat["mse"] is not None
    assert compare_sides(np.zeros(0), np.zeros(0))["raw"]["n"] == 0


def test_signal_of_genes(data):
    genes = data.genes.iloc[:3].assign(end=lambda table: table["start"] + 600)
    level = np.full((3, data.grid.num_bins), 7.0)
    assert gene_signal(level, genes, data, measure="gene") == pytest.approx([7, 7, 7])  # a flat profile's mean
    assert gene_signal(level, genes, data, measure="tss") == pytest.approx([7, 7, 7])
    long = genes.assign(end=genes["start"] + 100_000)
    assert np.isnan(gene_signal(level, long, data, measure="gene")).all()


def test_means_in_target_bins():
    # input bins of 100 bp around 0: -250 to 250; target bins of 150 bp: -225, -75, 75, 225
    grid = LandscapeGrid(5, 100, num_bins=3, bin_size=150, fine_bin_size=50, smoothing=0)
    landscape = np.array([[[4.0, 8.0, 12.0, 16.0, 20.0]]])
    # -225 to -75: 75 bp of 4 and 75 of 8; -75 to 75: 25 of 8, 100 of 12, 25 of 16
    assert target_bin_means(landscape, grid, reach=0)[0, 0].tolist() == [6, 12, 18]
    # one more on the right: 225 to 375 has 25 bp of 20
    assert target_bin_means(landscape, grid, reach=1)[0, 0, -1] == pytest.approx(500 / 150)
    around = local_features(landscape, grid, reach=1)
    assert around.shape == (1, 3, 3)
    assert np.expm1(around[0, 1]).tolist() == pytest.approx([6, 12, 18])


def test_a_linear_rule_is_found(data):
    """A target that is linear in log1p of the tracks in its bin is predicted exactly."""
    rule = LinearLandscape(data.grid, 0, np.zeros(4), np.ones(4), np.array([[0.5], [0.2], [0.3], [0.0], [0.1]]))
    landscapes = np.asarray(data.landscapes)
    exact = type(data)(**{**vars(data), "targets": rule.predict(landscapes).astype(np.float32)})
    found = fit_linear(exact, data.rows("train"), reach=2, penalty=1e-6)
    rows = data.rows("test")
    assert found.predict(landscapes[rows]) == pytest.approx(exact.targets[rows], rel=1e-3)
    with pytest.raises(ValueError, match="needs training genes, got none"):
        fit_linear(data, np.zeros(0, int))
