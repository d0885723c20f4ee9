from pathlib import Path

import pytest
import torch
import yaml
from chromhub.hub_models.card import Publication
from chromhub.hub_models.publish import check_run, prepare, publish
from chromhub.inference.load import load_model
from chromhub.modeling import PRESETS, AtacConfig, AtacForTrackPrediction
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from tests.hub_models.toy_run import toy_run
from tests.without_chromhub import predict, predict_without_chromhub, save_with_code

MINE = Publication("org/tiny", license="apache-2.0")


@pytest.fixture
def run(tmp_path, tiny_model) -> Path:
    return toy_run(tmp_path / "run", tiny_model)


def test_a_model_comes_back_from_the_hub_bit_for_bit(hub, run, tiny_model) -> None:
    publish(run, MINE)
    loaded = AutoModel.from_pretrained("org/tiny")
    assert type(loaded) is AtacForTrackPrediction
    assert torch.equal(predict(loaded), predict(tiny_model))
    assert torch.equal(predict(load_model("org/tiny")), predict(tiny_model))


def test_a_model_loads_without_chromhub_and_then_offline(hub, run, tiny_model, tmp_path) -> None:
    pushed = publish(run, MINE)
    card = hub.files("org/tiny")["README.md"].decode()
    on_card = next(line for line in card.splitlines() if "trust_remote_code" in line).removeprefix("model = ")
    HfApi().upload_file(repo_id="org/tiny", path_or_fileobj=b"junk", path_in_repo="model.safetensors")  # moves main

    assert pushed.load == f'AutoModel.from_pretrained("org/tiny", revision="{pushed.revision}", trust_remote_code=True)'
    assert pushed.tag in on_card
    calls = (pushed.load, on_card)
    for predictions in predict_without_chromhub(*calls, extractor="org/tiny", folder=tmp_path):
        assert torch.equal(predictions, predict(tiny_model))
    hub.log.clear()
    offline = predict_without_chromhub(*calls, extractor="org/tiny", folder=tmp_path, HF_HUB_OFFLINE="1")
    assert torch.equal(offline[0], predict(tiny_model))
    assert torch.equal(offline[1], predict(tiny_model))
    assert hub.log == []


def test_every_preset_loads_from_a_folder_without_chromhub(run, tiny_model, tmp_path) -> None:
    prepare(run, MINE, tmp_path / "shared")
    folders, expected = [tmp_path / "shared"], [predict(tiny_model)]
    for preset in PRESETS:
        if preset.endswith("-tiny") and preset != "convnext-dcnn-tiny":
            model = AtacForTrackPrediction(AtacConfig.from_preset(preset))
            save_with_code(model, tmp_path / preset)
            folders.append(tmp_path / preset)
            expected.append(predict(model))
    calls = [f'AutoModel.from_pretrained("{folder}", trust_remote_code=True)' for folder in folders]
    found = predict_without_chromhub(*calls, extractor=str(tmp_path / "shared"), folder=tmp_path)
    assert len(found) > 1
    assert all(map(torch.equal, found, expected))


def test_one_commit_holds_exactly_the_files_that_belong_there(hub, run) -> None:
    pushed = publish(run, MINE)
    files = set(hub.files("org/tiny"))
    assert files == set(pushed.files)
    assert files == {
        "modeling_chromhub.py",
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "recipe.yaml",
        "provenance.json",
        "history.json",
        "training_curve.png",
        "metrics.json",
        "evaluation/metrics.json",
        "evaluation/scatter.png",
    }
    assert len(HfApi().list_repo_commits("org/tiny")) == 2  # the Hub's own first one, and ours
    assert [tag.name for tag in HfApi().list_repo_refs("org/tiny").tags] == [pushed.tag]


def test_no_path_of_this_machine_is_published(hub, run, tmp_path) -> None:
    publish(run, MINE)
    for name, content in hub.files("org/tiny").items():
        assert b"/home/someone" not in content, name
        assert str(tmp_path).encode() not in content, name
    assert yaml.safe_load(hub.files("org/tiny")["recipe.yaml"])["data"] == "yeast"


def test_a_second_push_replaces_ours_and_keeps_what_others_added(hub, run) -> None:
    first = publish(run, MINE)
    HfApi().upload_file(repo_id="org/tiny", path_or_fileobj=b"by hand", path_in_repo="docs/notes.md")
    (run / "training_curve.png").unlink()
    second = publish(run, MINE)
    assert "training_curve.png" not in hub.files("org/tiny")
    assert hub.files("org/tiny")["docs/notes.md"] == b"by hand"
    assert second.tag == first.tag  # the same weights and code
    assert second.revision != first.revision


def test_private(hub, run) -> None:
    publish(run, MINE, private=True)
    assert HfApi().model_info("org/tiny").private


# -- refusals; none may leave anything on the Hub


def test_a_run_that_is_not_evaluated_needs_a_flag(hub, tmp_path, tiny_model) -> None:
    run = toy_run(tmp_path / "run", tiny_model, evaluated=False)
    with pytest.raises(ValueError, match=r"metrics\.json; run `chromhub evaluate` first, or use --allow-unevaluated"):
        publish(run, MINE)
    assert hub.repos == {}
    publish(run, MINE, allow_unevaluated=True)
    assert "**Not evaluated**" in hub.files("org/tiny")["README.md"].decode()


def test_unknown_licences_and_names_are_refused(hub, run) -> None:
    with pytest.raises(ValueError, match=r"'Apache 2'; did you mean apache-2\.0"):
        publish(run, Publication("org/tiny", license="Apache 2"))
    with pytest.raises(ValueError, match="licence identifier"):
        publish(run, Publication("org/tiny"))
    for name in ("tiny", "a/b/c", "./tiny", "org/ti ny"):
        with pytest.raises(ValueError, match=r"ORG/NAME|[Rr]epo id"):
            publish(run, Publication(name, license="mit"))
    assert hub.log == []


def test_a_folder_without_a_model_is_named(hub, run, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model folder '\./missing'"):
        publish("./missing", MINE)
    (run / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no model .*was its training finished"):
        publish(run, MINE)


def test_pickles_and_broken_weights_are_refused(run) -> None:
    (run / "training_args.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"pickle files.*training_args\.bin"):
        check_run(run)
    (run / "training_args.bin").unlink()
    weights = load_file(run / "model.safetensors")
    weights["head.bias"].fill_(float("nan"))
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="512 values that are not finite"):
        check_run(run)
    (run / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no \.safetensors weights"):
        check_run(run)


def test_a_refusing_or_missing_hub_is_one_sentence(hub, run, monkeypatch) -> None:
    with pytest.raises(PermissionError, match=r"refused to write org/tiny \(HTTP 401\); log in"):
        publish(run, MINE, token=False)
    with monkeypatch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ConnectionError, match="offline mode is enabled"):
            publish(run, MINE)
    monkeypatch.setattr(HfApi, "create_repo", lambda self, *_, **__: HfApi(endpoint="http://127.0.0.1:9").whoami())
    with pytest.raises(ConnectionError, match="the Hub cannot be reached"):
        publish(run, MINE)


def test_prepare_makes_the_folder_that_publish_pushes_and_sends_nothing(hub, run, tiny_model, tmp_path) -> None:
    files = prepare(run, MINE, tmp_path / "ready")
    assert hub.log == []
    assert files == publish(run, MINE).files
    assert torch.equal(predict(AutoModel.from_pretrained(tmp_path / "ready")), predict(tiny_model))
    with pytest.raises(FileExistsError, match="--overwrite"):
        prepare(run, MINE, tmp_path / "ready")
    prepare(run, MINE, tmp_path / "ready", overwrite=True)


def test_only_files_of_our_names_leave_and_no_links(run, tmp_path) -> None:
    for name in ("notes.py", "key.safetensors", "secrets.json", "evaluation/notes.tsv", "evaluation/plot.png", ".env"):
        (run / name).write_text("token")
    files = prepare(run, MINE, tmp_path / "staged")
    assert sorted(files) == [
        *("README.md", "config.json", "evaluation/metrics.json", "evaluation/scatter.png", "history.json"),
        *("metrics.json", "model.safetensors", "modeling_chromhub.py", "preprocessor_config.json", "provenance.json"),
        *("recipe.yaml", "training_curve.png"),
    ]
    (tmp_path / "id_rsa").write_text("key")
    for name in ("training_curve.png", "evaluation/scatter.png", "preprocessor_config.json"):
        content = (run / name).read_bytes()
        (run / name).unlink()
        (run / name).symlink_to(tmp_path / "id_rsa")
        with pytest.raises(ValueError, match=rf"{name} is a link, which is not pushed"):
            prepare(run, MINE, tmp_path / "other")
        (run / name).unlink()
        (run / name).write_bytes(content)
    (run / "evaluation" / "scatter.png").write_text("key")
    with pytest.raises(ValueError, match=r"scatter\.png is no PNG picture"):
        prepare(run, MINE, tmp_path / "other")


def test_a_staged_folder_replaces_only_one_of_its_kind(run, tmp_path) -> None:
    prepare(run, MINE, tmp_path / "staged")
    prepare(run, MINE, tmp_path / "staged", overwrite=True)
    (tmp_path / "staged" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"files that no push makes \(thesis.txt\)"):
        prepare(run, MINE, tmp_path / "staged", overwrite=True)
    for folder in (run, run / "evaluation"):
        with pytest.raises(FileExistsError, match=r"which --overwrite would|which is read"):
            prepare(run, MINE, folder, overwrite=True)
