import json
from pathlib import Path

import pytest
from chromhub.cli import app
from typer.testing import CliRunner

from tests.hub_models.toy_run import toy_adapter, toy_run


@pytest.fixture
def run(tmp_path, tiny_model) -> Path:
    return toy_run(tmp_path / "run", tiny_model)


def chromhub(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_card_goes_to_standard_output(run) -> None:
    result = chromhub("card", run, "--license", "mit", "--data-license", "CC0 by the consortium")
    assert result.exit_code == 0
    assert result.stdout.startswith("---\n")
    assert "license: mit" in result.stdout
    assert "Training data: CC0 by the consortium." in result.stdout


def test_push_prints_the_line_that_loads_it(hub, run) -> None:
    result = chromhub("push", run, "org/tiny", "--license", "mit")
    assert result.exit_code == 0
    commit = hub.repos["models", "org/tiny"].branches["main"]
    assert result.stdout == f'AutoModel.from_pretrained("org/tiny", revision="{commit}", trust_remote_code=True)\n'
    assert f"{hub.url}/org/tiny/commit/{commit}" in result.stderr


def test_push_as_json(hub, run, tmp_path, tiny_model) -> None:
    assert chromhub("push", run, "org/tiny", "--license", "mit").exit_code == 0
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, run)
    words = ("--license", "mit", "--base-model", "org/tiny", "--dataset", "org/yeast-atac", "--private", "--json")
    result = chromhub("push", adapter, "org/tiny-lora", *words)
    assert result.exit_code == 0, result.stderr
    pushed = json.loads(result.stdout)
    assert pushed["revision"] == hub.repos["models", "org/tiny-lora"].branches["main"]
    assert "adapter_model.safetensors" in pushed["files"]
    assert hub.repos["models", "org/tiny-lora"].private
    assert "datasets:\n- org/yeast-atac" in hub.files("org/tiny-lora")["README.md"].decode()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("push", "{run}", "org/tiny", "--license", "public domain"), "--license must be a licence identifier"),
        (("push", "./missing", "org/tiny", "--license", "mit"), "no model is registered as 'missing'"),
        (("card", "./missing"), "no model is registered as 'missing'"),
        (("models", "./missing"), "no such folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(hub, run, words, sentence) -> None:
    result = chromhub(*(word.format(run=run) for word in words))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert hub.repos == {}


def test_push_to_a_folder_sends_nothing(hub, run, tmp_path) -> None:
    result = chromhub("push", run, "org/tiny", "--license", "mit", "--to-folder", tmp_path / "ready", "--json")
    assert result.exit_code == 0, result.stderr
    assert "README.md" in json.loads(result.stdout)["files"]
    assert (tmp_path / "ready" / "model.safetensors").exists()
    assert hub.log == []


def test_push_needs_a_licence(run) -> None:
    result = chromhub("push", run, "org/tiny")
    assert result.exit_code == 2
    assert "--license" in result.stderr


def test_models_lists_runs(run, tmp_path, tiny_model) -> None:
    toy_adapter(tmp_path / "adapter", tiny_model, run)
    result = chromhub("models", tmp_path, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [(model["name"], model["kind"], model["base"]) for model in found] == [
        ("adapter", "adapter", "run"),
        ("run", "model", ""),
    ]
    table = chromhub("models", tmp_path).stdout
    assert "convnext-dilated" in table
    assert "sacCer3" in table


def test_models_may_be_none(tmp_path) -> None:
    result = chromhub("models", tmp_path)
    assert result.exit_code == 0
    assert "holds no finished run" in result.stderr
    assert json.loads(chromhub("models", tmp_path, "--json").stdout) == []


def test_models_lists_what_ships() -> None:
    names = [model["name"] for model in json.loads(chromhub("models", "--json").stdout)]
    assert "convnext-dcnn-small-atac-saccer3" in names
