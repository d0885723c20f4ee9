import copy
import json

import pytest
from chromhub.cli import app
from chromhub.inference.compare import compare, read_metrics, write_comparison
from typer.testing import CliRunner

VALUES = {"chr1": 0.50, "chr2": 0.60, "chr3": 0.40, "chr4": 0.55, "chr5": 0.45}
GAINS = {"chr1": 0.01, "chr2": 0.02, "chr3": 0.03, "chr4": 0.04, "chr5": -0.005}


def metrics(name, values):
    def numbers(value):
        raw = {"pearson": value / 2, "spearman": value, "poisson_deviance": 1 - value}
        return {"4": {"log1p": {"pearson": value, "spearman": value}, "raw": raw}}

    mean = sum(values.values()) / len(values)
    result = {"pooled": numbers(mean), "chroms": {chrom: numbers(value) for chrom, value in values.items()}}
    data = {"name": "toy", "fingerprint": "abc", "genome": None}
    return {"model": name, "part": "test", "data": data, "results": {"atac": {"genome_wide": result}}}


@pytest.fixture
def pair():
    return metrics("one", VALUES), metrics("two", {chrom: value + GAINS[chrom] for chrom, value in VALUES.items()})


def test_by_hand(pair):
    found = compare(*pair)
    assert [(row["scale"], row["measure"]) for row in found["rows"]] == [
        ("log1p", "pearson"),
        ("log1p", "spearman"),
        ("raw", "pearson"),
        ("raw", "poisson_deviance"),
    ]
    row = found["rows"][0]
    assert row["difference"] == pytest.approx((0.01 + 0.02 + 0.03 + 0.04 - 0.005) / 5)
    # The one loss has the smallest rank, 1 of 1..5: sums 14 and 1, reached or passed by 4 of 2^5 signs, both tails
    assert row["wilcoxon_p"] == pytest.approx(4 / 32)
    assert row["points"]["chr3"] == (0.40, pytest.approx(0.43))
    assert -0.005 < row["low"] < row["difference"] < row["high"] < 0.04
    assert row["chromosomes"] == 5
    swapped = compare(pair[1], pair[0])["rows"][0]
    assert swapped["difference"] == -row["difference"]
    assert swapped["wilcoxon_p"] == row["wilcoxon_p"]
    assert swapped["mann_whitney_p"] == pytest.approx(row["mann_whitney_p"])


def test_a_model_with_itself(pair):
    row = compare(pair[0], copy.deepcopy(pair[0]))["rows"][0]
    assert (row["difference"], row["low"], row["high"], row["wilcoxon_p"]) == (0, 0, 0, 1)
    assert row["mann_whitney_p"] == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(part="valid"), "the same part, got test and valid"),
        (lambda m: m["data"].update(fingerprint="xyz"), "the same data, got abc and xyz"),
        (lambda m: m.update(results={"dnase": {}}), "no track, bin size and chromosome in common"),
    ],
)
def test_what_does_not_go_together(pair, change, sentence):
    other = copy.deepcopy(pair[1])
    change(other)
    with pytest.raises(ValueError, match=sentence):
        compare(pair[0], other)


def test_files(pair, tmp_path):
    for name, side in zip(("a", "b"), pair, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(side))
    assert read_metrics(tmp_path / "a") == read_metrics(tmp_path / "a" / "metrics.json") == pair[0]
    call = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    result = CliRunner().invoke(app, [*call, "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "+0.0190" in result.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"comparison.json", "comparison.tsv", "comparison.png", "report.html"}
    assert "the second is +0.019" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_comparison(compare(*pair), tmp_path / "out")
    with pytest.raises(FileExistsError, match="holds other files"):
        write_comparison(compare(*pair), tmp_path / "a", overwrite=True)


@pytest.mark.parametrize(("strands", "told"), [((True, False), True), ((True, True), False), ((False, False), False)])
def test_strands_that_differ_are_told(pair, tmp_path, strands, told):
    for name, side, both in zip(("a", "b"), pair, strands, strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps({**side, "reverse_complement": both}))
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert result.exit_code == 0, result.output
    assert ("averaged both strands and the other did not" in result.stderr) == told


def test_what_is_no_evaluation(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `chromhub evaluate` first"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged: it is not JSON"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text('{"results": {}, "task": "classification"}')
    with pytest.raises(ValueError, match="not the evaluation of a track model"):
        read_metrics(tmp_path)
