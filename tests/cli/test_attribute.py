"""`chromhub attribute` as a user calls it."""

import json

from chromhub.cli import app
from typer.testing import CliRunner

from ..inference.toy_genome import toy_fasta

RUNNER = CliRunner()


def attribute(*arguments):
    return RUNNER.invoke(app, ["attribute", *map(str, arguments), "--device", "cpu", "--method", "input-x-gradient"])


def test_peaks_and_regions(run, store, tmp_path):
    result = attribute(run, "--data", store.path, "-o", tmp_path / "out", "--width", 200, "--logos", 1, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["regions"]["asked"] == 3
    assert found["regions"]["dropped"]["N or the chromosome's end"] == 1  # chrB:150
    assert "input-x-gradient of" in result.stderr
    (tmp_path / "a.bed").write_text("chrA\t3900\t4100\n")
    result = attribute(
        *(run, "--fasta", toy_fasta(tmp_path / "a.fa"), "--regions", tmp_path / "a.bed", "-o", tmp_path / "two")
    )
    assert result.exit_code == 0, result.output
    assert "1 of 1 regions, 2,048 bp each" in result.stderr
    assert result.stdout.strip() == str(tmp_path / "two")


def test_bad_input_ends_in_one_sentence(run, store, tmp_path):
    out = ["-o", tmp_path / "new"]
    for arguments, sentence in (
        ([run, *out], "give --data or --fasta"),
        ([run, *out, "--fasta", toy_fasta(tmp_path / "a.fa")], "give the regions to attribute, as --regions BED"),
        ([run, *out, "--data", store.path, "--track", "x"], "the model has no track 'x'"),
    ):
        result = attribute(*arguments)
        assert result.exit_code == 2, (sentence, result.output)
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
