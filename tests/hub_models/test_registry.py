import json

import chromhub
import pytest
import torch
from chromhub.hub_models.registry import PUBLISHED, list_models

from tests.hub_models.toy_run import toy_adapter, toy_run


def test_runs_are_listed_by_name_with_their_numbers(tmp_path, tiny_model) -> None:
    run = toy_run(tmp_path / "b", tiny_model)
    toy_adapter(tmp_path / "a", tiny_model, run)
    (tmp_path / "unfinished" / "checkpoints").mkdir(parents=True)
    adapter, model = list_models(tmp_path)
    assert (adapter.name, adapter.kind, adapter.base) == ("a", "adapter", "b")
    assert (model.name, model.kind, model.base) == ("b", "model", "")
    assert (model.architecture, model.genome, model.tracks) == ("convnext-dilated", "sacCer3", ("track_0",))
    assert model.metrics == {"yeast test genome_wide": 0.1 + 0.2, "yeast test peaks": 0.8125}


def test_an_adapter_whose_base_is_on_the_hub_is_listed_without_asking(hub, tmp_path, tiny_model) -> None:
    run = toy_run(tmp_path / "b", tiny_model)
    file = toy_adapter(tmp_path / "a", tiny_model, run) / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": "org/unreachable"}))
    adapter, model = list_models(tmp_path)
    assert (adapter.name, adapter.base, adapter.architecture) == (
        "a",
        "org/unreachable",
        "its base is not on this machine",
    )
    assert (model.name, adapter.tracks) == ("b", ("track_0",))
    assert not hub.log


def test_the_shipped_registry_can_be_listed() -> None:
    assert list_models()[: len(PUBLISHED)] == list(PUBLISHED)


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder: '\./missing'"):
        list_models("./missing")


def test_a_model_loads_by_its_name_or_its_folder() -> None:
    shipped = next(model for model in list_models() if model.path)
    by_name, by_folder = chromhub.load(shipped.name), chromhub.load(shipped.path)
    assert not by_name.training
    codes = torch.randint(0, 4, (1, by_name.config.input_length), dtype=torch.uint8)
    with torch.no_grad():
        outputs = zip(by_name(codes).to_tuple(), by_folder(codes).to_tuple(), strict=True)
        assert all(torch.equal(one, other) for one, other in outputs)
    with pytest.raises(ValueError, match=f"did you mean '{shipped.name}'"):
        chromhub.load(shipped.name[:-1])
    with pytest.raises(ValueError, match="no model is registered as 'enformer'; use one of"):
        chromhub.load("enformer")
