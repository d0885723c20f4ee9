"""The curve: every cell once, resumed where it stopped, and one table and figure of them all."""

import json

import pandas as pd
import pytest
from chromhub.datasets_scripts.store import GenomeStore
from chromhub.finetune.curve import run_curve
from chromhub.finetune.curve_table import curve_summary, headline_metrics
from chromhub.finetune.recipe import load_recipe
from chromhub.finetune.train import train
from chromhub.inference import floor
from chromhub.inference.evaluate import evaluate
from chromhub.inference.load import load_model

from .small_store import small_store

SMALL = {"max_jitter": 256, "batch_size": 4, "eval_steps": 2}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    store = small_store(folder / "store", split={"train": ["one"], "valid": ["two"], "test": []})
    recipe = load_recipe(data=str(store.path), preset="convnext-dcnn-tiny", max_steps=2, **SMALL)
    train(recipe, folder / "run", device="cpu", progress=False)
    return folder / "run"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "store"
    small_store(folder, seed=1)
    return folder


def test_a_stopped_curve_goes_on_and_ends_in_a_table(base, data, tmp_path) -> None:
    names = []

    def curve(stop_at=None, **options):
        def progress(done, total, name):
            names.append((done, total, name))
            if done == stop_at:
                raise KeyboardInterrupt

        options = {"untuned": False, "floor": False, **options}
        arguments = {"modes": ("scratch", "head"), "fractions": (1.0, 0.1), "seeds": 1, "max_steps": 3, **SMALL}
        return run_curve(str(base), data, tmp_path / "c", device="cpu", progress=progress, **{**arguments, **options})

    with pytest.raises(KeyboardInterrupt):
        curve(stop_at=2)
    assert [name for _, _, name in names] == ["scratch-10%-seed0", "head-10%-seed0", "scratch-100%-seed0"]
    assert not (tmp_path / "c").exists()
    rows = tmp_path / ".c.partial" / "rows"
    before = {path.name: path.stat().st_mtime_ns for path in rows.iterdir()}
    with pytest.raises(ValueError, match="unfinished curve with other recipes"):
        curve(max_steps=4)

    summary = curve()
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"rows", "curve.tsv", "curve.png", "summary.json"}
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c" / "rows").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 4
    assert json.loads((tmp_path / "c" / "summary.json").read_text()) == summary
    assert summary["metric"] == "pearson_512bp"
    table = pd.read_csv(tmp_path / "c" / "curve.tsv", sep="\t")
    assert table[["mode", "fraction", "windows", "steps"]].values.tolist() == [
        ["scratch", 0.1, 6, 3],
        ["head", 0.1, 6, 3],
        ["scratch", 1.0, 57, 3],
        ["head", 1.0, 57, 3],
    ]
    by_mode = {point["mode"]: point for point in summary["points"]}
    assert by_mode["head"]["parameters_trained"] < by_mode["scratch"]["parameters_trained"] / 10
    with pytest.raises(FileExistsError, match="already exists"):
        curve()


def test_the_floor_and_the_untuned_base_stand_beside_the_modes(base, data, tmp_path, monkeypatch) -> None:
    seen = []
    fit = floor.fit_kmer_ridge

    def short(training, validation):
        batches = list(training)
        seen.append(sum(len(codes) for codes, _ in batches))
        return fit(batches, validation, k=4)

    monkeypatch.setattr(floor, "fit_kmer_ridge", short)
    options = {"modes": ("head", "full"), "fractions": (0.1, 1.0), "seeds": 1, "max_steps": 1, **SMALL}
    summary = run_curve(str(base), data, tmp_path / "c", device="cpu", **options)
    # 6 and 57 windows of 2,048 bp, whose targets of 1,024 bp are two tiles each: one ridge a share
    assert seen == [12, 114]
    points = {(point["mode"], point["fraction"]): point for point in summary["points"]}
    assert list(points) == [
        *(("head", 0.1), ("full", 0.1), ("head", 1.0), ("full", 1.0)),
        *(("floor", 0.1), ("floor", 1.0), ("base", 0.0)),
    ]
    assert (points["floor", 0.1]["windows"], points["base", 0.0]["windows"]) == (6, 0)
    assert all(point["mean"] is not None for point in points.values())
    rows = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "c" / "rows").iterdir()}
    assert rows["floor-100%-seed0"]["metrics"]["pearson_4bp"] is None  # of its tiles alone
    untuned = load_model(base)
    store = GenomeStore.open(data)
    own = headline_metrics(evaluate(untuned, store))
    assert rows["base-0%-seed0"]["metrics"] == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": (0.0,)}, "fractions must be above 0 and at most 1, got 0"),
        ({"fractions": (0.1, 0.1)}, "fractions must be given, each once"),
        ({"modes": ()}, "modes must be given, each once, got none"),
        ({"modes": ("loar",)}, "mode"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        (
            {"fractions": (0.02, 1.0), **SMALL},
            "the share 0.02 of the training windows is 2, and a cell needs 4 or more",
        ),
    ],
)
def test_what_is_no_curve_is_refused(base, data, tmp_path, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        run_curve(str(base), data, tmp_path / "c", **options)
    assert not list(tmp_path.iterdir())


def test_summary_is_the_mean_and_the_spread_over_seeds() -> None:
    cost = {"windows": 10, "seconds": 3.0, "peak_memory_gb": 1.0, "parameters_trained": 5}
    rows = [
        {"mode": mode, "fraction": 0.1, "seed": seed, **cost, "metrics": {"r": value, "rare": None}}
        for mode, values in {"full": (0.2, 0.4), "lora": (0.5, 0.6)}.items()
        for seed, value in enumerate(values)
    ]
    points = curve_summary(rows)["points"]
    assert [(p["mode"], p["seeds"], p["mean"], p["smallest"], p["largest"]) for p in points] == [
        ("full", 2, pytest.approx(0.3), 0.2, 0.4),
        ("lora", 2, pytest.approx(0.55), 0.5, 0.6),
    ]
    assert curve_summary(rows, metric="rare")["points"][0]["mean"] is None
    with pytest.raises(ValueError, match="no metric 'auroc'; this curve has r, rare"):
        curve_summary(rows, metric="auroc")


def test_headline_metrics_are_means_over_tracks() -> None:
    def track(fine, coarse):
        pooled = {"4": {"log1p": {"pearson": fine}}, "128": {"log1p": {"pearson": coarse}}}
        return {"genome_wide": {"pooled": pooled}}

    found = headline_metrics({"results": {"a": track(0.2, 0.4), "b": track(None, 0.6)}})
    assert list(found.items()) == [("pearson_128bp", 0.5), ("pearson_4bp", None)]


def test_headline_metrics_of_a_classifier_start_with_the_harder_question() -> None:
    mean = {"closed": {"auroc": 0.9, "auprc": 0.8}, "other_types": {"auroc": 0.7, "auprc": None}}
    signal = {"B": 0.2, "T": 0.6}
    found = headline_metrics({"task": "classification", "results": {}, "mean": mean, "peak_signal": signal})
    assert list(found.items()) == [
        ("auroc_other_types", 0.7),
        ("auprc_other_types", None),
        ("auroc_closed", 0.9),
        ("auprc_closed", 0.8),
        ("peak_signal_pearson", pytest.approx(0.4)),
    ]
