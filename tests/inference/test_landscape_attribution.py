"""Integrated gradients of landscape models: additive, and laid around the bin they are of."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from chromhub.cli import app
from chromhub.inference.landscape_attribution import (
    attribute_landscape,
    decay_of_attribution,
    integrated_gradients,
    reach_of_attribution,
)
from chromhub.modeling import ClasterConfig, ClasterForProfileRegression
from typer.testing import CliRunner

from ..landscape_folder import write_landscape


@pytest.fixture(scope="module", params=[None, "rotated", "square"])
def data(request, tmp_path_factory):
    return write_landscape(tmp_path_factory.mktemp("sim") / "data", contacts=request.param)[0]


def model_for(data, seed=0) -> ClasterForProfileRegression:
    grid, structure = data.grid, None
    if data.contacts is not None:
        structure = {"form": data.contact_form, "shape": list(data.contacts.shape[1:]), "layers": [1]}
        structure |= {"base_channels": 4, "kernel_size": 3, "features": 16}
    torch.manual_seed(seed)
    config = ClasterConfig.from_preset(
        "claster-tiny", num_input_bins=grid.num_input_bins, num_bins=grid.num_bins, bin_size=grid.bin_size,
        track_names=data.track_names, structure=structure,
    )  # fmt: skip
    return ClasterForProfileRegression(config).eval()


class LocalRule(torch.nn.Module):
    """Each 200-bp bin is twice track 1 plus track 3 of the two input bins it starts in; linear and local."""

    def __init__(self, data) -> None:
        super().__init__()
        self.config, self.device = model_for(data).config, torch.device("cpu")

    def forward(self, inputs, contact_map=None) -> SimpleNamespace:
        centre, bins = inputs.shape[-1] // 2, self.config.num_bins
        places = [centre + 2 * (j - bins // 2) for j in range(bins)]
        both = 2 * inputs[:, 1, places] + inputs[:, 3, places]
        return SimpleNamespace(logits=both[:, None] + 0 * (0 if contact_map is None else contact_map.sum()))


def test_attributions_add_up(data):
    model = model_for(data)
    arrays = [data.landscapes[3], *([data.contacts[3]] if data.contacts is not None else [])]
    inputs = [torch.from_numpy(np.array(array)) for array in arrays]
    baseline = [torch.zeros_like(tensor) for tensor in inputs]
    maps, change = integrated_gradients(model, inputs, baseline, [(0, 0), (0, 10)], steps=128)
    assert [tuple(part.shape) for part in maps] == [(2, *tensor.shape) for tensor in inputs]
    total = sum(part.flatten(1).sum(1) for part in maps)
    assert torch.allclose(total, change, atol=0.02 * float(change.abs().max()))


def test_a_local_rule_is_in_the_middle(data):
    rows = data.rows("test")
    found = attribute_landscape(LocalRule(data), data, rows, background=data.rows("train"), every=5, steps=2)
    assert found.num_maps == len(rows) * 5
    assert found.additivity_error < 1e-4
    # bins up to 10 * 2 input bins from the centre: 30 on each side are left of 50
    assert found.landscape.shape == (1, 4, 61)
    assert np.argwhere(found.landscape[0] > 1e-9).tolist() == [[1, 30], [3, 30]]
    middle = [50 + 2 * j for j in (-10, -5, 0, 5, 10)]
    baseline = data.landscapes[data.rows("train")].mean(0)
    by_hand = np.abs(2 * (data.landscapes[rows] - baseline))[:, 1][:, middle].mean()
    assert found.landscape[0, 1, 30] == pytest.approx(by_hand, rel=1e-4)
    assert (found.contacts is None) == (data.contacts is None)
    if found.contacts is not None:
        assert found.contacts.max() == 0


def test_decay_by_hand():
    maps = np.array([[1.0, 2, 8, 4, 0], [0, 1, 2, 1, 0]])
    decay = decay_of_attribution(maps, ["a", "b"], 100)
    assert decay["share"].tolist() == [1, 3 / 8, 1 / 16, 1 / 4, 1 / 8, 0]
    assert decay["distance"].tolist() == [0, 100, 200] * 2
    assert reach_of_attribution(decay) == {"a": {"peak": 1, "reach_bp": 100}, "b": {"peak": 0.25, "reach_bp": 100}}


def test_the_command(data, tmp_path):
    model_for(data).save_pretrained(tmp_path / "run")
    options = ["--genes", "2", "--steps", "4", "--device", "cpu"]
    words = ["attribute-landscape", str(tmp_path / "run"), "--data", str(data.path), "-o", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, [*words, *options])
    assert shown.exit_code == 0, shown.output
    assert "H3K27ac" in shown.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"attribution.npz", "decay.tsv", "summary.json", "decay_0.png"}
    arrays = np.load(tmp_path / "out" / "attribution.npz")
    assert ("contacts" in arrays) == (data.contacts is not None)
    assert len(pd.read_csv(tmp_path / "out" / "decay.tsv", sep="\t")) == 4 * 31
    said = json.loads(CliRunner().invoke(app, [*words, *options, "--json", "--overwrite"]).stdout)
    assert said["genes"] == 2
    (tmp_path / "out" / "thesis.tex").touch()
    refused = CliRunner().invoke(app, [*words, *options, "--overwrite"])
    assert refused.exit_code == 2
    assert "holds other files (thesis.tex), which --overwrite would delete" in " ".join(refused.stderr.split())
    refused = CliRunner().invoke(app, [*words, "--part", "all"])
    assert refused.exit_code == 2
