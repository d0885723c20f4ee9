"""`chromhub evaluate` as a user calls it."""

import json

import numpy as np
from chromhub.cli import app
from chromhub.inference.provenance import Provenance, part_intervals
from huggingface_hub import HfApi
from typer.testing import CliRunner

RUNNER = CliRunner()


def evaluate(*arguments):
    return RUNNER.invoke(app, ["evaluate", *map(str, arguments), "--device", "cpu"])


def test_a_table_and_a_folder(run, store):
    result = evaluate(run, "--data", store.path)
    assert result.exit_code == 0, result.output
    assert "test part of store" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if "genome_wide" in line]
    assert [row[2:4] for row in rows] == [
        ["4", "model"],
        ["16", "model"],
        ["128", "model"],
        ["512", "model"],
        ["512", "floor"],
    ]
    assert (
        "floor: 6-mer ridge on 14 tiles (all training windows of the data by the default plan, since" in result.stderr
    )
    assert "no base: the run has no record of a base" in result.stderr
    pearson = json.loads((run / "metrics.json").read_text())["results"]["atac"]["genome_wide"]["pooled"]["4"]["log1p"]
    assert f"{pearson['pearson']:.4f}" in rows[0]
    assert (run / "evaluation" / "scatter.png").exists()
    assert "on cpu (" in result.stderr
    assert "has no provenance.json" in result.stderr
    assert f"wrote {run / 'evaluation'}" in result.stderr


def test_json_is_all_there_is_on_standard_output(run, store, tmp_path):
    options = ["--json", "-o", tmp_path / "out", "--bin-size", 64, "--part", "valid", "--no-floor", "--no-base"]
    result = evaluate(run, "--data", store.path, *options)
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["part"] == "valid"
    assert metrics["reverse_complement"] is True
    assert list(metrics["results"]["atac"]["genome_wide"]["pooled"]) == ["64"]
    assert metrics["floor"] == {"why": "left out (--no-floor)"}
    assert metrics["base"] == {"why": "left out (--no-base)"}
    assert not (run / "metrics.json").exists()


def test_one_strand_is_recorded(run, store):
    both = json.loads(evaluate(run, "--data", store.path, "--json").stdout)
    one = json.loads(evaluate(run, "--data", store.path, "--json", "--one-strand", "--overwrite").stdout)
    assert (both["reverse_complement"], one["reverse_complement"]) == (True, False)
    assert both["results"] != one["results"]


def test_halves_of_reads_are_the_ceiling(run, store, tmp_path):
    rng = np.random.default_rng(0)
    starts = rng.choice([1500, 4000, 7000], 300) + rng.integers(0, 60, 300)
    reads = tmp_path / "reads.bed"
    reads.write_text("".join(f"chrA\t{start}\t{start + 80}\n" for start in starts) + "chrC\t2000\t2100\n")
    options = ["--no-floor", "--no-base", "--reads", f"atac={reads}", "--tn5-shift", "4,-4"]
    result = evaluate(run, "--data", store.path, *options, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    ceiling = json.loads((tmp_path / "out" / "metrics.json").read_text())["ceiling"]
    assert ceiling["reads"] == {"atac": {"file": "reads.bed", "tn5_shift": [4, -4]}}
    assert ceiling["results"]["atac"]["genome_wide"]["pooled"]["128"]["log1p"]["pearson"] > 0.9
    assert sum("ceiling" in line for line in result.stdout.splitlines()) == 4
    wrong = evaluate(run, "--data", store.path, *options[:2], "--reads", f"x={reads}", "-o", tmp_path / "no")
    assert "has no track 'x'" in wrong.stderr


def test_a_leak_is_refused_in_one_sentence_or_said_aloud(run, store):
    seen = part_intervals(store, "test")
    Provenance(None, "toy", seen, (), ("atac",), 0, "scratch", store.fingerprint).save(run)
    refused = evaluate(run, "--data", store.path)
    assert refused.exit_code == 2
    assert refused.stderr.splitlines() == [refused.stderr.strip()]
    assert "chrA:0-9002, chrC:0-5001; choose another split, or give --allow-leak" in refused.stderr
    allowed = evaluate(run, "--data", store.path, "--allow-leak", "--json")
    assert allowed.exit_code == 0, allowed.output
    assert json.loads(allowed.stdout)["leak"]["overlaps"] == ["chrA:0-9002", "chrC:0-5001"]
    assert "the numbers are too good" in allowed.stderr


def test_a_model_of_the_hub(run, store, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HfApi().create_repo("org/tiny")
    HfApi().upload_folder(repo_id="org/tiny", folder_path=run)
    result = evaluate("org/tiny", "--data", store.path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "tiny-evaluation" / "metrics.json").exists()
    assert json.loads((tmp_path / "tiny-evaluation" / "metrics.json").read_text())["model"] == "org/tiny"


def test_bad_input_ends_in_one_sentence(run, store, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, sentence in (
        (["./none", "--data", store.path], "no model folder './none'"),
        ([tmp_path / "empty", "--data", store.path], "holds no model"),
        ([run, "--data", tmp_path / "empty"], "is not a chromhub store"),
        ([run, "--data", store.path, "--part", "tests"], "--part must be one of train, valid, test, got 'tests'"),
        ([run, "--data", store.path, "--bin-size", 6], "bin sizes must be multiples of the data's 4 bp"),
        ([run, "--data", store.path, "-o", run], "already exists"),
    ):
        result = evaluate(*arguments)
        assert result.exit_code == 2, sentence
        assert result.stderr.startswith("error: ")
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (run / "evaluation").exists()
