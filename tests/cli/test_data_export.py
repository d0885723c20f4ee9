import json

import pytest
from chromhub.cli import app
from typer.testing import CliRunner

runner = CliRunner()
OPTIONS = ("--input-length", "512", "--target-length", "256", "--margin", "64", "--stride", "400")


@pytest.fixture
def exported(toy):
    toy.build()
    made = runner.invoke(
        app, ["data", "export", str(toy.folder / "store"), "-o", str(toy.folder / "e"), *OPTIONS, "--json"]
    )
    assert made.exit_code == 0, made.output
    return json.loads(made.stdout)


def test_export_then_push(hub, toy, exported) -> None:
    assert exported["signal"] == "float16"
    assert exported["parts"]["train"]["windows"] == exported["reports"]["train"]["kept"]
    pushed = runner.invoke(app, ["data", "push", str(toy.folder / "e"), "org/w", "--license", "cc0-1.0", "--json"])
    assert pushed.exit_code == 0, pushed.output
    result = json.loads(pushed.stdout)
    assert result["windows"]["train"] == exported["parts"]["train"]["windows"]
    assert set(hub.files("org/w", "datasets")) == set(result["files"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "nowhere", "-o", "x"], "is not a chromhub store"),
        (["export", "{store}", "-o", "{folder}/x", "--margin", "3"], "multiple of the store's bin size"),
        (["export", "{store}", "-o", "{folder}/x", "--windows", "all"], "`kind` must be tile, peaks or"),
        (["push", "{store}", "org/w", "--license", "mit"], "holds no exported windows"),
        (["push", "{folder}/none", "org/w", "--license", "mit"], "no folder"),
        (["push", "{store}", "org/w", "--license", "free"], "--license must be a licence identifier"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(hub, toy, arguments, said) -> None:
    toy.build()
    filled = [text.format(store=toy.folder / "store", folder=toy.folder) for text in arguments]
    result = runner.invoke(app, ["data", *filled])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (toy.folder / "x").exists()


def test_a_licence_must_be_given(toy) -> None:
    assert runner.invoke(app, ["data", "push", str(toy.folder), "org/w"]).exit_code == 2
