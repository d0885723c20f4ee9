"""`chromhub marginalize` as a user calls it."""

import json

import numpy as np
import pytest
from chromhub.cli import app
from chromhub.inference.meme import write_motifs
from chromhub.modeling import ChromTransferConfig, ChromTransferForSequenceClassification
from typer.testing import CliRunner

from ..inference.toy_genome import toy_fasta

RUNNER = CliRunner()


def call(*arguments):
    return RUNNER.invoke(app, ["marginalize", *map(str, arguments), "--device", "cpu"])


def test_a_motif_and_tn5(run, tmp_path):
    pytest.importorskip("tangermeme.ersatz", reason='needs tangermeme: pip install "chromhub[interpret]"')
    write_motifs(tmp_path / "a.meme", {"MA1 Reb1": np.eye(4)})
    arguments = [
        run,
        "--fasta",
        toy_fasta(tmp_path / "a.fa"),
        "-n",
        3,
        "--motif",
        "reb1",
        "--meme",
        tmp_path / "a.meme",
    ]
    result = call(*arguments, "--tn5", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "MA1 Reb1" in result.stdout
    assert "Tn5's preference" in result.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"marginalize.json", "marginalize.tsv", "effects.png", "profiles.png"}
    result = call(*arguments, "-o", tmp_path / "out", "--overwrite", "--json")
    assert [row["name"] for row in json.loads(result.stdout)["motifs"]] == ["MA1 Reb1"]


def test_a_classifier(tmp_path):
    pytest.importorskip("tangermeme.ersatz", reason='needs tangermeme: pip install "chromhub[interpret]"')
    config = ChromTransferConfig.from_preset("finetuning", id2label={0: "HepG2", 1: "K562"})
    ChromTransferForSequenceClassification(config).save_pretrained(tmp_path / "run")
    given = [tmp_path / "run", "--fasta", toy_fasta(tmp_path / "a.fa"), "-n", 3, "--motif", "TGACTCA"]
    result = call(*given, "--track", "K562", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "change of the logit" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "marginalize.json",
        "marginalize.tsv",
        "effects.png",
    }
    found = json.loads((tmp_path / "out" / "marginalize.json").read_text())
    assert found["label"] == "K562"
    assert list(found["motifs"][0]["logit_change"]) == ["mean", "low", "high"]
    for more, sentence in ((["--tn5"], "is a classifier: leave it out"), (["--track", "x"], "has no label 'x'")):
        refused = call(*given, *more, "-o", tmp_path / "new")
        assert refused.exit_code == 2
        assert sentence in refused.stderr


def test_bad_input_ends_in_one_sentence(run, tmp_path):
    fasta, out = ["--fasta", toy_fasta(tmp_path / "a.fa")], ["-o", tmp_path / "new"]
    for arguments, sentence in (
        ([run, *out, "--tn5"], "give --data or --fasta"),
        ([run, *out, *fasta], "give --motif or --tn5"),
        ([run, *out, *fasta, "--motif", "reb1"], "'reb1' is neither"),
        ([run, *fasta, "--tn5", "-o", run, "--overwrite"], "holds other files"),
        ([run, *out, *fasta, "--tn5", "--track", "x"], "no track 'x'"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, (sentence, result.output)
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
