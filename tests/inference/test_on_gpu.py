"""Predictions, scores and attributions on a CUDA device equal the CPU's; `--gpu-device cpu` tries the tests."""

import numpy as np
import pytest
import torch
from chromhub.inference.attribute import AttributionSettings, attribute_window
from chromhub.inference.class_predictions import class_logits
from chromhub.inference.cpu import computing
from chromhub.inference.evaluate import evaluate
from chromhub.inference.predict import predict_batches, predict_chrom, predict_to_bigwig
from chromhub.modeling import AtacConfig, AtacForSequenceClassification
from chromhub.modeling.fast_path import plain_modules

from ..modeling.random_models import LENGTH, random_model, randomise
from .test_predict import read
from .test_score import CODES, scorer, some_variants
from .toy_genome import toy_store

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


def relative(found, expected):
    return np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected)


# CUDA branch: inference/predict.py predict_chrom
def test_a_chromosome(tiny_model, device):
    def signal():
        return np.concatenate([part for _, part in predict_chrom(tiny_model, CODES["chrA"], batch_size=4)], axis=1)

    with plain_modules():
        expected = signal()
    tiny_model.to(device)
    with computing(device, bf16=False):
        assert relative(signal(), expected) < 1e-4
    with computing(device, bf16=True):
        assert relative(signal(), expected) < 2e-2


def test_windows_from_the_cpu(tiny_model, device):
    windows = np.stack([CODES["chrB"][i : i + 2048] for i in range(0, 8192, 2048)])
    with plain_modules():
        (expected,) = predict_batches(tiny_model, [windows], device="cpu")
    with computing(device, bf16=False):
        (found,) = predict_batches(tiny_model, [windows], device=device)
    assert relative(found, expected) < 1e-4


def test_a_bigwig(tiny_model, device, store, tmp_path):
    predict_to_bigwig(tiny_model, store, tmp_path / "cpu.bw")
    tiny_model.to(device)
    with computing(device, bf16=False):
        predict_to_bigwig(tiny_model, store, tmp_path / "found.bw")
    for chrom in store.chrom_sizes:
        found, expected = (read(tmp_path / f"{name}.bw", chrom) for name in ("found", "cpu"))
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        assert relative(np.nan_to_num(found), np.nan_to_num(expected)) < 1e-4


def test_an_evaluation(tiny_model, device, store):
    expected = evaluate(tiny_model, store, part="test")["results"]["atac"]["genome_wide"]["pooled"]["4"]["log1p"]
    tiny_model.to(device)
    with computing(device, bf16=False):
        found = evaluate(tiny_model, store, part="test")["results"]["atac"]["genome_wide"]["pooled"]["4"]["log1p"]
    assert found["pearson"] == pytest.approx(expected["pearson"], abs=1e-4)


def test_variants(tiny_model, device, store):
    variants = some_variants()
    expected = scorer(tiny_model, store).score(variants)
    tiny_model.to(device)
    with computing(device, bf16=False):
        found = scorer(tiny_model, store).score(variants)
    for name, values in expected.items():
        assert np.abs(found[name] - values).max() < 1e-3 * max(1e-3, np.abs(values).max()), name


@pytest.mark.parametrize("method", ["deep-lift", "integrated-gradients"])
@pytest.mark.parametrize("name", ["convnext-dcnn-tiny", "convnext-transformer-tiny", "lstm-tiny"])
def test_attributions_are_additive(name, method, device):
    pytest.importorskip("tangermeme.ersatz", reason='needs tangermeme: pip install "chromhub[interpret]"')
    codes = np.random.default_rng(5).integers(0, 4, LENGTH).astype(np.uint8)
    settings = AttributionSettings(method, shuffles=2, steps=20)
    expected = attribute_window(random_model(name), codes, settings)
    with computing(device, bf16=False):
        found = attribute_window(random_model(name).to(device), codes, settings)
    assert found.additivity_error < 1e-3
    assert relative(found.hypothetical, expected.hypothetical) < 1e-2


# CUDA branch: inference/class_predictions.py class_logits
def test_a_classifier(device):
    config = AtacConfig.from_preset("convnext-cnn-tiny", num_labels=2, kmers={})
    model = randomise(AtacForSequenceClassification(config))
    windows = [CODES["chrB"][None, i : i + config.input_length] for i in (0, 4096)]
    with plain_modules():
        expected = np.concatenate(list(class_logits(model, windows)))
    with computing(device, bf16=False):
        found = np.concatenate(list(class_logits(model, windows, device=device)))
    assert relative(found, expected) < 1e-4
    assert torch.isfinite(torch.from_numpy(found)).all()
