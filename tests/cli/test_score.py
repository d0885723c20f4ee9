"""`chromhub score` as a user calls it."""

import json

import pandas as pd
from chromhub.cli import app
from typer.testing import CliRunner

from ..inference.toy_genome import toy_codes

RUNNER = CliRunner()
CODES = toy_codes()


def score(*arguments):
    return RUNNER.invoke(app, ["score", *map(str, arguments), "--device", "cpu"])


def typed(start, alt):
    return f"B:{start + 1}:{'ACGT'[CODES['chrB'][start]]}>{alt}"


def test_variants_on_the_command_line(run, store, tmp_path):
    out = tmp_path / "a.tsv"
    options = [
        "--data",
        store.path,
        "-o",
        out,
        "--reverse-complement",
        "--shift",
        0,
        "--shift",
        8,
        "--null",
        4,
        "--json",
    ]
    result = score(run, run, "--variant", typed(3000, "GATTA"), "--variant", typed(1, "-"), *options)
    assert result.exit_code == 0, result.output
    written = json.loads(result.stdout)
    assert written["counts"] == {"ok": 2}
    assert written["columns"][-4:] == ["active_allele_quantile", "logfc_p", "jsd_p", "max_difference_p"]
    table = pd.read_csv(out, sep="\t")
    assert table["pos"].tolist() == [3001, 2]
    assert f"scoring with {run}, {run} on cpu (" in result.stderr


def test_a_file_against_a_fasta(run, store, tmp_path):
    base = "ACGT"[CODES["chrB"][700]]
    (tmp_path / "a.tsv").write_text(f"chrom\tpos\tref\talt\nchrB\t701\t{base}\t{base}T\nchrB\t700\tN\tA\n")
    fasta = store.path.parent / "genome.fa"
    result = score(run, "--variants", tmp_path / "a.tsv", "--fasta", fasta, "-o", tmp_path / "o.tsv.gz")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "o.tsv.gz")
    assert "1 ok, 1 unknown_base" in result.stderr
    assert "active_allele_quantile" not in pd.read_csv(tmp_path / "o.tsv.gz", sep="\t")


def test_bad_input_ends_in_one_sentence(run, store, tmp_path):
    (tmp_path / "bad.vcf").write_text("#CHROM\tPOS\tID\tREF\tALT\nchrB\tx\t.\tA\tC\n")
    (tmp_path / "empty.vcf").write_text("#CHROM\tPOS\tID\tREF\tALT\n")
    (tmp_path / "there.tsv").write_text("mine")
    data, out, one = ["--data", store.path], ["-o", tmp_path / "new.tsv"], ["--variant", typed(3000, "G")]
    for arguments, sentence in (
        ([run, *data, *out], "give --variants or --variant"),
        ([run, *out, *one], "give --data or --fasta"),
        ([run, *data, *out, "--variants", tmp_path / "bad.vcf"], "bad.vcf, line 2: the position must be an integer"),
        ([run, *data, *out, "--variants", tmp_path / "empty.vcf"], "holds no variant"),
        ([run, *data, *out, "--variants", tmp_path / "no.vcf"], "no.vcf does not exist"),
        ([run, *data, *out, "--variant", "rs123"], "a variant must be CHROM:POSITION:REF>ALT"),
        ([run, *data, *out, *one, "--shift", 3], "different multiples of the model's bin size"),
        ([run, *data, "-o", tmp_path / "there.tsv", *one], "there.tsv already exists"),
        ([tmp_path / "none", *data, *out, *one], "no model folder"),
    ):
        result = score(*arguments)
        assert result.exit_code == 2, (sentence, result.output)
        assert result.stderr.startswith("error: ")
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new.tsv").exists()
    assert (tmp_path / "there.tsv").read_text() == "mine"
