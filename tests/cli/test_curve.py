"""`chromhub curve` from the command line."""

import json

import pytest
from chromhub.cli import app
from chromhub.finetune.recipe import load_recipe
from chromhub.finetune.train import train
from typer.testing import CliRunner

from ..finetune.small_store import small_store

RUNNER = CliRunner()


def test_a_curve_prints_its_summary(tmp_path) -> None:
    store = small_store(tmp_path / "store", split={"train": ["one"], "valid": ["two"], "test": []})
    small = {"max_jitter": 256, "batch_size": 4}
    train(load_recipe(data=str(store.path), preset="cnn-tiny", max_steps=1, **small), tmp_path / "base", progress=False)
    small_store(tmp_path / "new", seed=1)
    options = ["--base", tmp_path / "base", "--data", tmp_path / "new", "-o", tmp_path / "curve", "--modes", "head"]
    options += ["--fractions", "0.5", "--seeds", 1, "--max-steps", 1, "--device", "cpu", "--set", "batch_size=4"]
    options += ["--set", "max_jitter=256", "--metric", "pearson_4bp", "--keep-models", "--json"]
    options += ["--no-floor"]
    result = RUNNER.invoke(app, ["curve", *map(str, options)])
    assert result.exit_code == 0, result.output
    assert "run 1 of 1: head-50%-seed0" in result.stderr
    summary = json.loads(result.stdout)
    assert [(p["mode"], p["fraction"], p["windows"]) for p in summary["points"]] == [
        ("head", 0.5, 29),
        ("base", 0.0, 0),
    ]
    assert (tmp_path / "curve" / "models" / "head-50%-seed0" / "config.json").is_file()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fractions", "1;2", "--fractions takes shares such as 0.01,0.1,1, got '1;2'"),
        (
            "--fractions",
            "0.1,10",
            "--fractions takes shares above 0 and up to 1, where 0.01 is 1 % of the windows, got 10",
        ),
        ("--part", "tset", "--part must be one of train, valid, test, got 'tset'"),
        ("--base", "./none", "no model folder './none'"),
    ],
)
def test_bad_options_end_in_one_sentence(tmp_path, option, value, message) -> None:
    small_store(tmp_path / "store")
    given = {"--base": "org/none", "--data": str(tmp_path / "store"), "-o": str(tmp_path / "c"), "--modes": "head"}
    result = RUNNER.invoke(app, ["curve", *(text for pair in {**given, option: value}.items() for text in pair)])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
