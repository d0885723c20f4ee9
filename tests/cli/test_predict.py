"""`chromhub predict` as a user calls it."""

import json

import numpy as np
from chromhub.cli import app
from chromhub.datasets_scripts.bigwig import BigWig
from chromhub.datasets_scripts.fasta import decode
from typer.testing import CliRunner

from ..inference.toy_genome import SIZES, toy_codes, toy_fasta

RUNNER = CliRunner()
CODES = toy_codes()


def predict(*arguments):
    return RUNNER.invoke(app, ["predict", *map(str, arguments), "--device", "cpu"])


def test_a_whole_genome_from_a_store(run, store, tmp_path):
    result = predict(run, "--data", store.path, "--all", "-o", tmp_path / "a.bw", "--json")
    assert result.exit_code == 0, result.output
    # 16,384, 9,002 - 1,024 (a tile of N) and 5,001 bp in bins of 4.
    written = {"paths": [str(tmp_path / "a.bw")], "chroms": ["chrA", "chrB", "chrC"], "num_bins": 4096 + 1995 + 1251}
    assert json.loads(result.stdout) == written
    assert "on cpu (" in result.stderr
    assert BigWig(tmp_path / "a.bw").chrom_sizes == SIZES


def test_chromosomes_and_regions_of_a_fasta(run, tmp_path):
    fasta = toy_fasta(tmp_path / "genome.fa")
    result = predict(run, "--fasta", fasta, "--chrom", "chrC", "--chrom", "D", "-o", tmp_path / "c.bw", "--json")
    assert result.exit_code == 2
    assert "the genome has no chromosomes [D]; it has [chrB, chrA, chrC]" in result.stderr
    result = predict(run, "--fasta", fasta, "--chrom", "C", "-o", tmp_path / "c.bw")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "c.bw")
    assert "1,251 bins of 4 bp on 1 chromosomes" in result.stderr
    (tmp_path / "r.bed").write_text("chrC\t8\t20\nchrB\t100\t101\tname\n")
    result = predict(run, "--fasta", fasta, "--regions", tmp_path / "r.bed", "-o", tmp_path / "r.bw", "--json")
    assert json.loads(result.stdout)["num_bins"] == 3 + 1


def test_both_strands_are_averaged_unless_told_otherwise(run, tmp_path):
    sequence = decode(CODES["chrB"][:8192])  # 8 tiles: their grid is its own mirror image
    turned = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    (tmp_path / "s.fa").write_text(f">given\n{sequence}\n>turned\n{turned}\n")
    both, one = {}, {}
    for found, flags in ((both, []), (one, ["--one-strand"])):
        path = tmp_path / f"{len(flags)}.bw"
        result = predict(run, "--fasta", tmp_path / "s.fa", "--all", "-o", path, *flags)
        assert result.exit_code == 0, result.output
        for name in ("given", "turned"):
            found[name] = np.log1p(BigWig(path).binned(name, size=8192, bin_size=4, summary="mean"))
    np.testing.assert_allclose(both["given"], (one["given"] + one["turned"][::-1]) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both["turned"][::-1], both["given"], rtol=1e-5, atol=1e-6)
    assert not np.allclose(one["turned"][::-1], one["given"], atol=1e-3)


def test_bfloat16_is_close(run, store, tmp_path):
    signals = []
    for name, flags in (("single", []), ("half", ["--bf16"])):
        result = predict(run, "--data", store.path, "--chrom", "chrA", "-o", tmp_path / f"{name}.bw", *flags)
        assert result.exit_code == 0, result.output
        assert (", bf16: " in result.stderr) == bool(flags)
        bigwig = BigWig(tmp_path / f"{name}.bw")
        signals.append(bigwig.binned("chrA", size=SIZES["chrA"], bin_size=4, summary="mean"))
    assert not np.array_equal(*signals)
    assert np.corrcoef(*signals)[0, 1] > 0.99


def test_bad_input_ends_in_one_sentence(run, store, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "off.bed").write_text("chrC\t5000\t5100\n")
    (tmp_path / "bad.bed").write_text("chrC\t5000\n")
    (tmp_path / "none.bed").write_text("# nothing\n")
    (tmp_path / "there.bw").write_text("mine")
    data, out = ["--data", store.path], ["-o", tmp_path / "new.bw"]
    for arguments, sentence in (
        ([run, *out, "--all"], "give --data or --fasta, one of the two"),
        ([run, *out, "--all", *data, "--fasta", "g.fa"], "give --data or --fasta, one of the two"),
        ([run, *out, *data], "give --chrom, --regions or --all, one of the three"),
        ([run, *out, *data, "--all", "--chrom", "chrA"], "give --chrom, --regions or --all, one of the three"),
        ([run, *out, "--fasta", tmp_path / "no.fa", "--all"], "no.fa does not exist"),
        ([tmp_path / "empty", *out, *data, "--all"], "holds no model"),
        ([run, *out, *data, "--chrom", "chrX", "--chrom", "chrA"], "no chromosomes [chrX]; it has [chrB, chrA, chrC]"),
        ([run, *out, *data, "--regions", tmp_path / "off.bed"], "chrC:5000-5100 does not"),
        ([run, *out, *data, "--regions", tmp_path / "bad.bed"], "bad.bed, line 1"),
        ([run, *out, *data, "--regions", tmp_path / "none.bed"], "no region was given"),
        ([run, "-o", tmp_path / "there.bw", *data, "--all"], "there.bw already exists"),
        ([run, *out, *data, "--all", "--device", "abacus"], "--device must be"),
    ):
        result = RUNNER.invoke(app, ["predict", *map(str, arguments)])
        assert result.exit_code == 2, sentence
        assert result.stderr.startswith("error: ")
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new.bw").exists()
    assert (tmp_path / "there.bw").read_text() == "mine"
