import json
from pathlib import Path

import pytest
import torch
from chromhub.hub_models.card import Publication
from chromhub.hub_models.publish import prepare, publish
from chromhub.inference.load import load_model
from huggingface_hub import HfApi, ModelCard
from transformers import AutoModel

from tests.hub_models.toy_run import toy_adapter, toy_run
from tests.without_chromhub import predict, predict_without_chromhub

MINE = Publication("org/tiny", license="apache-2.0")


@pytest.fixture
def run(tmp_path, tiny_model) -> Path:
    return toy_run(tmp_path / "run", tiny_model)


@pytest.fixture
def adapter(run, tmp_path, tiny_model) -> Path:
    return toy_adapter(tmp_path / "adapter", tiny_model, run)


def test_an_adapter_comes_back_bit_for_bit(hub, run, adapter, tmp_path) -> None:
    before = {file.name: file.read_bytes() for file in adapter.iterdir() if file.is_file()}
    expected = predict(AutoModel.from_pretrained(adapter))
    base = publish(run, MINE)
    pushed = publish(adapter, Publication("org/tiny-lora", license="mit", base_model="org/tiny"))

    assert torch.equal(predict(AutoModel.from_pretrained("org/tiny-lora")), expected)
    assert torch.allclose(predict(load_model("org/tiny-lora")), expected, atol=1e-5)  # merged
    HfApi().upload_file(repo_id="org/tiny", path_or_fileobj=b"junk", path_in_repo="model.safetensors")
    assert base.revision in pushed.load
    assert pushed.revision in pushed.load
    (without,) = predict_without_chromhub(pushed.load, extractor="org/tiny", folder=tmp_path)
    assert torch.equal(without, expected)

    config = json.loads(hub.files("org/tiny-lora")["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/tiny", base.revision)
    assert "model.safetensors" not in hub.files("org/tiny-lora")
    card = ModelCard(hub.files("org/tiny-lora")["README.md"].decode()).data
    assert (card["base_model"], card["base_model_relation"]) == ("org/tiny", "adapter")
    assert {file.name: file.read_bytes() for file in adapter.iterdir() if file.is_file()} == before


def test_an_adapter_on_a_local_folder_needs_a_name_for_it(hub, adapter) -> None:
    with pytest.raises(ValueError, match=r"local folder .*--base-model ORG/NAME"):
        publish(adapter, Publication("org/tiny-lora", license="mit"))
    with pytest.raises(ValueError, match="'org/tiny' is not on the Hub"):
        publish(adapter, Publication("org/tiny-lora", license="mit", base_model="org/tiny"))
    assert hub.repos == {}
    with pytest.raises(ValueError, match=r"chromhub merge .*adapter -o FOLDER"):
        prepare(adapter, Publication("org/tiny-lora", license="mit"), adapter.parent / "ready")
    assert not (adapter.parent / "ready").exists()


def test_an_adapter_is_not_pushed_onto_another_base(hub, run, adapter, tmp_path) -> None:
    other = load_model(run)
    other.core.features.norm.running_mean.add_(1)
    publish(toy_run(tmp_path / "other", other), Publication("org/other", license="mit"))
    with pytest.raises(ValueError, match="predicts something else on org/other"):
        publish(adapter, Publication("org/tiny-lora", license="mit", base_model="org/other"))
    assert ("models", "org/tiny-lora") not in hub.repos


def test_an_adapter_on_an_adapter_is_refused(hub, run, adapter) -> None:
    publish(run, MINE)
    publish(adapter, Publication("org/tiny-lora", license="mit", base_model="org/tiny"))
    with pytest.raises(ValueError, match="'org/tiny-lora' is itself an adapter"):
        publish(adapter, Publication("org/stacked", license="mit", base_model="org/tiny-lora"))
