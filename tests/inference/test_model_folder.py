"""Folders are read by validated readers, and nothing in them runs."""

import json
import sys
from pathlib import Path

import pytest
import torch
from chromhub.inference.load import load_any
from chromhub.inference.model_folder import open_model
from chromhub.inference.provenance import find_provenance
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from tests.hub_models.toy_run import toy_adapter, toy_run


@pytest.fixture
def run(tmp_path, tiny_model) -> Path:
    return toy_run(tmp_path / "run", tiny_model)


@pytest.fixture
def adapter(run, tmp_path, tiny_model) -> Path:
    return toy_adapter(tmp_path / "adapter", tiny_model, run)


def edit(file: Path, **fields) -> None:
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, **fields}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bin_size": 0}, "`bin_size` must be 1 to"),
        ({"num_tracks": 10**8}, "`num_tracks` must be a whole number of 1 to 100,000, got 100000000"),
        ({"num_labels": 10**9}, "num_labels must be 1 to 100,000"),
        ({"architectures": 5}, "architectures must be a list of names, got 5"),
        ({"architectures": ["Other"]}, "names the class 'Other', which is none of AtacForTrackPrediction"),
        ({"model_type": "bert"}, "holds a model of type 'bert', which is none of chromhub's"),
        ({"model_type": None}, "holds a model of type None"),
        ({"id2label": 5}, "describes no model"),
        ({"stem": {"type": "convnext", "channels": -1}}, "`stem.channels` must be 1 to"),
        ({"stem": {"type": "convnext", "channels": 10**9}}, "`stem.channels` must be 1 to"),
        ({"input_length": 10**18}, "`input_length` must be 1 to"),
    ],
)
def test_a_damaged_configuration_is_refused(run, fields, message) -> None:
    edit(run / "config.json", **fields)
    with pytest.raises(ValueError, match=message):
        open_model(run)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_model_name_or_path": None}, "must name its base in base_model_name_or_path, found none"),
        ({"base_model_name_or_path": 5}, "base_model_name_or_path is 5"),
        ({"r": 10**6}, r"r is 1000000 \(Input should be less than or equal to 4096\)"),
        ({"peft_type": "NONE"}, "'NONE' is no method of PEFT"),
        ({"target_modules": [5]}, "target_modules"),
        ({"rank_pattern": {"stem": 10**9}}, "a rank must be 1 to 4096"),
    ],
)
def test_a_damaged_adapter_is_refused(adapter, fields, message) -> None:
    edit(adapter / "adapter_config.json", **fields)
    with pytest.raises(ValueError, match=message):
        open_model(adapter)


def test_an_adapter_that_comes_round_to_itself_is_refused(adapter, tmp_path) -> None:
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(adapter))
    (adapter / "provenance.json").unlink()
    for read in (load_any, find_provenance):
        with pytest.raises(ValueError, match=r"has no model at its end, since its bases name one another"):
            read(adapter)
    other = tmp_path / "other"
    other.mkdir()
    (other / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(other))
    with pytest.raises(ValueError, match=r"has no model at its end"):
        load_any(other)


def test_code_in_a_folder_never_runs(run, monkeypatch) -> None:
    """Not even where standard input would agree; nor does transformers ask."""
    (run / "evil.py").write_text("raise SystemExit('ran')\nclass Model: pass\n")
    edit(run / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Model", "AutoModel": "evil.Model"})
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    with pytest.raises(ValueError, match="holds a model of type 'evil'"):
        load_any(run)
    assert not any("evil" in name for name in sys.modules)


def test_no_code_is_fetched_from_the_hub(hub, run) -> None:
    (run / "evil.py").write_text("raise SystemExit('ran')\n")
    HfApi().create_repo("org/model")
    HfApi().upload_folder(repo_id="org/model", folder_path=run)
    hub.log.clear()
    assert load_any("org/model").config.num_tracks == 1
    asked = " ".join(hub.log)
    assert "model.safetensors" in asked
    assert ".py" not in asked


@pytest.mark.parametrize("base", ["/etc", "../run", "run", "~"])
def test_an_adapter_on_the_hub_reaches_no_local_path(hub, adapter, run, base, monkeypatch) -> None:
    monkeypatch.chdir(run.parent)
    edit(adapter / "adapter_config.json", base_model_name_or_path=base)
    HfApi().create_repo("org/lora")
    HfApi().upload_folder(repo_id="org/lora", folder_path=adapter)
    with pytest.raises(ValueError, match=r"names its base .*, which is no Hub id ORG/NAME"):
        load_any("org/lora")


def test_an_adapter_on_the_hub_takes_its_base_from_the_hub_though_a_folder_has_that_name(
    hub, adapter, run, tmp_path, tiny_model, monkeypatch
) -> None:
    for name in ("me/base", "org/lora"):
        HfApi().create_repo(name)
    HfApi().upload_folder(repo_id="me/base", folder_path=run)
    commit = HfApi().model_info("me/base").sha
    edit(adapter / "adapter_config.json", base_model_name_or_path="me/base", revision=commit)
    HfApi().upload_folder(repo_id="org/lora", folder_path=adapter)
    expected = load_any("org/lora").state_dict()
    monkeypatch.chdir(tmp_path)
    other = toy_run(tmp_path / "me" / "base", tiny_model)
    doubled = {name: value * 2 for name, value in load_file(run / "model.safetensors").items()}
    save_file(doubled, other / "model.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in load_any("org/lora").state_dict().items())


def test_a_local_adapter_does_not_ask_the_hub_for_what_is_only_described(hub, adapter) -> None:
    edit(adapter / "adapter_config.json", base_model_name_or_path="org/unreachable")
    with pytest.raises(OSError, match=r"org/unreachable is not in the Hub's cache.*hf download org/unreachable"):
        open_model(adapter, weights=False, ask_hub=False)
    assert not hub.log


def test_weights_that_are_not_the_models_are_refused_by_name(run) -> None:
    file = run / "model.safetensors"
    whole = load_file(file)
    save_file({name: value for name, value in whole.items() if not name.startswith("head.")}, file)
    with pytest.raises(ValueError, match=r"2 of \d+ tensors are missing \(head\.bias, head\.weight\)"):
        load_any(run)
    save_file({f"model.{name}": value for name, value in whole.items()}, file)
    with pytest.raises(ValueError, match=r"belong to no part of it \(model\."):
        load_any(run)
    save_file({**whole, "head.bias": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match=r"1 have another shape \(head\.bias \[2\] for \[1\]\)"):
        load_any(run)
    save_file({**whole, "head.bias": torch.zeros(1, dtype=torch.int32)}, file)
    with pytest.raises(ValueError, match=r"1 hold another type of number \(head\.bias\)"):
        load_any(run)
    file.unlink()
    (run / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"holds no weights .*pytorch_model\.bin is a pickle"):
        load_any(run)


def test_an_adapter_that_lost_tensors_is_refused(adapter) -> None:
    file = adapter / "adapter_model.safetensors"
    whole = load_file(file)
    lost = next(name for name in whole if "lora_B" in name)
    save_file({name: value for name, value in whole.items() if name != lost}, file)
    with pytest.raises(ValueError, match=r"1 of \d+ tensors are missing \(base_model"):
        load_any(adapter)


def test_an_unpinned_base_on_the_hub_is_warned_of(hub, adapter, run) -> None:
    HfApi().create_repo("org/base")
    HfApi().upload_folder(repo_id="org/base", folder_path=run)
    edit(adapter / "adapter_config.json", base_model_name_or_path="org/base")
    with pytest.warns(UserWarning, match="names its base org/base without a commit"):
        load_any(adapter)
