"""`chromhub merge` as a user calls it, and `chromhub evaluate` of what it made."""

import json

from chromhub.cli import app
from chromhub.inference.load import load_model
from chromhub.inference.provenance import Provenance, part_intervals
from typer.testing import CliRunner

from ..hub_models.toy_run import toy_adapter, toy_run
from ..inference.toy_genome import toy_store

RUNNER = CliRunner()


def test_merge_and_what_the_base_has_seen(tmp_path, tiny_model):
    run, store = toy_run(tmp_path / "run", tiny_model), toy_store(tmp_path / "data")
    seen = part_intervals(store, "test")[:1]
    base = Provenance(None, store.genome, seen, (), ("base",), seed=0, mode="scratch", data_fingerprint="")
    base.save(run)
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, run)
    result = RUNNER.invoke(app, ["merge", str(adapter), "-o", str(tmp_path / "merged"), "--json"])
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["max_difference"] < 1e-6
    assert load_model(made["folder"]).config.track_names == ["track_0"]

    chrom, (start, end) = seen[0].chrom, seen[0].intervals[0]
    for model in (adapter, made["folder"]):
        refused = RUNNER.invoke(
            app, ["evaluate", str(model), "--data", str(store.path), "--device", "cpu", "-o", str(tmp_path / "e")]
        )
        assert refused.exit_code == 2
        assert f"a model it started from, was trained or selected on: {chrom}:{start}-{end}" in refused.stderr

    result = RUNNER.invoke(app, ["merge", str(run), "-o", str(tmp_path / "again")])
    assert result.exit_code == 2
    assert "is no adapter (no adapter_config.json), so there is nothing to merge" in result.stderr
