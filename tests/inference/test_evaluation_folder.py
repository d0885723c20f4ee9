import json

import pandas as pd
import pytest
from chromhub.inference.evaluation_folder import _region, default_output, evaluate_run
from chromhub.inference.provenance import Provenance, part_intervals
from chromhub.modeling import DnaFeatureExtractor

from .toy_genome import toy_store

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(tmp_path, tiny_model, store):
    folder = tmp_path / "run"
    tiny_model.save_pretrained(folder)
    DnaFeatureExtractor().save_pretrained(folder)
    write_provenance(folder, store, trained="train")
    return folder


def write_provenance(folder, store, *, trained):
    Provenance(
        base_model=None,
        genome="toy",
        trained_on=part_intervals(store, trained),
        selected_on=part_intervals(store, "valid"),
        tracks=("atac",),
        seed=11,
        mode="scratch",
        data_fingerprint=store.fingerprint,
    ).save(folder)


def test_the_files_of_an_evaluation(run, store):
    (run / "history.json").write_text(json.dumps([{"step": 1, "epoch": 1.0, "loss": 0.5, "eval_pearson": 0.1}]))
    metrics = evaluate_run(run, store, device="cpu")
    folder = run / "evaluation"
    pictures = ("scatter", "tracks", "training_curve", "chromosomes", "calibration", "profiles")
    names = {"metrics.json", "metrics.tsv", "report.html", *(f"{name}.png" for name in pictures)}
    assert {path.name for path in folder.iterdir()} == names
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (run / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()
    assert all((folder / name).read_bytes().startswith(PNG) for name in names if name.endswith("png"))
    assert len(pd.read_csv(folder / "metrics.tsv", sep="\t")) == 44
    assert (metrics["model"], metrics["mode"], metrics["seed"]) == (str(run), "scratch", 11)
    assert metrics["leak"] == {"checked": True, "allowed": False, "overlaps": []}


def test_an_evaluation_without_pictures(run, store):
    (run / "history.json").write_text(json.dumps([{"step": 1, "epoch": 1.0, "loss": 0.5, "eval_pearson": 0.1}]))
    evaluate_run(run, store, device="cpu", figures=False)
    assert {path.name for path in (run / "evaluation").iterdir()} == {"metrics.json", "metrics.tsv", "report.html"}
    assert "<img" not in (run / "evaluation" / "report.html").read_text()


def test_the_report_holds_everything(run, store):
    metrics = evaluate_run(run, store, device="cpu", peak_cutoff=1.0)
    html = (run / "evaluation" / "report.html").read_text()
    pooled = metrics["results"]["atac"]["genome_wide"]["pooled"]["4"]["log1p"]
    for text in (
        f"is {metrics['results']['atac']['peaks']['pooled']['4']['log1p']['pearson']:.3f} peaks",
        f"{pooled['spearman']:.3f}",
        "chrC",
        "neither trained nor selected on these intervals",
        "trained_on",  # the record of the run
        f"{metrics['peak_calls']['atac']['pooled']['true']:,}",
    ):
        assert text in html
    assert html.count("data:image/png;base64,") == 5
    assert "http://" not in html
    assert "https://" not in html


def test_only_the_test_part_reaches_the_card(run, store, tmp_path):
    evaluate_run(run, store, tmp_path / "valid", part="valid", device="cpu")
    assert not (run / "metrics.json").exists()
    assert not (run / "evaluation").exists()
    assert not (tmp_path / "valid" / "training_curve.png").exists()
    evaluate_run(run, store, tmp_path / "test", device="cpu")
    assert not (run / "metrics.json").exists()  # nor one that lies elsewhere


def test_a_leak_is_refused_and_recorded_when_allowed(run, store):
    write_provenance(run, store, trained="test")
    with pytest.raises(ValueError, match=r"test part .* overlaps .* chrA:0-9002, chrC:0-5001; .*--allow-leak"):
        evaluate_run(run, store, device="cpu")
    assert not (run / "evaluation").exists()
    metrics = evaluate_run(run, store, device="cpu", allow_leak=True)
    assert metrics["leak"] == {"checked": True, "allowed": True, "overlaps": ["chrA:0-9002", "chrC:0-5001"]}


def test_the_training_part_is_a_leak_too(run, store):
    with pytest.raises(ValueError, match="train part of the data overlaps"):
        evaluate_run(run, store, part="train", device="cpu")


def test_without_provenance_nothing_is_checked(run, store):
    (run / "provenance.json").unlink()
    assert evaluate_run(run, store, device="cpu")["leak"] == {"checked": False, "allowed": False, "overlaps": []}


def test_an_evaluation_is_not_replaced_unless_told(run, store):
    first = evaluate_run(run, store, device="cpu")
    with pytest.raises(FileExistsError, match="--overwrite"):
        evaluate_run(run, store, device="cpu")
    assert evaluate_run(run, store, device="cpu", overwrite=True, bin_sizes=[4]) != first
    assert len(pd.read_csv(run / "evaluation" / "metrics.tsv", sep="\t")) == 14


def test_overwrite_never_deletes_a_run(run, store):
    with pytest.raises(
        FileExistsError, match=r"holds files that are no evaluation \(.*\), which --overwrite would del"
    ):
        evaluate_run(run, store, run, device="cpu", overwrite=True)
    assert (run / "model.safetensors").exists()


def test_a_run_that_is_not_finished(tmp_path, store):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"holds no model .* was its training finished"):
        evaluate_run(tmp_path / "run", store, device="cpu")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoints"]


def test_default_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    assert str(default_output("./runs/a")) == "runs/a/evaluation"
    with pytest.raises(FileNotFoundError, match=r"no model folder './runs/b'"):
        default_output("./runs/b")
    assert str(default_output("org/name")) == "name-evaluation"


def test_the_region_lies_in_the_part(tiny_model, store):
    windows = pd.DataFrame({"chrom": ["chrC"], "start": [3 * 1024 - 512], "end": [5 * 1024 - 512]})
    region = _region(tiny_model, store, "test", windows)
    # Targets 0, 1, 2 and 3 of chrC: its 5,001 bp hold no whole fifth.
    assert (region["start"] + 512).tolist() == [0, 1024, 2048, 3072]
    assert (region["end"] - region["start"] == 2048).all()
    inside = _region(tiny_model, store, "valid", windows.assign(chrom="chrB", start=8192 - 512, end=8192 + 1536))
    assert (inside["start"] + 512).tolist() == list(range(8192, 16384, 1024))
