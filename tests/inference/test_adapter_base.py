"""An adapter belongs to the weights it was trained on."""

import hashlib
import json

import numpy as np
import pytest
import torch
from chromhub.inference.adapter_base import check_base, weights_digest
from chromhub.inference.load import load_model
from chromhub.modeling import AtacForTrackPrediction
from safetensors.numpy import save_file

from tests.hub_models.toy_run import toy_adapter, toy_run


def test_the_digest_is_of_tensors_and_not_of_files(tmp_path) -> None:
    a, b = np.arange(4, dtype=np.float32), np.ones((2, 1), np.float32)
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    save_file({"b": b, "a": a}, tmp_path / "one" / "model.safetensors", metadata={"format": "pt"})
    save_file({"b": b}, tmp_path / "two" / "model-00001-of-00002.safetensors")
    save_file({"a": a}, tmp_path / "two" / "model-00002-of-00002.safetensors")
    save_file({"a": a, "b": b + 1}, tmp_path / "other" / "model.safetensors")
    said = b"a\0F32\0[4]\0" + a.tobytes() + b"b\0F32\0[2, 1]\0" + b.tobytes()
    assert weights_digest(tmp_path / "one") == hashlib.sha256(said).hexdigest()[:16]
    assert weights_digest(tmp_path / "two") == weights_digest(tmp_path / "one")
    assert weights_digest(tmp_path / "other") != weights_digest(tmp_path / "one")


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 9])
def test_damaged_weights_have_no_digest(tmp_path, content) -> None:
    assert weights_digest(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(content)
    assert weights_digest(tmp_path) is None


def test_an_adapter_that_names_itself_has_no_digest(tmp_path) -> None:
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))
    assert weights_digest(tmp_path) is None


def test_a_base_that_has_changed_is_refused(tmp_path, tiny_model) -> None:
    base = toy_run(tmp_path / "base", tiny_model)
    other = AtacForTrackPrediction(tiny_model.config)
    adapter = toy_adapter(tmp_path / "adapter", tiny_model, base)
    load_model(adapter)  # without a record of its base it is taken as it is
    record = json.loads((adapter / "provenance.json").read_text())
    (adapter / "provenance.json").write_text(json.dumps(record | {"base_digest": weights_digest(base)}))
    before = load_model(adapter)
    stacked = weights_digest(adapter)
    other.save_pretrained(base)
    with pytest.raises(ValueError, match=r"on a base with the weights \w{16}, and '.*base' holds others now"):
        load_model(adapter)
    with pytest.raises(ValueError, match="put the base back as it was, or train the adapter anew"):
        check_base(adapter, base)
    assert weights_digest(adapter) not in (None, stacked)  # of an adapter on an adapter the lowest base counts
    assert isinstance(before, torch.nn.Module)
