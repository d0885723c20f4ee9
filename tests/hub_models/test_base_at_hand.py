"""A base is taken from this machine or not at all."""

from chromhub.hub_models import base_at_hand as module
from chromhub.hub_models.base_at_hand import base_at_hand
from chromhub.inference.provenance import Provenance
from huggingface_hub import HfApi, snapshot_download

from .toy_run import toy_run


def record(folder, base_model, base=None):
    folder.mkdir(exist_ok=True)
    Provenance(base_model, "toy", (), (), ("t",), 0, "lora", "f00d", base=base).save(folder)
    return folder


def test_a_base_in_a_folder(tiny_model, tmp_path):
    base = toy_run(tmp_path / "base", tiny_model)
    found = base_at_hand(record(tmp_path / "run", str(base), Provenance.load(base)))
    assert (found.name, found.model.config.track_names) == ("base", tiny_model.config.track_names)
    other = Provenance(None, "toy", (), (), ("t",), 0, "scratch", "another")
    assert "where the base base was is another one" in base_at_hand(record(tmp_path / "run", str(base), other))


def test_a_base_that_comes_with_chromhub_is_found_by_its_name(tiny_model, tmp_path, monkeypatch):
    toy_run(tmp_path / "shipped" / "tiny-base", tiny_model)
    monkeypatch.setattr(module, "FOLDER", tmp_path / "shipped")
    assert base_at_hand(record(tmp_path / "run", "hub_models/tiny-base")).name == "hub_models/tiny-base"
    assert base_at_hand(record(tmp_path / "run", "tiny-base")).name == "tiny-base"


def test_the_hub_is_never_asked_for_a_base(hub, tiny_model, tmp_path):
    HfApi().create_repo("org/base")
    HfApi().upload_folder(repo_id="org/base", folder_path=toy_run(tmp_path / "base", tiny_model))
    run = record(tmp_path / "run", "org/base")
    hub.log.clear()
    assert base_at_hand(run) == "the base org/base is not on this machine"
    assert hub.log == []
    snapshot_download("org/base")
    hub.log.clear()
    assert base_at_hand(run).name == "org/base"
    assert hub.log == []


def test_an_adapter_whose_own_base_is_on_the_hub_is_left_alone(hub, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "org/none"}')
    assert (
        base_at_hand(record(tmp_path / "run", str(tmp_path / "adapter"))) == "the base adapter is not on this machine"
    )
    assert hub.log == []


def test_runs_without_a_base(tmp_path):
    assert base_at_hand(tmp_path) == "the run has no record of a base"
    assert base_at_hand(record(tmp_path / "run", None)) == "the run was trained from scratch"
