"""`chromhub robustness` as a user calls it."""

import json

from chromhub.cli import app
from typer.testing import CliRunner

RUNNER = CliRunner()


def robustness(*arguments):
    return RUNNER.invoke(app, ["robustness", *map(str, arguments), "--device", "cpu"])


def test_a_table_and_a_folder(run, store, tmp_path):
    options = ["--data", store.path, "-o", tmp_path / "out", "--max-regions", 2, "--max-shift", 64]
    result = robustness(run, *options)
    assert result.exit_code == 0, result.output
    assert "test part of store, 5 shifts" in result.stdout
    found = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert f"{found['results']['track_0']['peaks']['pooled']['score']:.4f}" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "robustness.json",
        "robustness.tsv",
        "positions.png",
    }
    again = robustness(run, *options, "--overwrite", "--json")
    assert json.loads(again.stdout) == found


def test_bad_input_ends_in_one_sentence(run, store, tmp_path):
    data, out = ["--data", store.path], ["-o", tmp_path / "new"]
    for arguments, sentence in (
        ([run, *data, "-o", run, "--overwrite"], "holds other files ("),
        ([run, *data, *out, "--part", "tests"], "--part must be one of train, valid, test"),
        ([run, *data, *out, "--step", 5], "the step must be a positive multiple"),
    ):
        result = robustness(*arguments)
        assert result.exit_code == 2, (sentence, result.output)
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
