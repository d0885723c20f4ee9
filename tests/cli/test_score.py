"""`chromhub score` as a user calls it."""

import gzip
import json

import pandas as pd
import pytest
from chromhub.cli import app
from typer.testing import CliRunner

from ..inference.test_class_alleles import classifier
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


def test_ref_alleles_of_another_genome_are_told(run, store, tmp_path):
    wrong = [f"B:{start + 1}:{'CGTA'['ACGT'.index('ACGT'[CODES['chrB'][start]])]}>N" for start in (3000, 3001)]
    for given, told in (([wrong[0], typed(3000, "-")], False), ([*wrong, typed(3000, "-")], True)):
        variants = [word for text in given for word in ("--variant", text.replace(">N", ">-"))]
        result = score(run, *variants, "--data", store.path, "-o", tmp_path / f"{told}.tsv")
        assert result.exit_code == 0, result.output
        assert ("most REF alleles are not what the genome has there" in result.stderr) == told


def test_a_file_against_a_fasta(run, store, tmp_path):
    base = "ACGT"[CODES["chrB"][700]]
    (tmp_path / "a.tsv").write_text(f"chrom\tpos\tref\talt\nchrB\t701\t{base}\t{base}T\nchrB\t700\tN\tA\n")
    fasta = store.path.parent / "genome.fa"
    result = score(run, "--variants", tmp_path / "a.tsv", "--fasta", fasta, "-o", tmp_path / "o.tsv.gz")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "o.tsv.gz")
    assert "1 ok, 1 unknown_base" in result.stderr
    assert "active_allele_quantile" not in pd.read_csv(tmp_path / "o.tsv.gz", sep="\t")


def test_one_strand(run, store, tmp_path):
    base = "ACGT"[CODES["chrB"][3000]]
    for flags in ([], ["--one-strand"]):
        out = tmp_path / f"{len(flags)}.tsv"
        result = score(
            run,
            "--variant",
            f"B:3001:{base}>{base}",
            "--variant",
            typed(3000, "-"),
            "--data",
            store.path,
            "-o",
            out,
            *flags,
        )
        assert result.exit_code == 0, result.output
    both, one = (pd.read_csv(tmp_path / f"{n}.tsv", sep="\t") for n in (0, 1))
    assert both["logfc"][0] == one["logfc"][0] == 0
    assert both["ref_signal"][0] != pytest.approx(one["ref_signal"][0], rel=1e-3)
    assert both["logfc"][1] != one["logfc"][1]


def test_a_classifier(store, tmp_path):
    folder, out, one = tmp_path / "run", tmp_path / "a.tsv", ["--variant", typed(3000, "GATTA")]
    classifier(num_labels=1).save_pretrained(folder)
    options = ["--data", store.path, "-o", out, "--shift", 0, "--shift", 3, "--null", 4]
    result = score(folder, folder, *one, *options, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["columns"] == [
        *("ref_logit", "alt_logit", "logit_change", "ref_probability", "alt_probability"),
        *("active_allele_quantile", "logit_change_p"),
    ]
    row = pd.read_csv(out, sep="\t").iloc[0]
    assert row["logit_change"] == pytest.approx(row["alt_logit"] - row["ref_logit"], abs=1e-5)


def test_what_a_classifier_refuses(run, store, tmp_path):
    folder, common = tmp_path / "classifier", ["--data", store.path, "-o", tmp_path / "a.tsv"]
    classifier().save_pretrained(folder)
    for arguments, sentence in (
        ([folder, "--window", 512], "--window of predicted tracks cannot be given for"),
        ([folder, "--window", 512, "--pseudocount", 0], "--window and --pseudocount of predicted tracks cannot"),
        ([folder, "--figures", tmp_path / "figures"], "which a classifier has none of: leave out --figures"),
        ([run, folder], "must all predict tracks or all be classifiers"),
    ):
        result = score(*arguments, *common, "--variant", typed(3000, "G"))
        assert result.exit_code == 2, (sentence, result.output)
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classifier", "run"]


def test_figures(run, store, tmp_path):
    figures = tmp_path / "figures"
    one = ["--data", store.path, "--variant", typed(3000, "GATTA"), "--figures", figures]
    result = score(run, *one, "-o", tmp_path / "a.tsv", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["figures"] == [str(figures / "1_B_3001.png")]
    result = score(run, *one, "-o", tmp_path / "b.tsv")
    assert result.exit_code == 2
    assert "figures already exists" in result.stderr
    result = score(run, *one, "-o", tmp_path / "b.tsv", "--overwrite")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(tmp_path / "b.tsv"), str(figures)]


def test_bad_input_ends_in_one_sentence(run, store, tmp_path):
    (tmp_path / "bad.vcf").write_text("#CHROM\tPOS\tID\tREF\tALT\nchrB\tx\t.\tA\tC\n")
    (tmp_path / "empty.vcf").write_text("#CHROM\tPOS\tID\tREF\tALT\n")
    (tmp_path / "there.tsv").write_text("mine")
    (tmp_path / "a.bcf").write_bytes(gzip.compress(b"BCF\2\2" + bytes(200)))
    data, out, one = ["--data", store.path], ["-o", tmp_path / "new.tsv"], ["--variant", typed(3000, "G")]
    for arguments, sentence in (
        ([run, *data, *out], "give --variants or --variant"),
        ([run, *out, *one], "give --data or --fasta"),
        ([run, *data, *out, "--variants", tmp_path / "bad.vcf"], "bad.vcf, line 2: the position must be an integer"),
        ([run, *data, *out, "--variants", tmp_path / "empty.vcf"], "holds no variant"),
        (
            [run, *data, *out, "--variants", tmp_path / "a.bcf"],
            "a.bcf is a BCF file, which is not read: `bcftools view",
        ),
        ([run, *data, "-o", tmp_path / "n.vcf", "--variants", tmp_path / "a.bcf"], "is a BCF file, which is not read"),
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
