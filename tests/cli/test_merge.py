"""`chromhub merge` as a user calls it."""

import json

from chromhub.cli import app
from chromhub.inference.load import load_model
from typer.testing import CliRunner

from ..hub_models.toy_run import toy_adapter, toy_run

RUNNER = CliRunner()


def test_merge_and_evaluate_guard(tmp_path, tiny_model):
    run = toy_run(tmp_path / "run", tiny_model)
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, run)
    result = RUNNER.invoke(app, ["merge", str(adapter), "-o", str(tmp_path / "merged"), "--json"])
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["max_difference"] < 1e-6
    assert load_model(made["folder"]).config.track_names == ["track_0"]
    result = RUNNER.invoke(app, ["merge", str(run), "-o", str(tmp_path / "again")])
    assert result.exit_code == 2
    assert "is no adapter (no adapter_config.json), so there is nothing to merge" in result.stderr
