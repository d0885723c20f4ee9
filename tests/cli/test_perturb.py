"""`chromhub perturb` as a user calls it."""

import json
from pathlib import Path

import pytest
from chromhub.cli import app
from chromhub.modeling import ClasterConfig, ClasterForProfileRegression
from typer.testing import CliRunner

from ..landscape_folder import write_landscape


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("perturb")
    data, enhancers = write_landscape(root / "data")
    config = ClasterConfig.from_preset("claster-tiny", num_input_bins=101, num_bins=21, bin_size=200)
    ClasterForProfileRegression(config).save_pretrained(root / "run")
    enhancers.to_csv(root / "e.bed", sep="\t", index=False, header=False)
    gene = data.genes.iloc[data.rows("test")[0]]
    pairs = enhancers[(enhancers["chrom"] == "c") & ((enhancers["start"] - gene["tss"]).abs() < 4000)]
    table = pairs[["chrom", "start", "end"]].assign(gene=gene["gene"], regulated=[1] + [0] * (len(pairs) - 1))
    table.to_csv(root / "pairs.tsv", sep="\t", index=False)
    data.genes[["chrom", "start", "end", "gene"]].assign(score=0, strand=data.genes["strand"]).to_csv(
        root / "genes.bed", sep="\t", index=False, header=False
    )
    return ["perturb", str(root / "run"), "--data", str(root / "data"), "--device", "cpu"]


def invoke(words: list[str], *more: object):
    return CliRunner().invoke(app, [*words, *map(str, more)])


def test_a_table_and_a_folder(words, tmp_path):
    root = Path(words[1]).parent
    options = ("--elements", root / "e.bed", "--pairs", root / "pairs.tsv", "--figures", 1)
    shown = invoke(words, *options, "-o", tmp_path / "out", "--kind", "p2")
    assert shown.exit_code == 0, shown.output
    assert "minus_distance" in shown.stdout
    assert "change their closest gene most" in shown.stderr
    said = json.loads(invoke(words, *options, "-o", tmp_path / "again", "--kind", "p2", "--json").stdout)
    assert said == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert said["perturbation"]["kind"] == "p2"


def test_landscapes_centred_on_elements(words, tmp_path):
    root = Path(words[1]).parent
    options = ("--genes", root / "genes.bed", "--kind", "scale", "--factor", 0.5, "--figures", 0, "--measure", "tss")
    shown = invoke(words, *options, "-o", tmp_path / "out", "--active-track", "H3K4me3", "--min-signal", 0.2)
    assert shown.exit_code == 0, shown.output
    assert not list((tmp_path / "out").glob("*.png"))


def test_other_files_are_kept(words, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "effect_7.png").touch()
    (tmp_path / "out" / "thesis.tex").touch()
    refused = invoke(words, "--genes", "g.bed", "-o", tmp_path / "out", "--overwrite")
    assert refused.exit_code == 2
    assert "holds other files (thesis.tex), which --overwrite would delete" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--kind", "p9"], "a perturbation must be one of"),
        (["--measure", "area"], "--measure must be gene or tss"),
        (["--part", "some"], "--part must be one of"),
        (["--tracks", "x", "--kind", "zero", "--genes", "g.bed"], "has no track 'x'"),
        ([], "give --elements with landscapes of genes, or --genes"),
    ],
)
def test_bad_input_ends_in_one_sentence(words, more, message, tmp_path):
    refused = invoke(words, *more, "-o", tmp_path / "out")
    assert refused.exit_code == 2
    assert message in " ".join(refused.stderr.split())
    assert not (tmp_path / "out").exists()
