"""AutoModel itself refuses what would be drawn at random."""

import json

import pytest
import torch
from chromhub.finetune.adapters import attach, save_adapter
from chromhub.finetune.recipe import LoraRecipe
from chromhub.modeling import AtacConfig, AtacForSequenceClassification, ChromTransferConfig, ChromTransferModel
from chromhub.modeling import ChromTransferForSequenceClassification as ChromTransferClassifier
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

CODES = torch.arange(512, dtype=torch.uint8).remainder(5).view(1, -1)


def test_a_folder_of_another_class_says_what_to_use(tmp_path, tiny_model) -> None:
    AtacForSequenceClassification(AtacConfig.from_preset("dcnn-tiny")).save_pretrained(tmp_path / "classifier")
    tiny_model.save_pretrained(tmp_path / "tracks")
    with pytest.raises(ValueError, match=r"use AutoModelForSequenceClassification\.from_pretrained or chromhub\.load"):
        AutoModel.from_pretrained(tmp_path / "classifier")
    with pytest.raises(ValueError, match=r"holds AtacForTrackPrediction, .*use AutoModel\.from_pretrained"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "tracks")


def test_a_classifiers_body_is_whole(tmp_path) -> None:
    config = ChromTransferConfig(stem_filters=4, tower1_filters=4, tower2_filters=4, head_hidden_sizes=[4])
    ChromTransferClassifier(config).save_pretrained(tmp_path / "classifier")
    assert isinstance(AutoModel.from_pretrained(tmp_path / "classifier"), ChromTransferModel)
    ChromTransferModel(config).save_pretrained(tmp_path / "body")
    with pytest.raises(ValueError, match="holds ChromTransferModel, not ChromTransferForSequenceClassification"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "body")


def test_missing_tensors_are_named(tmp_path, tiny_model) -> None:
    tiny_model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["head.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lack 1 tensors of AtacForTrackPrediction \(head\.weight\)"):
        AutoModel.from_pretrained(tmp_path)
    assert AutoModel.from_pretrained(tmp_path, ignore_mismatched_sizes=True) is not None


def write_adapter(folder, model, base: str) -> None:
    adapted = attach(model, "lora", lora=LoraRecipe(r=2))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    save_adapter(adapted, folder, base=base)


def test_an_adapter_that_lost_tensors(tmp_path, tiny_model) -> None:
    tiny_model.save_pretrained(tmp_path / "base")
    write_adapter(tmp_path / "lora", tiny_model, str(tmp_path / "base"))
    file = tmp_path / "lora" / "adapter_model.safetensors"
    state = load_file(file)
    lost = next(name for name in state if "lora_B" in name)
    save_file({name: value for name, value in state.items() if name != lost}, file)
    with pytest.raises(ValueError, match=r"lacks 1 of its tensors \("):
        AutoModel.from_pretrained(tmp_path / "lora")


def test_a_moved_base_is_warned_of(hub, tmp_path, tiny_model) -> None:
    """AutoModel takes the base as it is by now, whatever commit adapter_config.json names."""
    tiny_model.push_to_hub("me/base")
    commit = HfApi().model_info("me/base").sha
    AutoModel.from_pretrained("me/base")  # as training does, so that the commit is known
    write_adapter(tmp_path / "lora", tiny_model, "me/base")
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["revision"] == commit
    HfApi().create_repo("me/lora")
    HfApi().upload_folder(repo_id="me/lora", folder_path=tmp_path / "lora")
    AutoModel.from_pretrained("me/lora")
    HfApi().upload_file(repo_id="me/base", path_in_repo="notes.md", path_or_fileobj=b"moved")
    with pytest.warns(UserWarning, match=f'made for commit {commit} of its base.*pass revision="{commit}"'):
        AutoModel.from_pretrained("me/lora")
    pinned = AutoModel.from_pretrained("me/lora", revision=commit, adapter_kwargs={"revision": "main"})
    assert pinned(CODES).predictions.shape == (1, 1, 128)
