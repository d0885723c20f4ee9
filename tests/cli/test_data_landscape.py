import json

import numpy as np
import pytest
from chromhub.cli import app
from chromhub.datasets_scripts.bigwig import write_bigwig
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        chunks = [(chrom, 0, rng.random(2000).astype(np.float32)) for chrom in ("chr1", "chr2")]
        write_bigwig(folder / f"{name}.bw", {"chr1": 2000, "chr2": 2000}, chunks, bin_size=1)
    (folder / "g.bed").write_text(
        "".join(f"chr{c}\t{p}\t{p + 50}\tg{c}{p}\t0\t+\n" for c in (1, 2) for p in (500, 900))
    )
    grid = {"--input-bins": 21, "--input-bin-size": 20, "--bins": 5, "--bin-size": 40, "--smoothing": 20}
    small = [str(part) for pair in grid.items() for part in pair]
    tracks = ["--track", f"A={folder / 'a.bw'}", "--target", f"R={folder / 'a.bw'}", "--target", f"R={folder / 'b.bw'}"]
    return [*tracks, "--genes", str(folder / "g.bed"), *small]


def build(*arguments: str):
    return CliRunner().invoke(app, ["data", "build-landscape", *arguments])


def test_a_folder_and_its_summary(options, tmp_path):
    result = build(*options, "--valid", "chr2", "-o", str(tmp_path / "d"), "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["rows"] == {"train": 2, "valid": 2, "test": 0}
    assert said["target_tracks"][0]["files"][1][0] == "b.bw"
    table = build(*options, "--valid", "chr2", "-o", str(tmp_path / "e"))
    assert "chr2" in table.stdout
    assert "chromhub train --data" in table.stderr


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--track", "A=x.bw"], "--track names must differ, got 'A' twice"),
        (["--track", "x.bw"], "--track takes NAME=PATH, got 'x.bw'"),
        (["--track", "X=x.bw"], "bigWig file x.bw does not exist"),
        (["--edges", "keep"], "--edges must be pad or drop, got 'keep'"),
        (["--bins", "4"], "must be odd"),
    ],
)
def test_bad_input_ends_in_one_sentence(options, extra, message, tmp_path):
    result = build(*options, *extra, "-o", str(tmp_path / "d"))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir())
