"""Whole runs of a classifier: from a preset, from a track model, by an adapter, and their resumption."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.finetune.class_trainer import mean_over_tracks
from chromhub.finetune.recipe import Recipe
from chromhub.finetune.starting_classifier import starting_classifier
from chromhub.finetune.train import train
from chromhub.hub_models.merge import merge_adapter
from chromhub.inference.load import load_any, load_classifier, load_model
from chromhub.inference.provenance import Provenance
from chromhub.inference.ranking import auroc
from safetensors.torch import load_file

from .small_store import seal, small_store

SHORT = {"batch_size": 8, "eval_batch_size": 8, "epochs": 1, "task": "classification", "max_jitter": 32}
LENGTHS = {"input_length": 512, "bin_size": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store of two tracks whose peaks are where the motif is."""
    folder = tmp_path_factory.mktemp("data") / "store"
    store = small_store(folder, num_tracks=2)
    rows = []
    for chrom in store.chrom_sizes:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], store.signal(chrom) > 0, [0]])))
        rows += [(chrom, 4 * a, 4 * b, 2 * (a + b)) for a, b in edges.reshape(-1, 2).tolist()]
    peaks = pd.DataFrame(rows, columns=["chrom", "start", "end", "summit"])
    peaks.to_csv(folder / "peaks.tsv", sep="\t", index=False)
    seal(folder)
    return folder


def recipe(data, **fields):
    start = {} if "base" in fields else {"preset": "convnext-dcnn-tiny", "model": LENGTHS}
    return Recipe(data=str(data), **{**SHORT, **start, **fields})


def run(recipe, folder, **options):
    return train(recipe, folder, device="cpu", progress=False, say=lambda text: None, **options)


@pytest.fixture(scope="module")
def classifier(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    summary = run(recipe(data, class_weights="balanced"), folder)
    return folder, summary


def test_what_a_run_leaves(data, classifier):
    folder, summary = classifier
    model = load_classifier(folder)
    assert (model.config.id2label, model.config.problem_type) == ({0: "t0", 1: "t1"}, "multi_label_classification")
    assert model.config.label_rule == {"width": 200, "threshold": 0.0, "min_covered": 0.5}
    closed, opened = model.config.class_weights
    assert 1 / closed + 1 / opened == pytest.approx(2)  # n / (2 n0) and n / (2 n1), and n0 + n1 = n
    rows = json.loads((folder / "history.json").read_text())
    assert rows[-1]["eval_auroc"] == summary["eval_auroc"]
    assert 0 <= summary["eval_auprc"] <= 1
    assert "eval_pearson" not in rows[-1]
    provenance = Provenance.load(folder)
    assert [chrom.chrom for chrom in provenance.trained_on] == ["one"]
    assert [chrom.chrom for chrom in provenance.selected_on] == ["two"]
    with pytest.raises(ValueError, match="holds a AtacForSequenceClassification, not an AtacForTrackPrediction"):
        load_model(folder)


def test_resumes_bit_for_bit(data, classifier, tmp_path, monkeypatch):
    folder, _ = classifier
    from chromhub.finetune.class_trainer import ClassTrainer

    steps = iter(range(10_000))
    plain = ClassTrainer.training_step

    def dying(self, *args, **kwargs):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(ClassTrainer, "training_step", dying)
    again = recipe(data, class_weights="balanced", save_steps=2)
    with pytest.raises(KeyboardInterrupt):
        run(again, tmp_path / "run")
    monkeypatch.setattr(ClassTrainer, "training_step", plain)
    summary = run(again, tmp_path / "run", resume=True)
    assert summary["resumed_from"] == 4
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path / "run", folder))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize("preset", ["chromtransfer-finetuning", "conv-xlstm-tiny"])
def test_other_presets_and_one_track(data, tmp_path, preset):
    small = {"input_length": 256} | ({"tower1_blocks": 1, "tower2_blocks": 1} if "transfer" in preset else {})
    chosen = recipe(data, preset=preset, model=small, tracks=["t1"], metric="auprc", max_steps=2, max_eval_windows=8)
    assert run(chosen, tmp_path / "run")["steps"] == 2
    model = load_classifier(tmp_path / "run")
    assert (model.config.id2label, model.config.num_labels, model.config.input_length) == ({0: "t1"}, 1, 256)


def test_bodies_go_from_tracks_to_classes_and_on(data, classifier, tmp_path):
    tracks = Recipe(data=str(data), preset="convnext-dcnn-tiny", batch_size=8, max_steps=1, max_jitter=0)
    run(tracks.model_copy(update={"max_eval_windows": 2}), tmp_path / "tracks")
    first = starting_classifier(recipe(data, base=str(tmp_path / "tracks"), mode="full"), _store(data))
    base = load_model(tmp_path / "tracks")
    assert first.config.input_length == 2048
    assert torch.equal(first.stem.state_dict()["norm.weight"], base.stem.state_dict()["norm.weight"])
    shorter = starting_classifier(
        recipe(data, base=str(tmp_path / "tracks"), mode="head", model={"input_length": 512}), _store(data)
    )
    assert (shorter.config.input_length, shorter.config.target_length) == (512, 512)
    kept = starting_classifier(recipe(data, base=str(classifier[0]), mode="full"), _store(data))
    assert torch.equal(kept.classifier.weight, load_classifier(classifier[0]).classifier.weight)
    fresh = starting_classifier(recipe(data, base=str(classifier[0]), mode="full", new_head=True), _store(data))
    assert not torch.equal(fresh.classifier.weight, kept.classifier.weight)
    assert torch.equal(fresh.core.features.conv.weight, kept.core.features.conv.weight)
    for fields, sentence in (
        ({"base": str(classifier[0]), "tracks": ["t0"], "mode": "full"}, "has 2 labels and the data .* has 1 tracks"),
        ({"base": str(tmp_path / "tracks"), "mode": "lora"}, "mode lora keeps the base's head"),
        ({"base": str(classifier[0]), "model": {"bin_size": 8}}, "`model.bin_size` is 8 in the recipe and 16"),
    ):
        with pytest.raises(ValueError, match=sentence):
            starting_classifier(recipe(data, **fields), _store(data, fields.get("tracks")))


def test_an_adapter_of_a_classifier(data, classifier, tmp_path):
    run(recipe(data, base=str(classifier[0]), mode="lora", max_steps=2), tmp_path / "lora", allow_leak=True)
    adapted, base = load_any(tmp_path / "lora"), load_classifier(classifier[0])
    assert type(adapted) is type(base)
    assert not torch.equal(adapted.classifier.weight, base.classifier.weight)


def test_kmers_are_fitted_at_the_end_and_a_resumed_run_fits_the_same(data, tmp_path, monkeypatch):
    from chromhub.finetune.class_trainer import ClassTrainer

    wide = recipe(data, kmers={"k": 3}, ema=0.9, max_steps=4, save_steps=2)
    summary = run(wide, tmp_path / "whole")
    model = load_classifier(tmp_path / "whole")
    assert model.config.kmers == {"k": 3, "widths": [320, 512]}
    assert model.kmer_part.linear.weight.any()
    plain = ClassTrainer.fit_kmers

    def dying(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(ClassTrainer, "fit_kmers", dying)
    with pytest.raises(KeyboardInterrupt):
        run(wide, tmp_path / "cut")
    monkeypatch.setattr(ClassTrainer, "fit_kmers", plain)
    again = run(wide, tmp_path / "cut", resume=True)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert (again["eval_auroc"], again["eval_loss"]) == (summary["eval_auroc"], summary["eval_loss"])
    # an adapter of a base with the part holds its own
    run(recipe(data, base=str(tmp_path / "whole"), mode="lora", kmers={"k": 3}, max_steps=2), tmp_path / "lora",
        allow_leak=True)  # fmt: skip
    adapted = load_any(tmp_path / "lora")
    assert adapted.kmer_part.linear.weight.any()
    assert not torch.equal(adapted.kmer_part.linear.weight, model.kmer_part.linear.weight)


def test_where_the_kmers_of_a_run_start(data, classifier):
    base = {"base": str(classifier[0]), "kmers": True}
    made = starting_classifier(recipe(data, **base, mode="head"), _store(data))
    assert made.config.kmers == {"k": 6, "widths": [320, 512]}
    assert torch.equal(made.classifier.weight, load_classifier(classifier[0]).classifier.weight)
    with pytest.raises(ValueError, match=r"mode lora needs a base with the k-mer part .* or use --mode full or --mode"):
        starting_classifier(recipe(data, **base, mode="lora"), _store(data))
    with pytest.raises(ValueError, match="kmers are for models of a stem and a core, got 'chromhub-chromtransfer'"):
        starting_classifier(
            recipe(data, preset="chromtransfer-pretraining", model={"input_length": 512}, kmers=True), _store(data)
        )


def test_an_adapter_of_a_classifier_brings_its_own_label(data, tmp_path):
    one = recipe(data, tracks=["t0"], max_steps=1)
    run(one, tmp_path / "base")
    other = recipe(data, base=str(tmp_path / "base"), mode="lora", tracks=["t1"], max_steps=1)
    run(other, tmp_path / "lora", allow_leak=True)
    adapted = load_any(tmp_path / "lora")
    assert (adapted.config.id2label, adapted.config.label2id) == ({0: "t1"}, {"t1": 0})
    merged = merge_adapter(tmp_path / "lora", tmp_path / "merged")
    assert (merged.tracks, load_classifier(tmp_path / "merged").config.id2label) == (("t1",), {0: "t1"})
    assert torch.allclose(load_classifier(tmp_path / "merged").classifier.weight, adapted.classifier.weight, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"metric": "pearson"}, "metric of task classification must be one of auroc, auprc, got 'pearson'"),
        ({"task": "tracks", "class_weights": "balanced"}, "labels and class_weights are for task classification"),
        ({"task": "tracks", "kmers": True}, "kmers are for task classification; leave them out"),
        ({"streaming": True}, "streaming is for task tracks"),
        ({"tracks": ["t0", "t0"]}, "tracks must be one or more different names"),
    ],
)
def test_recipes_that_contradict_themselves(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        recipe("x", **fields)


def test_defaults_of_the_task():
    made = Recipe(data="x", preset="dcnn", task="classification", windows={"negative_ratio": 2})
    assert (made.max_jitter, made.metric, made.windows.kind) == (64, "auroc", "peaks+background")
    plain = Recipe(data="x", preset="dcnn")
    assert (plain.max_jitter, plain.metric, plain.windows.kind) == (1024, "pearson", "tile")


def test_mean_over_tracks_leaves_out_what_is_not_defined():
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.2, 0.5], [0.4, 0.3, 0.1]], np.float32)
    labels = np.array([[1, 1, 0], [0, -1, 0], [1, 0, 0]], np.int8)
    # track 0: both pairs won, 1; track 1: .1 against .3, 0; track 2 has no positive
    assert mean_over_tracks(auroc, scores, labels) == 0.5
    assert np.isnan(mean_over_tracks(auroc, scores[:, 2:], labels[:, 2:]))


def _store(data, tracks=None):
    from chromhub.finetune.data_source import open_data

    return open_data(str(data), tracks)
