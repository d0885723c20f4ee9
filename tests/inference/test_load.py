import pytest
import torch
from chromhub.inference.load import load_model, load_sequence_model
from chromhub.inference.names import looks_like_path
from chromhub.modeling import AtacForTrackPrediction, ClasterConfig, ClasterForProfileRegression, lora_layers
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel

CODES = torch.arange(512, dtype=torch.uint8).remainder(5).view(1, -1)


def test_a_model_comes_back_in_evaluation_mode(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert not loaded.training
    assert torch.equal(loaded(CODES).predictions, tiny_model(CODES).predictions)


def test_an_adapter_comes_merged_into_its_base(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "base")
    config = LoraConfig(**lora_layers(tiny_model, r=2))
    adapted = get_peft_model(tiny_model, config).eval()
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = load_model(tmp_path / "adapter")
    assert type(loaded) is AtacForTrackPrediction
    assert not any("lora" in name for name in loaded.state_dict())
    assert torch.allclose(loaded(CODES).predictions, adapted(inputs=CODES).predictions, atol=1e-6)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model folder '\./missing'"):
        load_model("./missing")
    with pytest.raises(FileNotFoundError, match=r"holds no model .* was its training finished"):
        load_model(tmp_path)


def test_a_model_of_another_kind_is_refused(tmp_path):
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=8)
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of type 'bert', which is none of chromhub's"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "is_path"), [("org/name", False), ("./run", True), ("/a/run", True), ("~/run", True), ("runs/a/b", True)]
)
def test_paths_and_hub_ids(name, is_path):
    assert looks_like_path(name) is is_path


def test_a_landscape_model_does_not_read_sequence(tmp_path):
    ClasterForProfileRegression(ClasterConfig.from_preset("claster-landscape")).save_pretrained(tmp_path / "run")
    with pytest.raises(ValueError, match="reads a landscape of chromatin, not sequence: use chromhub evaluate or"):
        load_sequence_model(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"weight_map": {"a": "../other/model.safetensors"}}', "is damaged: its weight_map must name files beside"),
        ("null", "must hold an object, got null"),
        ('{"weight_map": {"a": ["b"]}}', "is damaged"),
    ],
)
def test_weights_outside_the_folder_are_refused(tiny_model, tmp_path, text, said):
    tiny_model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-1-of-1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=rf"model\.safetensors\.index\.json {said}"):
        load_model(tmp_path)
