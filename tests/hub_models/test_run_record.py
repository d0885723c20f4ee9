import json
from pathlib import Path

import pytest
from chromhub.hub_models.run_record import read_run, text_without_paths, without_paths

from tests.hub_models.toy_run import HISTORY, METRICS, toy_adapter, toy_run


@pytest.fixture
def run(tmp_path, tiny_model) -> Path:
    return toy_run(tmp_path / "run", tiny_model)


def test_a_run_is_read_whole(run, tiny_model) -> None:
    record = read_run(run)
    assert not record.is_adapter
    assert record.config.to_diff_dict() == tiny_model.config.to_diff_dict()
    assert record.provenance is not None
    assert record.provenance.genome == "sacCer3"
    assert record.recipe["seed"] == 7
    assert record.history == HISTORY
    assert record.evaluations == {"evaluation/metrics.json": METRICS}
    assert record.num_parameters() == sum(parameter.numel() for parameter in tiny_model.parameters())


def test_an_adapter_has_its_bases_configuration(run, tmp_path, tiny_model) -> None:
    config = tiny_model.config.to_diff_dict()
    record = read_run(toy_adapter(tmp_path / "adapter", tiny_model, run))
    assert record.is_adapter
    assert record.base == str(run)
    assert record.config.to_diff_dict() == config
    trained = [parameter for parameter in tiny_model.parameters() if parameter.requires_grad]
    assert record.num_parameters() == sum(parameter.numel() for parameter in trained)


def test_records_may_be_missing(run) -> None:
    for name in ("provenance.json", "recipe.yaml", "history.json", "metrics.json", "evaluation/metrics.json"):
        (run / name).unlink()
    record = read_run(run)
    assert (record.provenance, record.recipe, record.history, record.evaluations) == (None, {}, [], {})


def test_another_evaluation_beside_the_last_is_kept(run) -> None:
    other = {**METRICS, "part": "valid"}
    (run / "evaluation" / "metrics.json").write_text(json.dumps(other))
    assert read_run(run).evaluations == {"evaluation/metrics.json": other, "metrics.json": METRICS}


def test_the_digest_follows_the_model_and_not_its_records(run) -> None:
    before = read_run(run).digest()
    (run / "history.json").write_text("[]")
    assert read_run(run).digest() == before
    with (run / "config.json").open("a") as config:
        config.write("\n")
    assert read_run(run).digest() != before


def test_damaged_records_are_named(run) -> None:
    (run / "recipe.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"recipe\.yaml is not YAML"):
        read_run(run)
    (run / "recipe.yaml").unlink()
    (run / "history.json").write_text("[")
    with pytest.raises(ValueError, match=r"history\.json is damaged: it is not JSON"):
        read_run(run)
    (run / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="keep a model or an adapter, not both"):
        read_run(run)
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match="must name its base"):
        read_run(run)
    (run / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "/gone/base"}')
    with pytest.raises(FileNotFoundError, match="is '/gone/base', which is no folder"):
        read_run(run)


def test_paths_of_this_machine_are_cut_and_nothing_else() -> None:
    record = {"data": "/home/me/k562", "base": "org/base", "list": ["~/x", 1, None], "inner": {"relative": "data/k562"}}
    assert without_paths(record) == {
        "data": "k562",
        "base": "org/base",
        "list": ["x", 1, None],
        "inner": {"relative": "data/k562"},
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/jane doe/data/store", "store"),
        ("data=/home/jane/x.bw,/mnt/b/c.bw", "data=x.bw,c.bw"),
        ("of ../alice/store and runs/x", "of store and runs/x"),
        ("~/data/yeast", "yeast"),
        ("/home/alice", "home"),
        ("C:\\Users\\me\\x", "x"),
        ("file:///mnt/a/b", "b"),
        ("see (/root/a/b)", "see (b)"),
        ("https://huggingface.co/org/name", "https://huggingface.co/org/name"),
        ("org/name at 1/2 of s3://bucket/key", "org/name at 1/2 of s3://bucket/key"),
        (".*\\.conv", ".*\\.conv"),
    ],
)
def test_paths_inside_texts(text, told) -> None:
    assert text_without_paths(text) == told
    assert without_paths({text: [text, 3]}) == {told: [told, 3]}
