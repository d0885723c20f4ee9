"""An adapter as a model of its own: the same predictions, the same records, and what every model before it saw."""

import json

import pytest
import torch
from chromhub.hub_models.card import render_card
from chromhub.hub_models.merge import merge_adapter
from chromhub.hub_models.publish import check_run
from chromhub.inference.load import load_model
from chromhub.inference.provenance import UNRECORDED, Provenance, SeenChrom, find_provenance
from transformers import AutoModel

from tests.hub_models.toy_run import toy_adapter, toy_run
from tests.without_chromhub import CODES, predict


@pytest.fixture
def run(tmp_path, tiny_model):
    folder = toy_run(tmp_path / "run", tiny_model)
    values = json.loads((folder / "provenance.json").read_text())
    values["trained_on"] = [{"chrom": "chrX", "digest": "eeee", "intervals": [[0, 77]]}]
    (folder / "provenance.json").write_text(json.dumps(values))
    return folder


@pytest.fixture
def adapter(run, tmp_path, tiny_model):
    return toy_adapter(tmp_path / "adapter", tiny_model, run)


def test_merged_equals_unmerged(adapter, run, tmp_path):
    made = merge_adapter(adapter, tmp_path / "merged")
    assert (made.base, made.tracks, made.has_provenance) == (str(run), ("track_0",), True)
    assert made.max_difference < 1e-6
    merged, unmerged = AutoModel.from_pretrained(tmp_path / "merged"), AutoModel.from_pretrained(adapter)
    assert not any("lora" in name for name in merged.state_dict())
    assert (predict(unmerged) - predict(load_model(run))).abs().max() > 1e-2
    assert (predict(merged.double()) - predict(unmerged.double())).abs().max() < 1e-6
    assert merged.config.track_names == ["track_0"]


def test_the_whole_chain_is_inherited_and_on_the_card(adapter, tmp_path):
    merge_adapter(adapter, tmp_path / "merged")
    before, after = Provenance.load(adapter), Provenance.load(tmp_path / "merged")
    assert after.seen() == before.seen()
    assert ("sacCer3", SeenChrom("chrX", "eeee", ((0, 77),))) in after.seen()
    assert after.merged_from == str(adapter)
    card = render_card(tmp_path / "merged")
    assert "### This model, the adapter adapter merged into its base" in card
    assert "### Its base, run" in card
    assert "| chrX | 0-77 |" in card
    assert "Mode lora" in card
    assert check_run(tmp_path / "merged").evaluations  # fit to be pushed, with the adapter's numbers


def test_an_adapter_without_records_has_seen_what_its_base_has(adapter, run, tmp_path):
    for path in (*adapter.glob("*.json"), adapter / "recipe.yaml"):
        if path.name != "adapter_config.json":
            path.unlink()
    found = find_provenance(adapter)
    assert found
    assert (found.mode, found.base, found.is_complete) == (UNRECORDED, Provenance.load(run), False)
    merge_adapter(adapter, tmp_path / "merged")
    assert ("sacCer3", SeenChrom("chrX", "eeee", ((0, 77),))) in Provenance.load(tmp_path / "merged").seen()
    (run / "provenance.json").unlink()
    assert find_provenance(adapter) is None
    assert not merge_adapter(adapter, tmp_path / "merged", overwrite=True).has_provenance


def test_what_is_no_adapter_is_refused(run, adapter, tmp_path):
    with pytest.raises(ValueError, match="is no adapter"):
        merge_adapter(run, tmp_path / "merged")
    with pytest.raises(FileNotFoundError, match=r"no model folder '\./none'"):
        merge_adapter("./none", tmp_path / "merged")
    with pytest.raises(FileExistsError):
        merge_adapter(adapter, run)
    assert not (tmp_path / "merged").exists()


def test_an_adapters_own_tracks_are_the_loaded_models(adapter, run):
    for folder, tracks, genome in ((adapter, ["mine"], "hg38"), (run, ["base"], "sacCer3")):
        values = {**json.loads((folder / "provenance.json").read_text()), "tracks": tracks, "genome": genome}
        (folder / "provenance.json").write_text(json.dumps(values))
    model = load_model(adapter)
    assert (model.config.track_names, model.config.genome) == (["mine"], "hg38")
    assert model(CODES).predictions.shape == (2, 1, 512)
    (adapter / "provenance.json").write_text("{")
    with pytest.raises(ValueError, match=r"provenance\.json is damaged: it is not JSON"):
        load_model(adapter)


def test_a_hub_adapter_is_merged(hub, run, adapter, tmp_path):
    from chromhub.hub_models.card import Publication
    from chromhub.hub_models.publish import publish

    expected = predict(AutoModel.from_pretrained(adapter))
    publish(run, Publication("org/tiny", license="mit"))
    publish(adapter, Publication("org/tiny-lora", license="mit", base_model="org/tiny"))
    made = merge_adapter("org/tiny-lora", tmp_path / "merged")
    assert (made.base, made.has_provenance) == ("org/tiny", True)
    assert torch.allclose(predict(AutoModel.from_pretrained(tmp_path / "merged")), expected, atol=1e-5)
