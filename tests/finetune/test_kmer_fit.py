"""The k-mer part that a run fits when its network is final."""

import numpy as np
import pytest
import torch
from chromhub.finetune.kmer_fit import active_part, blend, fit_part, neutral_part
from chromhub.inference.kmer_ridge import fit_kmer_ridge
from chromhub.modeling import AtacConfig, AtacForSequenceClassification

FIELDS = {"input_length": 128, "target_length": 128, "num_labels": 2, "problem_type": "multi_label_classification"}


def model(kmers=True) -> AtacForSequenceClassification:
    torch.manual_seed(0)
    part = {"k": 2, "widths": [40, 128]} if kmers else None
    return AtacForSequenceClassification(AtacConfig.from_preset("convnext-dcnn-tiny", kmers=part, **FIELDS)).eval()


def windows(count, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (count, 128)).astype(np.uint8)
    share = (codes[:, 44:84] == 0).mean(1)
    labels = np.column_stack([share + rng.normal(0, 0.03, count) > 0.25, np.zeros(count)]).astype(float)
    labels[::7, 0] = np.nan
    return [(codes[i : i + 50], labels[i : i + 50]) for i in range(0, count, 50)]


def test_one_predictor_by_hand():
    # x = 1 is right 3 times of 4 and x = -1 wrong 3 times of 4: logits of log 3 and -log 3, but for the tiny L2
    signs, labels = np.array([1.0] * 4 + [-1.0] * 4), np.array([1, 1, 1, 0, 0, 0, 0, 1])
    assert blend(signs, np.zeros(8), labels) == pytest.approx((np.log(3), 0, 0), abs=1e-3)
    assert blend(np.full(8, 0.3), 10 * signs, labels) == pytest.approx((0, np.log(3) / 10, 0), abs=1e-3)
    # what points the wrong way gets nothing, and the offset is that of the labels' rate, 4 of 8
    assert blend(-signs, -signs, labels) == pytest.approx((0, 0, 0), abs=1e-9)


def test_two_predictors_meet_the_conditions_of_an_optimum():
    rng = np.random.default_rng(0)
    logits, ridge = rng.normal(1, 2, 500), rng.normal(0.3, 0.1, 500)
    labels = rng.random(500) < 1 / (1 + np.exp(-(0.7 * logits + 8 * ridge - 3)))
    a, s, b = blend(logits, ridge, labels)
    errors = 1 / (1 + np.exp(-(a * logits + s * ridge + b))) - labels
    assert min(a, s) > 0
    assert [errors @ logits / 500, errors @ ridge / 500, errors.mean()] == pytest.approx([0, 0, 0], abs=1e-3)
    separable = blend(labels * 1.0, ridge, labels)
    assert np.isfinite(separable).all()


def test_the_fit_is_folded_into_the_part():
    fitted, training, validation = model(), windows(600, 1), windows(300, 2)
    inputs = torch.from_numpy(np.concatenate([codes for codes, _ in validation]))
    labels = np.concatenate([known for _, known in validation])
    with torch.no_grad():
        network = fitted(inputs).logits.numpy()
        fit_part(fitted, training, validation, network)
        together = fitted(inputs).logits.numpy()
    first = [[(codes, known[:, :1]) for codes, known in part] for part in (training, validation)]
    ridge = fit_kmer_ridge(*first, k=2, widths=[40, 128]).predict(inputs.numpy())[:, 0]
    known = ~np.isnan(labels[:, 0])
    a, s, b = blend(network[known, 0], ridge[known], labels[known, 0])
    assert s > 0
    np.testing.assert_allclose(together[:, 0], a * network[:, 0] + s * ridge + b, atol=1e-4)
    # the second label is never 1: nothing to fit
    np.testing.assert_array_equal(together[:, 1], network[:, 1])
    neutral_part(fitted)
    with torch.no_grad():
        np.testing.assert_array_equal(fitted(inputs).logits.numpy(), network)
    assert not any(parameter.requires_grad for parameter in fitted.kmer_part.parameters())


def test_a_model_without_the_part_is_refused():
    with pytest.raises(ValueError, match="the model has no k-mer part; give its configuration `kmers`"):
        active_part(model(kmers=False))
