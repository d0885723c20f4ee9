import json

import pytest
import torch
from chromhub.cli import app
from typer.testing import CliRunner

from tests.hub_models import toy_keras
from tests.hub_models.test_convert_asap import LSTM, weights


def chromhub(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def source(tmp_path):
    torch.save(weights(LSTM), tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


def test_convert_says_what_was_checked(source, tmp_path) -> None:
    result = chromhub("convert", source, "-o", tmp_path / "ours")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "lstm: 14 tensors, each used once and found again bit for bit in" in result.stderr
    assert "outputs" in result.stderr
    assert (tmp_path / "ours" / "config.json").exists()


def test_convert_as_json(source, tmp_path) -> None:
    words = ("--from", "asap", "--architecture", "lstm", "--json")
    result = chromhub("convert", source, "-o", tmp_path / "ours", *words)
    assert result.exit_code == 0, result.stderr
    made = json.loads(result.stdout)
    assert (made["architecture"], made["num_tensors"], len(made["sha256"])) == ("lstm", 14, 64)
    again = chromhub("convert", source, "-o", tmp_path / "ours", "--overwrite")
    assert again.exit_code == 0


def test_convert_a_keras_file(tmp_path) -> None:
    pytest.importorskip("h5py", reason='reading Keras files needs h5py: pip install "chromhub[convert]"')
    source = toy_keras.chromtransfer("finetuning").save(tmp_path / "model.h5")
    result = chromhub("convert", source, "-o", tmp_path / "ours")
    assert result.exit_code == 0, result.stderr
    assert "finetuning: 128 tensors" in result.stderr
    assert "outputs differ from those of the file's own network by" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("convert", "{folder}/none.pth", "-o", "{folder}/ours"), "No such file"),
        (("convert", "{folder}/checkpoint.pth", "-o", "{folder}"), "already exists"),
        (("convert", "{folder}/checkpoint.pth", "-o", "{folder}/ours", "--from", "keras"), "--from must be asap or"),
        (("convert", "{folder}/checkpoint.pth", "-o", "{folder}/ours", "--architecture", "cnn"), "lacks 12 tensors"),
        (("convert", "{folder}", "-o", "{folder}/ours"), "which is read"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(source, tmp_path, words, sentence) -> None:
    result = chromhub(*(word.format(folder=tmp_path) for word in words))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert not (tmp_path / "ours").exists()
