"""`chromhub evaluate-variants` as a user calls it."""

import json

import numpy as np
import pandas as pd
import pytest
from chromhub.cli import app
from chromhub.inference.ranking import spearman
from typer.testing import CliRunner

RUNNER = CliRunner()


def call(*arguments):
    return RUNNER.invoke(app, ["evaluate-variants", *map(str, arguments)])


def table(path, **columns):
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture
def scores(tmp_path):
    """Five scored variants, and one that was not."""
    return table(
        tmp_path / "scores.tsv",
        **{"chrom": ["chr1"] * 6, "pos": range(11, 17), "id": ["."] * 6, "ref": ["A"] * 6, "alt": ["C"] * 6},
        status=["ok"] * 5 + ["ref_mismatch"],
        logfc=["0.5", "-0.25", "1", "-1", "0.125", ""],
        jsd=["0.1"] * 5 + [""],
    )


def test_an_effect(scores, tmp_path):
    effects = [0.2, -0.1, 0.9, 0.3, "", 0.4]
    positions = {"#chrom": ["1"] * 6, "position": range(11, 17), "allele1": ["a"] * 6, "allele2": ["c"] * 6}
    truth = table(tmp_path / "truth.tsv", **positions, activity=effects)
    result = call(scores, "--truth", truth, "--effect", "activity", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["n"], found["dropped"]) == (4, {"not scored": 1, "no effect": 1})
    # signs + - + - against + - + +: two of three rises and the one fall are right
    measures = found["measures"]
    assert measures["balanced_accuracy"]["value"] == pytest.approx((2 / 3 + 1) / 2)
    assert measures["f1"]["value"] == pytest.approx(0.8)
    expected = spearman(np.array([0.5, -0.25, 1, -1]), np.array([0.2, -0.1, 0.9, 0.3]))
    assert measures["spearman"]["value"] == pytest.approx(expected)
    assert measures["spearman"]["low"] <= expected <= measures["spearman"]["high"]
    assert json.loads((tmp_path / "out" / "variants.json").read_text()) == found
    rows = pd.read_csv(tmp_path / "out" / "variants.tsv", sep="\t")
    assert rows[["pos", "predicted", "truth"]].values.tolist() == [
        [11, 0.5, 0.2],
        [12, -0.25, -0.1],
        [13, 1, 0.9],
        [14, -1, 0.3],
    ]
    assert (tmp_path / "out" / "variants.png").read_bytes().startswith(b"\x89PNG")


def test_labels_beside_a_published_score(scores, tmp_path):
    positions = {"chrom": ["chr1"] * 5, "pos": range(11, 16), "ref": ["A"] * 5, "alt": ["C"] * 5}
    truth = table(tmp_path / "truth.tsv", **positions, label=[-1, -1, 1, 1, -1], svm=[9, 1, 2, -8, 0])
    result = call(scores, "--truth", truth, "--label", "label", "--beside", "svm", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "5 variants, logfc against label" in result.stdout
    found = json.loads((tmp_path / "out" / "variants.json").read_text())
    assert found["positives"] == 2
    # sizes .5 .25 1 1 .125 rank both positives first; of 9 1 2 8 0 one of three others lies above both
    assert found["measures"]["auroc"]["value"] == 1
    assert found["measures"]["auprc"] == {"value": 1.0, "low": 1.0, "high": 1.0, "random": 0.4}
    assert found["beside"]["measures"]["auroc"]["value"] == pytest.approx(4 / 6)


def test_allele_counts(scores, tmp_path):
    counts = {
        "wgs_ref": [30, 30, 30, 60, 30],
        "wgs_alt": [30, 30, 30, 10, 30],
        "atac_ref": [10, 45, 20, 10, 25],
        "atac_alt": [50, 10, 20, 50, 26],
    }
    positions = {"chrom": ["chr1"] * 5, "pos": range(11, 16), "ref": ["A"] * 5, "alt": ["C"] * 5}
    truth = table(tmp_path / "truth.tsv", **positions, **counts)
    result = call(scores, "--truth", truth, "--json", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["n"] == 2  # the first, and the second; then even, unbalanced in the genome, even
    assert found["dropped"] == {"not scored": 0, "WGS allele fraction": 1, "Fisher's exact test": 2, "odds ratio": 0}
    assert found["measures"]["mcc"]["value"] == 1
    rows = pd.read_csv(tmp_path / "out" / "variants.tsv", sep="\t")
    assert rows["truth"].tolist() == pytest.approx([np.log2(5), np.log2(10 / 45)], rel=1e-5)


def test_bad_input_ends_in_one_sentence(scores, tmp_path):
    positions = {"chrom": ["chr1"], "pos": [11], "ref": ["A"], "alt": ["C"]}
    truth = table(tmp_path / "truth.tsv", **positions, label=[2], words=["x"])
    elsewhere = table(tmp_path / "elsewhere.tsv", **{**positions, "pos": [99]}, label=[1])
    other = table(tmp_path / "other.tsv", **{**positions, "chrom": ["chr9"]}, label=[1])
    twice = table(tmp_path / "twice.tsv", **{name: [*values, *values] for name, values in positions.items()})
    (tmp_path / "empty.tsv").touch()
    (tmp_path / "bad.tsv").write_text("chrom\tpos\tref\n")
    for arguments, sentence in (
        ([scores, "--truth", truth], "must have columns wgs_ref, wgs_alt, atac_ref, atac_alt, but lacks wgs_ref"),
        ([scores, "--truth", truth, "--label", "label"], "labels must be 1 or 0"),
        ([scores, "--truth", truth, "--effect", "words"], "column 'words' must hold numbers, got 'x'"),
        ([scores, "--truth", truth, "--effect", "size"], "have no column 'size'"),
        ([scores, "--truth", truth, "--effect", "a", "--label", "b"], "give --effect or --label, not both"),
        ([scores, "--truth", truth, "--score", "sad"], "the scores have no column 'sad'; they have logfc, jsd"),
        ([scores, "--truth", elsewhere, "--label", "label"], "none of the 1 measured variants has been scored"),
        ([scores, "--truth", other, "--label", "label"], "no chromosome name in common"),
        ([scores, "--truth", twice, "--label", "label"], "chr1:11 A>C is there twice"),
        ([scores, "--truth", tmp_path / "empty.tsv"], "is empty"),
        ([scores, "--truth", tmp_path / "bad.tsv"], "bad.tsv, line 1: the header must name chrom, pos, ref and alt"),
        ([scores, "--truth", tmp_path / "none.tsv"], "none.tsv"),
    ):
        result = call(*arguments, "-o", tmp_path / "new")
        assert result.exit_code == 2, (sentence, result.output)
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
