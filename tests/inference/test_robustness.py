import json

import numpy as np
import pytest
import torch
from chromhub.datasets_scripts.dataset import evaluation_windows
from chromhub.inference.robustness import (
    ShiftPlan,
    VariationState,
    coefficient_of_variation,
    flatten_robustness,
    robustness,
    shifted_predictions,
)
from chromhub.modeling import AtacConfig, AtacForTrackPrediction

from .toy_genome import toy_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("data"))


@pytest.fixture
def equivariant():
    """Return a model of convolutions without GRN that reads 100 bp: a shift by bins moves its predictions alone."""
    torch.manual_seed(0)
    model = AtacForTrackPrediction(AtacConfig.from_preset("dcnn-tiny", core={"num_blocks": 3})).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "bn.weight", "norm.weight")):
            tensor.uniform_(0.5, 1.5)
    return model


def test_coefficient_of_variation_by_hand():
    # 1 2 3: mean 2, standard deviation of the population sqrt(2 / 3).
    values = np.array([[1.0, 0], [2, 0], [3, 0]])
    assert coefficient_of_variation(values, 0) == pytest.approx([np.sqrt(2 / 3) / 2, np.nan], nan_ok=True)


def test_sums_of_regions_by_hand():
    # Two regions, two shifts, one track, two bins. Bin 0: 1 and 3, CV 1 / 2; 2 and 2, CV 0. Bin 1: 0 and 0, then 4, 12.
    state = VariationState(np.zeros((1, 2)), np.zeros((1, 2), np.int64))
    state.update(np.array([[[[1.0, 0]], [[3.0, 0]]], [[[2.0, 4]], [[2.0, 12]]]]))
    assert state.summary(0) == {"regions": 2, "score": pytest.approx(0.375), "positions": [0.25, 0.5]}


def test_the_papers_shifts():
    shifts = ShiftPlan().shifts
    assert (len(shifts), shifts[0], shifts[1], shifts[-1]) == (17, -256, -224, 256)


def test_regions_lie_under_one_another(tiny_model, store):
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=512)
    starts = store.flat_starts(windows.iloc[3:5])
    plan = ShiftPlan(512, 64, 32)
    found = shifted_predictions(tiny_model, store, starts, plan=plan)
    assert found.shape == (2, 5, 1, 128)
    for i, shift in enumerate(plan.shifts):
        codes = torch.from_numpy(store.gather_codes(starts + shift, 2048))
        with torch.no_grad():
            whole = tiny_model(codes).predictions.numpy()
        first = 192 - shift // 4
        np.testing.assert_allclose(found[:, i], whole[..., first : first + 128], rtol=1e-5)


def test_an_equivariant_model_has_0(equivariant, store):
    found = robustness(equivariant, store)
    for name in ("genome_wide", "peaks"):
        pooled = found["results"]["track_0"][name]["pooled"]
        assert pooled["score"] == pytest.approx(0, abs=1e-6)
        assert len(pooled["positions"]) == 128
    windows, _ = evaluation_windows(store, "test", input_length=2048, target_length=512)
    predicted = shifted_predictions(equivariant, store, store.flat_starts(windows)[4:5], plan=ShiftPlan())
    assert predicted[0, 0, 0].std() > 1e-5  # it does predict something


def test_numbers_of_a_model_that_is_not(tiny_model, store):
    seen = []
    found = robustness(tiny_model, store, progress=lambda *now: seen.append(now), max_regions=5)
    json.dumps(found, allow_nan=False)
    rows = flatten_robustness(found)
    assert set(rows["set"]) == {"genome_wide", "peaks"}
    assert (rows["score"] > 1e-4).all()
    # chrA and chrC tile into 17 + 9 targets of 512 bp, less 2 of N: 5 of them, and 2 peaks.
    assert found["windows"]["genome_wide"]["kept"] == 24
    assert seen[0] == (0, 7)
    assert seen[-1] == (7, 7)
    pooled = found["results"]["track_0"]["genome_wide"]["pooled"]
    assert np.mean(pooled["positions"]) == pytest.approx(pooled["score"])
    again = robustness(tiny_model, store, max_regions=5, batch_size=1)
    assert again["results"]["track_0"]["peaks"]["pooled"]["score"] == pytest.approx(
        found["results"]["track_0"]["peaks"]["pooled"]["score"], rel=1e-5
    )


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (ShiftPlan(510), "the region must be a positive multiple of the model's bin size of 4 bp, got 510 bp"),
        (ShiftPlan(512, 256, 6), "the step must be a positive multiple"),
        (ShiftPlan(512, 256, 96), "the step must divide the largest shift of 256 bp, got 96 bp"),
        (ShiftPlan(1024, 1024, 32), "with shifts up to 1024 bp must lie on bins within the model's window of 2048 bp"),
    ],
)
def test_plans_that_do_not_fit(tiny_model, store, plan, sentence):
    with pytest.raises(ValueError, match=sentence):
        robustness(tiny_model, store, plan=plan)
