import json
import re

import numpy as np
import pytest
from chromhub.cli import app, demo, demo_report
from chromhub.inference.provenance import find_provenance
from typer.testing import CliRunner

MINI = demo.DemoSize({"chr1": 60_000, "chr2": 20_000, "chr3": 20_000, "chr4": 40_000}, 8, 4, 2, 2, 4)


def models(**pearson):
    """Rows of the result, with one Pearson each at the scale that the verdict reads."""
    return {
        name: {"windows": 64, "pearson": {"genome_wide": {"4": value}}}
        for name, value in {"truth": 0.92, **pearson}.items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A demo of the smallest size, run from the command line: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "QUICK", MINI)
        result = CliRunner().invoke(app, ["demo", "--quick", "--json", "-o", str(folder), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return folder, result


def test_the_demo_does_the_whole_job(finished):
    folder, result = finished
    found = json.loads(result.stdout)
    assert found == json.loads((folder / "demo.json").read_text())
    assert found["finished"]
    models = found["models"]
    assert list(models) == ["base", "lora", "scratch", "truth"]
    assert [models[name]["windows"] for name in ("base", "lora", "scratch")] == [0, 8, 8]
    assert [models[name]["steps"] for name in ("base", "lora", "scratch")] == [4, 2, 6]
    assert models["lora"]["parameters"] < models["base"]["parameters"] == models["scratch"]["parameters"]
    assert models["truth"]["pearson"]["genome_wide"]["128"] > 0.95  # noise averages out over 128 bp
    for name in ("base", "lora", "scratch"):
        assert (folder / "predictions" / f"{name}.bw").is_file()
    assert re.findall(r"\[(\d)/6\]", result.stderr) == list("123456")
    assert "on cpu" in result.stderr


def test_nothing_has_seen_the_test_chromosome(finished):
    folder, _ = finished
    for name in ("base", "lora", "scratch"):
        provenance = find_provenance(str(folder / "runs" / name))
        seen = {chrom.chrom for _, chrom in provenance.seen()}
        assert seen
        assert "chr4" not in seen


def test_adapter_and_scratch_get_the_same_windows(finished):
    folder, _ = finished
    one, other = (find_provenance(str(folder / "runs" / name)).trained_on for name in ("lora", "scratch"))
    assert one == other


def test_the_report_holds_table_pictures_and_commands(finished):
    folder, result = finished
    html = (folder / "report.html").read_text()
    assert html.count("data:image/png;base64,") == 3
    for row in demo_report.table_rows(json.loads(result.stdout)):
        assert all(f"<td>{cell}</td>" in html for cell in row)
    assert "chromhub finetune --base" in html
    assert not re.search(r"https?://|<script|<link", html)


def test_an_existing_folder_is_replaced_only_on_request_and_only_a_demo_s(finished, tmp_path):
    folder, _ = finished
    run = CliRunner().invoke(app, ["demo", "--quick", "-o", str(folder)])
    assert run.exit_code == 2
    assert "holds a demo already; use --overwrite" in run.stderr
    (tmp_path / "thesis.txt").write_text("precious")
    run = CliRunner().invoke(app, ["demo", "--quick", "-o", str(tmp_path), "--overwrite"])
    assert run.exit_code == 2
    assert "holds files that are no demo" in run.stderr
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_bad_device_leaves_no_folder(tmp_path):
    run = CliRunner().invoke(app, ["demo", "--quick", "-o", str(tmp_path / "out"), "--device", "abacus"])
    assert run.exit_code == 2
    assert "--device must be" in run.stderr
    assert not (tmp_path / "out").exists()


def test_the_verdict_says_who_won():
    won = demo_report.verdict(models(base=0.46, lora=0.70, scratch=0.55), target="hepatocyte")
    assert "On 64 windows of hepatocyte, tuning the agnostic base won: Pearson 0.70 against 0.55" in won
    assert "raised the base's own 0.46" in won
    lost = demo_report.verdict(models(base=0.46, lora=0.40, scratch=0.55), target="hepatocyte")
    assert "lost here" in lost
    assert "lowered the base's own 0.46" in lost
    same = demo_report.verdict(models(base=0.551, lora=0.553, scratch=0.551), target="hepatocyte")
    assert "made no difference" in same
    assert "left the base where it was" in same
    little = demo_report.verdict(models(base=0.1, lora=0.05, scratch=0.2), target="hepatocyte")
    assert "The base learned too little to be worth tuning" in little
    assert "Pearson 0.10, tuned 0.05, and a model from scratch 0.20" in little
    assert "predicted a constant" in demo_report.verdict(models(base=0.4, lora=None, scratch=0.4), target="x")


def test_the_densest_stretch():
    # summits 5,100 and 5,900 lie in [5000, 6000) of 1 kb; 2,000 lies alone
    assert demo_report.densest(np.array([2000, 5100, 5900]), size=10_000, length=1000) == 5000
    assert demo_report.densest(np.zeros(0), size=10_000, length=1000) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_in_the_whole_demo_tuning_beats_base_and_scratch(tmp_path):
    result = demo.run_demo(tmp_path / "demo", demo.FULL, device="cpu")
    r = {name: row["pearson"]["genome_wide"]["4"] for name, row in result["models"].items()}
    assert r["lora"] > r["base"] + 0.1
    assert r["lora"] > r["scratch"] + 0.1
    assert r["lora"] < r["truth"]
