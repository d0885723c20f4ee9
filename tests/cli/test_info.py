import json

import pytest
from chromhub.cli import app
from typer.testing import CliRunner


def chromhub(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_preset_as_a_table(hub):
    result = chromhub("info", "dcnn-tiny")
    assert result.exit_code == 0, result.stderr
    lines = {line[:17].strip(): line[17:].strip() for line in result.stdout.splitlines()}
    assert lines["core"] == "dilated"
    assert lines["parameters"] == "38,017"
    assert lines["a bin sees"] == "106 bp left, 104 bp right"
    assert lines["input lengths"] == "any multiple of 4 bp"
    assert lines["window"] == "2048 bp -> 512 bins of 4 bp, the middle 1024 bp scored"
    assert not hub.log
    joined = chromhub("info", "convnext-dcnn-tiny").stdout
    assert "whole window; without GRN: 106 bp left, 104 bp right" in joined


def test_a_classifier(hub):
    result = chromhub("info", "chromtransfer-finetuning")
    assert result.exit_code == 0, result.stderr
    assert "whole window; a position before the mean: 98 bp left, 103 bp right" in result.stdout
    assert "600 bp -> one row of outputs" in result.stdout
    assert not hub.log


def test_as_json(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    result = chromhub("info", tmp_path, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["name"] == str(tmp_path)
    assert found["parameters"] == found["trainable_parameters"] == 46_657
    assert found["reach"] == {"left": None, "right": None, "in_words": "whole window"}
    assert found["local_reach"] == {"left": 106, "right": 104, "in_words": "106 bp left, 104 bp right"}


def test_from_the_hub(hub, tiny_model):
    tiny_model.push_to_hub("org/tiny")
    result = chromhub("info", "org/tiny")
    assert result.exit_code == 0, result.stderr
    assert "org/tiny" in result.stdout


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("convnext-dcn", "did you mean convnext-dcnn"),
        ("./missing", "no model folder"),
        ("org/missing", "org/missing"),
    ],
)
def test_bad_names_end_in_one_sentence(hub, name, sentence):
    result = chromhub("info", name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr
